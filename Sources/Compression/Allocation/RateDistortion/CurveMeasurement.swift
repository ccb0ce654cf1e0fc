import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Measures the curves of a stored model into a ``CurveFile``: the slow part of the allocation by rate and distortion, done
/// once for any number of budgets.
///
/// ```swift
/// let checkpoint = try VisionCheckpoint.open("resnet20.safetensors")
/// let images = try CompressionImages(folder: "cifar10", for: checkpoint, seed: 42)
/// try CurveMeasurement().run(checkpoint, images: images).write(to: "curves.json")
/// ```
///
/// What it measures is what a recipe's allocation `rate-distortion` does, with the finer of its two grids near a rate of 1.
public struct CurveMeasurement: Sendable {
    /// What matters inside a layer: a method that scores single weights.
    public var method = PruneStage.Method.magnitude
    /// Grid, samples, distortion and calibration.
    public var options = RateDistortionOptions()
    /// Which weights.
    public var selection = WeightSelection()
    /// Of samples, noise and random scores.
    public var seed: UInt64 = 42
    /// Tokens of a window of text; nil: 512, or the model's context where that is shorter.
    public var windowLength: Int?

    public init() {}

    /// The methods whose curves can be measured: those that score single weights, of vision networks or language models.
    public static var methods: [PruneStage.Method] {
        PruneStage.Method.allCases.filter { method in
            PruneStage(method: method, sparsity: 0).networkCriterion(seed: 0, inputShape: []) != nil
        }
    }

    /// Curves of a vision network. Weights that are zero count as removed.
    ///
    /// - Parameter images: for calibration by data, and for methods that look at gradients or activations.
    /// - Throws: `.usage` where images are needed and missing, and for a method that scores no single weights;
    ///   `.badData` for a pattern that matches nothing, and for weights or outputs that are not finite.
    /// - Complexity: for each layer and rate a pass over the samples from the layer's step on.
    public func run(
        _ checkpoint: VisionCheckpoint, images: CompressionImages?, progress: any ProgressReporter = SilentProgress()
    ) throws -> CurveFile {
        try checkMethod()
        let stage = stage
        if images?.training == nil, let need = stage.needOfImages {
            throw CoppiceError(
                .usage, field: "images",
                stage.networkCriterion(seed: seed, inputShape: [])?.needsData == true
                    ? "\(need.reason), and there are no \(need.isOfLabels ? "labelled " : "")training images"
                    : "curves are measured on training images, and there are none; calibration gaussian needs none")
        }
        let weights = try StoredWeights(.vision(checkpoint))
        let network = try checkpoint.network()
        let names = try names(weights)
        let run = try networkRun(network, stage, names, weights, images, .vision(checkpoint), progress)
        let uses = Self.multiplications(checkpoint.architecture)
        let curves = try run.measuredCurves()
        return try file(
            curves.map { .init($0, multiplications: uses[$0.name]) }, of: weights, samples: images?.training?.count)
    }

    /// Curves of a language model, by its logits at all positions of windows of a text. Weights that are zero count as
    /// removed.
    ///
    /// - Throws: `.usage` for a method of vision networks and for calibration without a text; `.badData` for a pattern that
    ///   matches nothing, a text that is too short, and for weights or logits that are not finite.
    /// - Complexity: for each window, matrix and rate a pass from the matrix's layer on; all of the model is in memory as
    ///   f32.
    public func run(
        _ checkpoint: Checkpoint, text: CalibrationTokens, progress: any ProgressReporter = SilentProgress()
    ) throws -> CurveFile {
        let calibration = try calibration(context: checkpoint.configuration.maximumPositions, least: 1)
        let own = try CompressionText(
            text, options: calibration, vocabularySize: checkpoint.configuration.vocabularySize)
        return try measure(
            NarrowedCheckpoint(checkpoint).network { _ in nil }, on: own, .languageModel(checkpoint), calibration,
            progress)
    }

    /// Curves of an encoder, by the scores of its head at all positions of windows of a text with hidden tokens.
    ///
    /// - Throws: as that of a language model.
    /// - Complexity: as of a language model.
    public func run(
        _ checkpoint: EncoderCheckpoint, text: CalibrationTokens, progress: any ProgressReporter = SilentProgress()
    ) throws -> CurveFile {
        let calibration = try calibration(context: checkpoint.configuration.longestText, least: 3)
        let own = try MaskedText(text, options: calibration, for: checkpoint)
        return try measure(checkpoint.maskedLanguageModel(), on: own, .encoder(checkpoint), calibration, progress)
    }

