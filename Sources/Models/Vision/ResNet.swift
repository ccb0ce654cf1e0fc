import CoppiceNetworks
import CoppiceTensors

/// A residual network for small images (He et al., "Deep residual learning for image recognition", 2016, section 4.2):
/// one convolution, three stages of equally many blocks of two, each stage with half the rows and columns and twice the
/// channels of the one before, the mean over the image, one linear layer.
///
/// ```swift
/// let network = try ResNet(.cifar(depth: 20))
/// let scores = network(images)          // [images, 3, 32, 32] → [images, 10]
/// ```
///
/// Parameter names are those of torchvision's residual networks.
public final class ResNet: Module {
    /// What a block adds where its output is smaller than its input.
    public enum Shortcut: String, Sendable, Hashable, CaseIterable {
        /// Every second row and column, with zero channels before and after (option A): no parameters.
        case padded
        /// A convolution of 1 × 1 and a batch normalization (option B), `downsample.0` and `downsample.1`.
        case projected
    }

    public struct Configuration: Sendable, Hashable {
        /// Blocks of each stage.
        public var blocks: Int
        /// Channels of the first stage.
        public var width: Int
        public var inputChannels: Int
        public var classes: Int
        public var shortcut: Shortcut

        /// The layers that are counted as the depth: 6 · blocks + 2.
        public var depth: Int { 6 * blocks + 2 }

        /// - Precondition: numbers are at least 1; an even width for padded shortcuts.
        public init(
            blocks: Int, width: Int = 16, inputChannels: Int = 3, classes: Int = 10, shortcut: Shortcut = .padded
        ) {
            precondition(min(blocks, width, inputChannels, classes) >= 1, "a residual network of nothing")
            precondition(shortcut == .projected || width % 2 == 0, "padded shortcuts need an even width, not \(width)")
            self.blocks = blocks
            self.width = width
            self.inputChannels = inputChannels
            self.classes = classes
            self.shortcut = shortcut
        }

        /// ResNet-20, 32, 44, 56, 110… for CIFAR.
        ///
        /// - Throws: `.usage` where the depth is not 6n + 2.
        public static func cifar(
            depth: Int, classes: Int = 10, shortcut: Shortcut = .padded
        ) throws -> Configuration {
            guard depth >= 8, depth % 6 == 2 else {
                throw CoppiceError(
                    .usage, field: "depth", "\(depth), expected 6n + 2: 20, 32, 44, 56, 110 for n = 3, 5, 7, 9, 18")
            }
            return Configuration(blocks: (depth - 2) / 6, classes: classes, shortcut: shortcut)
        }
    }

    public let configuration: Configuration
    @Submodule public var convolution: Conv2d
    @Submodule public var norm: BatchNorm
    @Submodule public var firstStage: [ResidualBlock]
    @Submodule public var secondStage: [ResidualBlock]
    @Submodule public var thirdStage: [ResidualBlock]
    @Submodule public var classifier: Linear

    /// A network with random weights: normal by fan-out for convolutions (He et al., "Delving deep into rectifiers",
    /// 2015), uniform by fan-in for the linear layer, norms of ones, shifts of zeros.
    public init(_ configuration: Configuration, seed: UInt64 = 0) {
        var generator = RandomGenerator(seed: seed)
        self.configuration = configuration
        let width = configuration.width
        func stage(_ inputs: Int, _ outputs: Int, stride: Int) -> [ResidualBlock] {
            (0..<configuration.blocks).map { index in
                ResidualBlock(
                    inputs: index == 0 ? inputs : outputs, outputs: outputs, stride: index == 0 ? stride : 1,
                    shortcut: configuration.shortcut, using: &generator)
            }
        }
        _convolution = Submodule(
            "conv1", .randomized(configuration.inputChannels, width, kernel: 3, stride: 1, using: &generator))
        _norm = Submodule("bn1", BatchNorm(channels: width))
        _firstStage = Submodule("layer1", stage(width, width, stride: 1))
        _secondStage = Submodule("layer2", stage(width, 2 * width, stride: 2))
        _thirdStage = Submodule("layer3", stage(2 * width, 4 * width, stride: 2))
        let bound = 1 / Double(4 * width).squareRoot()
        let weight = Tensor.uniform(
            [configuration.classes, 4 * width], low: -bound, high: bound, using: &generator)
        let bias = Tensor.uniform([configuration.classes], low: -bound, high: bound, using: &generator)
        _classifier = Submodule("fc", Linear(weight: weight, bias: bias))
    }

