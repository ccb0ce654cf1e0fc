import CoppiceFormats
import CoppiceModels
import CoppiceTensors

extension Recipe {
    /// Reads a recipe from YAML.
    ///
    /// - Parameter source: the file's name, for error messages.
    /// - Throws: `.badData`, one line that names the line, the key and what was expected.
    public init(yaml text: String, source: String = "recipe") throws {
        let root = try RecipeText.parse(text, source: source, expected: "a recipe with \"stages\"")
        let fields = try root.fields(["name", "seed", "calibration", "prefer", "stages"])
        let name = try fields["name"]?.string()
        let seed = UInt64(try fields["seed"]?.integer(in: 0...Int.max) ?? 42)
        let calibration = try fields["calibration"].map(Self.calibration) ?? Calibration()
        let preference = try fields["prefer"]?.word(FormatPlanner.Preference.self) ?? .speed
        guard let stageList = fields["stages"] else {
            throw root.error("the key \"stages\" is missing, expected a list of prune and quantize stages")
        }
        let elements = try stageList.elements("stages")
        guard !elements.isEmpty else { throw stageList.error("expected at least one stage, found none") }
        var stages: [Stage] = []
        for element in elements {
            let stage = try Self.stage(element, after: stages)
            if stage.name != "quantize", let before = stages.firstIndex(where: { $0.name == "quantize" }) {
                throw element.error(
                    "a \(stage.name) stage must come before the quantize stages (stage \(before) quantizes): "
                        + "codes are not pruned")
            }
            stages.append(stage)
        }
        self.init(
            name: name, seed: seed, calibration: calibration, stages: stages, preference: preference, text: text,
            source: source)
    }

    private static func calibration(_ node: RecipeNode) throws -> Calibration {
        let fields = try node.fields(["samples", "sequence_length"])
        var calibration = Calibration()
        if let samples = try fields["samples"]?.integer(in: 1...65_536) { calibration.samples = samples }
        if let length = try fields["sequence_length"]?.integer(in: 1...131_072) { calibration.sequenceLength = length }
        return calibration
    }

    private static func stage(_ node: RecipeNode, after earlier: [Stage]) throws -> Stage {
        let fields = try node.fields(["prune", "quantize", "low-rank"])
        guard fields.count == 1, let (name, options) = fields.first else {
            throw node.error(
                "expected one of prune, quantize, low-rank, found \(fields.isEmpty ? "nothing" : "several")")
        }
        switch name {
        case "prune": return .prune(try pruneStage(options))
        case "low-rank": return .lowRank(try lowRankStage(options))
        default: return .quantize(try quantizeStage(options, after: earlier))
        }
    }

    static func selection(_ fields: [String: RecipeNode]) throws -> WeightSelection {
        let patterns = "patterns of weight names"
        return WeightSelection(
            targets: try fields["targets"]?.strings(patterns).map(WeightPattern.init),
            ignore: try fields["ignore"]?.strings(patterns).map(WeightPattern.init) ?? [])
    }

    private static func pruneStage(_ node: RecipeNode) throws -> PruneStage {
        let fields = try node.fields([
            "method", "sparsity", "pattern", "group_size", "group_score", "scope", "allocation", "targets", "ignore",
        ])
        guard let method = try fields["method"]?.word(PruneStage.Method.self) else {
            throw node.error("the key \"method\" is missing, expected one of magnitude, wanda, random")
        }
        let pattern = try self.pattern(fields)
        let sparsity = try fields["sparsity"]?.number(in: 0..<1)
        let selection = try selection(fields)
        if case .semiStructured(let groups) = pattern {
            for key in ["scope", "allocation"] {
                if let field = fields[key] {
                    throw field.error(
                        "does not go with pattern \(groups), which compares within its groups; leave it out")
                }
            }
            if let sparsity, let field = fields["sparsity"], abs(sparsity - groups.sparsity) > 1e-9 {
                throw field.error(
                    "pattern \(groups) keeps \(groups.kept) of \(groups.groupLength), expected \(groups.sparsity) "
                        + "or no sparsity, found \(sparsity)")
            }
            return PruneStage(method: method, sparsity: groups.sparsity, pattern: pattern, selection: selection)
        }
        guard let sparsity else {
            throw node.error(
                "the key \"sparsity\" is missing, expected the fraction of weights to remove, from 0 to below 1")
        }
        let scope = try fields["scope"]?.word(PruneStage.Scope.self) ?? PruneStage.defaultScope(method)
        let allocation = try fields["allocation"]?.word(PruneStage.Sharing.self) ?? .uniform
        if scope == .global, let field = fields["allocation"] {
            throw field.error(
                "does not go with scope global, which finds each layer's share by one threshold; leave it out")
        }
        if scope == .global, method == .wanda {
            throw (fields["scope"] ?? node).error(
                "wanda prunes block by block and has no global threshold, expected row or layer")
        }
        return PruneStage(
            method: method, sparsity: sparsity, pattern: pattern, scope: scope, allocation: allocation,
            selection: selection)
    }

    private static func pattern(_ fields: [String: RecipeNode]) throws -> PruneStage.Pattern {
        let pattern = try fields["pattern"].map(self.pattern) ?? .unstructured
        for key in ["group_size", "group_score"] {
            guard let field = fields[key] else { continue }
            guard case .groups = pattern else {
                throw field.error("goes with pattern group alone; leave it out or set pattern to group")
            }
        }
        guard case .groups(var length, var score) = pattern else { return pattern }
        if let field = fields["group_size"] {
            let expected = "one of \(PruneStage.groupLengths.map(String.init).joined(separator: ", "))"
            let text = try field.string(expected)
            guard let size = Int(text), PruneStage.groupLengths.contains(size) else {
                throw field.error("expected \(expected), found \(text.isEmpty ? "nothing" : text)")
            }
            length = size
        }
        if let field = fields["group_score"] { score = try field.word(GroupGranularity.Score.self) }
        return .groups(length: length, score: score)
    }

    private static func pattern(_ node: RecipeNode) throws -> PruneStage.Pattern {
        let expected =
            "\"unstructured\", \"group\" or kept:of, such as \"2:4\" (keeps 2 of every 4), with of at most 32"
        let text = try node.string(expected)
        if text == "unstructured" { return .unstructured }
        if text == "group" { return .groups(length: 32, score: .mean) }
        guard let pattern = SemiStructuredPattern(text) else {
            throw node.error("expected \(expected), found \"\(text.prefix(40))\"")
        }
        return .semiStructured(pattern)
    }

    private static func lowRankStage(_ node: RecipeNode) throws -> LowRankStage {
        let fields = try node.fields(["rank", "ratio", "energy", "targets", "ignore"])
        let given = ["rank", "ratio", "energy"].filter { fields[$0] != nil }
        guard given.count == 1, let field = fields[given[0]] else {
            throw node.error(
                "expected one of rank, ratio, energy, found "
                    + (given.isEmpty ? "nothing" : given.joined(separator: " and ")))
        }
        let target: LowRankWeight.Target
        if given[0] == "rank" {
            target = .rank(try field.integer(in: 1...(1 << 28)))
        } else {
            let share = try field.number(in: 0...1)
            guard share > 0 else { throw field.error("expected a number above 0, at most 1, found 0") }
            target = given[0] == "ratio" ? .ratio(share) : .energy(share)
        }
        return LowRankStage(target, selection: try selection(fields))
    }
}
