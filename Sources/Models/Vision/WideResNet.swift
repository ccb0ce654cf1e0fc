import CoppiceNetworks
import CoppiceTensors
import OrderedCollections

/// A wide residual network: three stages of blocks that normalize and rectify before they convolve, with `widening`
/// times the channels of ResNet (Zagoruyko and Komodakis, "Wide residual networks", 2016, table 1).
///
/// Parameter names are those of the PyTorch version in circulation: `block1.layer.0.bn1`, `.conv1`, `.bn2`, `.conv2`,
/// `.convShortcut`; `conv1` before the blocks, `bn1` and `fc` after them.
public final class WideResNet: Module, VisionNetwork {
    public struct Configuration: VisionConfiguration {
        /// Blocks of each stage; the first may have none at a widening of 1.
        public var blocks: [Int]
        /// k: the stages have 16k, 32k and 64k channels.
        public var widening: Int
        /// Between the convolutions of a block.
        public var dropout = 0.0
        public var options: ClassifierOptions

        /// - Precondition: three stages of at least one block, a widening of at least 1.
        public init(blocks: [Int], widening: Int, options: ClassifierOptions = .cifar) {
            precondition(Self.arePossible(blocks, widening), "a wide residual network of nothing")
            self.blocks = blocks
            self.widening = widening
            self.options = options
        }

        /// WRN-depth-k.
        ///
        /// - Throws: `.usage` where the depth is not 6n + 4 or the widening not at least 1.
        public init(depth: Int, widening: Int, options: ClassifierOptions = .cifar) throws {
            guard depth >= 10, depth % 6 == 4, depth <= Self.largestCount else {
                throw CoppiceError(.usage, field: "depth", "\(depth), expected 6n + 4: 16, 22, 28, 40")
            }
            guard (1...Self.largestCount).contains(widening) else {
                throw CoppiceError(.usage, field: "widening", "\(widening), expected at least 1")
            }
            self.init(blocks: [Int](repeating: (depth - 4) / 6, count: 3), widening: widening, options: options)
        }

        static func arePossible(_ blocks: [Int], _ widening: Int) -> Bool {
            blocks.count == 3 && blocks.allSatisfy { (1...largestCount).contains($0) }
                && (1...largestCount).contains(widening)
        }
    }

    public let configuration: Configuration
    @Submodule public var convolution: Conv2d
    /// `block1.layer`, `block2.layer`, `block3.layer`.
    public let stages: [Submodule<[PreactivatedBlock]>]
    @Submodule public var norm: BatchNorm
    @Submodule public var classifier: Linear

    /// A network with random weights: convolutions normal by fan-out, the linear layer uniform by fan-in.
    public convenience init(_ configuration: Configuration, seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.init(configuration, &layers)
    }

    init(_ configuration: Configuration, _ layers: inout LayerBuilder) {
        self.configuration = configuration
        let base = layers.scaled(16)
        var channels = layers.width("conv1", base)
        _convolution = Submodule("conv1", layers.convolution(configuration.inputChannels, channels, kernel: 3))
        stages = configuration.blocks.enumerated().map { stage, count in
            let name = "block\(stage + 1).layer"
            let standard = base * configuration.widening << stage
            let flows = stage == 0 && configuration.widening == 1
            let stream = flows ? channels : layers.width("\(name).0.conv2", standard)
            let blocks = (0..<count).map { index in
                PreactivatedBlock(
                    "\(name).\(index)", inputs: index == 0 ? channels : stream, inner: standard, outputs: stream,
                    stride: index == 0 && stage > 0 ? 2 : 1, projects: index == 0 && !flows,
                    dropout: configuration.dropout, &layers)
            }
            channels = stream
            return Submodule(name, blocks)
        }
        _norm = Submodule("bn1", BatchNorm(channels: channels))
        _classifier = Submodule("fc", layers.linear(channels, configuration.classes))
    }

    /// `[images, channels, rows, columns]` → `[images, classes]`.
    public var steps: [ForwardStep] {
        [ForwardStep(convolution) { [self] in convolution(checked($0)) }]
            + stages.flatMap(\.wrappedValue).map { block in ForwardStep(block) { block($0) } }
            + [
                ForwardStep(norm, classifier) { [self] in
                    classifier(norm($0, rectifies: true).mean(axes: [-2, -1]))
                }
            ]
    }
}

/// Normalization, rectifier and convolution, twice, added to the input; where the shape changes, to a projection of the
/// input as it is after the first rectifier.
public final class PreactivatedBlock: Module, GateableBlock {
    @Submodule public var firstNorm: BatchNorm
    @Submodule public var firstConvolution: Conv2d
    @Submodule public var secondNorm: BatchNorm
    @Submodule public var secondConvolution: Conv2d
    @Submodule private var dropout: DropoutLayer
    public let projection: Submodule<Conv2d>?
    public var gate: (any BlockGate)?

