import CoppiceNetworks
import CoppiceTensors

/// LeNet-300-100: two hidden layers of 300 and 100 rectified neurons on an image's pixels (after LeCun et al.,
/// "Gradient-based learning applied to document recognition", 1998, section III.C.4).
///
/// Layers are `fc1`, `fc2` and `fc3`.
public final class LeNet300: Module, VisionNetwork {
    public struct Configuration: VisionConfiguration {
        public var options: ClassifierOptions

        public init(_ options: ClassifierOptions = .mnist) { self.options = options }
    }

    public let configuration: Configuration
    @Submodule public var first: Linear
    @Submodule public var second: Linear
    @Submodule public var classifier: Linear

    /// A network with random weights, uniform by fan-in.
    public convenience init(_ configuration: Configuration = .init(), seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.init(configuration, &layers)
    }

    init(_ configuration: Configuration, _ layers: inout LayerBuilder) {
        self.configuration = configuration
        let hidden = [
            layers.width("fc1", layers.scaled(300)), layers.width("fc2", layers.scaled(100)),
        ]
        _first = Submodule("fc1", layers.linear(configuration.inputShape.reduce(1, *), hidden[0]))
        _second = Submodule("fc2", layers.linear(hidden[0], hidden[1]))
        _classifier = Submodule("fc3", layers.linear(hidden[1], configuration.classes))
    }

    /// `[images, channels, rows, columns]`, or pixels in a row `[images, pixels]`, → `[images, classes]`.
    public var steps: [ForwardStep] {
        [
            ForwardStep(first) { [self] images in
                let pixels = images.reshaped([images.shape[0], -1])
                precondition(
                    pixels.shape[1] == first.inputCount,
                    "images of shape \(images.shape) for \(first.inputCount) pixels")
                return first(pixels).relu()
            },
            ForwardStep(second) { [self] in second($0).relu() },
            ForwardStep(classifier) { [self] in classifier($0) },
        ]
    }
}

extension LeNet300.Configuration {
    public static let knownNames = ["lenet-300-100"]
    public var name: String { "lenet-300-100" }

    public init?(named name: String) {
        guard Self.knownNames.contains(name) else { return nil }
        self.init()
    }

    public init?(recognizing tensors: TensorShapes) {
        guard tensors.hasWeight("fc1", rank: 2), tensors.hasWeight("fc2", rank: 2),
            let classes = tensors.outputs("fc3"), let pixels = tensors.extent("fc1", 1),
            classes > 0, pixels > 0, !tensors.contains("conv1")
        else { return nil }
        // The image's shape is not stored: a square one, of one channel or three, else a row of pixels.
        let side = { (pixels: Int) in Int(Double(pixels).squareRoot().rounded()) }
        let channels = [1, 3].first { pixels % $0 == 0 && side(pixels / $0) * side(pixels / $0) * $0 == pixels }
        self.init(
            ClassifierOptions(
                classes: classes, inputChannels: channels ?? 1,
                imageSize: channels.map { .init(side(pixels / $0)) } ?? [1, pixels]))
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { LeNet300(self, &layers) }
}
