/// What activations are when the rows of a prompt meet dense bf16 weights.
public enum ActivationPrecision: String, Sendable, CaseIterable {
    /// As they are: the numbers of a reference in f32.
    case f32
    /// Rounded to bf16 where the processor multiplies that (AVX-512 BF16): twice as fast. Sums are in f32.
    case bf16
}
