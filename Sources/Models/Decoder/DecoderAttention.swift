import CoppiceNetworks
import CoppiceTensors

/// Causal self-attention with rotary positions, grouped queries, and the norms, biases and windows that the families
/// differ in.
public final class DecoderAttention: Module {
    @Submodule public var query: Linear
    @Submodule public var key: Linear
    @Submodule public var value: Linear
    @Submodule public var output: Linear
    private let queryNorm: Submodule<RMSNorm>?
    private let keyNorm: Submodule<RMSNorm>?
    private let configuration: DecoderConfiguration
    private let window: Int?

    init(
        configuration: DecoderConfiguration, window: Int?, query: Linear, key: Linear, value: Linear, output: Linear,
        norms: (query: RMSNorm, key: RMSNorm)?
    ) {
        self.configuration = configuration
        self.window = window
        _query = Submodule("q_proj", query)
        _key = Submodule("k_proj", key)
        _value = Submodule("v_proj", value)
        _output = Submodule("o_proj", output)
        queryNorm = norms.map { Submodule("q_norm", $0.query) }
        keyNorm = norms.map { Submodule("k_norm", $0.key) }
    }

    /// `[batch, positions, hidden]` → the same shape.
    public func callAsFunction(_ x: Tensor, angles: RotaryAngles) -> Tensor {
        let (batch, positions) = (x.shape[0], x.shape[1])
        let (size, pairs) = (configuration.headSize, configuration.keyValueHeadCount)
        let group = configuration.headCount / pairs
        var q = query(x).reshaped([batch, positions, pairs * group, size])
        var k = key(x).reshaped([batch, positions, pairs, size])
        let v = value(x).reshaped([batch, positions, pairs, size])
        if let queryNorm, let keyNorm { (q, k) = (queryNorm.wrappedValue(q), keyNorm.wrappedValue(k)) }
        (q, k) = (angles.rotate(q), angles.rotate(k))
        // All queries of a key's group are rows of one product: [batch, pairs, group · positions, size].
        let queries = q.reshaped([batch, positions, pairs, group, size]).permuted([0, 2, 3, 1, 4])
            .reshaped([batch, pairs, group * positions, size])
        let scores = queries.matmul(k.permuted([0, 2, 3, 1]))
        let weights = scores.reshaped([batch, pairs, group, positions, positions])
            .softmax(scale: 1 / Double(size).squareRoot(), visibility: .causal(window: window))
            .reshaped([batch, pairs, group * positions, positions])
        let mixed = weights.matmul(v.permuted([0, 2, 1, 3])).reshaped([batch, pairs, group, positions, size])
        return output(mixed.permuted([0, 3, 1, 2, 4]).reshaped([batch, positions, pairs * group * size]))
    }
}

/// The cosines and sines of rotary positions 0, 1, ….
public struct RotaryAngles: Sendable {
    /// [positions, head size / 2], f64 rounded to f32 when used with f32.
    public let cosine: Tensor
    public let sine: Tensor
    private let isInterleaved: Bool

    init(_ configuration: DecoderConfiguration, positions: Int) {
        let (frequencies, amplitude) = configuration.rotary.frequencies(
            headSize: configuration.headSize, context: configuration.maximumPositions, length: positions)
        let angles =
            Tensor.range(positions, dataType: .f64).reshaped([positions, 1]) * Tensor(frequencies)
        cosine = angles.cos() * amplitude
        sine = angles.sin() * amplitude
        isInterleaved = configuration.rotary.isInterleaved
    }

    /// Turns queries or keys `[batch, positions, heads, size]`. Interleaved pairs are brought apart first: products
    /// of queries and keys do not depend on the order of elements.
    func rotate(_ x: Tensor) -> Tensor {
        var pairs = x
        if isInterleaved {
            let split = x.shape.dropLast() + [x.shape[x.rank - 1] / 2, 2]
            pairs = x.reshaped(Array(split)).transposed().reshaped(x.shape)
        }
        return pairs.rotated(cosine: cosine.converted(to: x.dataType), sine: sine.converted(to: x.dataType))
    }
}

/// down(silu(gate(x)) · up(x)).
public final class GatedFeedForward: Module {
    @Submodule public var gate: Linear
    @Submodule public var up: Linear
    @Submodule public var down: Linear

    init(gate: Linear, up: Linear, down: Linear) {
        _gate = Submodule("gate_proj", gate)
        _up = Submodule("up_proj", up)
        _down = Submodule("down_proj", down)
    }

    public func callAsFunction(_ x: Tensor) -> Tensor { down(.gatedSiLU(gate: gate(x), up: up(x))) }
}
