import CoppiceNetworks
import CoppiceTensors

/// A residual network (He et al., "Deep residual learning for image recognition", 2016): a convolution, stages of blocks,
/// each stage with half the rows and columns and twice the channels of the one before, the mean over the image, one
/// linear layer.
///
/// ```swift
/// let small = try ResNet(.cifar(depth: 20))
/// let scores = small(images)                       // [images, 3, 32, 32] → [images, 10]
/// let large = try ResNet(.imageNet(depth: 50))     // [images, 3, 224, 224] → [images, 1000]
/// ```
///
/// Parameter names are those of torchvision's residual networks.
public final class ResNet: Module, VisionNetwork {
    /// What a block adds where its output is smaller than its input.
    public enum Shortcut: String, Sendable, Hashable, CaseIterable {
        /// Every second row and column, with zero channels before and after (option A): no parameters.
        case padded
        /// A convolution of 1 × 1 and a batch normalization (option B), `downsample.0` and `downsample.1`.
        case projected
    }

    /// What the stages are made of.
    public enum Block: Sendable, Hashable, CaseIterable {
        /// Two convolutions of 3 × 3.
        case basic
        /// One of 1 × 1 to a quarter of the channels, one of 3 × 3, one of 1 × 1 to all channels.
        case bottleneck

        /// Channels at a block's end for one inside it.
        var expansion: Int { self == .basic ? 1 : 4 }
    }

    public struct Configuration: VisionConfiguration {
        /// Blocks of each stage. The first stage may have none where its blocks change nothing's shape; a network whose
        /// blocks were removed has fewer.
        public var blocks: [Int]
        public var block: Block
        /// Channels inside the blocks of the first stage, before the width multiplier.
        public var baseWidth: Int
        public var shortcut: Shortcut
        public var scale: ImageScale
        public var options: ClassifierOptions

        /// - Precondition: a first stage, if it is empty, of basic blocks; others of at least one block.
        public init(
            blocks: [Int], block: Block = .basic, baseWidth: Int, shortcut: Shortcut, scale: ImageScale,
            options: ClassifierOptions
        ) {
            precondition(Self.arePossible(blocks, block) && baseWidth >= 1, "a residual network of nothing")
            self.blocks = blocks
            self.block = block
            self.baseWidth = baseWidth
            self.shortcut = shortcut
            self.scale = scale
            self.options = options
        }

        /// Three stages of equally many blocks, for small images (section 4.2 of the paper).
        ///
        /// - Parameter width: channels of the first stage.
        /// - Precondition: numbers are at least 1; an even width for padded shortcuts.
        public init(
            blocks: Int, width: Int = 16, inputChannels: Int = 3, classes: Int = 10, shortcut: Shortcut = .padded
        ) {
            precondition(min(blocks, width, inputChannels, classes) >= 1, "a residual network of nothing")
            precondition(shortcut == .projected || width % 2 == 0, "padded shortcuts need an even width, not \(width)")
            var options = ClassifierOptions.cifar
            options.classes = classes
            options.inputChannels = inputChannels
            options.widthMultiplier = Double(width) / 16
            self.init(
                blocks: [blocks, blocks, blocks], baseWidth: 16, shortcut: shortcut, scale: .small, options: options)
        }

        /// The layers that are counted as the depth: the convolutions of the blocks, the first one, the linear layer.
        public var depth: Int { blocks.reduce(0, +) * (block == .basic ? 2 : 3) + 2 }

        /// ResNet-20, 32, 44, 56, 110… for CIFAR.
        ///
        /// - Throws: `.usage` where the depth is not 6n + 2.
        public static func cifar(
            depth: Int, classes: Int = 10, shortcut: Shortcut = .padded
        ) throws -> Configuration {
            guard depth >= 8, depth % 6 == 2, depth <= largestCount else {
                throw CoppiceError(
                    .usage, field: "depth", "\(depth), expected 6n + 2: 20, 32, 44, 56, 110 for n = 3, 5, 7, 9, 18")
            }
            return Configuration(blocks: (depth - 2) / 6, classes: classes, shortcut: shortcut)
        }

