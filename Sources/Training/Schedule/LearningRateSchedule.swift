import Foundation

/// The learning rate as a pure function of the step.
///
/// A linear warm-up from `peak / warmupSteps` to `peak`, then the shape of the kind down to `peak · minimumRatio` at
/// the last step. Cosine decay: Loshchilov and Hutter, "SGDR" (2017), equation 5, without restarts.
public struct LearningRateSchedule: Sendable, Hashable, Codable {
    /// The shape after the warm-up.
    public enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        case cosine, linear, constant
        /// Multiplied by ``LearningRateSchedule/dropFactor`` at each of ``LearningRateSchedule/drops``.
        case step
    }

    public var kind: Kind
    /// The largest learning rate.
    public var peak: Double
    /// Steps with a rising rate.
    public var warmupSteps: Int
    /// The last rate as a fraction of the peak. Without meaning for `.constant` and `.step`.
    public var minimumRatio: Double
    /// Steps in all.
    public var totalSteps: Int
    /// Where a `.step` schedule drops, as fractions of all steps (He et al. 2016: one half and three quarters).
    public var drops = [0.5, 0.75]
    /// What each drop multiplies the rate by.
    public var dropFactor = 0.1

    public init(kind: Kind, peak: Double, warmupSteps: Int, minimumRatio: Double, totalSteps: Int) {
        self.kind = kind
        self.peak = peak
        self.warmupSteps = warmupSteps
        self.minimumRatio = minimumRatio
        self.totalSteps = totalSteps
    }

    /// The rate of a step; steps count from 0 to `totalSteps - 1`, and later ones keep the last rate. O(1).
    public func rate(at step: Int) -> Double {
        if step < warmupSteps { return peak * Double(step + 1) / Double(warmupSteps) }
        let lowest = peak * minimumRatio
        // The first step after the warm-up has the peak rate, the last one of the run the lowest.
        let decaySteps = totalSteps - 1 - warmupSteps
        guard decaySteps > 0 else { return kind == .constant || kind == .step || step < totalSteps ? peak : lowest }
        let fraction = min(1, Double(step - warmupSteps) / Double(decaySteps))
        switch kind {
        case .constant: return peak
        case .step:
            return peak * drops.reduce(1) { Double(step) >= $1 * Double(totalSteps) ? $0 * dropFactor : $0 }
        case .linear: return peak + (lowest - peak) * fraction
        case .cosine: return lowest + (peak - lowest) * 0.5 * (1 + cos(.pi * fraction))
        }
    }
}
