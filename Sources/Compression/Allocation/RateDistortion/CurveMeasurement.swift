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
            method == .wanda
                || PruneStage(method: method, sparsity: 0).networkCriterion(seed: 0, inputShape: []) != nil
        }
    }

    /// Curves of a vision network. Weights that are zero count as removed.
    ///
    /// - Parameter images: for calibration by data, and for methods that look at gradients.
    /// - Throws: `.usage` where images are needed and missing, and for a method of language models; `.badData` for a
    ///   pattern that matches nothing, and for weights or outputs that are not finite.
    /// - Complexity: a forward pass over the samples for each layer and rate.
    public func run(
        _ checkpoint: VisionCheckpoint, images: CompressionImages?, progress: any ProgressReporter = SilentProgress()
    ) throws -> CurveFile {
        try checkMethod()
        guard method.prunesNetworks else { throw refusal("method", "is for language models") }
        let stage = stage
        if images?.training == nil, let need = stage.needOfImages {
            throw CoppiceError(
                .usage, field: "images",
                need.isOfLabels
                    ? "\(need.reason), and there are no labelled training images"
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

    /// Curves of a language model, by its logits.
    ///
    /// - Throws: `.usage` for a method of vision networks and for calibration without a text; `.badData` for a pattern that
    ///   matches nothing, a text that is too short, and for weights or logits that are not finite.
    /// - Complexity: for each window, matrix and rate a pass from the matrix's block on; all of the model is in memory as
    ///   f32.
    public func run(
        _ checkpoint: Checkpoint, text: CalibrationTokens, progress: any ProgressReporter = SilentProgress()
    ) throws -> CurveFile {
        try checkMethod()
        guard method.prunesLanguageModels else { throw refusal("method", "is for vision networks") }
        guard options.calibration == .data else {
            throw CoppiceError(.usage, field: "calibration", "gaussian is for vision networks, expected data")
        }
        let context = checkpoint.configuration.maximumPositions
        if let windowLength, windowLength > context {
            throw CoppiceError(
                .usage, field: "length", "\(windowLength) is longer than the model's context of \(context)")
        }
        var calibration = Recipe.Calibration()
        calibration.sequenceLength = windowLength ?? min(512, context)
        let own = try CompressionText(
            text, options: calibration, vocabularySize: checkpoint.configuration.vocabularySize)
        let weights = try StoredWeights(.languageModel(checkpoint))
        let names = try names(weights)
        let network = try NarrowedCheckpoint(checkpoint).network { _ in nil }
        let stage = stage
        let curves: [DistortionCurve]
        if method.prunesMatrices {
            let chosen = Set(names)
            let matrices = weights.matrices.filter { chosen.contains($0.name) }
            for name in names { _ = try weights.finiteValues(of: name) }
            curves = try DecoderDistortion(network, weights: matrices).curves(
                on: own.windows(options.samples ?? RateDistortionOptions.windows, seed: seed), for: stage, seed: seed,
                earlier: { _ in nil }, progress)
        } else {
            let run = try networkRun(
                network, stage, names, weights, own, .languageModel(checkpoint), progress, calibration)
            curves = try run.measuredCurves()
        }
        return try file(curves.map { .init($0) }, of: weights, samples: nil)
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
        var file = CurveFile(layers, modelDigest: try weights.digest(of: weights.matrices.map(\.name)))
        (file.method, file.scope, file.distortion) = (method, stage.scope, options.distortion)
        (file.calibration, file.seed) = (options.calibration, seed)
        let isVision = if case .vision = weights.model { true } else { false }
        let asked = options.samples ?? (isVision ? RateDistortionOptions.images : RateDistortionOptions.windows)
        file.samples = options.calibration == .data ? min(asked, most ?? asked) : asked
        return file
    }
}
