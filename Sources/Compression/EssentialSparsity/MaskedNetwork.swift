import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A network in memory that is pruned and measured, always from the same dense weights: at once, or after its kept
/// weights have been trained on with the masks held.
///
/// ```swift
/// let masked = MaskedNetwork(try PrunableNetwork(network), measuredOn: SparsityEvaluation(images, seed: 1))
/// let report = try SparsitySweep(variants: variants, evaluation: masked.evaluation).run(
///     masked.weights, values: masked.values, evaluate: masked.losses)
/// masked.restore()
/// ```
public final class MaskedNetwork {
    /// The network with the weights that are pruned.
    public let prunable: PrunableNetwork
    public let evaluation: SparsityEvaluation
    /// Its attention heads, as parts of those weights; nil for networks that have none.
    public let heads: AttentionHeads?

    private let dense: Snapshot
    private let fineTuning: SparsityAnalysis.FineTuning?
    private let normStatistics: SparsityAnalysis.NormStatistics?

    /// - Parameters:
    ///   - prunable: with nothing removed.
    ///   - fineTuning: what is trained before each measurement, the dense one included, with the same batches and rates, so
    ///     that only the masks differ; nil: nothing.
    ///   - normStatistics: what running statistics of batch normalizations are estimated on anew before each measurement,
    ///     the dense one included; nil: they stay, or are what training makes of them.
    public init(
        _ prunable: PrunableNetwork, measuredOn evaluation: SparsityEvaluation, heads: AttentionHeads? = nil,
        fineTuning: SparsityAnalysis.FineTuning? = nil, normStatistics: SparsityAnalysis.NormStatistics? = nil
    ) {
        precondition(prunable.removedCount == 0, "the network is pruned already")
        self.prunable = prunable
        self.evaluation = evaluation
        self.heads = heads
        self.fineTuning = fineTuning
        self.normStatistics = normStatistics
        dense = Snapshot(of: prunable.network)
    }

    /// A decoder of which the projections of the blocks are pruned, measured at once by its loss on windows of a text.
    ///
    /// - Parameter windows: all of one length of at least two tokens.
    /// - Throws: `.badData` when there is no window.
    public convenience init(
        decoder network: DecoderNetwork, windows: [[Int]], shardCount: Int = SparsityEvaluation.shardCount
    ) throws {
        let names = network.parameters.map(\.name).filter(WeightSelection.isBlockProjection)
        self.init(
            try PrunableNetwork(network, named: Set(names)),
            measuredOn: try SparsityEvaluation(
                windows: windows, vocabularySize: network.configuration.vocabularySize, shardCount: shardCount),
            heads: AttentionHeads(network.configuration))
    }

    /// The weights that are pruned, in the order of computation.
    public var weights: [PrunableWeight] { prunable.weights }
    /// The loss, or the share of errors, of a model that knows nothing.
    public var chanceLoss: Double { evaluation.chanceLoss }

    /// A weight as it was, f32 `[rows, columns]`.
    public func values(_ index: Int) -> Tensor {
        dense.parameters[prunable.places[index]].converted(to: .f32).contiguous()
            .reshaped([weights[index].rows, weights[index].columns])
    }

    /// The loss, or the share of errors, on each shard, under masks or dense.
    ///
    /// - Throws: `.badData` naming the step where the loss of training is no longer finite, and where the measured one is
    ///   not.
    public func losses(_ masks: [WeightMask]?) throws -> [Double] {
        try prepare(masks)
        return try lossesAsItIs()
    }

    /// The same of the network as it is now.
    public func lossesAsItIs() throws -> [Double] {
        let losses = evaluation.losses(prunable.network)
        guard losses.allSatisfy(\.isFinite) else {
            throw CoppiceError(
                .badData,
                "the loss \(prunable.removedCount == 0 ? "of the dense network" : "under masks") is not finite")
        }
        return losses
    }

    /// Removes what masks remove from the dense weights, and does what comes before a measurement.
    ///
    /// - Throws: as ``losses(_:)``.
    func prepare(_ masks: [WeightMask]?) throws {
        restore()
        if let masks { prunable.setMasks(masks) }
        let network = prunable.network
        if let fineTuning {
            try network.withTraining(true) {
                try FineTuning(fineTuning.training).recover(prunable, on: fineTuning.source)
            }
        }
        if let normStatistics {
            network.reestimateNormStatistics(on: 0..<normStatistics.batchCount) { step in
                _ = network.outputs(normStatistics.source.batch(at: step).inputs)
            }
        }
    }

    /// Gives the network its dense weights and its running statistics back, and no masks.
    public func restore() {
        dense.restore(prunable.network)
        prunable.setMasks(weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) })
    }
}

extension SparsitySweep {
    /// Sweeps a decoder in memory; its weights are the same afterwards.
    ///
    /// - Parameter windows: evaluation windows of one length.
    public static func run(
        on network: DecoderNetwork, windows: [[Int]], variants: [SparsityVariant], tolerance: Double = 0.01,
        seed: UInt64 = 42, progress: (Progress) -> Void = { _ in }
    ) throws -> SparsityReport {
        let decoder = try MaskedNetwork(decoder: network, windows: windows)
        defer { decoder.restore() }
        var sweep = SparsitySweep(variants: variants, evaluation: decoder.evaluation)
        (sweep.tolerance, sweep.seed) = (tolerance, seed)
        return try sweep.run(
            decoder.weights, values: decoder.values, evaluate: decoder.losses, progress: progress)
    }
}
