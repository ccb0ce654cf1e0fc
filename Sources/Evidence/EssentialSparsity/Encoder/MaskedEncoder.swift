import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// An encoder that is measured under masks, always from the same dense weights: at once, or after fine-tuning with the
/// mask held.
final class MaskedEncoder {
    let prunable: PrunableNetwork
    private let dense: Snapshot
    private let values: [Tensor]
    private let tuning: (training: SupervisedTraining, source: any BatchSource)?
    private let shards: [LabeledBatch]
    private let performance: (any SupervisedNetwork, LabeledBatch) -> Double

    /// The matrices of the layers: attention and feed-forward, without embeddings and heads.
    static let prunableWeights = [WeightPattern("encoder.layer")]

    /// - Parameters:
    ///   - tuning: nil: measured at once.
    ///   - shards: what it is measured on, in parts of one size.
    ///   - performance: of a shard; lower is better.
    init(
        _ network: any SupervisedNetwork, tuning: (training: SupervisedTraining, source: any BatchSource)? = nil,
        shards: [LabeledBatch], performance: @escaping (any SupervisedNetwork, LabeledBatch) -> Double
    ) throws {
        let prunable = try PrunableNetwork(network, targets: Self.prunableWeights)
        self.prunable = prunable
        dense = Snapshot(of: network)
        values = prunable.weights.indices.map { prunable.values($0).copied() }
        self.tuning = tuning
        self.shards = shards
        self.performance = performance
    }

    /// A classifier, tuned on a task and measured by the share of errors.
    static func classifier(
        _ network: EncoderClassifier, training: SupervisedTraining, source: any BatchSource, shards: [LabeledBatch]
    ) throws -> MaskedEncoder {
        try MaskedEncoder(network, tuning: (training, source), shards: shards) { network, shard in
            1 - Classification(of: network, on: [shard]).accuracy
        }
    }

    /// A masked language model, measured at once by the loss in nats a gap.
    static func languageModel(_ network: MaskedLanguageEncoder, shards: [LabeledBatch]) throws -> MaskedEncoder {
        try MaskedEncoder(network, shards: shards) { network, shard in
            network.inUse { Double(network.loss(shard).scalar) }
        }
    }

    /// The performance on each shard under masks, or dense.
    func measure(_ masks: [WeightMask]?) throws -> [Double] {
        restore()
        if let masks { prunable.setMasks(masks) }
        if let tuning { try FineTuning(tuning.training).recover(prunable, on: tuning.source) }
        return performanceAsItIs()
    }

    private func performanceAsItIs() -> [Double] { shards.map { performance(prunable.network, $0) } }

    /// Dense weights and no masks.
    func restore() {
        dense.restore(prunable.network)
        prunable.setMasks(prunable.weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) })
    }

    /// Prunes to many sparsities and measures each; the dense weights are back afterwards.
    ///
    /// - Parameter chance: the performance of guessing.
    func sweep(
        _ variants: [SparsityVariant], chance: Double, tolerance: Double, seed: UInt64, progress: () -> Void
    ) throws -> SparsityReport {
        defer { restore() }
        var sweep = SparsitySweep(variants: variants, chanceLoss: chance)
        (sweep.tolerance, sweep.refinesKnee, sweep.seed) = (tolerance, false, seed)
        return try sweep.run(
            prunable.weights, values: { values[$0] }, evaluate: measure, progress: { _ in progress() })
    }

    /// The masks of one-shot magnitude pruning of the dense weights.
    func magnitudeMasks(sparsity: Double) throws -> [WeightMask] {
        try PruningMethod(
            criterion: MagnitudeCriterion(), granularity: UnstructuredGranularity(), allocation: GlobalAllocation(),
            sparsity: sparsity
        ).masks(of: prunable.weights, values: { values[$0] })
    }

    /// Iterative magnitude pruning: trains, removes the next tenth of all weights, rewinds the rest to the dense
    /// weights and trains again.
    ///
    /// - Returns: of each sparsity the mask and the performance after training under it.
    func iterativePruning(
        to sparsities: [Double], progress: () -> Void
    ) throws -> [(masks: [WeightMask], performance: [Double])] {
        guard let tuning else { preconditionFailure("iterative pruning trains") }
        restore()
        defer { restore() }
        var levels: [(masks: [WeightMask], performance: [Double])] = []
        try IterativePruning(training: tuning.training, rewindStep: 0).run(
            prunable, levels: sparsities.count, removing: GivenLevels(sparsities: sparsities), rewound: dense,
            on: tuning.source
        ) { level in
            if level > 0 { levels.append((prunable.masks, performanceAsItIs())) }
            progress()
        }
        return levels
    }

    /// Shares of weights below thresholds in units of their matrix's root mean square.
    static func nearZeroShares(of network: any SupervisedNetwork) throws -> [Double] {
        let prunable = try PrunableNetwork(network, targets: prunableWeights)
        return EssentialSparsityMeasurement.fractions(
            prunable.weights.indices.map {
                NearZeroCounts(
                    prunable.values($0), relativeThresholds: EssentialSparsityMeasurement.nearZeroThresholds)
            })
    }
}

/// Goes to the next of some sparsities at each level, the smallest weights first.
private struct GivenLevels: LevelPruning {
    /// Increasing.
    var sparsities: [Double]

    func removeNext(from network: PrunableNetwork) throws -> Int {
        let before = network.removedCount
        let next = sparsities.first { ExactSelection.removedCount(network.count, sparsity: $0) > before }
        guard let next else { return 0 }
        try network.prune(by: .magnitude, to: next)
        return network.removedCount - before
    }
}
