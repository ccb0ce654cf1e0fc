/// How precisely matrix products and convolutions of f32 tensors take their operands.
///
/// Mixed-precision training (Micikevicius et al., "Mixed precision training", 2018, with bf16 as in Kalamkar et al., "A
/// study of bfloat16 for deep learning training", 2019): parameters, activations and gradients stay f32; each product
/// rounds its two operands to bf16 and sums in f32. Its derivatives are the derivatives of the exact product, computed by
/// products in the same precision. Other operations and other element types are not affected.
///
/// ```swift
/// let loss = withOperandPrecision(.bf16) { network.loss(tokens, targets: targets) }
/// ```
public enum OperandPrecision: String, Sendable, Hashable, CaseIterable, Codable {
    case f32, bf16

    /// What products take that begin now, in this task.
    @TaskLocal static var current = OperandPrecision.f32
}

/// Runs `body` with products of f32 tensors in a precision. It is recorded with each product: a backward pass uses that
/// of the forward pass, wherever it runs.
public func withOperandPrecision<Result>(
    _ precision: OperandPrecision, _ body: () throws -> Result
) rethrows -> Result {
    try OperandPrecision.$current.withValue(precision, operation: body)
}
