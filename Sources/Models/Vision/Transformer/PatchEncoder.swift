import CoppiceNetworks
import CoppiceTensors

/// The part of a vision transformer that all heads share: patches of an image become vectors, to which their positions
/// are added, behind the vector of the class; blocks; a norm.
///
/// One that was trained under another head is a `Snapshot` away:
///
/// ```swift
/// Snapshot(of: pretrained.encoder).restore(classifier.encoder)
/// ```
public final class PatchEncoder: Module {
    /// `patch_embed.proj`, `cls_token`, `pos_embed`.
    @Submodule public var embedding: PatchEmbedding
    @Submodule public var blocks: [TransformerBlock]
    @Submodule public var norm: LayerNorm

    init(_ configuration: VisionTransformer.Configuration, _ layers: inout LayerBuilder) {
        let width = configuration.embeddingSize
        _embedding = Submodule("", PatchEmbedding(configuration, width: width, &layers))
        let heads =
            configuration.heads ?? [Int](repeating: configuration.headCount, count: configuration.depth)
        var blocks: [TransformerBlock] = []
        for (index, heads) in heads.enumerated() {
            blocks.append(
                TransformerBlock(
                    "blocks.\(index)", width: width, heads: heads, headSize: configuration.headSize, &layers))
        }
        _blocks = Submodule("blocks", blocks)
        _norm = Submodule("norm", .ofBlocks(width))
    }

    /// `[images, channels, rows, columns]` → `[images, 1 + patches, width]`, the class before the patches row by row.
    ///
    /// - Parameter hidden: what stands in the place of some patches; nil where all are seen.
    func callAsFunction(_ images: Tensor, hidden: HiddenPatches? = nil) -> Tensor {
        norm(blocks.reduce(embedding(images, hidden: hidden)) { $1($0) })
    }
}

/// Patches that an encoder does not see.
struct HiddenPatches {
    /// 1 for hidden patches, 0 for others: `[images, patches, 1]`.
    var isHidden: Tensor
    /// What stands in their place: `[1, 1, width]`.
    var substitute: Tensor
}

/// Vectors of the patches of an image, behind that of the class, with their positions added.
public final class PatchEmbedding: Module {
    @Submodule public var projection: Conv2d
    @Submodule public var table: TokenTable
    private let inputShape: [Int]

    init(_ configuration: VisionTransformer.Configuration, width: Int, _ layers: inout LayerBuilder) {
        let patch = configuration.patchSize
        inputShape = configuration.inputShape
        _projection = Submodule(
            "patch_embed.proj",
            layers.convolution(
                configuration.inputChannels, width, kernel: patch, stride: patch, padding: 0, hasBias: true,
                start: .normal((1 / Double(configuration.inputChannels * patch * patch)).squareRoot())))
        _table = Submodule("", TokenTable(count: 1 + configuration.patchCount, width: width, &layers))
    }

    /// `[images, channels, rows, columns]` → `[images, 1 + patches, width]`.
    ///
    /// - Precondition: the configuration's channels, rows and columns.
    func callAsFunction(_ images: Tensor, hidden: HiddenPatches? = nil) -> Tensor {
        precondition(
            images.rank == 4 && Array(images.shape[1...]) == inputShape,
            "images of shape \(images.shape), [images] + \(inputShape) expected")
        let maps = projection(images.laidOutForConvolutions())
        let (count, width) = (maps.shape[0], maps.shape[1])
        var patches = maps.permuted([0, 2, 3, 1]).reshaped([count, maps.shape[2] * maps.shape[3], width])
        if let hidden { patches = patches + (hidden.substitute - patches) * hidden.isHidden }
        let first = table.classToken.broadcast(to: [count, 1, width])
        return Tensor.concatenated([first, patches], axis: 1) + table.positions
    }
}

/// What is added to patches.
public final class TokenTable: Module, VectorTable {
    /// [1, 1, width].
    @Parameter public var classToken: Tensor
    /// [1, 1 + patches, width].
    @Parameter public var positions: Tensor

    init(count: Int, width: Int, _ layers: inout LayerBuilder) {
        _classToken = Parameter("cls_token", layers.constant([1, 1, width], 0))
        _positions = Parameter(
            "pos_embed", layers.weight([1, count, width], fanIn: width, fanOut: width, .normal(0.02)))
        _classToken.decays = false
        _positions.decays = false
    }
}

extension LayerNorm {
    /// As the blocks of vision transformers have it.
    static func ofBlocks(_ width: Int) -> LayerNorm { LayerNorm(shape: [width], epsilon: 1e-6) }
}
