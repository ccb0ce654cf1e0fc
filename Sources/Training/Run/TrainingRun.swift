import CoppiceModels
import CoppiceTensors
import Foundation

/// A training run from a recipe to a model's folder.
///
/// ```swift
/// let recipe = try TrainingRecipe.load("tales.yaml")
/// let run = TrainingRun(recipe: recipe, options: .init(output: "tales"))
/// let result = try run.execute(progress: ConsoleProgress())
/// ```
public struct TrainingRun {
    /// Where things are.
    public struct Options: Sendable, Hashable {
        /// The model's folder, written when the run is complete. The run itself lives in `OUTPUT.run` beside it.
        public var output: String
        /// Whether to go on with an earlier run of the same output, if there is one.
        public var resumes: Bool
        /// Where texts are looked up that do not exist in the working folder.
        public var dataFolder: String?
        /// The history of runs, an SQLite file; nil keeps none.
        public var historyPath: String?
        /// Steps whose weights stay in the run's folder.
        public var keep: [RewindPoint]

        public init(
            output: String, resumes: Bool = false, dataFolder: String? = nil, historyPath: String? = nil,
            keep: [RewindPoint] = []
        ) {
            self.output = output
            self.resumes = resumes
            self.dataFolder = dataFolder
            self.historyPath = historyPath
            self.keep = keep
        }
    }

    /// What the run is put together from.
    package struct Parts {
        /// The recipe's tokenizer; a new one is trained into the given folder, or taken from there when it exists.
        package var tokenizer:
            (TrainingRecipe, TrainingText, _ folder: String, any ProgressReporter) throws -> TrainingTokenizer
        /// An untrained model and its optimizer, with what prunes it by a schedule.
        package var learner:
            (TrainingRecipe, TrainingTokenizer, ComputePhaseSchedule?) throws -> any LanguageModelLearner
        /// Writes the model's folder.
        package var export: (TrainedModel, _ output: String) throws -> Void

        package init(
            tokenizer:
                @escaping (TrainingRecipe, TrainingText, _ folder: String, any ProgressReporter) throws ->
                TrainingTokenizer,
            learner:
                @escaping (TrainingRecipe, TrainingTokenizer, ComputePhaseSchedule?) throws ->
                any LanguageModelLearner,
            export: @escaping (TrainedModel, _ output: String) throws -> Void
        ) {
            self.tokenizer = tokenizer
            self.learner = learner
            self.export = export
        }
    }

    /// What an export writes.
    package struct TrainedModel {
        package var recipe: TrainingRecipe
        package var tokenizer: TrainingTokenizer
        /// f32.
        package var parameters: [NamedTensor]
        package var card: String
    }

    public let recipe: TrainingRecipe
    public let options: Options
    private let parts: Parts

    package init(recipe: TrainingRecipe, options: Options, parts: Parts) {
        self.recipe = recipe
        self.options = options
        self.parts = parts
    }

    /// Trains, and writes the model's folder unless interrupted.
    ///
    /// - Parameters:
    ///   - progress: told how far the run is.
    ///   - interruption: a request ends the run after the present step, with a checkpoint.
    /// - Throws: `CoppiceError`: `.noInput` and `.badData` for texts and tokenizers, `.cannotCreate` and `.inputOutput`
    ///   for what is written, `.badData` for a loss that is no longer finite.
    public func execute(
        progress: any ProgressReporter = SilentProgress(), interruption: TrainingInterruption = TrainingInterruption()
    ) throws -> TrainingResult {
        let training = try load(recipe.data.train)
        let validation = recipe.data.validation.isEmpty ? nil : try load(recipe.data.validation)
        try checkOutput()
        let folder = try RunFolder(
            output: options.output, recipe: recipe, training: training, validation: validation,
            resume: options.resumes)
        let tokenizer = try parts.tokenizer(recipe, training, folder.path + "/tokenizer", progress)
        let trainStream = try tokens(training, "training", tokenizer, folder, progress)
        let validationStream = try validation.map { try tokens($0, "validation", tokenizer, folder, progress) }
        let learner = try parts.learner(recipe, tokenizer, pruningSchedule(trainStream))
        if let window = try learner.windowSummary() { progress.report(window) }
        let state = try folder.restoreLatest(learner)
        let startStep = state?.step ?? 0
        if folder.isResumed { progress.report("resuming at step \(startStep)") }

        let log = try TrainingLog(path: folder.path + "/log.jsonl", resumingAt: startStep)
        let recorder = try options.historyPath.map { path in
            RunRecorder(history: try RunHistory(path: path), run: folder.identity.id, progress: progress)
        }
        var trainer = try Trainer(
            learner, recipe: recipe, train: trainStream, validation: validationStream, state: state, store: folder,
            keeping: options.keep, observers: [log] + (recorder.map { [$0] } ?? []), progress: progress,
            interruption: interruption)
        try recorder?.history.begin(
            RunHistory.Run(
                id: folder.identity.id, name: recipe.name ?? recipe.source, output: options.output, recipe: recipe,
                parameters: learner.parameterCount, totalSteps: trainer.totalSteps, startedAt: folder.identity.startedAt
            ),
            resumingAt: startStep)
        do {
            let outcome = try trainer.run()
            let result = summarize(
                outcome, trainer, folder, learner, tokenizer,
                TrainingResult.TextFacts(training, trainStream),
                validation.flatMap { text in validationStream.map { TrainingResult.TextFacts(text, $0) } })
            if outcome != .interrupted { try export(result, folder, learner, tokenizer) }
            return result
        } catch {
            recorder?.fail()
            throw error
        }
    }

