import CoppiceNetworks
import CoppiceTensors
import OrderedCollections

/// VGG with batch normalization: five stages of convolutions of 3 × 3, each stage ending in a maximum over 2 × 2
/// (Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015, table 1). With
/// a depth of 9 it is the first three stages with two convolutions each, those of Conv-6 (Frankle and Carbin, "The
/// lottery ticket hypothesis", 2019, figure 2).
///
/// Parameter names are those of torchvision: `features.0` the first convolution, `features.1` its normalization, and so
/// on with rectifiers and maxima counted. With one linear layer it is `classifier`.
public final class VGG: Module, VisionNetwork {
    public struct Configuration: VisionConfiguration {
        /// Layers that are counted as the depth: 9, 11, 13, 16 or 19 with three fully connected ones.
        public var depth: Int
        /// Small: the mean over the image and one linear layer. Large: 7 × 7 means and three layers.
        public var scale: ImageScale
        /// Whether convolutions have a bias, although a normalization follows.
        public var hasBias: Bool
        /// Of the hidden layers of the classifier.
        public var dropout = 0.5
        public var options: ClassifierOptions

        /// - Precondition: a depth of 9, 11, 13, 16 or 19.
        public init(depth: Int, scale: ImageScale = .small, hasBias: Bool? = nil, options: ClassifierOptions? = nil) {
            precondition(Self.convolutions[depth] != nil, "VGG of depth \(depth)")
            self.depth = depth
            self.scale = scale
            self.hasBias = hasBias ?? (scale == .large)
            self.options = options ?? scale.options
        }

        /// Convolutions of each stage.
        static let convolutions = [
            9: [2, 2, 2], 11: [1, 1, 2, 2, 2], 13: [2, 2, 2, 2, 2], 16: [2, 2, 3, 3, 3], 19: [2, 2, 4, 4, 4],
        ]

        /// The place of each stage's convolutions among `features`.
        var places: [[Int]] {
            var next = 0
            return (Self.convolutions[depth] ?? []).map { count in
                defer { next += 3 * count + 1 }
                return (0..<count).map { next + 3 * $0 }
            }
        }
    }

    public let configuration: Configuration
    /// The units of each stage.
    public let stages: [[Submodule<ConvolutionUnit>]]
    private let units: [Submodule<ConvolutionUnit>]
    /// One layer, or three.
    public let classifier: [Submodule<Linear>]
    @Submodule private var dropout: DropoutLayer

    /// A network with random weights: convolutions normal by fan-out; one linear layer uniform by fan-in, three normal
    /// with a deviation of 0.01.
    public convenience init(_ configuration: Configuration, seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.init(configuration, &layers)
    }

    init(_ configuration: Configuration, _ layers: inout LayerBuilder) {
        self.configuration = configuration
        var channels = configuration.inputChannels
        stages = zip(configuration.places, [64, 128, 256, 512, 512]).map { places, width in
            places.map { place in
                let names = ("features.\(place)", "features.\(place + 1)")
                let (inputs, outputs) = (channels, layers.width(names.0, layers.scaled(width)))
                channels = outputs
                return Submodule("", layers.unit(names, inputs, outputs, kernel: 3, hasBias: configuration.hasBias))
            }
        }
        units = stages.flatMap { $0 }
        if configuration.scale == .small {
            classifier = [Submodule("classifier", layers.linear(channels, configuration.classes))]
        } else {
            var inputs = channels * 49
            classifier =
                ["classifier.0", "classifier.3"].map { name in
                    let neurons = layers.width(name, layers.scaled(4096))
                    defer { inputs = neurons }
                    return Submodule(name, layers.linear(inputs, neurons, start: .normal(0.01)))
                } + [Submodule("classifier.6", layers.linear(inputs, configuration.classes, start: .normal(0.01)))]
        }
        _dropout = Submodule("dropout", layers.dropout(configuration.dropout))
    }

    /// `[images, channels, rows, columns]` → `[images, classes]`.
    ///
    /// - Precondition: the configuration's channels; at least 32 rows and columns.
    public var steps: [ForwardStep] {
        var steps = [ForwardStep { [self] in checked($0) }]
        for stage in stages {
            steps += stage.map(\.wrappedValue).map { unit in ForwardStep(unit) { unit($0) } }
            steps.append(ForwardStep { $0.maxPooled(Windows(kernel: 2, stride: 2)).laidOutForConvolutions() })
        }
        let last = classifier[classifier.count - 1].wrappedValue
        if configuration.scale == .small { return steps + [ForwardStep(last) { last($0.mean(axes: [-2, -1])) }] }
        steps.append(ForwardStep { $0.adaptiveAveragePooled(to: 7).reshaped([$0.shape[0], -1]) })
        steps += classifier.dropLast().map(\.wrappedValue).map { hidden in
            ForwardStep(hidden) { [self] in dropout(hidden($0).relu()) }
        }
        return steps + [ForwardStep(last) { last($0) }]
    }
}

extension VGG.Configuration {
    public static let knownNames =
        ["vgg9-bn"] + [11, 13, 16, 19].flatMap { ["vgg\($0)-bn", "vgg\($0)-bn-imagenet"] }
    public var name: String { "vgg\(depth)-bn" + (scale == .large ? "-imagenet" : "") }
    public var smallestImage: Int { 32 }

    public init?(named name: String) throws {
        guard let match = name.wholeMatch(of: /vgg([0-9]+)-bn(-imagenet)?/) else { return nil }
        guard let depth = Int(match.1), Self.convolutions[depth] != nil else {
            throw Self.refusal(name, "a depth of 9, 11, 13, 16 or 19")
        }
        self.init(depth: depth, scale: match.2 == nil ? .small : .large)
    }

    public init?(recognizing tensors: TensorShapes) {
        guard tensors.hasWeight("features.0", rank: 4), tensors["features.1.running_mean"] != nil,
            let channels = tensors.extent("features.0", 1)
        else { return nil }
        let count = (0..<64).count { tensors.hasWeight("features.\($0)", rank: 4) }
        let scale: ImageScale = tensors.contains("classifier.0") ? .large : .small
        guard let depth = Self.convolutions.first(where: { $0.value.reduce(0, +) == count })?.key,
            let classes = tensors.outputs(scale == .large ? "classifier.6" : "classifier"), min(classes, channels) > 0
        else { return nil }
        var options = scale.options
        options.classes = classes
        options.inputChannels = channels
        self.init(depth: depth, scale: scale, hasBias: tensors["features.0.bias"] != nil, options: options)
    }

    public static func canonicalNames(_ names: [String]) -> [String] {
        names.map { $0.hasPrefix("feature.") ? "features." + $0.dropFirst(8) : $0 }
    }

    public var details: OrderedDictionary<String, JSON> {
        ["convolution_bias": .bool(hasBias), "dropout": .number(dropout)]
    }

    public mutating func read(_ fields: DetailFields) throws {
        hasBias = try fields.flag("convolution_bias", default: hasBias)
        dropout = try fields.rate("dropout", default: dropout)
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { VGG(self, &layers) }
}
