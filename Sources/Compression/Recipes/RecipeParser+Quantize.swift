import CoppiceFormats
import CoppiceModels
import CoppiceTensors

extension Recipe {
    private enum Scheme: String, CaseIterable {
        case uniform, bipolar
    }

    private enum Codebook: String, CaseIterable {
        case kMeans = "k-means"
        case power
    }

    /// Reads the options of a `quantize` stage.
    ///
    /// - Parameter earlier: the stages before it.
    /// - Throws: `.badData`, one line that names the line, the key and what was expected.
    static func quantizeStage(_ node: RecipeNode, after earlier: [Stage]) throws -> QuantizeStage {
        let fields = try node.fields([
            "bits", "symmetric", "scheme", "codebook", "tables", "exponent", "group_size", "targets", "ignore",
        ])
        guard let bitsField = fields["bits"] else {
            throw node.error("the key \"bits\" is missing, expected 1 to 8 or ternary")
        }
        let levels = try levels(fields)
        let bits = try bits(bitsField, levels)
        let isSymmetric = try fields["symmetric"]?.boolean() ?? true
        if let field = fields["symmetric"], levels != .uniform {
            throw field.error("goes with uniform levels, and these are symmetric by themselves; leave it out")
        }
        var stage = QuantizeStage(
            bits: bits, isSymmetric: isSymmetric,
            groupSize: QuantizeStage.defaultGroupSize(bits: bits, levels: levels, prunedGroup: prunedGroup(earlier)),
            levels: levels,
            selection: try selection(fields))
        if let field = fields["group_size"] { stage.groupSize = try groupSize(field, stage) }
        if levels == .kMeans(.group), stage.groupSize == nil, let field = fields["tables"] {
            throw field.error("tables of groups need a group_size other than channel; tables: row has one for each row")
        }
        return stage
    }

    /// The length of the groups that the last of the earlier stages to prune in groups has.
    private static func prunedGroup(_ earlier: [Stage]) -> Int? {
        var length: Int?
        for case .prune(let options) in earlier {
            switch options.pattern {
            case .groups(let found, _), .blocks(_, let found, _): length = [16, 32, 64].contains(found) ? found : nil
            default: break
            }
        }
        return length
    }

    private static func levels(_ fields: [String: RecipeNode]) throws -> QuantizeStage.Levels {
        let isTernary = try fields["bits"]?.string("1 to 8 or ternary") == "ternary"
        let scheme = try fields["scheme"]?.word(Scheme.self) ?? .uniform
        let codebook = try fields["codebook"]?.word(Codebook.self)
        for (key, allowed, with) in [
            ("scheme", !isTernary && codebook == nil, "a number of bits and without a codebook"),
            ("codebook", !isTernary, "a number of bits"),
            ("tables", codebook == .kMeans, "codebook k-means"), ("exponent", codebook == .power, "codebook power"),
        ] where !allowed {
            if let field = fields[key] { throw field.error("goes with \(with) alone; leave it out") }
        }
        if isTernary { return .ternary }
        if scheme == .bipolar { return .bipolar }
        switch codebook {
        case .kMeans: return .kMeans(try fields["tables"]?.word(CodebookQuantization.Tables.self) ?? .tensor)
        case .power: return .power(exponent: try fields["exponent"].flatMap(exponent))
        case nil: return .uniform
        }
    }

    private static func exponent(_ node: RecipeNode) throws -> Double? {
        let expected = "search or a number from 0.05 to 1"
        let text = try node.string(expected)
        if text == "search" { return nil }
        guard let value = Double(text), value >= 0.05, value <= 1 else {
            throw node.error("expected \(expected), found \(text.isEmpty ? "nothing" : String(text.prefix(40)))")
        }
        return value
    }

    private static func bits(_ node: RecipeNode, _ levels: QuantizeStage.Levels) throws -> Int {
        if levels == .ternary { return 2 }
        let expected: String
        let range: ClosedRange<Int>
        switch levels {
        case .bipolar: (range, expected) = (1...8, "1 to 8 with scheme bipolar")
        case .kMeans, .power: (range, expected) = (2...4, "2, 3 or 4 with a codebook")
        default: (range, expected) = (2...8, "2 to 8, ternary, or 1 with scheme bipolar")
        }
        let text = try node.string(expected)
        guard let bits = Int(text), range.contains(bits) else {
            throw node.error("expected \(expected), found \(text.isEmpty ? "nothing" : String(text.prefix(40)))")
        }
        return bits
    }

    private static func groupSize(_ node: RecipeNode, _ stage: QuantizeStage) throws -> Int? {
        let sizes = QuantizeStage.groupSizes.filter {
            stage.isPacked || BitPlaneQuantization.supports(groupSize: $0)
        }
        let expected = "\"channel\" or one of \(sizes.map(String.init).joined(separator: ", "))"
        let text = try node.string(expected)
        if text == "channel" { return nil }
        guard let size = Int(text), sizes.contains(size) else {
            throw node.error("expected \(expected), found \(text.isEmpty ? "nothing" : text)")
        }
        return size
    }
}
