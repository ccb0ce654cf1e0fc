import CoppiceNetworks
import CoppiceTensors

/// MobileNet: convolutions of each channel alone (3 × 3) alternate with convolutions across channels (1 × 1), each
/// normalized and rectified (Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
/// applications", 2017, table 1).
///
/// Parameter names are those of the PyTorch version in circulation: `model.0.0` the first convolution and `model.0.1` its
/// normalization; in `model.1` and those after it `0` and `1` for the depthwise one, `3` and `4` for the pointwise one.
public final class MobileNetV1: Module, VisionNetwork {
    public struct Configuration: VisionConfiguration {
        /// Small: the first convolution reduces nothing.
        public var scale: ImageScale
        public var options: ClassifierOptions

        public init(scale: ImageScale = .large, options: ClassifierOptions? = nil) {
            self.scale = scale
            self.options = options ?? scale.options
        }

        /// Output channels and stride of each pair of convolutions.
        static let pairs: [(channels: Int, stride: Int)] =
            [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
            + [(Int, Int)](repeating: (512, 1), count: 5) + [(1024, 2), (1024, 1)]
    }

    public let configuration: Configuration
    @Submodule public var stem: ConvolutionUnit
    /// Depthwise and pointwise.
    public let units: [Submodule<ConvolutionUnit>]
    @Submodule public var classifier: Linear

    /// A network with random weights, uniform by fan-in.
    public convenience init(_ configuration: Configuration = .init(), seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.init(configuration, &layers)
    }

    init(_ configuration: Configuration, _ layers: inout LayerBuilder) {
        self.configuration = configuration
        var channels = layers.width("model.0.0", layers.scaled(32))
        _stem = Submodule(
            "model.0",
            layers.unit(
                ("0", "1"), configuration.inputChannels, channels, kernel: 3,
                stride: configuration.scale == .large ? 2 : 1, start: .uniform))
        units = Configuration.pairs.enumerated().flatMap { index, pair in
            let name = "model.\(index + 1)"
            let (inputs, outputs) = (channels, layers.width("\(name).3", layers.scaled(pair.channels)))
            channels = outputs
            return [
                Submodule(
                    name,
                    layers.unit(
                        ("0", "1"), inputs, inputs, kernel: 3, stride: pair.stride, groups: inputs, start: .uniform)),
                Submodule(name, layers.unit(("3", "4"), inputs, outputs, kernel: 1, start: .uniform)),
            ]
        }
        _classifier = Submodule("fc", layers.linear(channels, configuration.classes))
    }

    /// `[images, channels, rows, columns]` → `[images, classes]`.
    public var steps: [ForwardStep] {
        [ForwardStep(stem) { [self] in stem(checked($0)) }]
            + units.map(\.wrappedValue).map { unit in ForwardStep(unit) { unit($0) } }
            + [ForwardStep(classifier) { [self] in classifier($0.mean(axes: [-2, -1])) }]
    }
}

extension MobileNetV1.Configuration {
    public static let knownNames = ["mobilenet-v1", "mobilenet-v1-cifar"]
    public var name: String { scale == .large ? "mobilenet-v1" : "mobilenet-v1-cifar" }

    public init?(named name: String) {
        guard let place = Self.knownNames.firstIndex(of: name) else { return nil }
        self.init(scale: place == 0 ? .large : .small)
    }

    public init?(recognizing tensors: TensorShapes) {
        guard tensors.hasWeight("model.0.0", rank: 4), tensors.hasWeight("model.1.3", rank: 4),
            let channels = tensors.extent("model.0.0", 1), let classes = tensors.outputs("fc"),
            min(classes, channels) > 0
        else { return nil }
        self.init()
        options.classes = classes
        options.inputChannels = channels
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { MobileNetV1(self, &layers) }
}
