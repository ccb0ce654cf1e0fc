import CoppiceNetworks
import CoppiceTensors

/// A vision transformer (Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition at scale",
/// 2021): an image is cut into patches, which are the tokens of a transformer; one more token is classified by a linear
/// layer.
///
/// ```swift
/// let network = try VisionArchitecture(named: "vit-b-16").makeNetwork(seed: 1)
/// let scores = network.outputs(images)                // [images, 3, 224, 224] → [images, 1000]
/// ```
///
/// Parameter names are those of timm and DeiT (`blocks.0.attn.qkv.weight`); torchvision's are understood.
public final class VisionTransformer: Module, VisionNetwork {
    public struct Configuration: VisionConfiguration {
        /// Number of blocks.
        public var depth: Int
        /// Size of the tokens' vectors before the width multiplier, which multiplies the number of heads.
        public var width: Int
        public var headSize: Int
        /// Rows and columns of a patch.
        public var patchSize: Int
        /// Heads of each block where some were removed; nil: as many as fill the width.
        public var heads: [Int]?
        public var options: ClassifierOptions

        /// - Precondition: at least one block, one head and one pixel.
        public init(
            depth: Int, width: Int, headSize: Int = 64, patchSize: Int = 16, options: ClassifierOptions = .imageNet
        ) {
            precondition(min(depth, headSize, patchSize, width) >= 1, "a vision transformer of nothing")
            self.depth = depth
            self.width = width
            self.headSize = headSize
            self.patchSize = patchSize
            self.options = options
        }

        /// Patches of an image.
        public var patchCount: Int {
            options.imageSize.rows / patchSize * (options.imageSize.columns / patchSize)
        }

        /// Heads of a block that has not lost any.
        public var headCount: Int { max(1, Int((Double(width / headSize) * options.widthMultiplier).rounded())) }

        /// Size of the tokens' vectors: whole heads.
        public var embeddingSize: Int { headSize * headCount }
    }

    public let configuration: Configuration
    /// All but the head.
    @Submodule public var encoder: PatchEncoder
    @Submodule public var head: Linear

    /// A network with random weights: matrices normal with variance 2 / (fan-in + fan-out) (Glorot and Bengio,
    /// "Understanding the difficulty of training deep feedforward neural networks", 2010), patches with 1 / fan-in,
    /// positions and the head with a deviation of 0.02, biases of zeros.
    public convenience init(_ configuration: Configuration, seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.init(configuration, &layers)
    }

    init(_ configuration: Configuration, _ layers: inout LayerBuilder) {
        self.configuration = configuration
        let encoder = PatchEncoder(configuration, &layers)
        _encoder = Submodule("", encoder)
        _head = Submodule(
            "head", layers.linear(configuration.embeddingSize, configuration.classes, start: .normal(0.02)))
    }

    /// `[images, channels, rows, columns]` → `[images, classes]`.
    ///
    /// - Precondition: the configuration's channels, rows and columns.
    public var steps: [ForwardStep] {
        let (embedding, norm) = (encoder.embedding, encoder.norm)
        return [ForwardStep(embedding) { embedding($0) }]
            + encoder.blocks.map { block in ForwardStep(block) { block($0) } }
            + [
                ForwardStep(norm, head) { [self] tokens in head(norm(tokens.slice(axis: 1, 0..<1).squeezed(1))) }
            ]
    }
}