    /// Curves of a classifier of texts, by the scores of its classes.
    ///
    /// - Throws: as that of a language model.
    /// - Complexity: as of a language model.
    public func run(
        _ checkpoint: EncoderCheckpoint, labelled: LabelledTexts, progress: any ProgressReporter = SilentProgress()
    ) throws -> CurveFile {
        let calibration = try calibration(context: checkpoint.configuration.longestText, least: 5)
        let texts = try EncodedTexts(labelled, for: checkpoint, length: calibration.sequenceLength)
        return try measure(
            checkpoint.classifier(), on: LabelledData(texts, options: calibration), .encoder(checkpoint), calibration,
            progress)
    }

    private func measure(
        _ network: some LayeredTextNetwork, on data: any StageData, _ checkpoint: AnyCheckpoint,
        _ calibration: Recipe.Calibration, _ progress: any ProgressReporter
    ) throws -> CurveFile {
        let weights = try StoredWeights(checkpoint)
        let run = try networkRun(network, stage, names(weights), weights, data, checkpoint, progress, calibration)
        if method.prunesMatrices { run.matrixCurves = { [unowned run] in try run.layerwiseCurves(of: network) } }
        return try file(run.measuredCurves().map { .init($0) }, of: weights, samples: nil)
    }

    /// How a text is cut.
    ///
    /// - Parameter least: tokens of the shortest window.
    private func calibration(context: Int, least: Int) throws -> Recipe.Calibration {
        try checkMethod()
        guard method.prunesLanguageModels else { throw refusal("method", "is for vision networks") }
        guard options.calibration == .data else {
            throw CoppiceError(.usage, field: "calibration", "gaussian is for vision networks, expected data")
        }
        let length = windowLength ?? min(512, context)
        guard length <= context else {
            throw CoppiceError(.usage, field: "length", "\(length) is longer than the model's context of \(context)")
        }
        guard length >= least else {
            throw CoppiceError(.usage, field: "length", "\(length), expected at least \(least) tokens")
        }
        var calibration = Recipe.Calibration()
        calibration.sequenceLength = length
        return calibration
    }

    // MARK: Parts

    private var stage: PruneStage {
        // High, so that rates near 1 are measured too.
        var stage = PruneStage(
            method: method, sparsity: 0.9, scope: method == .wanda ? .row : .layer, allocation: .rateDistortion,
            selection: selection)
        stage.rateDistortion = options
        return stage
    }

    private func checkMethod() throws {
        guard !Self.methods.contains(method) else { return }
        let known = Self.methods.map(\.rawValue).joined(separator: ", ")
        throw refusal("method", "scores no single weights, expected one of \(known)")
    }

    private func refusal(_ field: String, _ message: String) -> CoppiceError {
        CoppiceError(.usage, field: field, "\(method.rawValue) \(message)")
    }

    private func names(_ weights: StoredWeights) throws -> [String] {
        try selection.select(
            from: weights.matrices.map(\.name), isStandard: weights.isStandardTarget, field: "curves",
            source: weights.path)
    }

    private func networkRun(
        _ network: any SupervisedNetwork, _ stage: PruneStage, _ names: [String], _ weights: StoredWeights,
        _ data: (any StageData)?, _ checkpoint: AnyCheckpoint, _ progress: any ProgressReporter,
        _ calibration: Recipe.Calibration = Recipe.Calibration()
    ) throws -> NetworkStageRun {
        let whole = try PrunableNetwork(network, named: Set(names))
        try whole.checkFinite(source: weights.path)
        whole.adoptZeros()
        let recipe = Recipe(
            name: nil, seed: seed, calibration: calibration, stages: [.prune(stage)], preference: .speed, text: "",
            source: weights.path)
        return try NetworkStageRun(
            stage, number: 0, of: recipe, on: names, in: whole, network: network, data: data, progress: progress,
            checkpoint: checkpoint)
    }

    /// Multiplications with an entry of each weight; none of an architecture whose widths are not known.
    private static func multiplications(_ architecture: VisionArchitecture) -> [String: Int] {
        let entries = (try? ChannelStructure(architecture))?.entries ?? []
        return Dictionary(uniqueKeysWithValues: entries.filter { $0.uses > 0 }.map { ($0.name, $0.uses) })
    }

    /// - Parameter most: samples that there are; nil where there are always enough.
    private func file(_ layers: [CurveFile.Layer], of weights: StoredWeights, samples most: Int?) throws -> CurveFile {
        var file = CurveFile(layers, modelDigest: try weights.modelDigest())
        (file.method, file.scope, file.distortion) = (method, stage.scope, options.distortion)
        (file.calibration, file.seed) = (options.calibration, seed)
        let isVision = if case .vision = weights.model { true } else { false }
        let asked = options.samples ?? (isVision ? RateDistortionOptions.images : RateDistortionOptions.windows)
        file.samples = options.calibration == .data ? min(asked, most ?? asked) : asked
        return file
    }
}