    /// nil for a text that is too short, which the trainer says.
    private func pruningSchedule(_ stream: TokenStream) throws -> ComputePhaseSchedule? {
        guard stream.tokens.count > recipe.loop.sequenceLength else { return nil }
        let order = WindowOrder(
            tokenCount: stream.tokens.count, length: recipe.loop.sequenceLength, seed: recipe.seed)
        return try recipe.pruningSchedule(windowsPerEpoch: order.windowsPerEpoch)
    }

    private func load(_ paths: [String]) throws -> TrainingText {
        try TrainingText.load(paths, separator: recipe.data.separator, folder: options.dataFolder)
    }

    /// Finds out before hours of training that the output could not be written after them.
    private func checkOutput() throws { try OutputFolder(at: options.output).discard() }

    private func tokens(
        _ text: TrainingText, _ name: String, _ tokenizer: TrainingTokenizer, _ folder: RunFolder,
        _ progress: any ProgressReporter
    ) throws -> TokenStream {
        try folder.tokens(text, named: name, tokenizerDigest: tokenizer.digest) {
            progress.begin("tokenize the \(name) text", total: text.byteCount, unit: "bytes")
            let stream = try TokenStream(text, endToken: tokenizer.endToken, encode: tokenizer.encode) {
                progress.advance(to: $0, note: "")
            }
            progress.end("\(name) text: \(text.documents.count) documents, \(stream.tokens.count) tokens")
            return stream
        }
    }

    private func summarize(
        _ outcome: TrainingOutcome, _ trainer: borrowing Trainer, _ folder: RunFolder,
        _ learner: any LanguageModelLearner, _ tokenizer: TrainingTokenizer,
        _ training: TrainingResult.TextFacts, _ validation: TrainingResult.TextFacts?
    ) -> TrainingResult {
        let state = trainer.state
        var best: TrainingResult.Validation?
        if let validation, let loss = state.stopping.bestLoss, let step = state.stopping.bestStep {
            best = TrainingResult.Validation(step: step, loss: loss, text: validation)
        }
        var result = TrainingResult(
            outcome: outcome, output: options.output, runFolder: folder.path, parameters: learner.parameterCount,
            vocabularySize: tokenizer.vocabularySize, state: state, totalSteps: trainer.totalSteps,
            windowsPerEpoch: trainer.windowsPerEpoch, training: training, validationText: validation, validation: best)
        result.pruning = trainer.pruned
        return result
    }

    private func export(
        _ result: TrainingResult, _ folder: RunFolder, _ learner: any LanguageModelLearner,
        _ tokenizer: TrainingTokenizer
    ) throws {
        var parameters = learner.parameters()
        if result.validation != nil, let best = try folder.best() {
            parameters = try parameters.map { parameter in
                guard let tensor = best[parameter.name], tensor.shape == parameter.tensor.shape else {
                    throw CoppiceError(
                        .badData, source: folder.path + "/best/parameters.safetensors", field: parameter.name,
                        "is missing or has another shape than the model's \(parameter.tensor.shape)")
                }
                return NamedTensor(parameter.name, tensor)
            }
        }
        try parts.export(
            TrainedModel(
                recipe: recipe, tokenizer: tokenizer, parameters: parameters,
                card: ModelCard.markdown(result, recipe: recipe)), options.output)
    }
}
