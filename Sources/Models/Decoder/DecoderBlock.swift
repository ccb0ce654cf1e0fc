import CoppiceNetworks
import CoppiceTensors

/// One block: attention and feed-forward, each on normalized input and added to it. Where one of them was removed, the
/// identity is left.
public final class DecoderBlock: Module {
    private let attentionMember: Submodule<DecoderAttention>?
    private let feedForwardMember: Submodule<GatedFeedForward>?
    private let inputNorm: Submodule<RMSNorm>?
    private let postAttentionNorm: Submodule<RMSNorm>?

    init(
        attention: DecoderAttention?, feedForward: GatedFeedForward?, inputNorm: RMSNorm, postAttentionNorm: RMSNorm
    ) {
        attentionMember = attention.map { Submodule("self_attn", $0) }
        feedForwardMember = feedForward.map { Submodule("mlp", $0) }
        self.inputNorm = attention.map { _ in Submodule("input_layernorm", inputNorm) }
        self.postAttentionNorm = feedForward.map { _ in Submodule("post_attention_layernorm", postAttentionNorm) }
    }

    /// Nil where it was removed.
    public var attention: DecoderAttention? { attentionMember?.wrappedValue }
    /// Nil where it was removed.
    public var feedForward: GatedFeedForward? { feedForwardMember?.wrappedValue }

    /// `[batch, positions, hidden]` → the same shape.
    ///
    /// - Parameter removed: branches that are left out, as if they were not there.
    public func callAsFunction(
        _ hidden: Tensor, angles: RotaryAngles, dropout: Dropout? = nil,
        without removed: Set<DecoderConfiguration.SubLayer> = []
    ) -> Tensor {
        let apply = { (x: Tensor) in dropout.map { $0(x) } ?? x }
        var hidden = hidden
        if let attention, let norm = inputNorm?.wrappedValue, !removed.contains(.attention) {
            hidden = hidden + apply(attention(norm(hidden), angles: angles))
        }
        if let feedForward, let norm = postAttentionNorm?.wrappedValue, !removed.contains(.feedForward) {
            hidden = hidden + apply(feedForward(norm(hidden)))
        }
        return hidden
    }
}
