import CoppiceNetworks
import CoppiceTraining

/// Prunes while the network trains: before each step that the schedule names, weights are removed until the network is
/// as sparse as the schedule says; between, the masks hold.
///
/// With a cubic ramp this is Zhu and Gupta, "To prune, or not to prune" (2017). With a ``SurgeonPruning`` kept weights make
/// up for removed ones each time: the gradual experiments of Frantar, Kurtic and Alistarh, "M-FAC" (2021), section 4.
/// Nothing but masks and weights outlives a step, so training goes on from both exactly.
public final class GradualPruning: MaskHolding {
    public let network: PrunableNetwork
    private let schedule: any Schedule
    private let needsData: Bool
    private let batches: (_ step: Int) -> [LabeledBatch]
    private let prune: (_ sparsity: Double, _ batches: [LabeledBatch]) throws -> SaliencyHistogram?
    /// Of the last removal by a surgeon.
    public private(set) var saliencies: SaliencyHistogram?

    /// - Parameters:
    ///   - schedule: of all weights together.
    ///   - allocation: how each of its sparsities is shared out; of budgets what ``ExplicitAllocation/path(to:of:from:along:)``
    ///     gives for the schedule's goal.
    ///   - batches: what criteria that need data see at a step.
    public init(
        _ network: PrunableNetwork, schedule: any Schedule, criterion: any NetworkCriterion = .magnitude,
        granularity: any Granularity = UnstructuredGranularity(), allocation: any Allocation = GlobalAllocation(),
        batches: @escaping (_ step: Int) -> [LabeledBatch] = { _ in [] }
    ) {
        self.network = network
        self.schedule = schedule
        self.batches = batches
        needsData = criterion.needsData
        prune = { sparsity, batches in
            try network.prune(
                by: criterion, granularity: granularity, allocation: allocation, to: sparsity, batches: batches)
            return nil
        }
    }

    /// Weights go by a curvature, and the kept ones make up for them each time. What the optimizer remembers of kept
    /// weights stays, what it remembers of removed ones is forgotten with them.
    ///
    /// - Parameters:
    ///   - surgeon: its recomputations are the sub-steps of each removal; one is what was published.
    ///   - batches: what gradients are taken of at a step.
    public init(
        _ network: PrunableNetwork, schedule: any Schedule, surgeon: SurgeonPruning,
        batches: @escaping (_ step: Int) -> [LabeledBatch]
    ) {
        self.network = network
        self.schedule = schedule
        self.batches = batches
        needsData = true
        prune = { sparsity, batches in try surgeon.prune(network, to: sparsity, batches: batches) }
    }

    public func willStep(_ step: Int) throws {
        guard let sparsity = schedule.sparsity(at: step), sparsity > network.sparsity else { return }
        saliencies = try prune(sparsity, needsData ? batches(step) : [])
    }
}
