import CoppiceFormats
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// Compresses a checkpoint by a recipe into a folder that Coppice loads, measures and serves like any other.
///
/// ```swift
/// let compressor = try Compressor(Checkpoint.open("tales"), recipe: Recipe.load("Recipes/int8.yaml"))
/// let report = try compressor.run(output: "tales-int8")
/// ```
///
/// In memory are one bit for each pruned weight, one matrix at a time and the part of the result that is not written
/// yet (a shard at most); while calibrating, one block and the windows' hidden states. The output folder appears when
/// it is complete, or not at all. The same checkpoint, recipe and text give the same bytes, for any number of threads.
public struct Compressor {
    public let checkpoint: Checkpoint
    public let recipe: Recipe
    /// Picks the formats.
    public var planner: FormatPlanner

    /// Bytes of freed memory kept for the next tensor, whose size is often another.
    private static let cacheLimit = 32 << 20

    private let unstarted: RecipeRun

    /// Matches the recipe with the checkpoint.
    ///
    /// - Throws: `.badData` when they do not fit together, before any work: see ``RecipeRun/init(_:on:)``.
    public init(_ checkpoint: Checkpoint, recipe: Recipe) throws {
        self.checkpoint = checkpoint
        self.recipe = recipe
        planner = FormatPlanner(preference: recipe.preference)
        try recipe.checkPrunesLanguageModels()
        unstarted = try RecipeRun(recipe, on: CheckpointWeights(checkpoint))
        let context = checkpoint.configuration.maximumPositions
        if recipe.needsCalibration, recipe.calibration.sequenceLength > context {
            throw CoppiceError(
                .badData, source: recipe.source, field: "calibration.sequence_length",
                "\(recipe.calibration.sequenceLength) is longer than the model's context of \(context)")
        }
    }

    /// Compresses into a new folder.
    ///
    /// - Parameters:
    ///   - output: the folder's path. A folder that Coppice wrote earlier is replaced.
    ///   - calibration: the tokens of a text, for recipes with ``Recipe/needsCalibration``.
    ///   - progress: told how far the work has come.
    /// - Throws: `.usage` when the recipe needs calibration and gets none; `.badData` for weights that are NaN or
    ///   infinite and for a text that is too short; `.cannotCreate` and `.inputOutput` for the output folder.
    public func run(
        output: String, calibration: CalibrationTokens? = nil, progress: any ProgressReporter = SilentProgress()
    ) throws -> CompressionReport {
        if calibration == nil, let (index, need) = recipe.needOfText {
            throw CoppiceError(
                .usage, source: recipe.source, field: "stages[\(index)].prune",
                "\(need), and needs a calibration text; there is none")
        }
        // Now, since a folder that cannot be written should not be found out about after the work.
        let writer = try CheckpointWriter(path: output, basedOn: checkpoint)
        let (decisions, reports, values, tokenCount) = try decide(calibration, progress)
        CachingAllocator.shared.releaseCache(above: Self.cacheLimit)
        progress.begin("compress", total: checkpoint.weightNames.count, unit: "tensors")
        let entries = try checkpoint.weightNames.enumerated().map { index, name in
            defer {
                checkpoint.releasePages(of: name)
                CachingAllocator.shared.releaseCache(above: Self.cacheLimit)
                progress.advance(to: index + 1, note: name)
            }
            return try decisions[name].map { try compress(name, $0, values[name], writer) }
                ?? copy(name, values[name], writer)
        }
        var report = CompressionReport(recipe: recipe, weights: entries, calibrationTokens: tokenCount)
        report.stageReports = reports.isEmpty ? nil : reports
        try writer.addFile("recipe.yaml", recipe.text)
        try writer.addFile("report.json", report.json())
        try writer.finish()
        progress.end("\(report.totals.bytesBefore) bytes became \(report.totals.bytes)")
        return report
    }

    private func decide(
        _ calibration: CalibrationTokens?, _ progress: any ProgressReporter
    ) throws -> (
        decisions: [String: WeightDecision], reports: [StageReport], values: [String: Tensor], tokenCount: Int?
    ) {
        guard recipe.prunesMatricesAlone else {
            let outcome = try DecoderStages(
                checkpoint, recipe: recipe, calibration: recipe.needsCalibration ? calibration : nil,
                progress: progress
            ).run(unstarted)
            let tokenCount = recipe.needsCalibration ? calibration?.tokens.count : nil
            return (outcome.run.decisions, outcome.reports, outcome.values, tokenCount)
        }
        var run = unstarted
        var reports: [StageReport] = []
        let windows = try calibration.flatMap { calibration in
            guard recipe.needsCalibration else { return nil as CalibrationWindows? }
            return try CalibrationWindows(
                tokens: calibration.tokens, count: recipe.calibration.samples,
                length: recipe.calibration.sequenceLength, seed: recipe.seed, source: calibration.source)
        }
        for (index, stage) in recipe.stages.enumerated() {
            guard case .prune(let options) = stage else { continue }
            var curves: [DistortionCurve] = []
            if options.allocation == .rateDistortion, let windows {
                curves = try measure(options, run.selected[index], run.decisions, windows, progress)
            }
            let allocation =
                curves.isEmpty
                ? nil
                : RateDistortionAllocation(
                    curves.map { $0.interpolated() }, solver: options.rateDistortion.solver)
            if options.method == .wanda, let windows {
                progress.begin("calibrate", total: checkpoint.configuration.layerCount, unit: "blocks")
                try run.prune(
                    stage: index, calibratedBy: windows, through: DecoderBlocks(checkpoint), sharedBy: allocation
                ) {
                    progress.advance(to: $0, note: "")
                }
                progress.end("\(windows.tokenCount) tokens")
            } else {
                try run.prune(stage: index, sharedBy: allocation)
            }
            guard !curves.isEmpty else { continue }
            var report = StageReport(stage: index)
            report.rates = zip(run.selected[index], curves).compactMap { weight, curve in
                run.decisions[weight.name]?.mask.map {
                    .init(name: weight.name, rate: $0.sparsity, distortion: curve.distortion(keeping: $0.keptCount))
                }
            }
            reports.append(report)
        }
        return (run.decisions, reports, [:], windows?.tokenCount)
    }

