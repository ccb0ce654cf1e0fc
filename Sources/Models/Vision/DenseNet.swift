import CoppiceNetworks
import CoppiceTensors
import OrderedCollections

/// DenseNet with bottlenecks and compression (DenseNet-BC): every layer of a block sees the outputs of all layers before
/// it, and transitions halve channels, rows and columns between blocks (Huang et al., "Densely connected convolutional
/// networks", 2017, section 3 and table 1).
///
/// Parameter names are those of torchvision; the last normalization is `features.norm5` whatever the number of blocks.
public final class DenseNet: Module, VisionNetwork {
    public struct Configuration: VisionConfiguration {
        /// Layers of each block.
        public var layers: [Int]
        /// Channels that each layer adds, before the width multiplier.
        public var growth: Int
        /// Small: a first convolution of 3 × 3 without normalization. Large: one of 7 × 7, normalized, and a maximum, that
        /// reduce rows and columns to a quarter.
        public var scale: ImageScale
        /// After each layer.
        public var dropout = 0.0
        public var options: ClassifierOptions

        /// - Precondition: one to eight blocks of at least one layer; a growth of at least 1.
        public init(layers: [Int], growth: Int, scale: ImageScale, options: ClassifierOptions? = nil) {
            precondition(Self.arePossible(layers, growth), "a dense network of nothing")
            self.layers = layers
            self.growth = growth
            self.scale = scale
            self.options = options ?? scale.options
        }

        /// DenseNet-BC for small images: three blocks of (depth − 4) / 6 layers.
        ///
        /// - Throws: `.usage` where the depth is not 6n + 4.
        public static func cifar(depth: Int, growth: Int) throws -> Configuration {
            guard depth >= 10, depth % 6 == 4, depth <= largestCount else {
                throw CoppiceError(.usage, field: "depth", "\(depth), expected 6n + 4: 40, 100, 190, 250")
            }
            guard (1...largestCount).contains(growth) else {
                throw CoppiceError(.usage, field: "growth", "\(growth), expected at least 1")
            }
            return Configuration(
                layers: [Int](repeating: (depth - 4) / 6, count: 3), growth: growth, scale: .small)
        }

        /// DenseNet-121, 161, 169 and 201.
        static let imageNetLayers: [Int: (layers: [Int], growth: Int)] = [
            121: ([6, 12, 24, 16], 32), 161: ([6, 12, 36, 24], 48), 169: ([6, 12, 32, 32], 32),
            201: ([6, 12, 48, 32], 32),
        ]

        static func arePossible(_ layers: [Int], _ growth: Int) -> Bool {
            (1...8).contains(layers.count) && layers.allSatisfy { (1...largestCount).contains($0) }
                && layers.reduce(0, +) <= largestCount && (1...largestCount).contains(growth)
        }
    }

    public let configuration: Configuration
    @Submodule public var convolution: Conv2d
    /// Of the first convolution, for large images.
    public let firstNorm: Submodule<BatchNorm>?
    /// The layers of each block.
    public let blocks: [[Submodule<DenseLayer>]]
    private let layers: [Submodule<DenseLayer>]
    /// Before each block but the first.
    public let transitions: [Submodule<DenseTransition>]
    @Submodule public var norm: BatchNorm
    @Submodule public var classifier: Linear

    /// A network with random weights: convolutions normal by fan-in, the linear layer uniform by fan-in.
    public convenience init(_ configuration: Configuration, seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.init(configuration, &layers)
    }

