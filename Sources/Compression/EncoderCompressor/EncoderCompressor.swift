import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Prunes an encoder that fills gaps in texts (BERT, RoBERTa) by a recipe into a folder that `transformers` loads: the
/// same configuration, tokenizer, names and types, with zeros where weights are removed.
///
/// ```swift
/// let checkpoint = try EncoderCheckpoint.open("bert-base-uncased")
/// let recipe = try Recipe.load("Recipes/magnitude.yaml")
/// let report = try EncoderCompressor(checkpoint, recipe: recipe).run(output: "bert-half")
/// ```
///
/// The network is in memory as a whole, as f32. Without targets a stage prunes the matrices of the layers; embeddings and
/// the head are chosen by name. Tensors that the head does not use (a pooler, other heads) are copied. The same checkpoint,
/// recipe and text give the same bytes, for any number of threads.
public struct EncoderCompressor {
    public let checkpoint: EncoderCheckpoint
    public let recipe: Recipe

    /// Matches the recipe with the encoder. O(weights).
    ///
    /// - Throws: `.badData` when they do not fit together, before any work: a stage that does not prune single weights,
    ///   a method for decoders or vision networks, a pattern that matches nothing, windows that are longer than the
    ///   encoder's context; a checkpoint whose head does not fill gaps.
    public init(_ checkpoint: EncoderCheckpoint, recipe: Recipe) throws {
        self.checkpoint = checkpoint
        try recipe.checkPrunesEncoders()
        var recipe = recipe
        recipe.training = recipe.languageTraining
        self.recipe = recipe
        let (length, longest) = (recipe.calibration.sequenceLength, checkpoint.configuration.longestText)
        if recipe.needsCalibration, !(3...max(3, longest)).contains(length) {
            throw CoppiceError(
                .badData, source: recipe.source, field: "calibration.sequence_length",
                "\(length), expected 3 (a token between those that begin and end a text) to \(longest), the encoder's "
                    + "context")
        }
        _ = try RecipeRun(recipe, on: EncoderMatrices(PrunableNetwork(checkpoint.maskedLanguageModel())))
    }

    /// Compresses into a new folder.
    ///
    /// - Parameters:
    ///   - output: the folder's path. A folder that Coppice wrote earlier is replaced.
    ///   - calibration: the tokens of a text, for recipes with ``Recipe/needsCalibration``.
    ///   - progress: told how far the work has come.
    /// - Throws: `.usage` when the recipe needs a text and gets none, and for a sparsity below what is there; `.badData` for
    ///   weights, gradients and losses that are not finite, a text that is too short and masks of another model;
    ///   `.cannotCreate` and `.inputOutput` for the output folder.
    public func run(
        output: String, calibration: CalibrationTokens? = nil, progress: any ProgressReporter = SilentProgress()
    ) throws -> CompressionReport {
        try recipe.check(calibration)
        // Now, since a folder that cannot be written should not be found out about after the work.
        let folder = try OutputFolder(at: output)
        defer { folder.discard() }
        let network = try checkpoint.maskedLanguageModel()
        let before = network.parameters.map { ($0.name, $0.parameter, $0.parameter.wrappedValue.detached().copied()) }
        let used = recipe.needsCalibration ? calibration : nil
        let reports = try prune(network, used, progress)
        var (values, errors): ([String: Tensor], [String: Double]) = ([:], [:])
        for (name, parameter, original) in before {
            let now = parameter.wrappedValue.detached()
            guard now.doubles() != original.doubles(), let stored = checkpoint.storedName(of: name) else { continue }
            for own in [stored] + checkpoint.copies(of: name) {
                values[own] = now
                errors[own] = Self.relativeError(of: now, to: original)
            }
        }
        let uses = checkpoint.weightUses
        let entries = try checkpoint.storedNames.map { name in
            let tensor = try checkpoint.storedTensor(name)
            let now = values[name]?.converted(to: tensor.dataType) ?? tensor
            func zeros(_ tensor: Tensor) -> Int { tensor.dataType.isFloatingPoint ? tensor.zeroCount : 0 }
            let count = tensor.count
            func share(_ zeros: Int) -> Double { count == 0 ? 0 : Double(zeros) / Double(count) }
            let (first, last) = (zeros(tensor), zeros(now))
            return CompressionReport.Weight(
                name: name, shape: tensor.shape, formatBefore: tensor.dataType.description,
                format: tensor.dataType.description, bytesBefore: tensor.byteCount, bytes: tensor.byteCount,
                sparsityBefore: share(first), sparsity: share(last), relativeError: errors[name],
                isPrunable: EncoderCheckpoint.isLayerMatrix(name),
                multiplications: .init(uses: uses[name], dense: count, before: count - first, after: count - last))
        }
        var report = CompressionReport(
            recipe: recipe, weights: entries, calibrationTokens: used?.tokens.count, choosesFormats: false)
        report.stageReports = reports.isEmpty ? nil : reports
        try checkpoint.write(
            to: folder, values: values,
            files: [("recipe.yaml", recipe.text), ("report.json", String(decoding: try report.json(), as: UTF8.self))])
        return report
    }

