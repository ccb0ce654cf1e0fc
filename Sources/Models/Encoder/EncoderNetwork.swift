import CoppiceNetworks
import CoppiceTensors

/// An encoder under a head of its own: one that fills gaps, or one that classifies.
public protocol EncoderNetwork: LayeredTextNetwork where Block == EncoderLayerPlace, Context == EncoderContext {
    var configuration: EncoderConfiguration { get }
    var stack: EncoderStack { get }

    /// The segment of each token `[texts, positions]`; nil: all are of the first.
    func segments(of tokens: Tensor) -> Tensor?

    /// A network of the same kind and another configuration, whose weights are set next.
    func unloaded(_ configuration: EncoderConfiguration) -> Self
}

/// What the layers of an encoder read beside hidden states.
public struct EncoderContext {
    let padding: EncoderPadding?
    let segments: Tensor?
}

/// A layer of an encoder.
public struct EncoderLayerPlace: TextBlockPlace {
    public var family: EncoderConfiguration.Family
    public var layer: Int

    public init(_ family: EncoderConfiguration.Family, layer: Int) {
        self.family = family
        self.layer = layer
    }

    /// Such as `bert.encoder.layer.3`.
    public var name: String { Self.prefix(family) + "\(layer)" }

    static func prefix(_ family: EncoderConfiguration.Family) -> String { family.rawValue + ".encoder.layer." }

    /// The layers of an encoder.
    public static func all(of configuration: EncoderConfiguration) -> [EncoderLayerPlace] {
        (0..<configuration.layerCount).map { EncoderLayerPlace(configuration.family, layer: $0) }
    }
}

extension EncoderNetwork {
    public var layerCount: Int { configuration.layerCount }

    public func context(of tokens: Tensor) -> EncoderContext {
        EncoderContext(padding: EncoderPadding(tokens, configuration), segments: segments(of: tokens))
    }

    public func embedded(_ tokens: Tensor, _ context: EncoderContext) -> Tensor {
        stack.embeddings(tokens, types: context.segments, padding: context.padding)
    }

    public func layer(
        _ index: Int, _ hidden: Tensor, _ context: EncoderContext, without block: EncoderLayerPlace?
    ) -> Tensor {
        precondition(block == nil || block?.layer == index, "a block of another layer than \(index)")
        return block == nil ? stack.layers[index](hidden, padding: context.padding) : hidden
    }

    public func layerIndex(ofMatrix name: String) -> Int? {
        let prefix = EncoderLayerPlace.prefix(configuration.family)
        if name.hasPrefix(prefix) { return Int(name.dropFirst(prefix.count).prefix { $0 != "." }) }
        return name.contains(".embeddings.") ? nil : layerCount
    }
}

extension MaskedLanguageEncoder: EncoderNetwork {
    public func segments(of tokens: Tensor) -> Tensor? { nil }

    public func unloaded(_ configuration: EncoderConfiguration) -> MaskedLanguageEncoder {
        MaskedLanguageEncoder(unloaded: configuration)
    }

    /// The hidden state of every position.
    public func headInput(ofHidden hidden: Tensor) -> Tensor { hidden.reshaped([-1, configuration.hiddenSize]) }

    public func outputs(ofHidden hidden: Tensor) -> Tensor { scores(hidden) }
}