    /// Curves of the model as earlier stages leave it. All of it is in memory as f32.
    private func measure(
        _ options: PruneStage, _ weights: [PrunableWeight], _ decisions: [String: WeightDecision],
        _ windows: CalibrationWindows, _ progress: any ProgressReporter
    ) throws -> [DistortionCurve] {
        let network = DecoderNetwork(checkpoint.configuration)
        try network.load(source: checkpoint.path) { try checkpoint.tensor($0) }
        network.setTraining(false)
        for (name, parameter) in network.parameters {
            guard let mask = decisions[name]?.mask else { continue }
            var values = parameter.wrappedValue.detached().converted(to: .f32).copied()
            mask.apply(to: &values)
            parameter.wrappedValue = values
        }
        let own = Array(windows.windows.prefix(options.rateDistortion.samples ?? RateDistortionOptions.windows))
        progress.begin("measure", total: own.count, unit: "windows")
        defer { progress.end("") }
        return try DecoderDistortion(network, weights: weights).curves(
            on: own, for: options, seed: recipe.seed, earlier: { decisions[$0]?.mask }
        ) { progress.advance(to: $0, note: "") }
    }

    /// Writes a matrix that some stage works on.
    ///
    /// - Parameter value: what stages made of it; nil: what the checkpoint has.
    private func compress(
        _ name: String, _ decision: WeightDecision, _ value: Tensor?, _ writer: CheckpointWriter
    ) throws -> CompressionReport.Weight {
        let original = try checkpoint.weight(name)
        let dense = original.dense()
        try ExactSelection.checkFinite(dense, name: name, source: checkpoint.path)
        var kept = value ?? dense
        decision.mask?.apply(to: &kept)
        let dataType =
            checkpoint.isCompressed(name) ? checkpoint.configuration.dataType : try checkpoint.tensor(name).dataType
        let format: any WeightFormat
        do {
            format = try planner.format(kept, for: decision, dataType: dataType)
        } catch var error as CoppiceError {
            error.source = error.source ?? checkpoint.path
            error.field = error.field.map { "\(name): \($0)" } ?? name
            throw error
        }
        try writer.add(name, format.stored())
        // A row of a product of two matrices costs nearly what all of it does.
        let rows: any WeightFormat = try format is LowRankWeight ? DenseWeight(format.dense()) : format
        let (nonZeroCount, error, square) = rows.comparison(with: dense)
        let sparsity = dense.count == 0 ? 0 : 1 - Double(nonZeroCount) / Double(dense.count)
        return CompressionReport.Weight(
            name: name, shape: [format.rows, format.columns], formatBefore: original.label, format: format.label,
            bytesBefore: original.byteCount, bytes: format.byteCount, sparsity: sparsity,
            // In the Frobenius norm; zero for a matrix of zeros that stayed one.
            relativeError: error == 0 ? 0 : (error / square).squareRoot())
    }

    /// Writes a tensor that no stage works on: as it is, or as training left it.
    private func copy(
        _ name: String, _ value: Tensor?, _ writer: CheckpointWriter
    ) throws -> CompressionReport.Weight {
        try checkpoint.checkFinite(name)
        if let value {
            if value.rank == 2 { return try compress(name, .unchanged, value, writer) }
            let original = try checkpoint.tensor(name)
            let tensor = value.converted(to: original.dataType)
            try writer.add(name, tensor)
            let format = original.dataType.description
            return CompressionReport.Weight(
                name: name, shape: tensor.shape, formatBefore: format, format: format, bytesBefore: original.byteCount,
                bytes: tensor.byteCount, sparsity: Double(tensor.zeroCount) / Double(max(1, tensor.count)),
                relativeError: nil)
        }
        if checkpoint.isCompressed(name) {
            let weight = try checkpoint.weight(name)
            try writer.add(name, checkpoint.stored(name))
            return CompressionReport.Weight(
                name: name, shape: [weight.rows, weight.columns], formatBefore: weight.label, format: weight.label,
                bytesBefore: weight.byteCount, bytes: weight.byteCount, sparsity: weight.sparsity, relativeError: nil)
        }
        let tensor = try checkpoint.tensor(name)
        try writer.add(name, tensor)
        let format = tensor.dataType.description
        return CompressionReport.Weight(
            name: name, shape: tensor.shape, formatBefore: format, format: format, bytesBefore: tensor.byteCount,
            bytes: tensor.byteCount, sparsity: tensor.count == 0 ? 0 : Double(tensor.zeroCount) / Double(tensor.count),
            relativeError: nil)
    }
}
