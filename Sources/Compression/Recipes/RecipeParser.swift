import CoppiceFormats
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

extension Recipe {
    /// Reads a recipe from YAML.
    ///
    /// - Parameter source: the file's name, for error messages.
    /// - Throws: `.badData`, one line that names the line, the key and what was expected.
    public init(yaml text: String, source: String = "recipe") throws {
        let root = try RecipeText.parse(text, source: source, expected: "a recipe with \"stages\"")
        let fields = try root.fields(["name", "seed", "calibration", "training", "prefer", "stages"])
        let name = try fields["name"]?.string()
        let seed = UInt64(try fields["seed"]?.integer(in: 0...Int.max) ?? 42)
        let (calibration, samples) = try fields["calibration"].map(Self.calibration) ?? (Calibration(), Images())
        func training(_ standard: ClassificationRecipe) throws -> ClassificationRecipe {
            try fields["training"].map { try Self.training($0, standard: standard) } ?? standard
        }
        let images = try training(Self.standardTraining)
        let preference = try fields["prefer"]?.word(FormatPlanner.Preference.self) ?? .speed
        guard let stageList = fields["stages"] else {
            throw root.error("the key \"stages\" is missing, expected a list of prune and quantize stages")
        }
        let elements = try stageList.elements("stages")
        guard !elements.isEmpty else { throw stageList.error("expected at least one stage, found none") }
        var stages: [Stage] = []
        for element in elements {
            let stage = try Self.stage(element, after: stages, epochs: images.loop.epochs)
            if stage.name != "quantize", let before = stages.firstIndex(where: { $0.name == "quantize" }) {
                throw element.error(
                    "a \(stage.name) stage must come before the quantize stages (stage \(before) quantizes): "
                        + "codes are not pruned")
            }
            if case .prune(let options) = stage, options.rateDistortion.curves != nil,
                let before = stages.firstIndex(where: { $0.name != "quantize" })
            {
                throw element.error(
                    "curves of a file are those of the model as it comes, expected no stage before this one "
                        + "(stage \(before) is a \(stages[before].name) stage)")
            }
            if case .prune(let options) = stage, options.unit == .layer,
                let before = stages.firstIndex(where: { !$0.removesLayers })
            {
                throw element.error(
                    "whole layers change what there is to work on; put this stage before stages[\(before)]")
            }
            if case .prune(let options) = stage, options.method == .bip, images.optimizer.kind != .sgd {
                throw element.error(
                    "method bip trains by momentum, expected training.optimizer.kind sgd, found "
                        + images.optimizer.kind.rawValue)
            }
            if case .prune(let options) = stage, case .dynamic = options.network.schedule,
                images.optimizer.kind == .mfac, images.optimizer.fisherWindow.isSparse
            {
                throw element.error(
                    "schedule dynamic lets weights return, which training.optimizer.sparse holds at zero; leave it out")
            }
            stages.append(stage)
        }
        let texts = try training(
            Self.standardLanguageTraining(
                byMomentum: stages.contains { stage in
                    if case .prune(let options) = stage { return options.method == .bip }
                    return false
                }))
        self.init(
            name: name, seed: seed, calibration: calibration, stages: stages, preference: preference, text: text,
            source: source)
        self.images = samples
        self.training = images
        self.training.seed = seed
        self.languageTraining = texts
        self.languageTraining.seed = seed
    }

    private static func calibration(_ node: RecipeNode) throws -> (Calibration, Images) {
        let fields = try node.fields(["samples", "sequence_length", "images", "batch_size"])
        var (calibration, images) = (Calibration(), Images())
        if let count = try fields["images"]?.integer(in: 1...1_000_000_000) { images.count = count }
        if let size = try fields["batch_size"]?.integer(in: 1...65_536) {
            (images.batchSize, calibration.batchSize) = (size, size)
        }
        if let samples = try fields["samples"]?.integer(in: 1...65_536) { calibration.samples = samples }
        if let length = try fields["sequence_length"]?.integer(in: 1...131_072) { calibration.sequenceLength = length }
        return (calibration, images)
    }

    private static func stage(_ node: RecipeNode, after earlier: [Stage], epochs: Double) throws -> Stage {
        let fields = try node.fields(["prune", "quantize", "low-rank"])
        guard fields.count == 1, let (name, options) = fields.first else {
            throw node.error(
                "expected one of prune, quantize, low-rank, found \(fields.isEmpty ? "nothing" : "several")")
        }
        switch name {
        case "prune": return .prune(try pruneStage(options, epochs: epochs))
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
