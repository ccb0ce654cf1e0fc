import CoppiceNetworks
import CoppiceTensors
import OrderedCollections

/// An architecture of vision networks with all its choices: what a network is made from.
///
/// ```swift
/// let architecture = try VisionArchitecture(named: "resnet20", classes: 100)
/// let network = architecture.makeNetwork(seed: 1)
/// let cut = try VisionArchitecture(named: "vgg16-bn", widths: ["features.0": 40, "features.3": 51])
/// let found = try VisionArchitecture(recognizing: TensorShapes(file))
/// ```
public struct VisionArchitecture: Sendable, Hashable, CustomStringConvertible {
    /// All families. Tensors are recognized by the first that knows them.
    static let families: [any VisionConfiguration.Type] = [
        ResNet.Configuration.self, WideResNet.Configuration.self, VGG.Configuration.self, LeNet5.Configuration.self,
        LeNet300.Configuration.self, MobileNetV1.Configuration.self, MobileNetV2.Configuration.self,
        ShuffleNetV2.Configuration.self, DenseNet.Configuration.self, FastGRNN.Configuration.self,
        VisionTransformer.Configuration.self,
    ]

    /// Names of usual architectures, for lists.
    public static var knownNames: [String] { families.flatMap { $0.knownNames } }

    /// The structure, checked.
    public let configuration: any VisionConfiguration
    /// The channels that can be chosen, in the order of the network, by the layer that first makes them: what follows
    /// this layer (its normalization, the layers that read it or are added to it) has as many. In residual networks the
    /// stream of a stage counts as made by its first block.
    public let widths: OrderedDictionary<String, Int>

    /// - Throws: `.badData` naming the option that is impossible.
    public init(_ configuration: any VisionConfiguration) throws {
        self.configuration = configuration
        widths = try Self.check(configuration)
    }

    /// The architecture of a name, with its publication's options where others are nil.
    ///
    /// - Throws: `.usage` for a name that is not known, with the nearest that is; `.badData` for impossible options.
    public init(
        named name: String, classes: Int? = nil, inputChannels: Int? = nil, imageSize: Windows.Axes? = nil,
        widthMultiplier: Double? = nil, widths: [String: Int] = [:]
    ) throws {
        var own = try Self.configuration(named: name)
        own.options.classes = classes ?? own.options.classes
        own.options.inputChannels = inputChannels ?? own.options.inputChannels
        own.options.imageSize = imageSize ?? own.options.imageSize
        own.options.widthMultiplier = widthMultiplier ?? own.options.widthMultiplier
        own.options.widths = widths
        try self.init(own)
    }

    static func configuration(named name: String) throws -> any VisionConfiguration {
        let word = name.lowercased().replacing("_", with: "-")
        for family in families {
            if let own = try family.init(named: word) { return own }
        }
        throw CoppiceError(
            .usage, field: "architecture", "no \"\(name.prefix(60))\" is known\(Spelling.hint(word, knownNames))")
    }

    /// The name, with the width multiplier where it is not one.
    public var description: String {
        let multiplier = configuration.options.widthMultiplier
        return configuration.name + (multiplier == 1 ? "" : " × \(multiplier)")
    }

    public var name: String { configuration.name }
    public var classes: Int { configuration.classes }
    public var inputChannels: Int { configuration.inputChannels }
    /// The shape of one input: `[channels, rows, columns]`, or `[time, features]`.
    public var inputShape: [Int] { configuration.inputShape }

    /// A network with random weights.
    public func makeNetwork(seed: UInt64 = 0) -> any VisionNetwork {
        var layers = LayerBuilder(configuration.options, seed: seed)
        return configuration.network(&layers)
    }

    /// A network without weights, which takes no memory until some are loaded.
    func makeUnloadedNetwork() -> any VisionNetwork {
        var layers = LayerBuilder(unloaded: configuration.options)
        return configuration.network(&layers)
    }

    /// Number of trainable numbers.
    public var parameterCount: Int { makeUnloadedNetwork().parameterCount }

    public static func == (a: VisionArchitecture, b: VisionArchitecture) -> Bool {
        a.configuration.key == b.configuration.key
    }
    public func hash(into hasher: inout Hasher) { hasher.combine(configuration.key) }
}

extension VisionArchitecture {
    /// Widths, classes and pixels beyond these are refused, so that no product of them overflows.
    private static let (largestWidth, largestExtent) = (1 << 20, 1 << 14)
    static let largestMultiplier = 64.0
    /// Networks of more numbers are refused.
    private static let largestNetwork = 1 << 34

    /// - Returns: the widths of all layers.
    private static func check(_ configuration: any VisionConfiguration) throws -> OrderedDictionary<String, Int> {
        let options = configuration.options
        func require(_ field: String, _ value: Int, in range: ClosedRange<Int>) throws {
            guard range.contains(value) else {
                throw CoppiceError(
                    .badData, field: field,
                    "\(value), expected a whole number from \(range.lowerBound) to \(range.upperBound) for "
                        + configuration.name)
            }
        }
        try require("classes", options.classes, in: 1...largestWidth)
        try require("input_channels", options.inputChannels, in: 1...largestWidth)
        for extent in [options.imageSize.rows, options.imageSize.columns] {
            let least = configuration.inputShape.count == 3 ? configuration.smallestImage : 1
            try require("image_size", extent, in: least...max(largestExtent, least))
        }
        let multiplier = options.widthMultiplier
        guard multiplier > 0, multiplier <= largestMultiplier else {
            throw CoppiceError(
                .badData, field: "width_multiplier", "\(multiplier), expected a number above 0, at most 64")
        }
        for (name, width) in options.widths.sorted(by: { $0.key < $1.key }) {
            try require("widths.\(name)", width, in: 1...largestWidth)
        }
        var layers = LayerBuilder(unloaded: options)
        let network = configuration.network(&layers)
        let known = layers.widths
        if let name = options.widths.keys.sorted().first(where: { known[$0] == nil }) {
            throw CoppiceError(
                .badData, field: "widths.\(name)",
                "is no layer of \(configuration.name) that has a width of its own"
                    + Spelling.hint(name, Array(known.keys)))
        }
        try configuration.check(widths: Dictionary(uniqueKeysWithValues: known.map { ($0.key, $0.value) }))
        guard network.parameterCount <= largestNetwork else {
            throw CoppiceError(
                .badData, field: "widths", "make \(network.parameterCount) parameters, which is too many")
        }
        return known
    }
}
