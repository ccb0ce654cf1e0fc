import CoppiceNetworks
import CoppiceTensors

/// Is told the name of a layer's matrix and what is multiplied by it.
typealias MatrixObserver = (_ name: String, _ input: Tensor) -> Void

/// One layer of an encoder: attention, then a feed-forward layer with GELU, each added to its input and normalized.
public final class EncoderLayer: Module {
    @Submodule public var attention: EncoderAttention
    @Submodule public var intermediate: Linear
    @Submodule public var output: Linear
    @Submodule public var norm: LayerNorm

    init(_ configuration: EncoderConfiguration, _ weights: inout EncoderWeights) {
        let (size, inner) = (configuration.hiddenSize, configuration.intermediateSize)
        _attention = Submodule("attention", EncoderAttention(configuration, &weights))
        _intermediate = Submodule("intermediate.dense", weights.linear(size, inner))
        _output = Submodule("output.dense", weights.linear(inner, size))
        _norm = Submodule("output.LayerNorm", weights.norm(size, epsilon: configuration.normEpsilon))
    }

    /// `[texts, positions, hidden]` → the same shape.
    func callAsFunction(_ x: Tensor, padding: EncoderPadding?, observe: MatrixObserver? = nil) -> Tensor {
        let attended = attention(x, padding: padding, observe: observe)
        observe?("intermediate.dense.weight", attended)
        let inner = intermediate(attended).gelu()
        observe?("output.dense.weight", inner)
        return norm(output(inner) + attended)
    }

    /// The same for texts without padding.
    ///
    /// - Parameter observe: called with the name of each matrix of the layer and what is multiplied by it, `[texts,
    ///   positions, inputs]`.
    public func run(_ x: Tensor, observe: @escaping (_ name: String, _ input: Tensor) -> Void) -> Tensor {
        self(x, padding: nil, observe: observe)
    }
}

/// Attention of every token to every other that is no padding, added to its input and normalized.
public final class EncoderAttention: Module {
    @Submodule public var query: Linear
    @Submodule public var key: Linear
    @Submodule public var value: Linear
    @Submodule public var output: Linear
    @Submodule public var norm: LayerNorm
    private let configuration: EncoderConfiguration

    init(_ configuration: EncoderConfiguration, _ weights: inout EncoderWeights) {
        self.configuration = configuration
        let (size, heads) = (configuration.hiddenSize, configuration.attentionSize)
        _query = Submodule("self.query", weights.linear(size, heads))
        _key = Submodule("self.key", weights.linear(size, heads))
        _value = Submodule("self.value", weights.linear(size, heads))
        _output = Submodule("output.dense", weights.linear(heads, size))
        _norm = Submodule("output.LayerNorm", weights.norm(size, epsilon: configuration.normEpsilon))
    }

    /// `[texts, positions, hidden]` → the same shape.
    func callAsFunction(_ x: Tensor, padding: EncoderPadding?, observe: MatrixObserver? = nil) -> Tensor {
        for name in ["query", "key", "value"] { observe?("attention.self.\(name).weight", x) }
        let joined = Tensor.attention(
            query(x), key(x), value(x), headSize: configuration.headSize,
            bias: padding?.scores.converted(to: x.dataType))
        observe?("attention.output.dense.weight", joined)
        return norm(output(joined) + x)
    }
}
