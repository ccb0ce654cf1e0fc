import CoppiceModels
import CoppiceTensors

/// In which shape weights go.
extension Recipe {
    /// Reads `pattern` and what belongs to it.
    static func pattern(
        _ fields: [String: RecipeNode], _ method: PruneStage.Method
    ) throws -> PruneStage.Pattern {
        let pattern = try fields["pattern"].map { try self.pattern($0, block: fields["block"]) } ?? .unstructured
        for (key, patterns) in [("group_size", "group"), ("group_score", "group or block"), ("block", "block")] {
            guard let field = fields[key] else { continue }
            let isOwn =
                switch pattern {
                case .groups: key != "block"
                case .blocks: key != "group_size"
                default: false
                }
            guard isOwn else {
                let name = patterns.split(separator: " ")[0]
                throw field.error("goes with pattern \(patterns) alone; leave it out or set pattern to \(name)")
            }
        }
        let score = try fields["group_score"]?.word(GroupGranularity.Score.self)
        if score == .l2, method.hasSignedScores, let field = fields["group_score"] {
            throw field.error(
                "l2 squares scores, and those of \(method.rawValue) may be negative; expected mean or max")
        }
        switch pattern {
        case .groups(var length, let standard):
            if let field = fields["group_size"] {
                let expected = "one of \(PruneStage.groupLengths.map(String.init).joined(separator: ", "))"
                let text = try field.string(expected)
                guard let size = Int(text), PruneStage.groupLengths.contains(size) else {
                    throw field.error("expected \(expected), found \(text.isEmpty ? "nothing" : text)")
                }
                length = size
            }
            return .groups(length: length, score: score ?? standard)
        case .blocks(let rows, let columns, let standard):
            return .blocks(rows: rows, columns: columns, score: score ?? standard)
        default: return pattern
        }
    }

    private static func pattern(_ node: RecipeNode, block: RecipeNode?) throws -> PruneStage.Pattern {
        let expected =
            "\"unstructured\", \"group\", \"block\" or kept:of, such as \"2:4\" (keeps 2 of every 4), with of at most 32"
        let text = try node.string(expected)
        if text == "unstructured" { return .unstructured }
        if text == "group" { return .groups(length: 32, score: .mean) }
        if text == "block" {
            guard let block else {
                throw node.error("block needs the key \"block\", expected [rows, columns], such as [4, 4]")
            }
            let sizes = try block.elements("two sizes, [rows, columns]").map { try $0.integer(in: 1...1024) }
            guard sizes.count == 2 else {
                throw block.error("expected [rows, columns], such as [4, 4], found \(sizes.count) numbers")
            }
            guard sizes[0] * sizes[1] > 1 else {
                throw block.error("a block of one weight is no block; leave the pattern out")
            }
            return .blocks(rows: sizes[0], columns: sizes[1], score: .mean)
        }
        if let unit = PruneStage.Unit(rawValue: text), unit != .weight {
            throw node.error("\(text) is a granularity, not a pattern; write granularity: \(text)")
        }
        guard let pattern = SemiStructuredPattern(text) else {
            throw node.error("expected \(expected), found \"\(text.prefix(40))\"")
        }
        return .semiStructured(pattern)
    }
}