    init(_ configuration: Configuration, _ layers: inout LayerBuilder) {
        self.configuration = configuration
        let growth = layers.scaled(configuration.growth)
        let isLarge = configuration.scale == .large
        var channels = layers.width("features.conv0", 2 * growth)
        _convolution = Submodule(
            "features.conv0",
            layers.convolution(
                configuration.inputChannels, channels, kernel: isLarge ? 7 : 3, stride: isLarge ? 2 : 1,
                start: .normalByFanIn))
        firstNorm = isLarge ? Submodule("features.norm0", BatchNorm(channels: channels)) : nil
        var blocks: [[Submodule<DenseLayer>]] = []
        var transitions: [Submodule<DenseTransition>] = []
        for (block, count) in configuration.layers.enumerated() {
            if block > 0 {
                let name = "features.transition\(block)"
                let outputs = layers.width("\(name).conv", max(1, channels / 2))
                transitions.append(Submodule(name, DenseTransition(channels, outputs, &layers)))
                channels = outputs
            }
            blocks.append(
                (0..<count).map { index in
                    let name = "features.denseblock\(block + 1).denselayer\(index + 1)"
                    let layer = DenseLayer(
                        name, inputs: channels, growth: growth, dropout: configuration.dropout, &layers)
                    channels += layer.outputs
                    return Submodule(name, layer)
                })
        }
        self.blocks = blocks
        self.layers = blocks.flatMap { $0 }
        self.transitions = transitions
        _norm = Submodule("features.norm5", BatchNorm(channels: channels))
        _classifier = Submodule("classifier", layers.linear(channels, configuration.classes))
    }

    /// `[images, channels, rows, columns]` → `[images, classes]`.
    ///
    /// - Precondition: the configuration's channels; ``VisionConfiguration/smallestImage`` rows and columns.
    public var steps: [ForwardStep] {
        var steps = [ForwardStep(convolution) { [self] in convolution(checked($0)) }]
        if let norm = firstNorm?.wrappedValue {
            steps.append(
                ForwardStep(norm) { norm($0, rectifies: true).maxPooled(Windows(kernel: 3, stride: 2, padding: 1)) })
        }
        for (index, block) in blocks.enumerated() {
            if index > 0 {
                let transition = transitions[index - 1].wrappedValue
                steps.append(ForwardStep(transition) { transition($0) })
            }
            steps += block.map(\.wrappedValue).map { layer in ForwardStep(layer) { layer($0) } }
        }
        return steps + [
            ForwardStep(norm, classifier) { [self] in classifier(norm($0, rectifies: true).mean(axes: [-2, -1])) }
        ]
    }
}

/// What a layer makes of all channels so far, after them.
public final class DenseLayer: Module {
    @Submodule public var firstNorm: BatchNorm
    /// 1 × 1, to four times the growth.
    @Submodule public var firstConvolution: Conv2d
    @Submodule public var secondNorm: BatchNorm
    /// 3 × 3.
    @Submodule public var secondConvolution: Conv2d
    @Submodule private var dropout: DropoutLayer

    /// Number of channels that the layer adds.
    public var outputs: Int { secondConvolution.weight.shape[0] }

    init(_ name: String, inputs: Int, growth: Int, dropout: Double, _ layers: inout LayerBuilder) {
        let inner = layers.width("\(name).conv1", 4 * growth)
        let outputs = layers.width("\(name).conv2", growth)
        _firstNorm = Submodule("norm1", BatchNorm(channels: inputs))
        _firstConvolution = Submodule(
            "conv1", layers.convolution(inputs, inner, kernel: 1, start: .normalByFanIn))
        _secondNorm = Submodule("norm2", BatchNorm(channels: inner))
        _secondConvolution = Submodule(
            "conv2", layers.convolution(inner, outputs, kernel: 3, start: .normalByFanIn))
        _dropout = Submodule("dropout", layers.dropout(dropout))
    }

    /// `[images, inputs, rows, columns]` → `[images, inputs + outputs, rows, columns]`.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        let inner = firstConvolution(firstNorm(x, rectifies: true), normalizedBy: secondNorm, rectifies: true)
        return .concatenated([x, dropout(secondConvolution(inner))], axis: 1)
    }
}

/// Between blocks: fewer channels, half the rows and columns.
public final class DenseTransition: Module {
    @Submodule public var norm: BatchNorm
    @Submodule public var convolution: Conv2d

    init(_ inputs: Int, _ outputs: Int, _ layers: inout LayerBuilder) {
        _norm = Submodule("norm", BatchNorm(channels: inputs))
        _convolution = Submodule("conv", layers.convolution(inputs, outputs, kernel: 1, start: .normalByFanIn))
    }

    /// `[images, inputs, rows, columns]` → `[images, outputs, rows / 2, columns / 2]`.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        convolution(norm(x, rectifies: true)).averagePooled(Windows(kernel: 2, stride: 2))
    }
}

