import CoppiceNetworks
import CoppiceTensors

/// LeNet-5 in the form that Caffe made usual: convolutions of 20 and 50 kernels of 5 × 5, each followed by a maximum over
/// 2 × 2, and 500 hidden neurons (after LeCun et al., "Gradient-based learning applied to document recognition", 1998,
/// section II.B). Rectifiers follow the convolutions and the hidden layer.
///
/// Layers are `conv1`, `conv2`, `fc1` and `fc2`.
public final class LeNet5: Module, VisionNetwork {
    public struct Configuration: VisionConfiguration {
        public var options: ClassifierOptions

        public init(_ options: ClassifierOptions = .mnist) { self.options = options }

        /// Rows and columns that are left for the hidden layer.
        var reducedSize: Windows.Axes {
            func reduced(_ extent: Int) -> Int { ((extent - 4) / 2 - 4) / 2 }
            return [reduced(options.imageSize.rows), reduced(options.imageSize.columns)]
        }
    }

    public let configuration: Configuration
    @Submodule public var firstConvolution: Conv2d
    @Submodule public var secondConvolution: Conv2d
    @Submodule public var hidden: Linear
    @Submodule public var classifier: Linear

    /// A network with random weights, uniform by fan-in.
    public convenience init(_ configuration: Configuration = .init(), seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.init(configuration, &layers)
    }

    init(_ configuration: Configuration, _ layers: inout LayerBuilder) {
        self.configuration = configuration
        let first = layers.width("conv1", layers.scaled(20))
        let second = layers.width("conv2", layers.scaled(50))
        let neurons = layers.width("fc1", layers.scaled(500))
        let seen = configuration.reducedSize
        _firstConvolution = Submodule(
            "conv1",
            layers.convolution(
                configuration.inputChannels, first, kernel: 5, padding: 0, hasBias: true, start: .uniform))
        _secondConvolution = Submodule(
            "conv2", layers.convolution(first, second, kernel: 5, padding: 0, hasBias: true, start: .uniform))
        _hidden = Submodule("fc1", layers.linear(second * seen.rows * seen.columns, neurons))
        _classifier = Submodule("fc2", layers.linear(neurons, configuration.classes))
    }

    /// `[images, channels, rows, columns]` → `[images, classes]`.
    ///
    /// - Precondition: the configuration's channels, rows and columns.
    public var steps: [ForwardStep] {
        let halves = Windows(kernel: 2, stride: 2)
        return [
            ForwardStep(firstConvolution) { [self] images in
                precondition(
                    images.rank == 4 && Array(images.shape[1...]) == configuration.inputShape,
                    "images of shape \(images.shape), [images] + \(configuration.inputShape) expected")
                return firstConvolution(images).relu().maxPooled(halves)
            },
            ForwardStep(secondConvolution) { [self] in secondConvolution($0).relu().maxPooled(halves) },
            ForwardStep(hidden) { [self] in hidden($0.reshaped([$0.shape[0], -1])).relu() },
            ForwardStep(classifier) { [self] in classifier($0) },
        ]
    }
}

extension LeNet5.Configuration {
    public static let knownNames = ["lenet-5"]
    public var name: String { "lenet-5" }
    public var smallestImage: Int { 16 }

    public init?(named name: String) {
        guard Self.knownNames.contains(name) else { return nil }
        self.init()
    }

    public init?(recognizing tensors: TensorShapes) {
        guard tensors.extent("conv1", 2) == 5, tensors.extent("conv2", 2) == 5,
            let channels = tensors.extent("conv1", 1), let last = tensors.outputs("conv2"),
            let flat = tensors.extent("fc1", 1), let classes = tensors.outputs("fc2"), tensors["conv1.bias"] != nil,
            min(channels, last, flat, classes) > 0
        else { return nil }
        // Square images of an even number of rows that leave as many elements.
        let left = Int(Double(flat / last).squareRoot().rounded())
        self.init(ClassifierOptions(classes: classes, inputChannels: channels, imageSize: .init(4 * left + 12)))
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { LeNet5(self, &layers) }
}