    /// Scores of classes: `[images, channels, rows, columns]` → `[images, classes]`.
    ///
    /// - Precondition: the configuration's input channels; at least one row and column.
    public func callAsFunction(_ images: Tensor) -> Tensor {
        precondition(
            images.rank == 4 && images.shape[1] == configuration.inputChannels,
            "images of shape \(images.shape) for \(configuration.inputChannels) channels")
        // The convolutions and what is between them are fastest with channels last.
        var x = norm(convolution(images.channelsLast()), rectifies: true)
        for block in firstStage + secondStage + thirdStage { x = block(x) }
        return classifier(x.mean(axes: [-2, -1]))
    }

    /// The mean cross-entropy in nats of classes `[images]`.
    public func loss(_ images: Tensor, classes: Tensor) -> Tensor {
        self(images).crossEntropy(targets: classes).mean()
    }

    /// Loads a checkpoint with this network's names. `linear.` is read for `fc.`, and counts of batches may be missing,
    /// as in checkpoints that circulate.
    ///
    /// - Throws: `.badData` naming the tensor that is missing or has another shape.
    public func load(_ file: SafetensorsFile) throws {
        try load(source: file.path) { name in
            if file.contains(name) { return try file.tensor(name) }
            if name.hasSuffix("num_batches_tracked") { return .zeros([], dataType: .i64) }
            let other = name.hasPrefix("fc.") ? "linear." + name.dropFirst(3) : name
            return try file.tensor(file.contains(other) ? other : name)
        }
    }
}

/// Two convolutions of 3 × 3, each normalized, the first rectified, and the input added before the second rectifier.
public final class ResidualBlock: Module {
    @Submodule public var firstConvolution: Conv2d
    @Submodule public var firstNorm: BatchNorm
    @Submodule public var secondConvolution: Conv2d
    @Submodule public var secondNorm: BatchNorm
    private let projection: Submodule<Projection>?
    private let stride: Int

    init(
        inputs: Int, outputs: Int, stride: Int, shortcut: ResNet.Shortcut, using generator: inout RandomGenerator
    ) {
        self.stride = stride
        _firstConvolution = Submodule(
            "conv1", .randomized(inputs, outputs, kernel: 3, stride: stride, using: &generator))
        _firstNorm = Submodule("bn1", BatchNorm(channels: outputs))
        _secondConvolution = Submodule("conv2", .randomized(outputs, outputs, kernel: 3, stride: 1, using: &generator))
        _secondNorm = Submodule("bn2", BatchNorm(channels: outputs))
        let changes = stride != 1 || inputs != outputs
        projection =
            changes && shortcut == .projected
            ? Submodule(
                "downsample",
                Projection(.randomized(inputs, outputs, kernel: 1, stride: stride, using: &generator)))
            : nil
    }

    /// `[images, inputs, rows, columns]` → `[images, outputs, rows / stride, columns / stride]`, rounded up.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        let inner = firstNorm(firstConvolution(x), rectifies: true)
        let added = projection.map { $0.wrappedValue(x) } ?? padded(x)
        return secondNorm(secondConvolution(inner), adding: added, rectifies: true)
    }

    /// Option A of He et al.
    private func padded(_ x: Tensor) -> Tensor {
        let missing = firstConvolution.weight.shape[0] - x.shape[1]
        if stride == 1, missing == 0 { return x }
        let seen = x.slice(
            x.shape.enumerated().map { axis, extent in
                axis < 2
                    ? AxisSlice(0..<extent) : AxisSlice(start: 0, count: (extent + stride - 1) / stride, step: stride)
            })
        return seen.padded([(0, 0), (missing / 2, missing - missing / 2), (0, 0), (0, 0)])
    }

    /// Option B: `downsample.0` and `downsample.1`.
    final class Projection: Module {
        @Submodule var convolution: Conv2d
        @Submodule var norm: BatchNorm

        init(_ convolution: Conv2d) {
            _convolution = Submodule("0", convolution)
            _norm = Submodule("1", BatchNorm(channels: convolution.weight.shape[0]))
        }

        func callAsFunction(_ x: Tensor) -> Tensor { norm(convolution(x)) }
    }
}

extension Conv2d {
    /// A square kernel that keeps the image's size at a stride of 1, without bias.
    fileprivate static func randomized(
        _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int, using generator: inout RandomGenerator
    ) -> Conv2d {
        let deviation = (2 / Double(outputs * kernel * kernel)).squareRoot()
        let weight = Tensor.normal([outputs, inputs, kernel, kernel], using: &generator) * deviation
        let axes = Windows.Axes(kernel)
        return Conv2d(
            weight: weight, windows: Windows(kernel: axes, stride: .init(stride), padding: .init(kernel / 2)))
    }
}
