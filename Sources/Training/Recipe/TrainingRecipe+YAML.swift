import CoppiceModels
import CoppiceTensors

extension TrainingRecipe {
    /// Reads a recipe from YAML.
    ///
    /// - Parameter source: the file's name, for error messages.
    /// - Throws: `.badData`, one line that names the line, the key and what was expected.
    public init(yaml text: String, source: String = "recipe") throws {
        let root = try RecipeText.parse(text, source: source, expected: "a training recipe with \"model\" and \"data\"")
        let fields = try root.fields([
            "name", "seed", "model", "tokenizer", "data", "optimizer", "schedule", "training", "prune",
        ])
        self.init(text: text, source: source)
        name = try fields["name"]?.string()
        if let seed = try fields["seed"]?.integer(in: 0...Int.max) { self.seed = UInt64(seed) }
        if let field = fields["model"] { model = try Self.model(field) }
        if let field = fields["tokenizer"] { tokenizer = try Self.tokenizer(field) }
        guard let dataField = fields["data"] else {
            throw root.error("the key \"data\" is missing, expected train and validation text files")
        }
        data = try Self.data(dataField)
        if let field = fields["optimizer"] { optimizer = try Self.optimizer(field) }
        if let field = fields["schedule"] { schedule = try Self.schedule(field) }
        if let field = fields["training"] { loop = try Self.loop(field) }
        prune = try fields["prune"].map(Self.pruning)
        if loop.sequenceLength > model.context {
            throw (fields["training"] ?? root).error(
                "sequence_length \(loop.sequenceLength) is longer than the model's context of \(model.context)")
        }
        if loop.patience != nil, data.validation.isEmpty {
            throw (fields["training"] ?? root).error("patience needs a validation text, expected data.validation")
        }
    }

    private static func model(_ node: RecipeNode) throws -> Model {
        let fields = try node.fields([
            "family", "hidden_size", "intermediate_size", "layers", "heads", "key_value_heads", "head_size", "context",
            "rope_base", "norm_epsilon", "tied_embeddings", "initial_deviation", "dropout",
        ])
        var model = Model()
        if let family = try fields["family"]?.word(Model.Family.self) { model.family = family }
        if let size = try fields["hidden_size"]?.integer(in: 1...65_536) { model.hiddenSize = size }
        if let size = try fields["intermediate_size"]?.integer(in: 1...262_144) { model.intermediateSize = size }
        if let layers = try fields["layers"]?.integer(in: 1...1024) { model.layers = layers }
        if let heads = try fields["heads"]?.integer(in: 1...1024) { model.heads = heads }
        model.keyValueHeads = try fields["key_value_heads"]?.integer(in: 1...1024) ?? model.heads
        if model.heads % model.keyValueHeads != 0 {
            throw (fields["key_value_heads"] ?? node).error(
                "expected a divisor of heads (\(model.heads)), found \(model.keyValueHeads)")
        }
        if let size = try fields["head_size"]?.integer(in: 2...1024) {
            model.headSize = size
        } else {
            guard model.hiddenSize % model.heads == 0 else {
                throw (fields["heads"] ?? node).error(
                    "expected a divisor of hidden_size (\(model.hiddenSize)) or a head_size, found \(model.heads)")
            }
            model.headSize = model.hiddenSize / model.heads
        }
        guard model.headSize % 2 == 0 else {
            throw (fields["head_size"] ?? fields["heads"] ?? node).error(
                "expected an even head size (rotary embeddings turn pairs), found \(model.headSize)")
        }
        if let context = try fields["context"]?.integer(in: 1...10_000_000) { model.context = context }
        if let base = try fields["rope_base"]?.number(in: 1...1e12) { model.ropeBase = base }
        if let epsilon = try fields["norm_epsilon"]?.number(in: 1e-12...1) { model.normEpsilon = epsilon }
        if let ties = try fields["tied_embeddings"]?.boolean() { model.tiesEmbeddings = ties }
        if let deviation = try fields["initial_deviation"]?.number(in: 1e-6...10) { model.initialDeviation = deviation }
        if let dropout = try fields["dropout"]?.number(in: 0..<1) { model.dropout = dropout }
        return model
    }

    private static func tokenizer(_ node: RecipeNode) throws -> TokenizerSource {
        let fields = try node.fields(["train", "path"])
        guard fields.count == 1, let (key, field) = fields.first else {
            throw node.error(
                "expected either train (the size of a new vocabulary) or path (a tokenizer), found "
                    + (fields.isEmpty ? "neither" : "both"))
        }
        // 256 bytes, two special tokens and at least one merge.
        if key == "train" { return .trained(vocabulary: try field.integer(in: 259...1_000_000)) }
        let path = try field.string("the path of a tokenizer")
        guard !path.isEmpty else { throw field.error("expected the path of a tokenizer, found nothing") }
        return .existing(path: path)
    }

