import CoppiceNetworks
import CoppiceTensors
import OrderedCollections

/// MobileNetV2: inverted residual blocks, which widen, filter each channel alone and narrow again without a rectifier
/// (Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018, tables 1 and 2).
///
/// Parameter names are those of torchvision.
public final class MobileNetV2: Module, VisionNetwork {
    public struct Configuration: VisionConfiguration {
        /// Small: neither the first convolution nor the second group of blocks reduces anything.
        public var scale: ImageScale
        /// Before the linear layer.
        public var dropout = 0.2
        public var options: ClassifierOptions

        public init(scale: ImageScale = .large, options: ClassifierOptions? = nil) {
            self.scale = scale
            self.options = options ?? scale.options
        }

        /// Groups of blocks (table 2): t, c, n, s.
        static let groups: [(expansion: Int, channels: Int, blocks: Int, stride: Int)] = [
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        ]
    }

    public let configuration: Configuration
    @Submodule public var stem: ConvolutionUnit
    public let blocks: [Submodule<InvertedResidual>]
    /// 1 × 1, before the mean.
    @Submodule public var head: ConvolutionUnit
    @Submodule private var dropout: DropoutLayer
    @Submodule public var classifier: Linear

    /// A network with random weights: convolutions normal by fan-out, the linear layer normal with a deviation of 0.01.
    public convenience init(_ configuration: Configuration = .init(), seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.init(configuration, &layers)
    }

    init(_ configuration: Configuration, _ layers: inout LayerBuilder) {
        self.configuration = configuration
        var standard = layers.scaledToEights(32)
        var channels = layers.width("features.0.0", standard)
        let isLarge = configuration.scale == .large
        _stem = Submodule(
            "features.0",
            layers.unit(
                ("0", "1"), configuration.inputChannels, channels, kernel: 3, stride: isLarge ? 2 : 1,
                rectifier: .limited))
        var blocks: [Submodule<InvertedResidual>] = []
        for (index, group) in Configuration.groups.enumerated() {
            let next = layers.scaledToEights(group.channels)
            let stride = index == 1 && !isLarge ? 1 : group.stride
            // A first block of the standard's input width adds its input as the others of its group do.
            let addsFirst = stride == 1 && standard == next
            var stream = channels
            for block in 0..<group.blocks {
                let name = "features.\(blocks.count + 1)"
                let narrow = "\(name).conv.\(group.expansion == 1 ? 1 : 2)"
                let adds = block > 0 || addsFirst
                let outputs = adds ? stream : layers.width(narrow, next)
                blocks.append(
                    Submodule(
                        "\(name).conv",
                        InvertedResidual(
                            "\(name).conv", inputs: stream, standardInputs: block == 0 ? standard : next,
                            outputs: outputs, expansion: group.expansion, stride: block == 0 ? stride : 1, adds: adds,
                            &layers)))
                stream = outputs
            }
            channels = stream
            standard = next
        }
        self.blocks = blocks
        // Narrow networks keep the last convolution's width.
        let last = layers.width("features.18.0", max(1280, layers.scaledToEights(1280)))
        _head = Submodule("features.18", layers.unit(("0", "1"), channels, last, kernel: 1, rectifier: .limited))
        _dropout = Submodule("classifier.0", layers.dropout(configuration.dropout))
        _classifier = Submodule("classifier.1", layers.linear(last, configuration.classes, start: .normal(0.01)))
    }

    /// `[images, channels, rows, columns]` → `[images, classes]`.
    public var steps: [ForwardStep] {
        [ForwardStep(stem) { [self] in stem(checked($0)) }]
            + blocks.map(\.wrappedValue).map { block in ForwardStep(block) { block($0) } }
            + [
                ForwardStep(head) { [self] in head($0) },
                ForwardStep(classifier) { [self] in classifier(dropout($0.mean(axes: [-2, -1]))) },
            ]
    }
}

/// A convolution across channels to more of them, one of each channel alone, one across channels to fewer of them.
public final class InvertedResidual: Module {
    /// Nil where the block widens nothing.
    public let widening: Submodule<ConvolutionUnit>?
    @Submodule public var depthwise: ConvolutionUnit
    @Submodule public var narrowing: ConvolutionUnit
    private let adds: Bool

    /// - Parameter standardInputs: the inputs that the expansion multiplies in the paper.
    init(
        _ name: String, inputs: Int, standardInputs: Int, outputs: Int, expansion: Int, stride: Int, adds: Bool,
        _ layers: inout LayerBuilder
    ) {
        self.adds = adds
        let widens = expansion != 1
        let inner = widens ? layers.width("\(name).0.0", standardInputs * expansion) : inputs
        widening =
            widens ? Submodule("0", layers.unit(("0", "1"), inputs, inner, kernel: 1, rectifier: .limited)) : nil
        _depthwise = Submodule(
            widens ? "1" : "0",
            layers.unit(("0", "1"), inner, inner, kernel: 3, stride: stride, groups: inner, rectifier: .limited))
        _narrowing = Submodule(
            "", layers.unit(widens ? ("2", "3") : ("1", "2"), inner, outputs, kernel: 1, rectifier: .none))
    }

    /// `[images, inputs, rows, columns]` → `[images, outputs, rows / stride, columns / stride]`, rounded up.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        narrowing(depthwise(widening.map { $0.wrappedValue(x) } ?? x), adding: adds ? x : nil)
    }
}

extension MobileNetV2.Configuration {
    public static let knownNames = ["mobilenet-v2", "mobilenet-v2-cifar"]
    public var name: String { scale == .large ? "mobilenet-v2" : "mobilenet-v2-cifar" }

    public init?(named name: String) {
        guard let place = Self.knownNames.firstIndex(of: name) else { return nil }
        self.init(scale: place == 0 ? .large : .small)
    }

    public init?(recognizing tensors: TensorShapes) {
        guard tensors.hasWeight("features.0.0", rank: 4), tensors.hasWeight("features.1.conv.0.0", rank: 4),
            let channels = tensors.extent("features.0.0", 1), let classes = tensors.outputs("classifier.1"),
            min(classes, channels) > 0
        else { return nil }
        self.init()
        options.classes = classes
        options.inputChannels = channels
    }

    public var details: OrderedDictionary<String, JSON> { ["dropout": .number(dropout)] }

    public mutating func read(_ fields: DetailFields) throws {
        dropout = try fields.rate("dropout", default: dropout)
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { MobileNetV2(self, &layers) }
}
