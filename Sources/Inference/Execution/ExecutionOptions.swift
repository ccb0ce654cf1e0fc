import CoppiceFormats

/// How a model is computed: nothing here changes what it is.
public struct ExecutionOptions: Sendable, Hashable {
    /// What activations are where a prompt meets bf16 weights.
    public var activations: ActivationPrecision
    /// Which kernels multiply how many rows.
    public var kernels: KernelTable

    public init(activations: ActivationPrecision = .f32, kernels: KernelTable = .standard) {
        self.activations = activations
        self.kernels = kernels
    }
}
