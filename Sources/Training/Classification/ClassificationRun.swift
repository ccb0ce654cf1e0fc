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

    /// The images of a run, all normalized alike.
    struct Data {
        var training: ImageDataSet
        var validation: ImageDataSet?
        var test: ImageDataSet?
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
        let data = try load()
        try OutputFolder(at: options.output).discard()
        let (network, sparse) = try makeNetwork(data.training)
        let gated = try makeGates(network, sparse, data.training)
        let folder = try RunFolder(
            output: options.output, recipeText: recipe.text, training: data.training.digest,
            validation: data.validation?.digest, resume: options.resumes
        ) { identity, path in try check(identity, path, data) }
        let trainer = try makeTrainer(network, sparse, gated, data, folder)
        if folder.isResumed { progress.report("resuming at step \(trainer.state.step)") }
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

    func load() throws -> Data {
        let directory = try DataPath.locate(
            recipe.images.directory, folder: options.dataFolder, expected: "a folder of images")
        let all = try ImageDataSet.open(directory, split: .train)
        var data = Data(training: all)
        do {
            data.test = try ImageDataSet.open(directory, split: .test)
        } catch let error as CoppiceError where error.kind == .noInput && recipe.images.validation != .test {
            // A set without test images is trained on all the same.
        }
        if let test = data.test, test.pixels.shape.dropFirst() != all.pixels.shape.dropFirst() {
            throw CoppiceError(
                .badData, source: directory,
                "has test images of \(test.pixels.shape.dropFirst()), expected \(all.pixels.shape.dropFirst()) as the "
                    + "training images")
        }
        switch recipe.images.validation {
        case .none: break
        case .heldOut(let part):
            let count = max(1, Int((part * Double(all.count)).rounded()))
            let (training, validation) = try all.split(validation: count, seed: recipe.seed)
            (data.training, data.validation) = (training, validation)
        case .test: (data.validation, data.test) = (data.test, nil)
        }
        if recipe.images.normalization == .computed {
            data.training.normalization = ImageNormalization(of: data.training)
        }
        data.validation?.normalization = data.training.normalization
        data.test?.normalization = data.training.normalization
        return data
    }

    /// - Returns: the network that training starts from, and which of its weights are sparse.
    func makeNetwork(_ images: ImageDataSet) throws -> (any VisionNetwork, SparseWeights?) {
        let architecture: VisionArchitecture
        do {
            architecture =
                try storedArchitecture(for: images)
                ?? VisionArchitecture(
                    named: recipe.model.architecture, classes: images.classCount, inputChannels: images.channels,
                    imageSize: [images.rows, images.columns], widthMultiplier: recipe.model.widthMultiplier)
        } catch var error as CoppiceError {
            error.source = error.source ?? recipe.source
            throw error
        }
        guard architecture.inputShape.count == 3 else {
            throw CoppiceError(
                .badData, source: recipe.source, field: "model.architecture",
                "\(architecture.name) takes sequences, expected a network of images")
        }
        let network = architecture.makeNetwork(seed: recipe.seed)
        guard let weights = recipe.model.weights else { return (network, nil) }
        let checkpoint = try VisionCheckpoint.open(
            DataPath.locate(weights, folder: options.dataFolder, expected: "a trained network"))
        try network.load(checkpoint.tensors)
        return (network, try SparseWeights(checkpoint))
    }

    /// The architecture of the network to go on from, where the recipe names no other.
    private func storedArchitecture(for images: ImageDataSet) throws -> VisionArchitecture? {
        guard recipe.model.architecture.isEmpty, let weights = recipe.model.weights else { return nil }
        let path = try DataPath.locate(weights, folder: options.dataFolder, expected: "a network")
        let architecture = try VisionCheckpoint.open(path).architecture
        try images.check(fits: architecture)
        return architecture
    }

    func makeTrainer(
        _ network: any VisionNetwork, _ sparse: SparseWeights?, _ gated: (any GatedTraining)?, _ data: Data,
        _ folder: RunFolder
    ) throws -> ClassificationTrainer {
        let held: [any TrainingHook] = sparse?.hook(network).map { [$0] } ?? []
        return try ClassificationTrainer(
            gated?.network ?? network, recipe, training: data.training, validation: data.validation, folder: folder,
            hooks: held + (gated.map { [$0.hook] } ?? []))
    }

    func check(_ identity: RunFolder.Identity, _ path: String, _ data: Data) throws {
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
        _ outcome: TrainingOutcome, _ trainer: ClassificationTrainer, _ network: any VisionNetwork, _ data: Data,
        _ folder: RunFolder
    ) -> ClassificationResult {
        ClassificationResult(
            outcome: outcome, output: options.output, runFolder: folder.path,
            architecture: network.configuration.name, parameters: network.parameterCount,
            trainingImages: data.training.count, validationImages: data.validation?.count ?? 0, state: trainer.state,
            totalSteps: trainer.totalSteps, epochs: Double(trainer.state.step) / trainer.epochSteps,
            imagesPerSecond: trainer.imagesPerSecond)
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
