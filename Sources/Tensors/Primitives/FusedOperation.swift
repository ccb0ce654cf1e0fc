/// One kernel for what primitives can compute in several steps: an optimization with the same answer, never new
/// semantics.
///
/// Derivatives of any order come from the composition; ``fastGradients(inputs:output:seed:)`` may give first
/// derivatives by kernels, as long as those are differentiable themselves (made of primitives and fused operations)
/// wherever they are recorded.
public protocol FusedOperation: Sendable {
    /// Computes the result, by a kernel where there is one for the element type, else from the composition.
    func evaluate(_ inputs: [Tensor]) -> Tensor

    /// The same in primitives.
    func composition(_ inputs: [Tensor]) -> Tensor

    /// The gradient by each input (nil where none flows), given the gradient by the output; nil for the rule that
    /// differentiates the composition.
    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]?
}

extension FusedOperation {
    public func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? { nil }

    /// Gradients by differentiating the composition of the inputs.
    func composedGradients(inputs: [Tensor], seed: Tensor) -> [Tensor?] {
        Recomputation.gradients(of: composition, at: inputs, seed: seed)
    }
}

extension Tensor {
    /// Applies a fused operation, recording it where an input is tracked.
    public static func fused(_ operation: some FusedOperation, _ inputs: [Tensor]) -> Tensor {
        apply(.fused(operation), inputs)
    }
}
