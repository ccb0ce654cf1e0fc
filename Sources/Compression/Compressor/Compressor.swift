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
/// yet (a shard at most); while calibrating, one block and the windows' hidden states; where kept weights make up for
/// removed ones, their matrices as f32. The output folder appears when
/// it is complete, or not at all. The same checkpoint, recipe and text give the same bytes, for any number of threads.
public struct Compressor {
    public let checkpoint: Checkpoint
    public let recipe: Recipe
    /// Picks the formats.
    public var planner: FormatPlanner

    /// Bytes of freed memory kept for the next tensor, whose size is often another.
    private static let cacheLimit = 32 << 20

    /// The stages that remove heads or neurons, which come first.
    private let unitStages: [UnitPruning]
    /// The model with its shapes after them.
    private let narrowed: NarrowedCheckpoint
    /// How often an entry of each matrix is multiplied for a token.
    private let uses: [String: Int]
    /// What stages of whole layers removed already; the checkpoint is what they left.
    private let removed: RemovedLayers?

    /// Matches the recipe with the checkpoint.
    ///
    /// - Throws: `.badData` when they do not fit together, before any work: see ``RecipeRun/init(_:on:zeroed:)``. Stages
    ///   behind those of whole layers are matched with all of the model here, and with what is left of it later.
    public init(_ checkpoint: Checkpoint, recipe: Recipe) throws {
        try self.init(checkpoint, recipe, behind: nil)
    }

    private init(_ checkpoint: Checkpoint, _ recipe: Recipe, behind removed: RemovedLayers?) throws {
        self.removed = removed
        if removed == nil { try LayerStages(recipe)?.check(checkpoint.configuration) }
        self.checkpoint = checkpoint
        self.recipe = recipe
        uses = checkpoint.configuration.weightUses
        planner = FormatPlanner(preference: recipe.preference)
        try recipe.checkPrunesLanguageModels()
        try recipe.checkTrains(among: checkpoint.weightNames)
        let matrices = NarrowedCheckpoint(checkpoint).matrices
        unitStages = try UnitPruning.stages(of: recipe, matrices: matrices.map(\.name)) {
            TransformerUnits($0, of: checkpoint.configuration)
        }
        // Shapes follow from counts; which units stay does not matter for what may be wrong with later stages.
        var narrowed = NarrowedCheckpoint(checkpoint)
        for stage in unitStages where stage.narrows { narrowed.cut(stage.units, keeping: stage.firstUnits) }
        self.narrowed = narrowed
        _ = try Self.start(recipe, unitStages, on: narrowed)
        let context = checkpoint.configuration.maximumPositions
        let looksAtNext = unitStages.contains { $0.options.method == .taylor }
        if looksAtNext, recipe.calibration.sequenceLength < 2 {
            throw CoppiceError(
                .badData, source: recipe.source, field: "calibration.sequence_length",
                "1 predicts nothing, and taylor needs a loss; expected at least 2")
        }
        if recipe.needsCalibration, recipe.calibration.sequenceLength > context {
            throw CoppiceError(
                .badData, source: recipe.source, field: "calibration.sequence_length",
                "\(recipe.calibration.sequenceLength) is longer than the model's context of \(context)")
        }
    }

    private static func start(
        _ recipe: Recipe, _ unitStages: [UnitPruning], on model: NarrowedCheckpoint
    ) throws -> RecipeRun {
        let matrices = model.matrices
        return try RecipeRun(
            recipe, on: model,
            zeroed: Dictionary(uniqueKeysWithValues: unitStages.map { ($0.stage, $0.zeroed(matrices)) }))
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
        try recipe.check(hasText: calibration != nil)
        if recipe.readsCurves {
            try recipe.checkCurves(
                of: .languageModel(checkpoint), Self.start(recipe, unitStages, on: narrowed).selected)
        }
        if removed == nil, let layers = LayerStages(recipe) {
            let folder = try OutputFolder(at: output)
            defer { folder.discard() }
            let (shallow, removed) = try layers.run(checkpoint, calibration, in: folder, progress)
            var rest = try Compressor(shallow, recipe, behind: removed)
            rest.planner = planner
            return try rest.run(output: output, calibration: calibration, progress: progress)
        }
        // Now, since a folder that cannot be written should not be found out about after the work.
        let writer = try CheckpointWriter(
            path: output, basedOn: checkpoint, configuration: narrowed.configuration)
        let (model, decisions, reports, values, tokenCount) = try decide(calibration, progress)
        CachingAllocator.shared.releaseCache(above: Self.cacheLimit)
        progress.begin("compress", total: checkpoint.weightNames.count, unit: "tensors")
        let entries = try checkpoint.weightNames.enumerated().map { index, name in
            defer {
                checkpoint.releasePages(of: name)
                CachingAllocator.shared.releaseCache(above: Self.cacheLimit)
                progress.advance(to: index + 1, note: name)
            }
            let isMatrix = model.isMatrix(name) && (model.isCut(name) || values[name] != nil)
            let decision = decisions[name] ?? (isMatrix ? .unchanged : nil)
            return try decision.map { try compress(name, of: model, $0, values[name], writer) }
                ?? copy(name, of: model, values[name], writer)
        }
        var report = CompressionReport(
            recipe: recipe, weights: entries, calibrationTokens: tokenCount,
            calibrationSource: recipe.needsCalibration ? calibration?.source : nil)
        report.stageReports = reports.isEmpty ? nil : reports
        removed?.complete(&report)
        try writer.addFile("recipe.yaml", recipe.text)
        try writer.addFile("report.json", report.json())
        try writer.finish()
        progress.end("\(report.totals.bytesBefore) bytes became \(report.totals.bytes)")
        return report
    }

