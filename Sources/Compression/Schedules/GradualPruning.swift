import CoppiceNetworks
import CoppiceTraining

/// Prunes while the network trains: before each step that the schedule names, weights are removed until the network is
/// as sparse as the schedule says; between, the masks hold.
///
/// With a cubic ramp this is Zhu and Gupta, "To prune, or not to prune" (2017).
public final class GradualPruning: MaskHolding {
    public let network: PrunableNetwork
    private let schedule: any Schedule
    private let criterion: any NetworkCriterion
    private let granularity: any Granularity
    private let allocation: any Allocation
    private let batches: (_ step: Int) -> [LabeledBatch]

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
        self.criterion = criterion
        self.granularity = granularity
        self.allocation = allocation
        self.batches = batches
    }

    public func willStep(_ step: Int) throws {
        guard let sparsity = schedule.sparsity(at: step), sparsity > network.sparsity else { return }
        try network.prune(
            by: criterion, granularity: granularity, allocation: allocation, to: sparsity,
            batches: criterion.needsData ? batches(step) : [])
    }
}
