import CoppiceModels
import CoppiceTensors

extension ClassificationRecipe {
    /// Reads a recipe from YAML.
    ///
    /// - Parameter source: the file's name, for error messages.
    /// - Throws: `.badData`, one line that names the line, the key and what was expected.
    public init(yaml text: String, source: String = "recipe") throws {
        let root = try RecipeText.parse(
            text, source: source, expected: "a training recipe with \"model\" and \"images\"")
        if root.value("images") == nil, let texts = root.value("data") {
            throw texts.error(
                "names the texts of a language model, and model.architecture a network of images; expected images in its "
                    + "place, such as images: { directory: fashion-mnist }")
        }
        let fields = try root.fields([
            "name", "seed", "model", "images", "optimizer", "schedule", "training", "gates",
        ])
        self.init(text: text, source: source)
        name = try fields["name"]?.string()
        if let seed = try fields["seed"]?.integer(in: 0...Int.max) { self.seed = UInt64(seed) }
        guard let modelField = fields["model"] else {
            throw root.error("the key \"model\" is missing, expected an architecture")
        }
        model = try Self.model(modelField)
        guard let imagesField = fields["images"] else {
            throw root.error("the key \"images\" is missing, expected a directory of images")
        }
        images = try Self.images(imagesField)
        if let field = fields["optimizer"] { optimizer = try Self.optimizer(field) }
        if let field = fields["schedule"] { schedule = try Self.schedule(field) }
        if let field = fields["training"] { loop = try Self.loop(field) }
        if let field = fields["gates"] {
            gates = try Self.gates(field)
            if loop.patience != nil {
                throw (fields["training"] ?? field).error("patience has no meaning with gates; leave it out")
            }
            if loop.batchSize < 2 {
                throw (fields["training"] ?? field).error(
                    "batch_size must be at least 2 with gates: over one image every gate is unanimous")
            }
        }
        if loop.patience != nil, images.validation == .none {
            throw (fields["training"] ?? root).error("patience needs validation, expected images.validation above 0")
        }
    }

    private static func model(_ node: RecipeNode) throws -> Model {
        let fields = try node.fields(["architecture", "width_multiplier", "sequence_length", "weights"])
        var model = Model()
        model.weights = try fields["weights"]?.string("the path of a trained network")
        guard let architecture = fields["architecture"] else {
            if let weights = model.weights, !weights.isEmpty {
                if let length = fields["sequence_length"] {
                    throw length.error("expected an architecture beside it; a stored network has a length of its own")
                }
                if let multiplier = fields["width_multiplier"] {
                    throw multiplier.error("expected an architecture beside it; a stored network has widths of its own")
                }
                return model
            }
            throw node.error("the key \"architecture\" is missing, expected a name such as resnet20")
        }
        model.architecture = try architecture.string("the name of an architecture")
        model.widthMultiplier = try fields["width_multiplier"]?.number(in: 0.01...64)
        model.sequenceLength = try fields["sequence_length"]?.integer(in: 1...1_000_000)
        let published: VisionArchitecture
        do {
            published = try VisionArchitecture(named: model.architecture, widthMultiplier: model.widthMultiplier)
        } catch let error as CoppiceError {
            throw architecture.error(error.message)
        }
        if let field = fields["sequence_length"], !published.takesSequences {
            throw field.error("has no meaning for \(published.name), which takes images; leave it out")
        }
        return model
    }

    private static func images(_ node: RecipeNode) throws -> Images {
        let fields = try node.fields(["directory", "normalization", "validation", "augmentation"])
        var images = Images()
        guard let directory = try fields["directory"]?.string("a folder of images"), !directory.isEmpty else {
            throw node.error("the key \"directory\" is missing, expected a folder of images")
        }
        images.directory = directory
        if let word = try fields["normalization"]?.word(Images.Normalization.self) { images.normalization = word }
        if let field = fields["validation"] {
            if (try? field.string()) == "test" {
                images.validation = .test
            } else {
                let part = try field.number(in: 0..<1)
                images.validation = part == 0 ? .none : .heldOut(part)
            }
        }
        if let field = fields["augmentation"] { images.augmentation = try augmentation(field) }
        return images
    }

    private enum AugmentationWord: String, CaseIterable {
        case none, standard
    }

    package static func augmentation(_ node: RecipeNode) throws -> ImageAugmentation {
        if node.node.scalar != nil { return try node.word(AugmentationWord.self) == .none ? .none : .standard }
        let fields = try node.fields(["padding", "flips", "cutout"])
        return ImageAugmentation(
            padding: try fields["padding"]?.integer(in: 0...1024) ?? 0, flips: try fields["flips"]?.boolean() ?? false,
            cutout: try fields["cutout"]?.integer(in: 0...1024) ?? 0)
    }

