import CoppiceTensors

/// One step of a forward pass: what it computes from the step before, and whose parameters it uses.
public struct ForwardStep {
    /// What is in the step.
    public let modules: [Module]
    private let function: (Tensor) -> Tensor

    /// - Parameter modules: all whose parameters the function uses.
    public init(_ modules: Module..., function: @escaping (Tensor) -> Tensor) {
        self.modules = modules
        self.function = function
    }

    public func callAsFunction(_ x: Tensor) -> Tensor { function(x) }
}

/// A network whose forward pass is a sequence of steps, each of which sees nothing but the result of the one before: a
/// residual block is one step.
///
/// What reaches a step can be kept while only the rest is run again, as where one weight after another is tried out.
public protocol SteppedNetwork: SupervisedNetwork {
    /// In the order of computation: the first sees the inputs, the last gives the outputs.
    var steps: [ForwardStep] { get }
}

extension SteppedNetwork {
    public func outputs(_ inputs: Tensor) -> Tensor { steps.reduce(inputs) { $1($0) } }
}
