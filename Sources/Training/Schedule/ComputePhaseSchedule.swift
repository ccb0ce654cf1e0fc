import CoppiceTensors

/// Sparse pre-training in three phases that are fractions of *compute*: dense, a ramp to the final sparsity, recovery
/// at the final sparsity.
///
/// A step at density d costs d dense steps, so sparse steps are cheaper and the same compute buys more of them. With S
/// dense steps of compute, a window (a, b) and a ramp of mean density ρ:
///
/// - `startStep` = a S
/// - `endStep` = startStep + (b − a) S / ρ
/// - `totalSteps` = endStep + (1 − b) S / d_f
/// - the mean density over the run, S / totalSteps: of the average parameter count N̄ over the prunable one.
///
/// ```swift
/// let schedule = try ComputePhaseSchedule(denseSteps: 10_000, finalSparsity: 0.6)
/// schedule.totalSteps        // 16 376: as much compute as 10 000 dense steps
/// schedule.averageDensity    // 0.61
/// ```
///
/// The window (0.25, 0.75) is the near-optimal one of "The Journey Matters: Average Parameter Count over Pre-training
/// Unifies Sparse and Dense Scaling Laws" (2025). The geometric ramp is inferred from its released models, whose steps
/// and mean densities it gives back.
public struct ComputePhaseSchedule: Sendable, Hashable, Codable {
    /// The compute, in steps of the dense network.
    public let denseSteps: Int
    /// The part of the prunable weights that is removed in the end, in `[0, 1)`.
    public let finalSparsity: Double
    /// The fractions of compute at which pruning starts and ends.
    public let window: Window
    /// How the density falls from 1 to d_f.
    public let ramp: SparsityRamp
    /// Steps from one removal to the next.
    public let interval: Int
    /// The step before which the first weights are removed.
    public let startStep: Int
    /// The step before which the last weights are removed.
    public let endStep: Int
    /// Steps in all.
    public let totalSteps: Int

    /// Fractions of compute.
    public struct Window: Sendable, Hashable, Codable {
        public var start: Double
        public var end: Double

        public init(start: Double, end: Double) {
            self.start = start
            self.end = end
        }

        /// A quarter and three quarters.
        public static let middle = Window(start: 0.25, end: 0.75)
    }

    /// Converts phases of compute to steps.
    ///
    /// - Parameters:
    ///   - denseSteps: the compute in dense steps, S.
    ///   - interval: steps from one removal to the next; nil: a hundredth of the ramp, at least 1.
    /// - Throws: `.usage` for a sparsity outside `[0, 1)`, a window that does not increase within `[0, 1)`, and a run
    ///   too short for the window or the interval.
    public init(
        denseSteps: Int, finalSparsity: Double, window: Window = .middle, ramp: SparsityRamp = .geometric,
        interval: Int? = nil
    ) throws(CoppiceError) {
        guard finalSparsity >= 0, finalSparsity < 1 else {
            throw CoppiceError(
                .usage, field: "final_sparsity", "\(finalSparsity), expected a number from 0 to below 1")
        }
        guard window.start >= 0, window.start < window.end, window.end < 1 else {
            throw CoppiceError(
                .usage, field: "window",
                "\(window.start) to \(window.end), expected two increasing fractions of compute, from 0 to below 1")
        }
        guard denseSteps > 0 else {
            throw CoppiceError(.usage, field: "steps", "\(denseSteps), expected at least one step")
        }
        self.denseSteps = denseSteps
        self.finalSparsity = finalSparsity
        self.window = window
        self.ramp = ramp
        guard finalSparsity > 0 else {
            // Nothing is ever removed: the dense run, step by step.
            startStep = denseSteps
            endStep = denseSteps
            totalSteps = denseSteps
            self.interval = max(1, interval ?? 1)
            return
        }
        let (compute, density) = (Double(denseSteps), 1 - finalSparsity)
        let start = window.start * compute
        let end = start + (window.end - window.start) * compute / ramp.meanDensity(final: density)
        startStep = Int(start.rounded())
        endStep = Int(end.rounded())
        totalSteps = Int((end + (1 - window.end) * compute / density).rounded())
        let length = endStep - startStep
        self.interval = interval ?? max(1, Int((Double(length) / 100).rounded()))
        guard length > 0, endStep < totalSteps else {
            throw CoppiceError(
                .usage, field: "steps",
                "\(denseSteps) are too few for a window of \(window.start) to \(window.end) of compute, which needs a "
                    + "step of pruning and one after it")
        }
        guard self.interval >= 1, self.interval <= length else {
            throw CoppiceError(
                .usage, field: "every",
                "\(self.interval) steps between removals, expected 1 to \(length), the steps of the ramp")
        }
    }

    /// N̄ / N₀ of a run so long that steps and removals do not matter: 1 / (a + (b − a) / ρ + (1 − b) / d_f).
    public static func averageDensity(
        finalSparsity: Double, window: Window = .middle, ramp: SparsityRamp = .geometric
    ) -> Double {
        let density = 1 - finalSparsity
        let pruning = (window.end - window.start) / ramp.meanDensity(final: density)
        return 1 / (window.start + pruning + (1 - window.end) / density)
    }

    /// The part of the prunable weights that a step uses. Steps count from 0. O(1).
    public func density(at step: Int) -> Double {
        if step < startStep || finalSparsity == 0 { return 1 }
        if step >= endStep { return 1 - finalSparsity }
        return density(ofEvent: (step - startStep) / interval)
    }

    /// The sparsity to prune to before a step; nil where nothing is removed. O(1).
    public func sparsity(at step: Int) -> Double? {
        guard finalSparsity > 0, step >= startStep, step <= endStep else { return nil }
        // Exactly what was asked for, not what is left of it after rounding.
        if step == endStep { return finalSparsity }
        guard (step - startStep) % interval == 0 else { return nil }
        return 1 - density(ofEvent: (step - startStep) / interval)
    }

    /// The ramp's density in the middle of the steps that it stands for, so that removing in jumps takes as much compute
    /// as the ramp itself.
    private func density(ofEvent event: Int) -> Double {
        let length = endStep - startStep
        let middle = Double(event * interval + min((event + 1) * interval, length)) / 2
        return ramp.density(at: middle / Double(length), final: 1 - finalSparsity)
    }

    /// The compute of the steps before one, in dense steps: the sum of their densities.
    ///
    /// - Complexity: O(removals).
    public func compute(before step: Int) -> Double {
        if step <= startStep || finalSparsity == 0 { return Double(step) }
        var sum = Double(startStep)
        var event = startStep
        while event < min(step, endStep) {
            let next = min(event + interval, min(step, endStep))
            sum += Double(next - event) * density(at: event)
            event = next
        }
        return sum + Double(max(0, step - endStep)) * (1 - finalSparsity)
    }

    /// The mean density over all steps: N̄ / N₀, where N₀ are the prunable parameters. O(removals).
    public var averageDensity: Double { compute(before: totalSteps) / Double(totalSteps) }

    /// The final number of parameters over the average one, d_f / (N̄ / N₀). O(removals).
    public var finalOverAverage: Double { (1 - finalSparsity) / averageDensity }

    /// N̄, the mean number of prunable parameters that steps used.
    public func averageCount(of prunable: Int) -> Double { averageDensity * Double(prunable) }
}
