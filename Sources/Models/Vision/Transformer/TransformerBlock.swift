import CoppiceNetworks
import CoppiceTensors

/// A block of a vision transformer: attention of normalized vectors, then a hidden layer of normalized vectors, each added
/// to what it sees (Dosovitskiy et al., "An image is worth 16x16 words", 2021, equations 2 and 3).
public final class TransformerBlock: Module {
    @Submodule public var attentionNorm: LayerNorm
    @Submodule public var attention: SelfAttention
    @Submodule public var norm: LayerNorm
    @Submodule public var hidden: Linear
    @Submodule public var output: Linear

    /// - Parameter name: what the names of its layers begin with.
    init(_ name: String, width: Int, heads: Int, headSize: Int, _ layers: inout LayerBuilder) {
        let neurons = layers.width("\(name).mlp.fc1", 4 * width)
        _attentionNorm = Submodule("norm1", .ofBlocks(width))
        _attention = Submodule("attn", SelfAttention(width: width, heads: heads, headSize: headSize, &layers))
        _norm = Submodule("norm2", .ofBlocks(width))
        _hidden = Submodule("mlp.fc1", layers.linear(width, neurons, start: .normalByBoth))
        _output = Submodule("mlp.fc2", layers.linear(neurons, width, start: .normalByBoth))
    }

    /// `[images, positions, width]` → the same shape.
    func callAsFunction(_ x: Tensor) -> Tensor {
        let attended = attention(attentionNorm(x)) + x
        return output(hidden(norm(attended)).gelu()) + attended
    }
}

/// Attention of every position to every other.
public final class SelfAttention: Module {
    /// Queries, keys and values one behind the other, each head by head.
    @Submodule public var inputs: Linear
    @Submodule public var output: Linear
    private let headSize: Int

    init(width: Int, heads: Int, headSize: Int, _ layers: inout LayerBuilder) {
        self.headSize = headSize
        let size = heads * headSize
        _inputs = Submodule("qkv", layers.linear(width, 3 * size, start: .normalByBoth))
        _output = Submodule("proj", layers.linear(size, width, start: .normalByBoth))
    }

    /// `[images, positions, width]` → the same shape.
    func callAsFunction(_ x: Tensor) -> Tensor {
        let all = inputs(x)
        let size = all.shape[2] / 3
        func part(_ index: Int) -> Tensor { all.slice(axis: 2, (index * size)..<((index + 1) * size)) }
        return output(.attention(part(0), part(1), part(2), headSize: headSize))
    }
}