    private static func data(_ node: RecipeNode) throws -> Data {
        let fields = try node.fields(["train", "validation", "separator"])
        var data = Data()
        guard let train = try fields["train"]?.strings("text files") else {
            throw node.error("the key \"train\" is missing, expected text files")
        }
        data.train = train
        data.validation = try fields["validation"]?.strings("text files") ?? []
        if let field = fields["separator"] {
            data.separator = try field.string("the line that ends a document")
            guard !data.separator.isEmpty, !data.separator.contains(where: \.isNewline) else {
                throw field.error("expected the line that ends a document: one line, not empty")
            }
        }
        return data
    }

    private static func optimizer(_ node: RecipeNode) throws -> Optimizer {
        let fields = try node.fields(
            ["kind", "learning_rate", "momentum", "betas", "epsilon", "weight_decay", "decay", "clip_norm"]
                + FisherWindowOptions.keys)
        var optimizer = Optimizer()
        if let kind = try fields["kind"]?.word(Optimizer.Kind.self) { optimizer.kind = kind }
        let others: [String]
        switch optimizer.kind {
        case .adamw: others = ["momentum"] + FisherWindowOptions.keys
        case .mfac:
            others = ["betas", "epsilon"]
            optimizer.weightDecay = 3e-3
            optimizer.fisherWindow = try FisherWindowOptions(fields)
        }
        if let field = others.compactMap({ fields[$0] }).first {
            throw field.error("has no meaning for \(optimizer.kind.rawValue); leave it out")
        }
        if let momentum = try fields["momentum"]?.number(in: 0..<1) { optimizer.momentum = momentum }
        if let rate = try fields["learning_rate"]?.number(in: 1e-12...100) { optimizer.learningRate = rate }
        if let field = fields["betas"] {
            let betas = try field.elements("two numbers").map { try $0.number(in: 0..<1) }
            guard betas.count == 2 else { throw field.error("expected two numbers, found \(betas.count)") }
            (optimizer.beta1, optimizer.beta2) = (betas[0], betas[1])
        }
        if let epsilon = try fields["epsilon"]?.number(in: 1e-30...1) { optimizer.epsilon = epsilon }
        if let decay = try fields["weight_decay"]?.number(in: 0...100) { optimizer.weightDecay = decay }
        if let decay = try fields["decay"]?.word(Optimizer.Decay.self) { optimizer.decay = decay }
        if let field = fields["clip_norm"] {
            optimizer.clipNorm =
                (try? field.string()) == "none" ? nil : try field.number(in: 1e-9...1e9)
        }
        return optimizer
    }

    private static func schedule(_ node: RecipeNode) throws -> Schedule {
        let fields = try node.fields(["kind", "warmup_steps", "minimum_ratio"])
        var schedule = Schedule()
        if let kind = try fields["kind"]?.word(LearningRateSchedule.Kind.self) { schedule.kind = kind }
        if let steps = try fields["warmup_steps"]?.integer(in: 0...1_000_000_000) { schedule.warmupSteps = steps }
        if let field = fields["minimum_ratio"] {
            guard schedule.kind == .cosine || schedule.kind == .linear else {
                throw field.error("has no meaning for a \(schedule.kind) schedule; leave it out")
            }
            schedule.minimumRatio = try field.number(in: 0...1)
        }
        return schedule
    }

    private static func loop(_ node: RecipeNode) throws -> Loop {
        let fields = try node.fields([
            "batch_size", "sequence_length", "accumulation", "steps", "epochs", "validate_every", "checkpoint_every",
            "log_every", "patience", "precision",
        ])
        var loop = Loop()
        let large = 1_000_000_000
        if let size = try fields["batch_size"]?.integer(in: 1...65_536) { loop.batchSize = size }
        if let length = try fields["sequence_length"]?.integer(in: 1...10_000_000) { loop.sequenceLength = length }
        if let count = try fields["accumulation"]?.integer(in: 1...65_536) { loop.accumulation = count }
        if fields["steps"] != nil, let field = fields["epochs"] {
            throw field.error("does not go with steps; leave one of them out")
        }
        if let steps = try fields["steps"]?.integer(in: 1...large) { loop.duration = .steps(steps) }
        if let epochs = try fields["epochs"]?.number(in: 1e-6...1e6) { loop.duration = .epochs(epochs) }
        if let steps = try fields["validate_every"]?.integer(in: 1...large) { loop.validateEvery = steps }
        if let steps = try fields["checkpoint_every"]?.integer(in: 1...large) { loop.checkpointEvery = steps }
        if let steps = try fields["log_every"]?.integer(in: 1...large) { loop.logEvery = steps }
        loop.patience = try fields["patience"]?.integer(in: 1...large)
        if let precision = try fields["precision"]?.word(OperandPrecision.self) { loop.precision = precision }
        return loop
    }
}
