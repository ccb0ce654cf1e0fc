import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// The parts of recipes that are about networks in memory: training, schedules, recoveries, and options of criteria.
extension Recipe {
    /// Reads `training`: how stages that train do it.
    ///
    /// - Parameter standard: what is not said.
    static func training(_ node: RecipeNode, standard: ClassificationRecipe) throws -> ClassificationRecipe {
        let fields = try node.fields([
            "epochs", "batch_size", "optimizer", "schedule", "augmentation", "label_smoothing", "precision",
            "bn_scale_l1",
        ])
        var training = standard
        if let field = fields["optimizer"] {
            training.optimizer = try ClassificationRecipe.optimizer(
                field, standard: kind(of: field, standard: standard.optimizer.kind))
            // What is usual for training from scratch would undo a trained network.
            func keep<Value>(_ key: String, _ option: WritableKeyPath<ClassificationRecipe.Update, Value>) {
                guard field.node.mapping?[.init(key)] == nil else { return }
                training.optimizer[keyPath: option] = standard.optimizer[keyPath: option]
            }
            keep("clip_norm", \.clipNorm)
            if training.optimizer.kind == standard.optimizer.kind {
                keep("learning_rate", \.learningRate)
                keep("weight_decay", \.weightDecay)
            }
        }
        if let field = fields["schedule"] { training.schedule = try ClassificationRecipe.schedule(field) }
        if let field = fields["augmentation"] {
            training.images.augmentation = try ClassificationRecipe.augmentation(field)
        }
        if let epochs = try fields["epochs"]?.number(in: 1e-6...1e6) { training.loop.epochs = epochs }
        if let size = try fields["batch_size"]?.integer(in: 1...65_536) { training.loop.batchSize = size }
        if let part = try fields["label_smoothing"]?.number(in: 0..<1) { training.loop.labelSmoothing = part }
        if let precision = try fields["precision"]?.word(OperandPrecision.self) { training.loop.precision = precision }
        if let strength = try fields["bn_scale_l1"]?.number(in: 0...1e3) { training.loop.scaleSparsity = strength }
        return training
    }

    /// The optimizer that the options of one speak of, where it is not named.
    private static func kind(
        of node: RecipeNode, standard: ClassificationRecipe.Update.Kind
    ) -> ClassificationRecipe.Update.Kind {
        let keys = node.node.mapping?.keys.compactMap { $0.scalar?.string } ?? []
        if keys.contains(where: FisherWindowOptions.keys.contains) { return .mfac }
        if keys.contains(where: ["momentum", "nesterov"].contains) { return .sgd }
        if keys.contains(where: ["betas", "epsilon"].contains) { return .adamw }
        return standard
    }

    /// The keys of a `prune` stage that are read here.
    static let networkKeys =
        [
            "schedule", "recovery", "gradients", "gradient_batch", "storage", "dampening", "block_size", "temperature",
            "masks",
        ] + learnedMaskKeys

    /// Reads what a `prune` stage says about networks in memory.
    ///
    /// - Parameter epochs: of the recipe's training.
    static func networkPruning(
        _ fields: [String: RecipeNode], method: PruneStage.Method, pattern: PruneStage.Pattern, epochs: Double
    ) throws -> NetworkPruning {
        var options = NetworkPruning()
        try refuse(
            fields, ["gradients", "gradient_batch"], unless: method.isOfCurvature, "obd, woodfisher and m-fac")
        try refuse(
            fields, ["block_size"], unless: [.woodfisher, .sparseGPT].contains(method), "woodfisher and sparsegpt")
        try refuse(fields, ["storage"], unless: method == .mfac, "m-fac")
        try refuse(fields, ["temperature"], unless: method == .grasp, "grasp")
        try refuse(fields, ["masks"], unless: method == .mask, "mask")
        if let count = try fields["gradients"]?.integer(in: 1...65_536) { options.sampling.count = count }
        if let size = try fields["gradient_batch"]?.integer(in: 1...65_536) { options.sampling.batchSize = size }
        if let storage = try fields["storage"]?.word(GradientStorage.self) { options.sampling.storage = storage }
        let size = try fields["block_size"]?.integer(in: WoodFisherCriterion.blockSizes)
        if let size, method == .woodfisher { options.blockSize = size }
        if let size, method == .sparseGPT { options.compensation.blockSize = size }
        if let value = try fields["temperature"]?.number(in: 1e-3...1e6) { options.temperature = value }
        options.masks = try fields["masks"]?.string("the path of a pruned network or of a mask file")
        options.schedule = try schedule(fields["schedule"], method, epochs: epochs)
        if let field = fields["recovery"] { (options.recovery, options.trains) = try recovery(field) }
        let compensates = method == .sparseGPT || options.recovery == .reconstruct
        try refuse(
            fields, ["dampening"], unless: method.isOfCurvature || compensates,
            "obd, woodfisher, m-fac and sparsegpt, and of recovery reconstruct")
        if let dampening = try fields["dampening"]?.number(in: 1e-12...1e3) {
            if compensates { options.compensation.dampening = dampening } else { options.dampening = dampening }
        }
        if fields["schedule"] == nil {
            // A pattern is reached in one round; the surgeon lives on several (Frantar et al. 2021).
            if case .semiStructured = pattern { options.schedule = .oneShot(rounds: 1) }
            if options.recovery == .surgeon { options.schedule = .oneShot(rounds: 8) }
        }
        if method == .movement, fields["schedule"] == nil {
            options.schedule = .gradual(begin: 0, end: 0.75 * epochs, every: 20)
        }
        try learnedMasks(fields, method: method, pattern: pattern, into: &options)
        try check(options, fields, method, pattern)
        return options
    }

