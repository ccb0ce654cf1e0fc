import CoppiceTensors

/// Root mean square normalization of the last axis (Zhang and Sennrich 2019).
public final class RMSNorm: Module {
    /// [size].
    @Parameter public var weight: Tensor
    public let epsilon: Double

    public init(size: Int, epsilon: Double, dataType: DataType = .f32) {
        _weight = Parameter("weight", .ones([size], dataType: dataType))
        self.epsilon = epsilon
    }

    public func callAsFunction(_ x: Tensor) -> Tensor { x.rmsNormalized(weight: weight, epsilon: epsilon) }
}