    private func decide(
        _ calibration: CalibrationTokens?, _ progress: any ProgressReporter
    ) throws -> (
        model: NarrowedCheckpoint, decisions: [String: WeightDecision], reports: [StageReport],
        values: [String: Tensor], tokenCount: Int?
    ) {
        let windows = try calibration.flatMap { calibration in
            guard recipe.needsCalibration else { return nil as CalibrationWindows? }
            return try CalibrationWindows(
                tokens: calibration.tokens, count: recipe.calibration.samples,
                length: recipe.calibration.sequenceLength, seed: recipe.seed, source: calibration.source)
        }
        var first = UnitStageRun(
            NarrowedCheckpoint(checkpoint), seed: recipe.seed, windows: windows, progress: progress)
        for stage in unitStages { try first.run(stage) }
        var reports = first.reports
        let model = first.model
        var run = try Self.start(recipe, unitStages, on: model)
        for (name, zeros) in first.zeros { run.adopt(zeros.mask, inRunsOf: zeros.runLength, of: name) }
        guard recipe.prunesMatricesAlone else {
            let outcome = try DecoderStages(
                model, recipe: recipe, calibration: windows == nil ? nil : calibration,
                teacher: removed?.teacher, progress: progress
            ).run(run)
            let tokenCount = windows == nil ? nil : calibration?.tokens.count
            return (model, outcome.run.decisions, reports + outcome.reports, outcome.values, tokenCount)
        }
        for (index, stage) in recipe.stages.enumerated() {
            guard case .prune(let options) = stage, !options.unit.goesFirst else { continue }
            var curves = try options.storedCurves(of: run.selected[index]) ?? []
            if options.allocation == .rateDistortion, curves.isEmpty, let windows {
                curves = try measure(options, run.selected[index], of: model, run, windows, progress)
            }
            let allocation = RateDistortionAllocation(interpolating: curves, for: options)
            if options.needsActivations, let windows {
                progress.begin("calibrate", total: checkpoint.configuration.layerCount, unit: "blocks")
                try run.prune(
                    stage: index, calibratedBy: windows, through: DecoderBlocks(model), sharedBy: allocation
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
        return (model, run.decisions, reports, run.values, windows?.tokenCount)
    }

    /// Curves of the model as earlier stages leave it. All of it is in memory as f32.
    private func measure(
        _ options: PruneStage, _ weights: [PrunableWeight], of model: NarrowedCheckpoint,
        _ run: RecipeRun, _ windows: CalibrationWindows, _ progress: any ProgressReporter
    ) throws -> [DistortionCurve] {
        let network = try model.network { run.decisions[$0]?.mask }
        for (name, parameter) in network.parameters {
            if let values = run.values[name] { parameter.wrappedValue = values }
        }
        let texts = windows.windows.prefix(options.rateDistortion.samples ?? RateDistortionOptions.windows)
        return try LayerwiseDistortion(network, weights: weights).curves(
            on: Array(texts), for: options, seed: recipe.seed, earlier: { run.decisions[$0]?.mask }, progress)
    }

    /// Writes a matrix that some stage works on.
    ///
    /// - Parameter value: what stages made of it; nil: what the checkpoint has.
    private func compress(
        _ name: String, of model: NarrowedCheckpoint, _ decision: WeightDecision, _ value: Tensor?,
        _ writer: CheckpointWriter
    ) throws -> CompressionReport.Weight {
        let original = try checkpoint.weight(name)
        let dense = try model.isCut(name) ? model.values(of: name) : original.dense()
        return try planner.store(
            name, role(name), from: original, dense, now: value, by: decision,
            dataType: checkpoint.denseType(of: name), source: checkpoint.path, in: writer)
    }

    /// Writes a tensor that no stage works on: as it is, what is left of it, or as training left it.
    private func copy(
        _ name: String, of model: NarrowedCheckpoint, _ value: Tensor?, _ writer: CheckpointWriter
    ) throws -> CompressionReport.Weight {
        try checkpoint.checkFinite(name)
        if value == nil, checkpoint.isCompressed(name) {
            try writer.add(name, checkpoint.stored(name))
            return try CompressionReport.Weight(name, role(name), unchanged: checkpoint.weight(name))
        }
        let whole = try checkpoint.tensor(name)
        let tensor = try value?.converted(to: whole.dataType) ?? model.tensor(name)
        if value != nil { try tensor.checkFinite(name, source: checkpoint.path) }
        try writer.add(name, tensor)
        return CompressionReport.Weight(name, role(name), from: whole, to: tensor)
    }

    private func role(_ name: String) -> CompressionReport.Weight.Role {
        .init(uses: uses[name], isPrunable: WeightSelection.isBlockProjection(name))
    }
}
