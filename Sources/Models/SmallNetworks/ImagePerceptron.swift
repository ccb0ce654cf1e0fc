import CoppiceNetworks
import CoppiceTensors

/// Three rectified layers on pixels, trained by the mean squared error to one-hot targets, from weights that are larger
/// than usual: what delays generalization on images (Liu, Michaud and Tegmark, "Omnigrok: grokking beyond algorithmic
/// data", 2023).
///
/// Layers are `first`, `second` and `third`, without biases.
public final class ImagePerceptron: Module, SupervisedNetwork {
    public struct Configuration: Sendable, Hashable {
        public var pixels: Int
        public var hiddenSize: Int
        public var classes: Int
        /// What initial weights are multiplied by.
        public var scale: Double

        /// - Precondition: positive sizes.
        public init(pixels: Int = 784, hiddenSize: Int = 200, classes: Int = 10, scale: Double = 8) {
            precondition(min(pixels, hiddenSize, classes) > 0, "a network of no size")
            self.pixels = pixels
            self.hiddenSize = hiddenSize
            self.classes = classes
            self.scale = scale
        }
    }

    public let configuration: Configuration
    @Submodule public var first: Linear
    @Submodule public var second: Linear
    @Submodule public var third: Linear

    /// A network with random weights.
    public init(_ configuration: Configuration = .init(), seed: UInt64 = 0) {
        self.configuration = configuration
        // Of the variance of PyTorch's linear layers, uniform in ±1/√(inputs), before scaling.
        var layers = NormalLayers(scale: configuration.scale / 3.0.squareRoot(), seed: seed)
        _first = Submodule("first", layers.linear(configuration.pixels, configuration.hiddenSize))
        _second = Submodule("second", layers.linear(configuration.hiddenSize, configuration.hiddenSize))
        _third = Submodule("third", layers.linear(configuration.hiddenSize, configuration.classes))
    }

    /// `[images, ...]` of as many pixels each → `[images, classes]`.
    public func outputs(_ inputs: Tensor) -> Tensor {
        third(second(first(inputs.reshaped([inputs.shape[0], -1])).rectified()).rectified())
    }

    /// The mean over images and classes of (output − one-hot target)².
    public func loss(_ batch: LabeledBatch) -> Tensor {
        let scores = outputs(batch.inputs)
        return (scores - .oneHot(batch.targets, depth: configuration.classes, dataType: scores.dataType)).square()
            .mean()
    }
}