    private enum DecayWord: String, CaseIterable {
        case all, matrices
    }

    /// - Parameter standard: the kind where none is said.
    package static func optimizer(_ node: RecipeNode, standard: Update.Kind = .sgd) throws -> Update {
        let fields = try node.fields(
            [
                "kind", "learning_rate", "momentum", "nesterov", "betas", "epsilon", "weight_decay", "decay",
                "clip_norm",
            ] + FisherWindowOptions.keys)
        var update = Update()
        update.kind = try fields["kind"]?.word(Update.Kind.self) ?? standard
        let others: [String]
        switch update.kind {
        case .sgd: others = ["betas", "epsilon"] + FisherWindowOptions.keys
        case .adamw:
            (update.learningRate, update.weightDecay) = (1e-3, 0.01)
            others = ["momentum", "nesterov"] + FisherWindowOptions.keys
        case .mfac:
            (update.learningRate, update.weightDecay) = (1e-3, 3e-3)
            others = ["nesterov", "betas", "epsilon"]
            update.fisherWindow = try FisherWindowOptions(fields)
        }
        if let field = others.compactMap({ fields[$0] }).first {
            throw field.error("has no meaning for \(update.kind.rawValue); leave it out")
        }
        if let rate = try fields["learning_rate"]?.number(in: 1e-12...100) { update.learningRate = rate }
        if let momentum = try fields["momentum"]?.number(in: 0..<1) { update.momentum = momentum }
        if let nesterov = try fields["nesterov"]?.boolean() { update.nesterov = nesterov }
        if let field = fields["betas"] {
            let betas = try field.elements("two numbers").map { try $0.number(in: 0..<1) }
            guard betas.count == 2 else { throw field.error("expected two numbers, found \(betas.count)") }
            (update.beta1, update.beta2) = (betas[0], betas[1])
        }
        if let epsilon = try fields["epsilon"]?.number(in: 1e-30...1) { update.epsilon = epsilon }
        if let decay = try fields["weight_decay"]?.number(in: 0...100) { update.weightDecay = decay }
        if let word = try fields["decay"]?.word(DecayWord.self) { update.decay = word == .all ? .all : .matrices }
        if let field = fields["clip_norm"] {
            update.clipNorm = (try? field.string()) == "none" ? nil : try field.number(in: 1e-9...1e9)
        }
        return update
    }

    package static func schedule(_ node: RecipeNode) throws -> Schedule {
        let fields = try node.fields(["kind", "warmup_epochs", "minimum_ratio", "drops", "drop_factor"])
        var schedule = Schedule()
        if let kind = try fields["kind"]?.word(LearningRateSchedule.Kind.self) { schedule.kind = kind }
        if let epochs = try fields["warmup_epochs"]?.number(in: 0...1e6) { schedule.warmupEpochs = epochs }
        if let field = fields["minimum_ratio"] {
            guard schedule.kind == .cosine || schedule.kind == .linear else {
                throw field.error("has no meaning for a \(schedule.kind) schedule; leave it out")
            }
            schedule.minimumRatio = try field.number(in: 0...1)
        }
        if schedule.kind != .step, let field = fields["drops"] ?? fields["drop_factor"] {
            throw field.error("has no meaning for a \(schedule.kind) schedule; leave it out")
        }
        if let field = fields["drops"] {
            schedule.drops = try field.elements("parts of the run").map { try $0.number(in: 0..<1) }
        }
        if let factor = try fields["drop_factor"]?.number(in: 0...1) { schedule.dropFactor = factor }
        return schedule
    }

    private static func loop(_ node: RecipeNode) throws -> Loop {
        let fields = try node.fields([
            "batch_size", "epochs", "validate_every", "log_every", "patience", "label_smoothing", "precision",
            "bn_scale_l1",
        ])
        var loop = Loop()
        let large = 1_000_000_000
        if let size = try fields["batch_size"]?.integer(in: 1...65_536) { loop.batchSize = size }
        if let epochs = try fields["epochs"]?.number(in: 1e-6...1e6) { loop.epochs = epochs }
        if let epochs = try fields["validate_every"]?.number(in: 1e-6...1e6) { loop.validateEvery = epochs }
        if let steps = try fields["log_every"]?.integer(in: 1...large) { loop.logEvery = steps }
        loop.patience = try fields["patience"]?.integer(in: 1...large)
        if let part = try fields["label_smoothing"]?.number(in: 0..<1) { loop.labelSmoothing = part }
        if let precision = try fields["precision"]?.word(OperandPrecision.self) { loop.precision = precision }
        if let strength = try fields["bn_scale_l1"]?.number(in: 0...1e3) { loop.scaleSparsity = strength }
        return loop
    }
}
