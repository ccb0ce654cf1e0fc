import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What is pruned of a network of each kind, and what it is measured on. The weights are the same afterwards.
extension SparsityAnalysis {
    /// A decoder, by its loss in nats a token.
    ///
    /// - Parameter windows: evaluation windows of one length of at least two tokens.
    /// - Throws: `.badData` for a text without windows and a pattern of ``selection`` that matches nothing; as
    ///   ``run(_:progress:)``.
    public func run(
        _ network: DecoderNetwork, windows: [[Int]], progress: (SparsitySweep.Progress) -> Void = { _ in }
    ) throws -> Result {
        let evaluation = try SparsityEvaluation(
            windows: windows, vocabularySize: network.configuration.vocabularySize)
        let pruned = try prunable(network, isStandard: WeightSelection.isBlockProjection)
        return try run(pruned, evaluation, AttentionHeads(network.configuration), progress)
    }

    /// An encoder that fills gaps, by its loss in nats a hidden token.
    ///
    /// - Parameter windows: evaluation windows of one length, without the tokens that begin and end texts.
    /// - Throws: as that of a decoder.
    public func run(
        _ network: MaskedLanguageEncoder, windows: [[Int]], frame: EncoderCheckpoint.TextFrame,
        progress: (SparsitySweep.Progress) -> Void = { _ in }
    ) throws -> Result {
        let evaluation = try SparsityEvaluation(
            windows: windows, frame: frame, vocabularySize: network.configuration.vocabularySize, seed: seed)
        return try run(layers(of: network), evaluation, AttentionHeads(network.configuration), progress)
    }

    /// A classifier of texts, by its accuracy or its cross-entropy in nats.
    ///
    /// - Throws: `.badData` for a pattern of ``selection`` that matches nothing; as ``run(_:progress:)``.
    public func run(
        _ network: EncoderClassifier, on texts: EncodedTexts, by measure: SparsityMeasure = .accuracy,
        progress: (SparsitySweep.Progress) -> Void = { _ in }
    ) throws -> Result {
        try run(
            layers(of: network), SparsityEvaluation(texts, by: measure, seed: seed),
            AttentionHeads(network.configuration), progress)
    }

    /// A vision network, by its accuracy or its cross-entropy in nats, in use: with running statistics of batch
    /// normalizations.
    ///
    /// - Parameter aliases: what its file calls weights, for patterns of ``selection``.
    /// - Throws: `.badData` for a pattern that matches nothing; as ``run(_:progress:)``.
    public func run(
        _ network: any VisionNetwork, on images: ImageDataSet, by measure: SparsityMeasure = .accuracy,
        aliases: [String: String] = [:], progress: (SparsitySweep.Progress) -> Void = { _ in }
    ) throws -> Result {
        // The last layer gives the scores of the classes.
        let scores = try PrunableNetwork(network).weights.last?.name
        let pruned = try prunable(network, aliases: aliases) { $0 != scores }
        let heads = (network.configuration as? VisionTransformer.Configuration).flatMap { AttentionHeads($0) }
        return try run(pruned, SparsityEvaluation(images, by: measure, seed: seed), heads, progress)
    }

    private func layers(of network: some EncoderNetwork) throws -> PrunableNetwork {
        try prunable(network, isCandidate: EncoderCheckpoint.isLayerMatrix) { _ in true }
    }

    private func prunable(
        _ network: any SupervisedNetwork, aliases: [String: String] = [:],
        isCandidate: (_ name: String) -> Bool = { _ in true }, isStandard: (_ name: String) -> Bool
    ) throws -> PrunableNetwork {
        let names = try PrunableNetwork(network).weights.map(\.name).filter(isCandidate)
        let chosen = try selection.select(
            from: names, aliases: aliases, isStandard: isStandard, field: "weights", source: nil)
        return try PrunableNetwork(network, named: Set(chosen))
    }

    private func run(
        _ prunable: PrunableNetwork, _ evaluation: SparsityEvaluation, _ heads: AttentionHeads?,
        _ progress: (SparsitySweep.Progress) -> Void
    ) throws -> Result {
        try run(
            MaskedNetwork(
                prunable, measuredOn: evaluation, heads: heads, fineTuning: fineTuning,
                normStatistics: normStatistics),
            progress: progress)
    }
}
