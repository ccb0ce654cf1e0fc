import CoppiceNetworks
import CoppiceTensors

/// ShuffleNetV2: units that pass half of the channels on and convolve the other half, then shuffle both (Ma et al.,
/// "ShuffleNet V2: practical guidelines for efficient CNN architecture design", 2018, figure 3 and table 5).
///
/// Parameter names are those of torchvision.
public final class ShuffleNetV2: Module, VisionNetwork {
    public struct Configuration: VisionConfiguration {
        /// The paper's complexity: channels of the stages and of the last convolution.
        public enum Complexity: String, Sendable, Hashable, CaseIterable {
            case half = "0.5"
            case one = "1.0"
            case oneAndHalf = "1.5"
            case two = "2.0"

            /// Stages 2, 3 and 4, and the last convolution.
            var channels: (stages: [Int], last: Int) {
                switch self {
                case .half: ([48, 96, 192], 1024)
                case .one: ([116, 232, 464], 1024)
                case .oneAndHalf: ([176, 352, 704], 1024)
                case .two: ([244, 488, 976], 2048)
                }
            }
        }

        public var complexity: Complexity
        /// Units of the three stages.
        static let units = [4, 8, 4]
        /// Small: the first convolution and the maximum after it reduce nothing.
        public var scale: ImageScale
        public var options: ClassifierOptions

        public init(_ complexity: Complexity = .one, scale: ImageScale = .large, options: ClassifierOptions? = nil) {
            self.complexity = complexity
            self.scale = scale
            self.options = options ?? scale.options
        }
    }

    public let configuration: Configuration
    @Submodule public var stem: ConvolutionUnit
    /// `stage2`, `stage3`, `stage4`.
    public let stages: [Submodule<[ShuffleUnit]>]
    @Submodule public var head: ConvolutionUnit
    @Submodule public var classifier: Linear

    /// A network with random weights, uniform by fan-in.
    public convenience init(_ configuration: Configuration = .init(), seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.init(configuration, &layers)
    }

    init(_ configuration: Configuration, _ layers: inout LayerBuilder) {
        self.configuration = configuration
        let published = configuration.complexity.channels
        var channels = layers.width("conv1.0", layers.scaled(24))
        _stem = Submodule(
            "conv1",
            layers.unit(
                ("0", "1"), configuration.inputChannels, channels, kernel: 3,
                stride: configuration.scale == .large ? 2 : 1, start: .uniform))
        stages = zip(published.stages, Configuration.units).enumerated().map { stage, size in
            let name = "stage\(stage + 2)"
            let standard = max(1, layers.scaled(size.0) / 2)
            let half = layers.width("\(name).0.branch2.5", standard)
            let units = (0..<size.1).map { index in
                ShuffleUnit(
                    "\(name).\(index)", inputs: index == 0 ? channels : half, inner: standard, half: half,
                    reduces: index == 0, &layers)
            }
            channels = 2 * half
            return Submodule(name, units)
        }
        let last = layers.width("conv5.0", layers.scaled(published.last))
        _head = Submodule("conv5", layers.unit(("0", "1"), channels, last, kernel: 1, start: .uniform))
        _classifier = Submodule("fc", layers.linear(last, configuration.classes))
    }

    /// `[images, channels, rows, columns]` → `[images, classes]`.
    public var steps: [ForwardStep] {
        let first = ForwardStep(stem) { [self] images in
            let x = stem(checked(images))
            return configuration.scale == .large
                ? x.maxPooled(Windows(kernel: 3, stride: 2, padding: 1)).laidOutForConvolutions() : x
        }
        let units = stages.flatMap(\.wrappedValue).map { unit in ForwardStep(unit) { unit($0) } }
        return [first] + units + [
            ForwardStep(head) { [self] in head($0) },
            ForwardStep(classifier) { [self] in classifier($0.mean(axes: [-2, -1])) },
        ]
    }
}

