import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A decoder that is trained on under masks before its loss is measured, for a ``SparsitySweep`` with the fine-tune
/// protocol: prune the pre-trained weights once, then train what is left with the mask fixed.
///
/// Every measurement starts from the pre-trained weights, the dense one included, with the same batches and rates, so
/// that only the masks differ.
public final class FineTunedDecoder {
    private let decoder: MaskedDecoder
    private let prunable: PrunableNetwork
    private let pretrained: Snapshot
    private let training: SupervisedTraining
    private let source: any BatchSource

    /// - Parameters:
    ///   - windows: evaluation windows, all of one length of at least two tokens.
    ///   - source: what is trained on.
    /// - Throws: `.badData` when there is no window.
    public init(
        _ network: DecoderNetwork, windows: [[Int]], shardCount: Int = 8, training: SupervisedTraining,
        source: any BatchSource
    ) throws {
        decoder = try MaskedDecoder(network, windows: windows, shardCount: shardCount)
        prunable = try PrunableNetwork(network, targets: decoder.weights.map { WeightPattern($0.name) })
        pretrained = Snapshot(of: network)
        self.training = training
        self.source = source
    }

    /// The fine-tuning of Jaiswal et al. (2023): AdamW without decay, ε 1e-8, the rate falling linearly to zero, clipped
    /// to norm 1.
    public static func training(steps: Int, learningRate: Double = 2e-5) -> SupervisedTraining {
        var training = SupervisedTraining(
            optimizer: AdamW(epsilon: 1e-8, weightDecay: 0),
            rates: LearningRateSchedule(
                kind: .linear, peak: learningRate, warmupSteps: 0, minimumRatio: 0, totalSteps: steps))
        training.clipNorm = 1
        return training
    }

    /// The projections of the decoder blocks.
    public var weights: [PrunableWeight] { decoder.weights }

    /// The heads of its attention.
    public var heads: AttentionHeads { decoder.heads }

    /// A matrix as it was pre-trained, f32.
    public func values(_ index: Int) -> Tensor { decoder.values(index) }

    /// The loss of a model that knows nothing: ln(vocabulary size).
    public var chanceLoss: Double { decoder.chanceLoss }

    /// The mean loss of each shard in nats per token after training under masks, or dense.
    ///
    /// - Throws: `.badData` naming the step where the loss is no longer finite.
    public func losses(_ masks: [WeightMask]?) throws -> [Double] {
        pretrained.restore(prunable.network)
        prunable.setMasks(masks ?? weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) })
        try FineTuning(training).recover(prunable, on: source)
        return decoder.lossesAsItIs()
    }

    /// Gives the network its pre-trained weights back.
    public func restore() { pretrained.restore(prunable.network) }
}