        /// Blocks of the four stages of ResNet-18, 34, 50, 101 and 152 (table 1 of the paper).
        static let imageNetBlocks: [Int: (counts: [Int], block: Block)] = [
            18: ([2, 2, 2, 2], .basic), 34: ([3, 4, 6, 3], .basic), 50: ([3, 4, 6, 3], .bottleneck),
            101: ([3, 4, 23, 3], .bottleneck), 152: ([3, 8, 36, 3], .bottleneck),
        ]

        /// ResNet-18, 34, 50, 101 or 152.
        ///
        /// - Parameter scale: `.small` for the variant that small images are classified with: a first convolution of
        ///   3 × 3 that reduces nothing, and no maximum.
        /// - Throws: `.usage` for another depth.
        public static func imageNet(
            depth: Int, classes: Int? = nil, scale: ImageScale = .large
        ) throws -> Configuration {
            guard let (counts, block) = imageNetBlocks[depth] else {
                throw CoppiceError(.usage, field: "depth", "\(depth), expected 18, 34, 50, 101 or 152")
            }
            var options = scale.options
            options.classes = classes ?? options.classes
            return Configuration(
                blocks: counts, block: block, baseWidth: 64, shortcut: .projected, scale: scale, options: options)
        }

        static func arePossible(_ blocks: [Int], _ block: Block) -> Bool {
            (1...8).contains(blocks.count) && blocks.allSatisfy { (0...largestCount).contains($0) }
                && blocks.dropFirst(block == .basic ? 1 : 0).allSatisfy { $0 > 0 } && blocks.reduce(0, +) > 0
        }
    }

    public let configuration: Configuration
    /// `conv1` and `bn1`.
    @Submodule public var stem: ConvolutionUnit
    /// `layer1`, `layer2`…
    public let stages: [Submodule<[ResidualBlock]>]
    @Submodule public var classifier: Linear

    /// A network with random weights: normal by fan-out for convolutions (He et al., "Delving deep into rectifiers",
    /// 2015), uniform by fan-in for the linear layer, norms of ones, shifts of zeros.
    public convenience init(_ configuration: Configuration, seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.init(configuration, &layers)
    }

    init(_ configuration: Configuration, _ layers: inout LayerBuilder) {
        self.configuration = configuration
        let (block, base) = (configuration.block, layers.scaled(configuration.baseWidth))
        var channels = layers.width("conv1", base)
        let isLarge = configuration.scale == .large
        _stem = Submodule(
            "",
            layers.unit(
                ("conv1", "bn1"), configuration.inputChannels, channels, kernel: isLarge ? 7 : 3,
                stride: isLarge ? 2 : 1))
        stages = configuration.blocks.enumerated().map { stage, count in
            let inner = base << stage
            // The stream of channels that the blocks add to; the first stage's may be the stem's.
            let flows = stage == 0 && block == .basic
            let stream =
                flows || count == 0
                ? channels
                : layers.width("layer\(stage + 1).0.conv\(block == .basic ? 2 : 3)", inner * block.expansion)
            let blocks = (0..<count).map { index in
                let changes = index == 0 && !flows
                return ResidualBlock(
                    "layer\(stage + 1).\(index)", block, inputs: index == 0 ? channels : stream, inner: inner,
                    outputs: stream, stride: index == 0 && stage > 0 ? 2 : 1,
                    shortcut: changes ? configuration.shortcut : nil, &layers)
            }
            channels = stream
            return Submodule("layer\(stage + 1)", blocks)
        }
        _classifier = Submodule("fc", layers.linear(channels, configuration.classes))
    }

