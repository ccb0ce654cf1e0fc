/// What goes of a decoder as a whole: the branches with a way around them.
public enum DecoderBlockKind: String, Sendable, Hashable, CaseIterable {
    /// The attention sub-layer of a layer.
    case attention
    /// The feed-forward sub-layer of a layer.
    case mlp
    /// Both of one layer.
    case layer

    /// What of a layer belongs to it.
    public var parts: Set<DecoderConfiguration.SubLayer> {
        switch self {
        case .attention: [.attention]
        case .mlp: [.feedForward]
        case .layer: [.attention, .feedForward]
        }
    }
}

/// A block of a decoder that may be removed.
public struct DecoderBlockPlace: BlockPlace {
    public var kind: DecoderBlockKind
    /// From 0.
    public var layer: Int

    public init(_ kind: DecoderBlockKind, layer: Int) {
        self.kind = kind
        self.layer = layer
    }

    /// Such as `model.layers.3.self_attn`, `model.layers.3.mlp` or `model.layers.3`.
    public var name: String {
        switch kind {
        case .attention: "model.layers.\(layer).self_attn"
        case .mlp: "model.layers.\(layer).mlp"
        case .layer: "model.layers.\(layer)"
        }
    }

    /// The matrices whose outputs are added to the hidden state, with their biases: zeros there make the block zero.
    public var end: [String] {
        let names = kind.parts.map { $0 == .attention ? "self_attn.o_proj" : "mlp.down_proj" }.sorted()
        return names.flatMap { name in ["weight", "bias"].map { "model.layers.\(layer).\(name).\($0)" } }
    }

    /// The blocks of a kind that a model has. Of one without some sub-layers every layer is one of kind
    /// ``DecoderBlockKind/layer``.
    public static func all(_ kind: DecoderBlockKind, of configuration: DecoderConfiguration) -> [DecoderBlockPlace] {
        (0..<configuration.layerCount).filter { layer in
            kind.parts.contains { configuration.has($0, inLayer: layer) }
        }.map { DecoderBlockPlace(kind, layer: $0) }
    }
}
