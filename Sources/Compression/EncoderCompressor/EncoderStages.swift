import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// The prune stages of a recipe on an encoder that is in memory as a whole, as f32: whole heads and neurons go first.
struct EncoderStages {
    /// What the stages made of an encoder.
    struct Outcome {
        /// With what all stages decided.
        var run: RecipeRun
        var reports: [StageReport]
        /// The network without the heads and neurons that went.
        var encoder: NarrowedEncoder
        /// The parameters that are not the checkpoint's any more: f32.
        var values: [String: Tensor] = [:]
    }

    private let checkpoint: EncoderCheckpoint
    private let recipe: Recipe
    /// The stages that remove heads or neurons, which come first.
    private let unitStages: [UnitPruning]
    /// The encoder's after them.
    let configuration: EncoderConfiguration
    /// The matrices that each stage of the recipe works on.
    private(set) var selected: [[PrunableWeight]] = []

    /// Matches the recipe with the encoder.
    ///
    /// - Throws: `.badData` when they do not fit together, before any work.
    init(_ checkpoint: EncoderCheckpoint, recipe: Recipe) throws {
        self.checkpoint = checkpoint
        self.recipe = recipe
        let whole = checkpoint.configuration
        let matrices = try EncoderMatrices(checkpoint.unloadedNetwork()).matrices
        unitStages = try UnitPruning.stages(
            of: recipe, matrices: matrices.map(\.name), isStandard: EncoderCheckpoint.isLayerMatrix
        ) { TransformerUnits($0, of: whole) }
        // Shapes follow from counts; which units stay does not matter for what may be wrong with later stages.
        configuration = unitStages.reduce(whole) { configuration, stage in
            stage.narrows ? stage.units.configuration(configuration, keeping: stage.firstUnits[0].count) : configuration
        }
        selected = try start(checkpoint.unloadedNetwork().unloaded(configuration)).selected
    }

    private func start(_ network: any EncoderNetwork) throws -> RecipeRun {
        let matrices = try EncoderMatrices(network)
        return try RecipeRun(
            recipe, on: matrices,
            zeroed: Dictionary(uniqueKeysWithValues: unitStages.map { ($0.stage, $0.zeroed(matrices.matrices)) }))
    }

    /// Runs all prune stages but those of whole layers.
    ///
    /// - Parameters:
    ///   - data: nil for recipes that need none.
    ///   - teacher: of distillation; nil for the checkpoint.
    /// - Throws: `.badData` for a text that is too short; what reading weights throws; as ``NetworkStageRun/run()``.
    func run(
        _ data: (any EncoderData)?, teacher: AnyCheckpoint?, _ progress: any ProgressReporter
    ) throws -> Outcome {
        let original = try checkpoint.network()
        // Shared with the network until it changes them.
        let before = Dictionary(
            uniqueKeysWithValues: original.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) })
        var first = UnitStageRun(
            NarrowedEncoder(original, data: data, seed: recipe.seed), seed: recipe.seed,
            windows: try data?.windows(recipe.calibration.samples, seed: recipe.seed), progress: progress)
        for stage in unitStages { try first.run(stage) }
        let network = first.model.network
        var outcome = Outcome(run: try start(network), reports: first.reports, encoder: first.model)
        for (name, zeros) in first.zeros { outcome.run.adopt(zeros.mask, inRunsOf: zeros.runLength, of: name) }
        first.model.apply { first.zeros[$0]?.mask }
        var names = Set(try PrunableNetwork(network).weights.map(\.name))
        for (stage, selected) in zip(recipe.stages, outcome.run.selected) where stage.name == "prune" {
            names.formUnion(selected.map(\.name))
        }
        let whole = try PrunableNetwork(network, named: names)
        try whole.checkFinite(source: checkpoint.path)
        whole.adoptZeros()
        for (index, stage) in recipe.stages.enumerated() {
            guard case .prune(let options) = stage, !options.unit.goesFirst else { continue }
            let own = outcome.run.selected[index].map(\.name)
            let pruning = try NetworkStageRun(
                options, number: index, of: recipe, on: own, in: whole, network: network, data: data,
                progress: progress, checkpoint: .encoder(checkpoint))
            pruning.teacher = teacher
            if options.method.prunesMatrices, options.allocation == .rateDistortion {
                pruning.matrixCurves = { [unowned pruning] in try pruning.layerwiseCurves(of: network) }
            }
            if options.needsActivations, let data {
                pruning.matrixMasks = { [unowned pruning, run = outcome.run, recipe] in
                    try pruning.calibratedMasks(
                        run, on: data.windows(recipe.calibration.samples, seed: recipe.seed),
                        through: EncoderBlocks(network), sharedBy: pruning.matrixAllocation(),
                        unit: "layers")
                }
            }
            try pruning.run()
            pruning.reportRates()
            outcome.run.record(masksOf: whole, of: Set(own), options)
            if !pruning.report.isEmpty { outcome.reports.append(pruning.report) }
        }
        for (name, parameter) in network.parameters {
            let now = parameter.wrappedValue.detached()
            if outcome.encoder.cuts[name] == nil, let own = before[name], now.hasSameElements(as: own) { continue }
            outcome.values[name] = now
        }
        return outcome
    }
}

/// The matrices of an encoder; without targets those of its layers.
struct EncoderMatrices: WeightSource {
    let matrices: [PrunableWeight]
    private let network: NetworkWeights

    init(_ network: any EncoderNetwork) throws {
        let whole = try PrunableNetwork(network, includesEmbeddings: true)
        self.network = NetworkWeights(whole)
        matrices = whole.weights
    }

    func values(of name: String) throws -> Tensor { try network.values(of: name) }

    func isStandardTarget(_ name: String) -> Bool { EncoderCheckpoint.isLayerMatrix(name) }
}