/// One half of the channels as it is (or, where the unit reduces, all of them filtered each alone and mixed), the other
/// through three convolutions, and both shuffled.
public final class ShuffleUnit: Module {
    /// Where the unit reduces: depthwise (`branch1.0`) and pointwise (`branch1.2`).
    public let passing: [Submodule<ConvolutionUnit>]
    /// Pointwise (`branch2.0`), depthwise (`branch2.3`), pointwise (`branch2.5`).
    public let working: [Submodule<ConvolutionUnit>]
    private let half: Int

    init(
        _ name: String, inputs: Int, inner standard: Int, half: Int, reduces: Bool, _ layers: inout LayerBuilder
    ) {
        self.half = half
        let stride = reduces ? 2 : 1
        let inner = layers.width("\(name).branch2.0", standard)
        func unit(
            _ branch: String, _ place: Int, _ inputs: Int, _ outputs: Int, isDepthwise: Bool = false
        ) -> Submodule<ConvolutionUnit> {
            Submodule(
                branch,
                layers.unit(
                    ("\(place)", "\(place + 1)"), inputs, outputs, kernel: isDepthwise ? 3 : 1,
                    stride: isDepthwise ? stride : 1, groups: isDepthwise ? inputs : 1,
                    rectifier: isDepthwise ? .none : .plain, start: .uniform))
        }
        passing =
            reduces
            ? [unit("branch1", 0, inputs, inputs, isDepthwise: true), unit("branch1", 2, inputs, half)] : []
        working = [
            unit("branch2", 0, inputs, inner), unit("branch2", 3, inner, inner, isDepthwise: true),
            unit("branch2", 5, inner, half),
        ]
    }

    /// `[images, channels, rows, columns]` → `[images, 2 half, rows / stride, columns / stride]`, rounded up.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        let reduces = !passing.isEmpty
        let kept = reduces ? x : x.slice(axis: 1, 0..<half)
        let worked = reduces ? x : x.slice(axis: 1, half..<2 * half)
        let first = passing.reduce(kept) { $1.wrappedValue($0) }
        let second = working.reduce(worked) { $1.wrappedValue($0) }
        // Channels alternate between the halves.
        let shape = second.shape
        return Tensor.stacked([first, second], axis: 2).reshaped([shape[0], 2 * half, shape[2], shape[3]])
            .laidOutForConvolutions()
    }
}

extension ShuffleNetV2.Configuration {
    public static let knownNames =
        Complexity.allCases.map { "shufflenet-v2-\($0.rawValue)" } + ["shufflenet-v2-1.0-cifar"]
    public var name: String { "shufflenet-v2-\(complexity.rawValue)" + (scale == .large ? "" : "-cifar") }

    /// `shufflenet-v2` is the one of complexity 1.
    public init?(named name: String) throws {
        guard let match = name.wholeMatch(of: /shufflenet-v2(?:-([0-9.]+))?(-cifar)?/) else { return nil }
        guard let complexity = Complexity(rawValue: match.1.map(String.init) ?? "1.0") else {
            throw Self.refusal(name, "a complexity of 0.5, 1.0, 1.5 or 2.0")
        }
        self.init(complexity, scale: match.2 == nil ? .large : .small)
    }

    public init?(recognizing tensors: TensorShapes) {
        guard tensors.hasWeight("conv1.0", rank: 4), let half = tensors.outputs("stage2.0.branch2.5"),
            let channels = tensors.extent("conv1.0", 1), let classes = tensors.outputs("fc"), min(classes, channels) > 0
        else { return nil }
        let nearest = Complexity.allCases.min {
            abs($0.channels.stages[0] - 2 * half) < abs($1.channels.stages[0] - 2 * half)
        }
        self.init(nearest ?? .one)
        guard (2...4).map({ tensors.count("stage\($0).") }) == Self.units else { return nil }
        options.classes = classes
        options.inputChannels = channels
    }

    public func keptStarts(from old: [String: Int], to new: [String: Int]) throws -> [String: Int] {
        guard old != new else { return [:] }
        throw CoppiceError(
            .badData, field: "widths",
            "of \(name): shuffled channels are coupled across units, so no neighbouring ones can stay alone")
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { ShuffleNetV2(self, &layers) }
}