extension DenseNet.Configuration {
    public static let knownNames =
        [121, 161, 169, 201].map { "densenet\($0)" } + ["densenet121-cifar", "densenet-bc-40-12", "densenet-bc-100-12"]

    /// `densenet121`, `densenet121-cifar`, `densenet-bc-100-12`; `densenet-6-12-24-k32` for other blocks or another
    /// growth.
    public var name: String {
        let suffix = scale == .small ? "-cifar" : ""
        if let usual = Self.imageNetLayers.first(where: { $0.value == (layers, growth) }) {
            return "densenet\(usual.key)\(suffix)"
        }
        if layers.count == 3, Set(layers).count == 1, scale == .small {
            return "densenet-bc-\(6 * layers[0] + 4)-\(growth)"
        }
        return "densenet-\(layers.map(String.init).joined(separator: "-"))-k\(growth)\(suffix)"
    }

    public var smallestImage: Int { (scale == .large ? 4 : 1) << (layers.count - 1) }

    public init?(named name: String) throws {
        if let match = name.wholeMatch(of: /densenet([0-9]+)(-cifar)?/) {
            guard let usual = Int(match.1).flatMap({ Self.imageNetLayers[$0] }) else {
                throw Self.refusal(name, "a depth of 121, 161, 169 or 201")
            }
            self.init(layers: usual.layers, growth: usual.growth, scale: match.2 == nil ? .large : .small)
        } else if let match = name.wholeMatch(of: /densenet-bc-([0-9]+)-([0-9]+)/) {
            guard let depth = Int(match.1), let growth = Int(match.2),
                let own = try? Self.cifar(depth: depth, growth: growth)
            else { throw Self.refusal(name, "a depth of 6n + 4 and a growth, such as densenet-bc-100-12") }
            self = own
        } else if let match = name.wholeMatch(of: /densenet-([0-9]+(?:-[0-9]+)*)-k([0-9]+)(-cifar)?/) {
            guard let layers = Self.counts(match.1), let growth = Int(match.2), Self.arePossible(layers, growth) else {
                throw Self.refusal(name, "the layers of each block and the growth, such as densenet-6-12-24-16-k32")
            }
            self.init(layers: layers, growth: growth, scale: match.3 == nil ? .large : .small)
        } else {
            return nil
        }
    }

    public init?(recognizing tensors: TensorShapes) {
        guard tensors.hasWeight("features.conv0", rank: 4), let channels = tensors.extent("features.conv0", 1),
            let classes = tensors.outputs("classifier"), min(classes, channels) > 0
        else { return nil }
        let blocks = tensors.count("features.denseblock", from: 1)
        guard (1...8).contains(blocks) else { return nil }
        let counts = (1...blocks).map { tensors.count("features.denseblock\($0).denselayer", from: 1) }
        // The growth that most layers have: some may be cut.
        var growths: [Int: Int] = [:]
        for (block, count) in counts.enumerated() where count > 0 {
            for layer in 1...count {
                let name = "features.denseblock\(block + 1).denselayer\(layer).conv2"
                if let outputs = tensors.outputs(name) { growths[outputs, default: 0] += 1 }
            }
        }
        let growth = growths.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key ?? 0
        guard Self.arePossible(counts, growth) else { return nil }
        self.init(
            layers: counts, growth: growth, scale: tensors.contains("features.norm0") ? .large : .small)
        options.classes = classes
        options.inputChannels = channels
    }

    /// `norm.1` and `conv.1` of older checkpoints are `norm1` and `conv1`.
    public static func canonicalNames(_ names: [String]) -> [String] {
        names.map { name in
            guard name.contains(".denselayer") else { return name }
            return ["norm", "conv"].reduce(name) { name, layer in
                ["1", "2"].reduce(name) { $0.replacing(".\(layer).\($1).", with: ".\(layer)\($1).") }
            }
        }
    }

    public var details: OrderedDictionary<String, JSON> { ["dropout": .number(dropout)] }

    public mutating func read(_ fields: DetailFields) throws {
        dropout = try fields.rate("dropout", default: dropout)
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { DenseNet(self, &layers) }
}