    /// `[images, channels, rows, columns]` → `[images, classes]`.
    ///
    /// - Precondition: the configuration's input channels; at least one row and column.
    public var steps: [ForwardStep] {
        let first = ForwardStep(stem) { [self] images in
            let x = stem(checked(images))
            return configuration.scale == .large
                ? x.maxPooled(Windows(kernel: 3, stride: 2, padding: 1)).laidOutForConvolutions() : x
        }
        let blocks = stages.flatMap(\.wrappedValue).map { block in ForwardStep(block) { block($0) } }
        return [first] + blocks + [ForwardStep(classifier) { [self] in classifier($0.mean(axes: [-2, -1])) }]
    }
}

/// Two or three normalized convolutions, all but the last rectified, and the input added before the last rectifier.
public final class ResidualBlock: Module, GateableBlock {
    /// `conv1` and `bn1`, `conv2` and `bn2`…
    public let units: [Submodule<ConvolutionUnit>]
    /// `downsample.0` and `downsample.1`.
    public let projection: Submodule<ConvolutionUnit>?
    private let stride: Int
    public var gate: (any BlockGate)?

    /// - Parameter shortcut: nil where the input is added as it is.
    init(
        _ name: String, _ block: ResNet.Block, inputs: Int, inner: Int, outputs: Int, stride: Int,
        shortcut: ResNet.Shortcut?, _ layers: inout LayerBuilder
    ) {
        self.stride = stride
        func unit(_ number: Int, _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int = 1) -> Submodule<
            ConvolutionUnit
        > {
            Submodule(
                "", layers.unit(("conv\(number)", "bn\(number)"), inputs, outputs, kernel: kernel, stride: stride))
        }
        let first = layers.width("\(name).conv1", inner)
        switch block {
        case .basic:
            units = [unit(1, inputs, first, kernel: 3, stride: stride), unit(2, first, outputs, kernel: 3)]
        case .bottleneck:
            // The stride is in the second convolution, as in torchvision.
            let second = layers.width("\(name).conv2", inner)
            units = [
                unit(1, inputs, first, kernel: 1), unit(2, first, second, kernel: 3, stride: stride),
                unit(3, second, outputs, kernel: 1),
            ]
        }
        projection =
            shortcut == .projected
            ? Submodule(
                "downsample",
                layers.unit(("0", "1"), inputs, outputs, kernel: 1, stride: stride, rectifier: .none)) : nil
    }

    /// `[images, inputs, rows, columns]` → `[images, outputs, rows / stride, columns / stride]`, rounded up.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        let last = units[units.count - 1].wrappedValue
        let shortcut = projection.map { $0.wrappedValue(x) } ?? padded(x, to: last.outputs)
        switch gate?.factors(x) ?? .open {
        case .open: return last(inner(x), adding: shortcut)
        case .closed: return shortcut.relu()
        case .branches(let factors):
            guard let gate, gate.isLazy else { return last(inner(x), times: factors, adding: shortcut) }
            let branch = gate.multiplied(factors, x) { last.normalized(inner($0)) }
            return (branch.map { $0 + shortcut } ?? shortcut).relu()
        case .channels(let factors): return last(inner(x, factors), adding: shortcut)
        }
    }

    public var inputChannels: Int { units[0].wrappedValue.convolution.weight.shape[1] }
    public var middleChannels: Int { units[0].wrappedValue.outputs }

    /// What the last convolution sees.
    private func inner(_ x: Tensor, _ factors: Tensor? = nil) -> Tensor {
        var inner = units[0].wrappedValue(x, times: factors)
        for unit in units.dropFirst().dropLast() { inner = unit.wrappedValue(inner) }
        return inner
    }

    /// Option A of He et al.
    private func padded(_ x: Tensor, to channels: Int) -> Tensor {
        let missing = channels - x.shape[1]
        if stride == 1, missing == 0 { return x }
        let seen = x.slice(
            x.shape.enumerated().map { axis, extent in
                axis < 2
                    ? AxisSlice(0..<extent) : AxisSlice(start: 0, count: (extent + stride - 1) / stride, step: stride)
            })
        return seen.padded([(0, 0), (missing / 2, missing - missing / 2), (0, 0), (0, 0)])
    }
}
