import CoppiceTensors
import CoppiceTraining

/// Sparsity that rises on a ramp between two steps, every so many steps; between, nothing is pruned.
///
/// With a cubic ramp this is the schedule of Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning
/// for model compression" (2017), equation 1: s₁ + (s₀ − s₁)(1 − t)³, with t the part of the ramp that has passed.
public struct RampSchedule: Schedule {
    /// How it rises.
    public let ramp: SparsityRamp
    /// s₀, the sparsity at the first step of the ramp.
    public let initial: Double
    /// s₁, the sparsity at its last step.
    public let goal: Double
    /// The first step of the ramp.
    public let begin: Int
    /// The last step of the ramp.
    public let end: Int
    /// Steps between prunings.
    public let interval: Int

    /// - Throws: `.usage` for sparsities outside `[0, 1)` or falling ones, for a ramp that ends before it starts, and for
    ///   an interval below one.
    public init(
        _ ramp: SparsityRamp = .cubic, from initial: Double = 0, to goal: Double, begin: Int, end: Int, interval: Int
    ) throws {
        for (field, sparsity) in [("initial", initial), ("sparsity", goal)] where !(sparsity >= 0 && sparsity < 1) {
            throw CoppiceError(.usage, field: field, "\(sparsity), expected a number from 0 to below 1")
        }
        guard initial <= goal else {
            throw CoppiceError(.usage, field: "sparsity", "\(goal) is below the \(initial) that the ramp starts with")
        }
        guard begin >= 0, end > begin else {
            throw CoppiceError(
                .usage, field: "schedule", "ends at step \(end) before it has started at step \(begin)")
        }
        guard interval > 0 else { throw CoppiceError(.usage, field: "every", "\(interval), expected at least 1 step") }
        self.ramp = ramp
        (self.initial, self.goal) = (initial, goal)
        (self.begin, self.end) = (begin, end)
        self.interval = interval
    }

    /// The sparsity of the ramp at its steps `begin`, `begin + interval`… and `end`; nil at all others.
    public func sparsity(at step: Int) -> Double? {
        guard step >= begin, step < end else { return step == end ? goal : nil }
        guard (step - begin) % interval == 0 else { return nil }
        return ramp.sparsity(at: Double(step - begin) / Double(end - begin), from: initial, to: goal)
    }
}