    static func refuse(
        _ fields: [String: RecipeNode], _ keys: [String], unless isAllowed: Bool, _ methods: String
    ) throws {
        guard !isAllowed, let field = keys.lazy.compactMap({ fields[$0] }).first else { return }
        throw field.error("is an option of method \(methods); leave it out")
    }

    // MARK: - Recovery

    private enum RecoveryKind: String, CaseIterable {
        case none
        case fineTune = "fine-tune"
        case surgeon, reconstruct, distill
    }

    private static func recovery(
        _ node: RecipeNode
    ) throws -> (kind: NetworkPruning.Recovery, trains: [WeightPattern]?) {
        let kind: RecoveryKind
        var fields: [String: RecipeNode] = [:]
        if node.node.scalar != nil {
            kind = try node.word(RecoveryKind.self)
        } else {
            fields = try node.fields(["kind", "trains", "temperature", "teacher_share"])
            guard let field = fields["kind"] else {
                let kinds = RecoveryKind.allCases.map(\.rawValue).joined(separator: ", ")
                throw node.error("the key \"kind\" is missing, expected one of \(kinds)")
            }
            kind = try field.word(RecoveryKind.self)
            if kind != .distill, let field = fields["temperature"] ?? fields["teacher_share"] {
                throw field.error("is an option of recovery distill; leave it out")
            }
            if kind != .fineTune, kind != .distill, let field = fields["trains"] {
                throw field.error("is an option of recoveries that train, fine-tune and distill; leave it out")
            }
        }
        let trains = try fields["trains"]?.strings("patterns of parameter names").map(WeightPattern.init)
        switch kind {
        case .none: return (.none, nil)
        case .fineTune: return (.fineTune, trains)
        case .surgeon: return (.surgeon, nil)
        case .reconstruct: return (.reconstruct, nil)
        case .distill:
            let recovery = NetworkPruning.Recovery.distill(
                temperature: try fields["temperature"]?.number(in: 1e-3...1e3) ?? 4,
                teacherShare: try fields["teacher_share"]?.number(in: 0...1) ?? 0.9)
            return (recovery, trains)
        }
    }

    // MARK: - Combinations

    private static func check(
        _ options: NetworkPruning, _ fields: [String: RecipeNode], _ method: PruneStage.Method,
        _ pattern: PruneStage.Pattern
    ) throws {
        let isPlain = options.schedule == .oneShot(rounds: 1)
        if let field = fields["schedule"] ?? fields["method"], !isPlain {
            if case .semiStructured(let groups) = pattern, fields["schedule"] != nil {
                throw field.error("pattern \(groups) fixes the sparsity and is reached at once; leave the schedule out")
            }
            if method == .mask { throw field.error("method mask removes all that the mask removes at once") }
            try checkSchedule(options.schedule, field, method, pattern)
        }
        try checkReconstruction(options, fields, method, pattern)
        guard let field = fields["recovery"], options.recovery == .surgeon else { return }
        guard method.isOfCurvature else {
            throw field.error(
                "surgeon makes up for weights by the inverse Fisher matrix, expected method obd, woodfisher or m-fac")
        }
        guard pattern == .unstructured else {
            throw field.error("surgeon removes single weights, expected pattern unstructured")
        }
        switch options.schedule {
        case .oneShot, .gradual: return
        default: throw field.error("surgeon makes up at each removal, expected schedule one-shot or gradual")
        }
    }
}
