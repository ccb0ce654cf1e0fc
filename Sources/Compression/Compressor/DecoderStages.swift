import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// The prune stages of a recipe on a language model that is in memory as a whole, as f32: where criteria look at
/// gradients, weights go on a schedule, or something trains.
struct DecoderStages {
    /// What the stages made of a model.
    struct Outcome {
        /// With the masks of all stages.
        var run: RecipeRun
        var reports: [StageReport] = []
        /// The tensors that are not the checkpoint's any more: f32, by checkpoint name.
        var values: [String: Tensor] = [:]
    }

    private let model: NarrowedCheckpoint
    private let checkpoint: Checkpoint
    private let recipe: Recipe
    private let text: CompressionText?
    private let progress: any ProgressReporter
    private let teacher: AnyCheckpoint?

    /// - Parameters:
    ///   - model: the checkpoint without the heads and neurons that earlier stages cut out.
    ///   - teacher: of distillation; nil for the checkpoint.
    ///   - calibration: nil for recipes that need none.
    /// - Throws: `.badData` for a text that is too short, or of another vocabulary.
    init(
        _ model: NarrowedCheckpoint, recipe: Recipe, calibration: CalibrationTokens?, teacher: AnyCheckpoint? = nil,
        progress: any ProgressReporter
    ) throws {
        self.teacher = teacher
        self.model = model
        checkpoint = model.checkpoint
        self.progress = progress
        var recipe = recipe
        recipe.training = recipe.languageTraining
        self.recipe = recipe
        text = try calibration.map {
            try CompressionText(
                $0, options: recipe.calibration, vocabularySize: model.configuration.vocabularySize)
        }
    }

    /// Runs all prune stages but those of heads and neurons. In memory is the whole model, four bytes a weight.
    ///
    /// - Throws: what reading weights throws; as ``NetworkStageRun/run()``.
    func run(_ unstarted: RecipeRun) throws -> Outcome {
        var outcome = Outcome(run: unstarted)
        let network = try model.network { unstarted.decisions[$0]?.mask }
        // Shared with the network until it changes them.
        let before = network.parameters.map { ($0.name, $0.parameter, $0.parameter.wrappedValue.detached()) }
        var names = Set(unstarted.decisions.filter { $0.value.mask != nil }.keys)
        for (stage, selected) in zip(recipe.stages, unstarted.selected) where stage.name == "prune" {
            names.formUnion(selected.map(\.name))
        }
        let whole = try PrunableNetwork(network, named: names)
        try whole.checkFinite(source: checkpoint.path)
        whole.adoptZeros()
        for (index, stage) in recipe.stages.enumerated() {
            guard case .prune(let options) = stage, !options.unit.goesFirst else { continue }
            let names = outcome.run.selected[index].map(\.name)
            let pruning = try NetworkStageRun(
                options, number: index, of: recipe, on: names, in: whole, network: network, data: text,
                progress: progress, checkpoint: .languageModel(checkpoint))
            pruning.teacher = teacher
            if options.method.prunesMatrices, options.allocation == .rateDistortion {
                pruning.matrixCurves = { [unowned pruning] in try pruning.layerwiseCurves(of: network) }
            }
            if options.needsActivations {
                pruning.matrixMasks = { [unowned pruning, run = outcome.run] in
                    try calibratedMasks(pruning, network, run)
                }
            }
            try pruning.run()
            pruning.reportRates()
            outcome.run.record(masksOf: whole, of: Set(names), options)
            if !pruning.report.isEmpty { outcome.reports.append(pruning.report) }
        }
        for (name, parameter, original) in before {
            let now = parameter.wrappedValue.detached()
            if !now.hasSameElements(as: original) { outcome.values[name] = now }
        }
        return outcome
    }

    /// The masks of Wanda, SparseGPT and what is reconstructed, block by block, on the network as earlier stages left it.
    /// Weights that make up for removed ones are put into the network.
    private func calibratedMasks(
        _ stage: NetworkStageRun, _ network: DecoderNetwork, _ run: RecipeRun
    ) throws -> [WeightMask] {
        guard let text else { return stage.part.masks }
        let windows = try text.windows(recipe.calibration.samples, seed: recipe.seed)
        let allocation = try stage.matrixAllocation()
        let blocks = DecoderBlocks(network, source: checkpoint.path)
        return try stage.calibratedMasks(run, on: windows, through: blocks, sharedBy: allocation)
    }
}

extension Tensor {
    /// Whether two f32 tensors of one shape hold the same numbers.
    func hasSameElements(as other: Tensor) -> Bool {
        withElements(Float.self) { own in
            other.withElements(Float.self) { theirs in own.elementsEqual(theirs) }
        }
    }
}
