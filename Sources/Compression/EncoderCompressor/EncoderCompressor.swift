import CoppiceFormats
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Compresses an encoder (BERT, RoBERTa) that fills gaps in texts or classifies them, by a recipe, into a folder that
/// Coppice inspects, measures and compresses again. Where every tensor stays dense, it is one that `transformers` loads;
/// else ``EncoderCheckpoint/convert(to:dataType:shardSize:progress:)`` makes one of it.
///
/// ```swift
/// let checkpoint = try EncoderCheckpoint.open("bert-base-uncased")
/// let recipe = try Recipe.load("Recipes/wanda-2of4-int8.yaml")
/// let report = try EncoderCompressor(checkpoint, recipe: recipe).run(output: "bert-small", calibration: text)
/// ```
///
/// A classifier's data are labelled texts: ``run(output:labelled:progress:)``.
///
/// The network is in memory as a whole, as f32. Without targets a stage works on the matrices of the layers; embeddings
/// and the head are chosen by name. Tensors that the head does not use (a pooler, other heads) are copied; a second copy
/// of a table of words that a stage works on is left out. The same checkpoint, recipe and text give the same bytes, for any
/// number of threads.
public struct EncoderCompressor {
    public let checkpoint: EncoderCheckpoint
    public let recipe: Recipe
    /// Picks the formats.
    public var planner: FormatPlanner
    /// How often an entry of each tensor is multiplied for a token.
    private let uses: [String: Int]
    private let stages: EncoderStages
    /// What stages of whole layers removed already; the checkpoint is what they left.
    private let removed: RemovedLayers?

    /// Matches the recipe with the encoder. O(weights).
    ///
    /// - Throws: `.badData` when they do not fit together, before any work: a method for decoders or vision networks, a
    ///   pattern that matches nothing, windows that are longer than the encoder's context; a checkpoint whose head does
    ///   not fill gaps.
    public init(_ checkpoint: EncoderCheckpoint, recipe: Recipe) throws {
        try self.init(checkpoint, recipe, behind: nil)
    }

    private init(_ checkpoint: EncoderCheckpoint, _ recipe: Recipe, behind removed: RemovedLayers?) throws {
        self.removed = removed
        if removed == nil { try LayerStages(recipe)?.check(checkpoint.configuration) }
        self.checkpoint = checkpoint
        uses = checkpoint.weightUses
        planner = FormatPlanner(preference: recipe.preference)
        planner.breakEvens = FormatPlanner.encoderBreakEvens
        try recipe.checkCompressesEncoders()
        var recipe = recipe
        recipe.training = recipe.languageTraining
        self.recipe = recipe
        let (length, longest) = (recipe.calibration.sequenceLength, checkpoint.configuration.longestText)
        // Labelled texts that are too long are cut.
        if recipe.needsCalibration, checkpoint.head == .fillsGaps, !(3...max(3, longest)).contains(length) {
            throw CoppiceError(
                .badData, source: recipe.source, field: "calibration.sequence_length",
                "\(length), expected 3 (a token between those that begin and end a text) to \(longest), the encoder's "
                    + "context")
        }
        try recipe.checkTrains(among: checkpoint.network().parameters.map(\.name))
        stages = try EncoderStages(checkpoint, recipe: recipe)
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
        try recipe.check(hasText: calibration != nil)
        let text = recipe.needsCalibration ? calibration : nil
        if text != nil, checkpoint.head == .classifies {
            throw CoppiceError(
                .usage, source: checkpoint.path,
                "classifies texts, expected texts with labels instead of a running text")
        }
        return try run(output, text.map { try MaskedText($0, options: recipe.calibration, for: checkpoint) }, progress)
    }

    /// Compresses a classifier into a new folder.
    ///
    /// - Parameters:
    ///   - labelled: texts, for recipes with ``Recipe/needsCalibration``: those that methods look at are cut to the
    ///     recipe's `calibration.sequence_length`.
    /// - Throws: as ``run(output:calibration:progress:)``; `.usage` for an encoder that fills gaps.
    public func run(
        output: String, labelled: LabelledTexts?, progress: any ProgressReporter = SilentProgress()
    ) throws -> CompressionReport {
        guard checkpoint.head == .classifies else {
            throw CoppiceError(
                .usage, source: checkpoint.path, "fills gaps, expected a running text instead of texts with labels")
        }
        try recipe.check(hasText: labelled != nil)
        guard recipe.needsCalibration, let labelled else { return try run(output, nil, progress) }
        let texts = try EncodedTexts(labelled, for: checkpoint, length: recipe.calibration.sequenceLength)
        if let note = texts.note { progress.report("note: " + note) }
        return try run(output, LabelledData(texts, options: recipe.calibration, source: labelled.source), progress)
    }

