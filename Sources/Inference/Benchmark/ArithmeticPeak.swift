import CKernels
import CoppiceTensors

/// How fast this machine multiplies and adds with all threads: the limit of reading a prompt, where each weight meets
/// hundreds of activations.
public enum ArithmeticPeak: String, Sendable, Hashable, CaseIterable {
    case f32
    /// Pairs of bf16, with sums in f32 (AVX-512 BF16).
    case bf16
    /// Fours of 8-bit integers, with sums in 32 bits (AVX-512 VNNI).
    case int8

    /// Operations per second, a multiplication and an addition counting one each; nil where the processor (or the level
    /// that `COPPICE_CPU` allows) has no instructions for it. The best of several bursts of some milliseconds.
    ///
    /// A limit that no product reaches: operands stay in registers.
    ///
    /// - Parameter steps: rounds of 8 to 16 vector instructions in a burst.
    public func measure(steps: Int = 1 << 19, repetitions: Int = 8) -> Double? {
        let kind =
            switch self {
            case .f32: COPPICE_ARITHMETIC_F32
            case .bf16: COPPICE_ARITHMETIC_BF16
            case .int8: COPPICE_ARITHMETIC_INT8
            }
        let clock = ContinuousClock()
        var best: Double?
        for _ in 0..<max(1, repetitions) {
            var operations = 0.0
            let time = clock.measure { operations = coppice_run_arithmetic(kind, max(1, steps)) }
            guard operations > 0 else { return nil }
            best = max(best ?? 0, operations / max(1e-9, time / .seconds(1)))
        }
        return best
    }
}