    /// Runs the stages; the network is pruned then.
    private func prune(
        _ network: MaskedLanguageEncoder, _ calibration: CalibrationTokens?, _ progress: any ProgressReporter
    ) throws -> [StageReport] {
        let data = try calibration.map { text in
            try MaskedText(
                text, options: recipe.calibration, frame: checkpoint.textFrame(checkpoint.tokenizer()),
                vocabularySize: checkpoint.configuration.vocabularySize)
        }
        let whole = try PrunableNetwork(network)
        for (index, weight) in whole.weights.enumerated() {
            try ExactSelection.checkFinite(whole.values(index), name: weight.name, source: checkpoint.path)
        }
        var run = try RecipeRun(recipe, on: EncoderMatrices(whole))
        whole.adoptZeros()
        var reports: [StageReport] = []
        for (index, stage) in recipe.stages.enumerated() {
            guard case .prune(let options) = stage else { continue }
            let names = run.selected[index].map(\.name)
            let pruning = try NetworkStageRun(
                options, number: index, of: recipe, on: names, in: whole, network: network, data: data,
                progress: progress, checkpoint: .encoder(checkpoint))
            if options.method == .wanda, let data {
                pruning.matrixMasks = { [run, recipe] in
                    try Self.calibratedMasks(pruning, index, run, network, data, recipe, progress)
                }
            }
            try pruning.run()
            let own = Set(names)
            for (weight, mask) in zip(whole.weights, whole.masks) where own.contains(weight.name) {
                if mask.removedCount > 0 { run.record(mask, of: weight, options) }
            }
            if !pruning.report.isEmpty { reports.append(pruning.report) }
        }
        return reports
    }

    /// The masks of Wanda, layer by layer, on the text as it is, with nothing hidden.
    private static func calibratedMasks(
        _ stage: NetworkStageRun, _ index: Int, _ run: RecipeRun, _ network: MaskedLanguageEncoder, _ data: MaskedText,
        _ recipe: Recipe, _ progress: any ProgressReporter
    ) throws -> [WeightMask] {
        let windows = try data.windows(recipe.calibration.samples, seed: recipe.seed)
        var own = run
        progress.begin("calibrate", total: network.configuration.layerCount, unit: "layers")
        try own.prune(stage: index, calibratedBy: windows, through: EncoderBlocks(network, frame: data.frame)) {
            progress.advance(to: $0, note: "")
        }
        progress.end("\(windows.tokenCount) tokens")
        return zip(stage.part.weights, stage.part.masks).map { own.decisions[$0.name]?.mask ?? $1 }
    }

    /// ‖W − Ŵ‖ / ‖W‖ in the Frobenius norm.
    private static func relativeError(of approximation: Tensor, to exact: Tensor) -> Double {
        func square(_ tensor: Tensor) -> Double { tensor.converted(to: .f64).square().sum().doubles()[0] }
        let whole = square(exact)
        return whole == 0 ? 0 : (square(exact - approximation) / whole).squareRoot()
    }
}

/// The matrices of an encoder; without targets those of its layers.
private struct EncoderMatrices: WeightSource {
    let matrices: [PrunableWeight]
    private let network: NetworkWeights

    init(_ network: PrunableNetwork) {
        self.network = NetworkWeights(network)
        matrices = network.weights
    }

    func values(of name: String) throws -> Tensor { try network.values(of: name) }

    func isStandardTarget(_ name: String) -> Bool { EncoderCheckpoint.isLayerMatrix(name) }
}

extension Recipe {
    /// - Throws: `.badData` for a stage that is not for encoders.
    fileprivate func checkPrunesEncoders() throws {
        for (index, stage) in stages.enumerated() {
            guard case .prune(let options) = stage else {
                throw CoppiceError(
                    .badData, source: source, field: "stages[\(index)].\(stage.name)",
                    "is for language models, expected prune: encoders are stored as transformers reads them")
            }
            func refusal(_ key: String, _ message: String) -> CoppiceError {
                CoppiceError(.badData, source: source, field: "stages[\(index)].prune.\(key)", message)
            }
            guard options.unit == .weight else {
                throw refusal("granularity", "\(options.unit.rawValue) is not for encoders, expected weight")
            }
            if options.reconstructs {
                let isByMethod = options.method == .sparseGPT
                throw refusal(
                    isByMethod ? "method" : "recovery",
                    "\(isByMethod ? "sparsegpt" : "reconstruct") is for language models, expected another")
            }
            if options.allocation == .rateDistortion {
                throw refusal("allocation", "rate-distortion is not for encoders, expected another allocation")
            }
        }
        try checkPrunesLanguageModels()
    }
}
