import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Another way to the same sparsity by the same compute.
enum JourneyBaseline: String, Sendable, Hashable, CaseIterable {
    /// Gradual magnitude pruning (Zhu and Gupta 2017) between the same fractions of compute.
    case cubic = "cubic ramp, 25–75 %"
    /// All that goes, goes by magnitude at half of the compute, and training goes on.
    case once = "at once, 50 %"
    /// RigL (Evci et al. 2020): sparse from the first step, by Erdős–Rényi densities; connections move.
    case dynamic = "sparse from the start, RigL"

    /// Steps of the dense network and steps in all, of a compute in dense steps; nil where a ramp says it.
    func steps(sparsity: Double, compute: Int) -> (dense: Int, all: Int)? {
        let dense: Int
        switch self {
        case .cubic: return nil
        case .once: dense = compute / 2
        case .dynamic: dense = 0
        }
        return (dense, dense + Int((Double(compute - dense) / (1 - sparsity)).rounded()))
    }

    /// What prunes a network on the way.
    ///
    /// - Throws: as ``SparsePretraining/projections(of:)``.
    func hook(
        on network: DecoderNetwork, sparsity: Double, steps: (dense: Int, all: Int), seed: UInt64
    ) throws -> any StoredTrainingHook {
        let prunable = try SparsePretraining.projections(of: network)
        guard self == .dynamic else {
            // Nothing goes at the first step of this ramp, everything at its second.
            let first = max(0, steps.dense - 1)
            let schedule = try RampSchedule(to: sparsity, begin: first, end: first + 1, interval: 1)
            return UnstoredPruning(GradualPruning(prunable, schedule: schedule))
        }
        try prunable.prune(by: .random(seed: seed), allocation: ErdosRenyiAllocation(), to: sparsity)
        return UnstoredPruning(
            DynamicSparseTraining(
                prunable, growth: .gradient, interval: max(1, steps.all / 30), lastStep: max(1, steps.all * 3 / 4)))
    }
}

/// Prunes in a training without checkpoints.
private final class UnstoredPruning: StoredTrainingHook {
    private let hook: any MaskHolding

    init(_ hook: any MaskHolding) { self.hook = hook }

    var sparseProducts: SparseProducts? { hook.sparseProducts }
    var readsAllGradients: Bool { hook.readsAllGradients }

    func willStep(_ step: Int) throws { try hook.willStep(step) }

    func willUpdate(_ step: Int, gradients: inout [Tensor]) throws {
        try hook.willUpdate(step, gradients: &gradients)
    }

    func willMove(_ step: Int, state: inout OptimizerState) throws { try hook.willMove(step, state: &state) }

    func didStep(_ step: Int, state: inout OptimizerState) throws { try hook.didStep(step, state: &state) }

    var keptCounts: [KeptCount] {
        zip(hook.network.weights, hook.network.masks).map {
            KeptCount(name: $0.name, kept: $1.keptCount, count: $0.count)
        }
    }

    func tensors() -> [NamedTensor] { [] }

    func restore(_ tensors: [String: Tensor], source: String) {}
}
