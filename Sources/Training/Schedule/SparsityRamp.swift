import CoppiceTensors
import Foundation

/// How density falls, and sparsity rises, on a ramp between two sparsities: the same for networks that are pruned while
/// they are fine-tuned and for those that are pruned while they are trained from scratch.
public enum SparsityRamp: String, Sendable, Hashable, Codable, CaseIterable {
    /// Each removal takes the same part of what is left: from density 1, d_f^u. The way of lottery tickets (Frankle and
    /// Carbin 2019) and of synaptic flow (Tanaka et al. 2020).
    case geometric
    /// Each removal takes the same number: 1 − (1 − d_f) u.
    case linear
    /// Most goes first: d_f + (1 − d_f) (1 − u)³ (Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of
    /// pruning for model compression", 2017, equation 1).
    case cubic

    /// The density at a place of the ramp from 1, `u` in `[0, 1]`. O(1).
    public func density(at u: Double, final: Double) -> Double {
        switch self {
        case .geometric: pow(final, u)
        case .linear: 1 - (1 - final) * u
        case .cubic: final + (1 - final) * (1 - u) * (1 - u) * (1 - u)
        }
    }

    /// ρ, the mean of the density over the ramp from 1. O(1).
    public func meanDensity(final: Double) -> Double {
        guard final < 1 else { return 1 }
        switch self {
        case .geometric: return (1 - final) / log(1 / final)
        case .linear: return (1 + final) / 2
        case .cubic: return final + (1 - final) / 4
        }
    }

    /// The sparsity after a part of the way from one to another, `part` in `[0, 1]`; exactly the goal at 1. O(1).
    public func sparsity(at part: Double, from start: Double, to goal: Double) -> Double {
        guard part < 1, start < 1 else { return goal }
        switch self {
        case .geometric:
            // In f64 of the tensor operations: the same everywhere.
            let share = Tensor((1 - goal) / (1 - start), dataType: .f64).power(part).doubles()[0]
            return min(max(1 - (1 - start) * share, start), goal)
        case .linear: return start + (goal - start) * part
        case .cubic:
            let left = 1 - part
            return goal + (start - goal) * left * left * left
        }
    }
}
