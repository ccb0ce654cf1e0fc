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

    private let checkpoint: Checkpoint
    private let recipe: Recipe
    private let text: CompressionText?
    private let progress: any ProgressReporter
    private let network: DecoderNetwork

    /// Reads the model. O(weights), four bytes each.
    ///
    /// - Throws: what reading weights throws; `.badData` for a text that is too short, or of another vocabulary.
    init(
        _ checkpoint: Checkpoint, recipe: Recipe, calibration: CalibrationTokens?, progress: any ProgressReporter
    ) throws {
        self.checkpoint = checkpoint
        self.progress = progress
        var recipe = recipe
        recipe.training = recipe.languageTraining
        self.recipe = recipe
        text = try calibration.map {
            try CompressionText(
                $0, options: recipe.calibration, vocabularySize: checkpoint.configuration.vocabularySize)
        }
        network = try Self.network(of: checkpoint)
    }

    /// The whole model, in use. O(weights).
    static func network(of checkpoint: Checkpoint) throws -> DecoderNetwork {
        let network = DecoderNetwork(checkpoint.configuration)
        try network.load(source: checkpoint.path) { try checkpoint.tensor($0) }
        network.setTraining(false)
        return network
    }

    /// Runs all prune stages.
    ///
    /// - Throws: as ``NetworkStageRun/run()``.
    func run(_ unstarted: RecipeRun) throws -> Outcome {
        var outcome = Outcome(run: unstarted)
        // Shared with the network until it changes them.
        let before = network.parameters.map { ($0.name, $0.parameter, $0.parameter.wrappedValue.detached()) }
        let pruned = recipe.stages.indices.filter { recipe.stages[$0].name == "prune" }
        let whole = try PrunableNetwork(
            network, named: Set(pruned.flatMap { unstarted.selected[$0].map(\.name) }))
        for (index, weight) in whole.weights.enumerated() {
            try ExactSelection.checkFinite(whole.values(index), name: weight.name, source: checkpoint.path)
        }
        whole.adoptZeros()
        for index in pruned {
            guard case .prune(let options) = recipe.stages[index] else { continue }
            let names = outcome.run.selected[index].map(\.name)
            let stage = try NetworkStageRun(
                options, number: index, of: recipe, on: names, in: whole, network: network, data: text,
                progress: progress, checkpoint: .languageModel(checkpoint))
            if options.method == .wanda {
                stage.matrixMasks = { [run = outcome.run] in try calibratedMasks(stage, index, run) }
            }
            try stage.run()
            stage.reportRates()
            let own = Set(names)
            for (weight, mask) in zip(whole.weights, whole.masks) where own.contains(weight.name) {
                if mask.removedCount > 0 { outcome.run.record(mask, of: weight, options) }
            }
            if !stage.report.isEmpty { outcome.reports.append(stage.report) }
        }
        for (name, parameter, original) in before {
            let now = parameter.wrappedValue.detached()
            if !now.hasSameElements(as: original) { outcome.values[name] = now }
        }
        return outcome
    }

    /// The masks of Wanda, block by block, on the network as earlier stages left it.
    private func calibratedMasks(_ stage: NetworkStageRun, _ index: Int, _ run: RecipeRun) throws -> [WeightMask] {
        guard let text else { return stage.part.masks }
        let windows = try text.windows(recipe.calibration.samples, seed: recipe.seed)
        if stage.stage.allocation == .rateDistortion {
            let options = stage.stage
            let own = Array(windows.windows.prefix(options.rateDistortion.samples ?? RateDistortionOptions.windows))
            progress.begin("measure", total: own.count, unit: "windows")
            stage.curves = try DecoderDistortion(network, weights: stage.part.weights).curves(
                on: own, for: options, seed: recipe.seed, earlier: { run.decisions[$0]?.mask }
            ) { progress.advance(to: $0, note: "") }
            progress.end("")
        }
        let allocation =
            stage.curves.isEmpty
            ? nil
            : RateDistortionAllocation(
                stage.curves.map { $0.interpolated() }, solver: stage.stage.rateDistortion.solver)
        let parameters = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        let embedding = network.model.embedding.weight
        let blocks = DecoderBlocks(
            network.configuration, source: checkpoint.path,
            tensor: { name in
                guard let parameter = parameters[name] else {
                    throw CoppiceError(.badData, source: checkpoint.path, field: name, "there is no such weight")
                }
                return parameter.wrappedValue.detached()
            },
            embeddingRow: { token, target in
                embedding.detached().slice(axis: 0, token..<(token + 1)).withElements(Float.self) { row in
                    if let base = row.baseAddress { target.update(from: base, count: row.count) }
                }
            })
        var own = run
        progress.begin("calibrate", total: network.configuration.layerCount, unit: "blocks")
        try own.prune(stage: index, calibratedBy: windows, through: blocks, sharedBy: allocation) {
            progress.advance(to: $0, note: "")
        }
        progress.end("\(windows.tokenCount) tokens")
        return zip(stage.part.weights, stage.part.masks).map { own.decisions[$0.name]?.mask ?? $1 }
    }
}

extension Tensor {
    /// Whether two f32 tensors of one shape hold the same numbers.
    fileprivate func hasSameElements(as other: Tensor) -> Bool {
        withElements(Float.self) { own in
            other.withElements(Float.self) { theirs in own.elementsEqual(theirs) }
        }
    }
}
