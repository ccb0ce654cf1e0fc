import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// A compression as a value: what is done to which weights, in which order, with which seed.
///
/// Written in YAML:
/// ```yaml
/// seed: 42
/// calibration: { samples: 64, sequence_length: 256 }
/// stages:
///   - prune: { method: wanda, pattern: "2:4" }
///   - quantize: { bits: 8 }
/// ```
/// `docs/recipes.md` lists every key.
public struct Recipe: Sendable, Hashable {
    /// One step.
    public enum Stage: Sendable, Hashable {
        case prune(PruneStage)
        case quantize(QuantizeStage)
        case lowRank(LowRankStage)

        /// The key that the stage has in a recipe.
        public var name: String {
            switch self {
            case .prune: "prune"
            case .quantize: "quantize"
            case .lowRank: "low-rank"
            }
        }

        /// Whether whole layers go.
        var removesLayers: Bool {
            if case .prune(let stage) = self { return stage.unit == .layer }
            return false
        }

        /// The matrices that the stage works on.
        public var selection: WeightSelection {
            switch self {
            case .prune(let stage): stage.selection
            case .quantize(let stage): stage.selection
            case .lowRank(let stage): stage.selection
            }
        }
    }

    /// How calibration text is cut.
    public struct Calibration: Sendable, Hashable {
        /// Number of windows.
        public var samples: Int
        /// Tokens in each.
        public var sequenceLength: Int
        /// Windows whose gradients are taken together.
        public var batchSize: Int

        public init(samples: Int = 128, sequenceLength: Int = 512, batchSize: Int = 8) {
            self.samples = samples
            self.sequenceLength = sequenceLength
            self.batchSize = batchSize
        }
    }

    /// How many labelled images criteria look at.
    public struct Images: Sendable, Hashable {
        /// Images, of each class alike.
        public var count: Int
        /// Images that go through the network together.
        public var batchSize: Int

        public init(count: Int = 1024, batchSize: Int = 64) {
            self.count = count
            self.batchSize = batchSize
        }
    }

    /// A title, for reports.
    public var name: String?
    /// Everything random follows from it.
    public var seed: UInt64
    public var calibration: Calibration
    /// What criteria of vision networks see.
    public var images = Images()
    /// How vision networks are trained where a stage trains: optimizer, learning rates, loop and augmentation.
    public var training = Recipe.standardTraining
    /// How language models are.
    public var languageTraining = Recipe.standardLanguageTraining()
    public var stages: [Stage]
    /// What formats are chosen for where stages leave a choice.
    public var preference: FormatPlanner.Preference
    /// The YAML that the recipe was read from.
    public internal(set) var text: String
    /// Where it was read from, for error messages.
    public let source: String

    init(
        name: String?, seed: UInt64, calibration: Calibration, stages: [Stage], preference: FormatPlanner.Preference,
        text: String, source: String
    ) {
        self.name = name
        self.seed = seed
        self.calibration = calibration
        self.stages = stages
        self.preference = preference
        self.text = text
        self.source = source
    }

    /// SHA-256 of the text, in hexadecimal: what `sha256sum` prints for the recipe file.
    public var hash: String { SHA256.hexadecimal(text.utf8) }

    /// Whether some stage trains.
    public var trains: Bool {
        stages.contains { stage in
            if case .prune(let options) = stage { return options.training != nil }
            return false
        }
    }

    /// Whether some stage needs a calibration text when a language model is compressed.
    public var needsCalibration: Bool { needOfText != nil }

    /// - Throws: `.usage` naming the stage that needs a text where there is none.
    func check(hasText: Bool) throws {
        guard !hasText, let (index, need) = needOfText else { return }
        throw CoppiceError(
            .usage, source: source, field: "stages[\(index)].prune",
            "\(need), and needs a calibration text; there is none")
    }

    /// The need of a text of the first stage that has one, with the stage's place.
    public var needOfText: (stage: Int, need: String)? {
        for (index, stage) in stages.enumerated() {
            guard case .prune(let options) = stage else { continue }
            if options.needsActivations {
                let isByMethod = options.network.recovery != .reconstruct
                let subject = isByMethod ? "method \(options.method.rawValue)" : "recovery reconstruct"
                return (index, "\(subject) looks at activations")
            }
            if options.allocation == .rateDistortion, options.rateDistortion.curves == nil {
                return (index, "allocation rate-distortion measures")
            }
            if let need = options.needOfImages { return (index, need.reason) }
        }
        return nil
    }

    /// Whether a language model's matrices can be pruned one at a time: at once, by scores that need no gradients, with
    /// nothing trained.
    var prunesMatricesAlone: Bool {
        stages.allSatisfy { stage in
            guard case .prune(let options) = stage else { return true }
            return options.unit.goesFirst
                || options.method.prunesMatrices && options.network.schedule == .oneShot(rounds: 1)
                    && [.none, .reconstruct].contains(options.network.recovery)
        }
    }

