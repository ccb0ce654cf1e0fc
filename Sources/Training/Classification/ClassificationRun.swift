import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

/// A training run of a network that classifies images, from a recipe to the network's folder: `config.json`,
/// `model.safetensors` with torchvision's names, `README.md` and `recipe.yaml`.
///
/// ```swift
/// let recipe = try ClassificationRecipe(yaml: text)
/// let run = ClassificationRun(recipe: recipe, options: .init(output: "lenet"))
/// let result = try run.execute(progress: ConsoleProgress())
/// ```
public struct ClassificationRun {
    public let recipe: ClassificationRecipe
    public let options: TrainingRun.Options
    let gating: ClassificationRecipe.Gating

    /// - Parameter gating: makes the training of a network with gates, for recipes with a `gates` section.
    public init(
        recipe: ClassificationRecipe, options: TrainingRun.Options,
        gating: @escaping ClassificationRecipe.Gating = ClassificationRecipe.noGates
    ) {
        self.recipe = recipe
        self.options = options
        self.gating = gating
    }

    /// Trains, and writes the network's folder unless interrupted.
    ///
    /// - Parameters:
    ///   - progress: told how far the run is.
    ///   - interruption: a request ends the run after the present step, with a checkpoint.
    /// - Throws: `CoppiceError`: `.noInput` and `.badData` for images and networks, `.cannotCreate` and `.inputOutput`
    /// for
    ///   what is written, `.badData` for a loss that is no longer finite.
    public func execute(
        progress: any ProgressReporter = SilentProgress(), interruption: TrainingInterruption = TrainingInterruption()
    ) throws -> ClassificationResult {
        let data = try ClassificationImages(recipe, dataFolder: options.dataFolder)
        try recipe.checkWeightsStay(writing: options.output, dataFolder: options.dataFolder)
        try OutputFolder(at: options.output).discard()
        let (network, sparse) = try recipe.makeStartingPoint(for: data.training, dataFolder: options.dataFolder)
        let gated = try makeGates(network, sparse, data.training)
        let window = try recipe.optimizer.optimizer.windowSummary(
            for: gated?.network ?? network, source: recipe.source)
        let folder = try RunFolder(
            output: options.output, recipeText: recipe.text, training: data.training.digest,
            validation: data.validation?.digest, resume: options.resumes
        ) { identity, path in try check(identity, path, data) }
        let trainer = try makeTrainer(network, sparse, gated, data, folder)
        if let warning = data.warning { progress.report("warning: " + warning) }
        if folder.isResumed { progress.report("resuming at step \(trainer.state.step)") }
        if let window { progress.report(window) }
        let log = try TrainingLog(path: folder.path + "/log.jsonl", resumingAt: trainer.state.step)
        let history = try options.historyPath.map { try RunHistory(path: $0) }
        try history?.begin(
            RunHistory.Run(
                id: folder.identity.id, name: recipe.name ?? recipe.source, output: options.output,
                recipe: recipe.text, seed: recipe.seed, parameters: network.parameterCount,
                totalSteps: trainer.totalSteps, startedAt: folder.identity.startedAt),
            resumingAt: trainer.state.step)
        // A history that fails under way must not end a run of hours.
        func record(_ metrics: [String: Double], _ state: ClassificationState, _ status: String? = nil) {
            do {
                try history?.update(folder.identity.id, metrics: metrics) { run in
                    run.step = state.step
                    (run.bestValidationLoss, run.bestStep) = (state.best?.validationLoss, state.best?.step)
                    if let status { run.status = status }
                }
            } catch { progress.report("warning: \(error)") }
        }
        progress.begin("train", total: trainer.totalSteps, completed: trainer.state.step, unit: "steps")
        do {
            let outcome = try trainer.run(
                log: log, record: { record($0, $1) }, progress: progress, interruption: interruption)
            progress.end("")
            var result = summarize(outcome, trainer, network, data, folder)
            if outcome != .interrupted {
                var final = network
                if let gated {
                    let extracted = try extract(gated, data, limit: recipe.gates?.maximumDisagreement)
                    final = extracted.network
                    result.take(extracted)
                } else {
                    try trainer.takeBest()
                }
                result.test = data.test.flatMap { Classification.measure(final, on: $0) }
                try export(result, final, sparse, data.training)
            }
            record([:], trainer.state, outcome.rawValue)
            return result
        } catch {
            progress.end("")
            record([:], trainer.state, "failed")
            throw error
        }
    }

    // MARK: - Parts

    func makeTrainer(
        _ network: any VisionNetwork, _ sparse: SparseWeights?, _ gated: (any GatedTraining)?,
        _ data: ClassificationImages, _ folder: RunFolder
    ) throws -> ClassificationTrainer {
        let held: [any TrainingHook] = sparse?.hook(network).map { [$0] } ?? []
        return try ClassificationTrainer(
            gated?.network ?? network, recipe, training: data.training, validation: data.validation, folder: folder,
            keeping: options.keep, hooks: held + (gated.map { [$0.hook] } ?? []))
    }

    func check(_ identity: RunFolder.Identity, _ path: String, _ data: ClassificationImages) throws {
        let file = path + "/recipe.yaml"
        let earlier = try ClassificationRecipe(yaml: RecipeText.read(file), source: file)
        guard earlier.isSameTraining(as: recipe) else {
            throw CoppiceError(
                .badData, source: recipe.source,
                "differs from the recipe that the run was started with (\(file)); a resumed run must go on with the same"
            )
        }
        guard identity.trainingText == data.training.digest, identity.validationText == data.validation?.digest else {
            throw CoppiceError(
                .badData, source: recipe.images.directory,
                "does not hold the images that the run was started with; a resumed run must go on with the same")
        }
    }

    private func summarize(
        _ outcome: TrainingOutcome, _ trainer: ClassificationTrainer, _ network: any VisionNetwork,
        _ data: ClassificationImages, _ folder: RunFolder
    ) -> ClassificationResult {
        ClassificationResult(
            outcome: outcome, output: options.output, runFolder: folder.path,
            architecture: network.configuration.name, parameters: network.parameterCount, noun: data.training.noun,
            trainingImages: data.training.count, validationImages: data.validation?.count ?? 0, state: trainer.state,
            totalSteps: trainer.totalSteps, epochs: Double(trainer.state.step) / trainer.epochSteps,
            imagesPerSecond: trainer.imagesPerSecond, trainingSeconds: trainer.seconds)
    }

    private func export(
        _ result: ClassificationResult, _ network: any VisionNetwork, _ sparse: SparseWeights?, _ images: ImageDataSet
    ) throws {
        var files = [(name: "README.md", text: result.card(recipe, dataSet: images))]
        if !recipe.text.isEmpty { files.append(("recipe.yaml", recipe.text)) }
        try VisionCheckpoint.write(
            network, normalization: images.normalization, formats: sparse?.formats(of: network) ?? [:],
            folder: options.output, files: files)
    }
}
