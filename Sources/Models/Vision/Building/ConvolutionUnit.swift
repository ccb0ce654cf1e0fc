import CoppiceNetworks
import CoppiceTensors

/// A convolution, batch normalization of its outputs, and perhaps a rectifier: what most vision networks are made of.
public final class ConvolutionUnit: Module {
    /// What follows the normalization.
    public enum Rectifier: Sendable, Hashable {
        case none
        /// max(x, 0).
        case plain
        /// min(max(x, 0), 6) (Howard et al., "MobileNets", 2017).
        case limited
    }

    @Submodule public var convolution: Conv2d
    @Submodule public var norm: BatchNorm
    public let rectifier: Rectifier

    init(_ names: (convolution: String, norm: String), _ convolution: Conv2d, rectifier: Rectifier) {
        _convolution = Submodule(names.convolution, convolution)
        _norm = Submodule(names.norm, BatchNorm(channels: convolution.weight.shape[0]))
        self.rectifier = rectifier
    }

    /// Number of output channels.
    public var outputs: Int { convolution.weight.shape[0] }

    /// The normalized convolution, not rectified.
    func normalized(_ x: Tensor) -> Tensor { convolution(x, normalizedBy: norm) }

    /// `[images, inputs, rows, columns]` → `[images, outputs, rows, columns]`; a residual is added before the rectifier, to
    /// what a gate's factors `[images, outputs]` have multiplied. Without a residual factors come last.
    ///
    /// - Precondition: no factors where the rectifier is limited.
    public func callAsFunction(
        _ x: Tensor, times factors: Tensor? = nil, adding residual: Tensor? = nil
    ) -> Tensor {
        precondition(factors == nil || rectifier != .limited, "factors of a limited rectifier")
        let y = convolution(
            x, normalizedBy: norm, times: factors, adding: residual, rectifies: rectifier != .none)
        return rectifier == .limited ? Tensor.minimum(y, Tensor(6, dataType: y.dataType)) : y
    }
}