    /// Refuses patterns of what a recovery trains that match no parameter.
    ///
    /// - Parameters:
    ///   - names: of the network's parameters.
    ///   - aliases: other names of them.
    /// - Throws: `.badData` naming the stage and the pattern, with the nearest name.
    func checkTrains(among names: [String], aliases: [String: String] = [:]) throws {
        for (index, stage) in stages.enumerated() {
            guard case .prune(let options) = stage, let patterns = options.network.trains else { continue }
            do {
                _ = try WeightPattern.names(
                    matching: patterns, among: names, aliases: aliases, what: "parameter of the network")
            } catch var error as CoppiceError {
                (error.source, error.field) = (source, "stages[\(index)].prune.recovery.trains")
                throw error
            }
        }
    }

    /// Fine-tuning by momentum with a small rate that falls to zero.
    static var standardTraining: ClassificationRecipe {
        var training = ClassificationRecipe()
        (training.optimizer.learningRate, training.optimizer.weightDecay) = (0.01, 1e-4)
        training.loop.epochs = 3
        return training
    }

    /// Fine-tuning of language models by AdamW with a small rate that falls to zero; by momentum, as of vision networks,
    /// where a method trains by it.
    static func standardLanguageTraining(byMomentum: Bool = false) -> ClassificationRecipe {
        var training = standardTraining
        if !byMomentum {
            (training.optimizer.kind, training.optimizer.learningRate) = (.adamw, 1e-4)
            training.optimizer.weightDecay = 0.01
        }
        training.optimizer.clipNorm = 1
        training.loop.batchSize = 8
        return training
    }

    /// The need of images of the first stage that has one, with the stage's place.
    public var needOfImages: (stage: Int, need: ImageNeed)? {
        for (index, stage) in stages.enumerated() {
            if case .prune(let options) = stage, let need = options.needOfImages { return (index, need) }
        }
        return nil
    }

    /// - Throws: `.badData` for a stage that is for vision networks only.
    func checkPrunesLanguageModels() throws {
        for (index, stage) in stages.enumerated() {
            guard case .prune(let options) = stage else { continue }
            func refusal(_ key: String, _ message: String) -> CoppiceError {
                CoppiceError(.badData, source: source, field: "stages[\(index)].prune.\(key)", message)
            }
            if options.unit == .layer { continue }
            let isOfUnits = options.unit.transformerUnits != nil
            guard options.method.prunesLanguageModels else {
                let methods = PruneStage.Method.allCases.filter(\.prunesLanguageModels).map(\.rawValue)
                throw refusal(
                    "method",
                    "\(options.method.rawValue) is for vision networks, expected one of "
                        + methods.joined(separator: ", "))
            }
            guard isOfUnits || options.unit == .weight else {
                throw refusal(
                    "granularity",
                    "granularity \(options.unit.rawValue) is for vision networks, expected weight, head, neuron or layer"
                )
            }
            guard !isOfUnits || options.network.recovery == .none else {
                throw refusal(
                    "recovery", "comes in a stage of its own behind whole heads and neurons: sparsity: 0 and a recovery"
                )
            }
            if options.allocation == .rateDistortion, options.rateDistortion.calibration == .gaussian {
                throw refusal("calibration", "gaussian is for vision networks, expected data")
            }
            if case .adaptive(let schedule) = options.network.schedule, schedule.keep != .last {
                throw refusal("schedule", "keep: best goes by the accuracy on images, expected last")
            }
            if options.countsMultiplications {
                throw refusal("of", "multiplications are counted for vision networks; leave it out")
            }
            if options.method == .wanda || options.method == .sparseGPT, options.network.schedule != .oneShot(rounds: 1)
            {
                throw refusal(
                    "schedule", "\(options.method.rawValue) prunes at once, block by block; leave the schedule out")
            }
            if options.network.recovery == .reconstruct, options.sparsity == 0, !prunesMatricesAlone {
                throw refusal(
                    "recovery",
                    "what earlier stages removed is lost where a stage takes gradients or trains; let the stage that "
                        + "removes reconstruct, with a sparsity above 0")
            }
        }
        if languageTraining.loop.scaleSparsity > 0 {
            throw CoppiceError(
                .badData, source: source, field: "training.bn_scale_l1",
                "is of batch normalizations, and a network of texts has none; leave it out")
        }
        if languageTraining.images.augmentation != .none {
            throw CoppiceError(
                .badData, source: source, field: "training.augmentation", "is of images; leave it out for a text")
        }
    }

    /// Reads a recipe file.
    ///
    /// - Throws: `.noInput` when there is no such file, `.badData` when it is not a recipe.
    public static func load(_ path: String) throws -> Recipe {
        try Recipe(yaml: RecipeText.read(path), source: path)
    }
}
