import CoppiceTensors

extension DecoderBlockPlace: TextBlockPlace {}

extension DecoderNetwork: LayeredTextNetwork {
    public var layerCount: Int { configuration.layerCount }

    public func context(of tokens: Tensor) -> RotaryAngles { rotaryAngles(positions: tokens.shape[1]) }

    public func embedded(_ tokens: Tensor, _ angles: RotaryAngles) -> Tensor { embed(tokens) }

    public func layer(
        _ index: Int, _ hidden: Tensor, _ angles: RotaryAngles, without block: DecoderBlockPlace?
    ) -> Tensor {
        precondition(block == nil || block?.layer == index, "a block of another layer than \(index)")
        return model.layers[index](hidden, angles: angles, without: block?.kind.parts ?? [])
    }

    public func headInput(ofHidden hidden: Tensor) -> Tensor {
        model.norm(hidden).reshaped([-1, configuration.hiddenSize])
    }

    public func outputs(ofHidden hidden: Tensor) -> Tensor { logits(ofHidden: hidden) }

    public func layerIndex(ofMatrix name: String) -> Int? {
        let prefix = "model.layers."
        guard name.hasPrefix(prefix) else { return name == "lm_head.weight" ? layerCount : nil }
        return Int(name.dropFirst(prefix.count).prefix { $0 != "." })
    }
}