    private func run(
        _ output: String, _ data: (any EncoderData)?, _ progress: any ProgressReporter
    ) throws -> CompressionReport {
        if recipe.readsCurves { try recipe.checkCurves(of: .encoder(checkpoint), stages.selected) }
        if removed == nil, let layers = LayerStages(recipe) {
            let folder = try OutputFolder(at: output)
            defer { folder.discard() }
            let (shallow, removed) = try layers.run(checkpoint, data, in: folder, progress)
            var rest = try EncoderCompressor(shallow, recipe, behind: removed)
            rest.planner = planner
            return try rest.run(output, data, progress)
        }
        // Now, since a folder that cannot be written should not be found out about after the work.
        let writer = try CheckpointWriter(
            path: output, basedOn: checkpoint, configuration: stages.configuration)
        let outcome = try stages.run(data, teacher: removed?.teacher, progress)
        let entries = try write(outcome, to: writer, progress)
        var report = CompressionReport(
            recipe: recipe, weights: entries, calibrationTokens: data?.tokenCount, calibrationSource: data?.source)
        report.stageReports = outcome.reports.isEmpty ? nil : outcome.reports
        if stages.configuration.headCount < checkpoint.configuration.headCount {
            report.warnings.append(
                "transformers has no encoder of fewer heads of the same size: it loads what coppice convert makes of this "
                    + "folder, which fills up with heads of zeros")
        }
        removed?.complete(&report)
        try writer.addFile("recipe.yaml", recipe.text)
        try writer.addFile("report.json", report.json())
        try writer.finish()
        progress.end("\(report.totals.bytesBefore) bytes became \(report.totals.bytes)")
        return report
    }

    /// Writes all tensors, each in its format.
    private func write(
        _ outcome: EncoderStages.Outcome, to writer: CheckpointWriter, _ progress: any ProgressReporter
    ) throws -> [CompressionReport.Weight] {
        let names = checkpoint.storedNames
        progress.begin("compress", total: names.count, unit: "tensors")
        // The parameter that a tensor of the files is, and whether it is so once more.
        var owners: [String: (parameter: String, isCopy: Bool)] = [:]
        for (parameter, _) in outcome.encoder.network.parameters {
            for name in checkpoint.copies(of: parameter) { owners[name] = (parameter, true) }
            if let name = checkpoint.storedName(of: parameter) { owners[name] = (parameter, false) }
        }
        return try names.enumerated().compactMap { index, name in
            defer { progress.advance(to: index + 1, note: name) }
            let owner = owners[name]
            let value = owner.flatMap { outcome.values[$0.parameter] }
            let decision = owner.flatMap { outcome.run.decisions[$0.parameter] }
            if let owner, owner.isCopy {
                guard decision == nil else {
                    writer.omit(name)
                    return nil
                }
                return try copy(name, value, writer)
            }
            let isMatrix = checkpoint.storedShape(name)?.count == 2
            return try (decision ?? (isMatrix && value != nil ? .unchanged : nil)).map {
                try compress(name, $0, value, writer) { outcome.encoder.cut($0, owner?.parameter ?? name) }
            } ?? copy(name, value, writer)
        }
    }

    /// Writes a matrix that some stage works on.
    ///
    /// - Parameters:
    ///   - value: what stages made of it; nil: what the checkpoint has.
    ///   - cut: what is left of it where something was cut out.
    private func compress(
        _ name: String, _ decision: WeightDecision, _ value: Tensor?, _ writer: CheckpointWriter,
        cut: (Tensor) -> Tensor
    ) throws -> CompressionReport.Weight {
        let original = try checkpoint.weight(name)
        let dense = cut(original.dense())
        return try planner.store(
            name, role(name), from: original, dense, now: value, by: decision,
            dataType: checkpoint.denseType(of: name), source: checkpoint.path, in: writer)
    }

    /// Writes a tensor that no stage works on: as it is, or as training left it.
    private func copy(
        _ name: String, _ value: Tensor?, _ writer: CheckpointWriter
    ) throws -> CompressionReport.Weight {
        if value == nil, checkpoint.isCompressed(name) {
            let weight = try checkpoint.weight(name)
            try writer.add(name, weight.stored())
            return CompressionReport.Weight(name, role(name), unchanged: weight)
        }
        let whole = try checkpoint.storedTensor(name)
        let tensor = value?.converted(to: checkpoint.denseType(of: name)) ?? whole
        if value != nil { try tensor.checkFinite(name, source: checkpoint.path) }
        try writer.add(name, tensor)
        return CompressionReport.Weight(name, role(name), from: whole, to: tensor)
    }

    private func role(_ name: String) -> CompressionReport.Weight.Role {
        .init(uses: uses[name], isPrunable: EncoderCheckpoint.isLayerMatrix(name))
    }
}

extension Recipe {
    /// - Throws: `.badData` for a stage that is not for encoders.
    fileprivate func checkCompressesEncoders() throws {
        for (index, stage) in stages.enumerated() {
            guard case .prune(let options) = stage else { continue }
            func refusal(_ key: String, _ message: String) -> CoppiceError {
                CoppiceError(.badData, source: source, field: "stages[\(index)].prune.\(key)", message)
            }
            if options.network.recovery == .reconstruct, options.sparsity == 0 {
                throw refusal(
                    "recovery",
                    "what earlier stages removed of an encoder is lost; let the stage that removes reconstruct, with a "
                        + "sparsity above 0")
            }
        }
        try checkPrunesLanguageModels()
    }
}
