import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A transformer that is measured under masks, always from the same dense weights: at once, or after fine-tuning with
/// the mask held.
final class MaskedTransformer {
    private let masked: MaskedNetwork
    private let tuning: SparsityAnalysis.FineTuning?

    /// - Parameters:
    ///   - targets: the weights that masks are of.
    ///   - tuning: nil: measured at once.
    init(
        _ network: any SupervisedNetwork, pruning targets: [WeightPattern],
        tuning: SparsityAnalysis.FineTuning? = nil, measuredOn evaluation: SparsityEvaluation
    ) throws {
        self.tuning = tuning
        masked = MaskedNetwork(
            try PrunableNetwork(network, targets: targets), measuredOn: evaluation, fineTuning: tuning)
    }

    /// A classifier, tuned on a task of classes that are alike and measured by the share of errors.
    ///
    /// - Parameter shards: what it is measured on, in parts.
    static func classifier(
        _ network: any SupervisedNetwork, pruning targets: [WeightPattern], classCount: Int,
        training: SupervisedTraining, source: any BatchSource, shards: [LabeledBatch]
    ) throws -> MaskedTransformer {
        let sizes = shards.map(\.count)
        let evaluation = SparsityEvaluation(
            by: .accuracy, chanceLoss: 1 - 1 / Double(classCount), shardSizes: Set(sizes).count > 1 ? sizes : nil
        ) { network in
            shards.map { 1 - Classification(of: network, on: [$0]).accuracy }
        }
        return try MaskedTransformer(
            network, pruning: targets, tuning: .init(training, on: source), measuredOn: evaluation)
    }

    /// A language model of letters, measured at once by the loss in nats.
    ///
    /// - Parameter shards: what it is measured on, in parts.
    static func languageModel(
        _ network: any SupervisedNetwork, pruning targets: [WeightPattern], shards: [LabeledBatch]
    ) throws -> MaskedTransformer {
        let evaluation = SparsityEvaluation(by: .loss, chanceLoss: LetterTexts.chanceLoss) { network in
            network.inUse { shards.map { Double(network.loss($0).scalar) } }
        }
        return try MaskedTransformer(network, pruning: targets, measuredOn: evaluation)
    }

    /// Prunes to many sparsities and measures each; the dense weights are back afterwards.
    func sweep(
        _ variants: [SparsityVariant], tolerance: Double, seed: UInt64, progress: () -> Void
    ) throws -> SparsityReport {
        defer { masked.restore() }
        var sweep = SparsitySweep(variants: variants, evaluation: masked.evaluation)
        (sweep.tolerance, sweep.refinesKnee, sweep.seed) = (tolerance, false, seed)
        return try sweep.run(
            masked.weights, values: masked.values, evaluate: masked.losses, progress: { _ in progress() })
    }

    /// Iterative magnitude pruning: trains, removes the next part of all weights, rewinds the rest to the dense weights
    /// and trains again.
    ///
    /// - Returns: of each sparsity the performance after training under its mask, and how far that is the mask of one
    ///   shot.
    func lotteryLevels(at sparsities: [Double], progress: () -> Void) throws -> [LotteryLevel] {
        guard let tuning else { preconditionFailure("iterative pruning trains") }
        masked.restore()
        let oneShot = try sparsities.map { sparsity in
            try PruningMethod(
                criterion: MagnitudeCriterion(), granularity: UnstructuredGranularity(), allocation: GlobalAllocation(),
                sparsity: sparsity
            ).masks(of: masked.weights, values: masked.values)
        }
        defer { masked.restore() }
        var levels: [LotteryLevel] = []
        try IterativePruning(training: tuning.training, rewindStep: 0).run(
            masked.prunable, levels: sparsities.count, removing: GivenLevels(sparsities: sparsities),
            rewound: Snapshot(of: masked.prunable.network), on: tuning.source
        ) { level in
            if level > 0 {
                let pairs = zip(oneShot[level - 1], masked.prunable.masks)
                levels.append(
                    LotteryLevel(
                        sparsity: sparsities[level - 1], errors: try masked.lossesAsItIs(),
                        agreement: pairs.reduce(.zero) { $0 + MaskAgreement($1.0, $1.1) }))
            }
            progress()
        }
        return levels
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