    init(
        _ name: String, inputs: Int, inner standard: Int, outputs: Int, stride: Int, projects: Bool, dropout: Double,
        _ layers: inout LayerBuilder
    ) {
        let inner = layers.width("\(name).conv1", standard)
        _firstNorm = Submodule("bn1", BatchNorm(channels: inputs))
        _firstConvolution = Submodule("conv1", layers.convolution(inputs, inner, kernel: 3, stride: stride))
        _secondNorm = Submodule("bn2", BatchNorm(channels: inner))
        _secondConvolution = Submodule("conv2", layers.convolution(inner, outputs, kernel: 3))
        _dropout = Submodule("dropout", layers.dropout(dropout))
        projection =
            projects
            ? Submodule("convShortcut", layers.convolution(inputs, outputs, kernel: 1, stride: stride)) : nil
    }

    /// `[images, inputs, rows, columns]` → `[images, outputs, rows / stride, columns / stride]`, rounded up.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        let factors = gate?.factors(x) ?? .open
        if let projection {
            let activated = firstNorm(x, rectifies: true)
            return branch(activated, factors) + projection.wrappedValue(activated)
        }
        switch factors {
        case .closed: return x
        case .branches(let each):
            func branch(_ x: Tensor) -> Tensor { self.branch(firstNorm(x, rectifies: true), .open) }
            guard let gate, gate.isLazy else { return branch(x).scaled(by: each, adding: x) }
            return gate.multiplied(each, x, branch).map { $0 + x } ?? x
        case .open, .channels: return branch(firstNorm(x, rectifies: true), factors) + x
        }
    }

    public var inputChannels: Int { firstConvolution.weight.shape[1] }
    public var middleChannels: Int { firstConvolution.weight.shape[0] }

    private func branch(_ activated: Tensor, _ factors: GateFactors) -> Tensor {
        var each: Tensor?
        if case .channels(let factors) = factors { each = factors }
        let inner = firstConvolution(activated, normalizedBy: secondNorm, times: each, rectifies: true)
        return secondConvolution(dropout(inner))
    }
}

extension WideResNet.Configuration {
    public static let knownNames = [
        "wrn-16-4", "wrn-16-8", "wrn-22-8", "wrn-28-1", "wrn-28-8", "wrn-28-10", "wrn-40-2",
    ]

    /// `wrn-28-10`; `wrn-4-3-4-10` where the stages have 4, 3 and 4 blocks.
    public var name: String {
        if Set(blocks).count == 1 { return "wrn-\(6 * blocks[0] + 4)-\(widening)" }
        return "wrn-" + (blocks + [widening]).map(String.init).joined(separator: "-")
    }

    public init?(named name: String) throws {
        guard let match = name.wholeMatch(of: /wrn-([0-9]+(?:-[0-9]+)+)/) else { return nil }
        let numbers = Self.counts(match.1) ?? []
        if numbers.count == 4, Self.arePossible(Array(numbers.dropLast()), numbers[3]) {
            self.init(blocks: Array(numbers.dropLast()), widening: numbers[3])
        } else if numbers.count == 2, numbers[0] >= 10, numbers[0] % 6 == 4, numbers[1] > 0 {
            try self.init(depth: numbers[0], widening: numbers[1])
        } else {
            throw Self.refusal(name, "a depth of 6n + 4 and a widening, such as wrn-28-10")
        }
    }

    public init?(recognizing tensors: TensorShapes) {
        guard tensors.hasWeight("conv1", rank: 4), let width = tensors.outputs("block1.layer.0.conv2"),
            let channels = tensors.extent("conv1", 1), let classes = tensors.outputs("fc"), min(classes, channels) > 0
        else { return nil }
        // Blocks of a widening of 1 do not project in the first stage, all others do.
        let projects = tensors.contains("block1.layer.0.convShortcut")
        let widening = projects ? max(2, (width + 8) / 16) : 1
        let blocks = (1...3).map { tensors.count("block\($0).layer.") }
        guard Self.arePossible(blocks, widening) else { return nil }
        self.init(blocks: blocks, widening: widening)
        options.classes = classes
        options.inputChannels = channels
    }

    public var details: OrderedDictionary<String, JSON> { ["dropout": .number(dropout)] }

    public mutating func read(_ fields: DetailFields) throws {
        dropout = try fields.rate("dropout", default: dropout)
    }

    private var stages: BlockStages {
        BlockStages(counts: blocks, stageName: { "block\($0 + 1).layer" }, changesFirst: widening > 1)
    }

    public var residualBlocks: [ResidualBlockPlace] { stages.places { ["\($0).conv2.weight"] } }

    public func removing(
        blocks: Set<String>
    ) -> (configuration: any VisionConfiguration, oldNames: [String: String])? {
        let (counts, oldNames, widths) = stages.removing(blocks, widths: options.widths)
        guard Self.arePossible(counts, widening) else { return nil }
        var configuration = self
        configuration.blocks = counts
        configuration.options.widths = widths
        return (configuration, oldNames)
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { WideResNet(self, &layers) }
}
