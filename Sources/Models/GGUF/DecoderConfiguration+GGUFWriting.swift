import CoppiceTensors
import Foundation

extension DecoderConfiguration {
    /// The metadata that GGUF files have about the architecture.
    ///
    /// Dynamic scaling of rotary frequencies, which changes nothing within the model's context, cannot be said there
    /// and is left out. Windows are written for programs that read them; llama.cpp takes none for these architectures.
    func addMetadata(to metadata: inout GGUFMetadata) {
        let architecture = family.ggufArchitecture
        func key(_ name: String) -> String { "\(architecture).\(name)" }
        metadata.add(key("vocab_size"), vocabularySize)
        metadata.add(key("context_length"), maximumPositions)
        metadata.add(key("embedding_length"), hiddenSize)
        metadata.add(key("block_count"), layerCount)
        metadata.add(key("feed_forward_length"), intermediateSize)
        metadata.add(key("attention.head_count"), headCount)
        metadata.add(key("attention.head_count_kv"), keyValueHeadCount)
        metadata.add(key("attention.key_length"), headSize)
        metadata.add(key("attention.value_length"), headSize)
        metadata.add(key("attention.layer_norm_rms_epsilon"), normEpsilon)
        metadata.add(key("rope.dimension_count"), headSize)
        metadata.add(key("rope.freq_base"), rotary.base)
        switch rotary.scaling {
        case .none, .dynamic: break
        case .linear(let factor):
            metadata.add(key("rope.scaling.type"), "linear")
            metadata.add(key("rope.scaling.factor"), factor)
        case .llama3(_, _, _, let original):
            // The tensor of factors says the rest.
            metadata.add(key("rope.scaling.original_context_length"), original)
        case .yarn(let yarn):
            metadata.add(key("rope.scaling.type"), "yarn")
            metadata.add(key("rope.scaling.factor"), yarn.factor)
            metadata.add(key("rope.scaling.original_context_length"), yarn.originalContext)
            metadata.add(key("rope.scaling.yarn_beta_fast"), yarn.betaFast)
            metadata.add(key("rope.scaling.yarn_beta_slow"), yarn.betaSlow)
            if let attention = yarn.attentionFactor {
                let usual = yarn.factor <= 1 ? 1 : 0.1 * log(yarn.factor) + 1
                metadata.add(key("rope.scaling.attn_factor"), attention / usual)
            }
        }
        guard let slidingWindow else { return }
        metadata.add(key("attention.sliding_window"), slidingWindow)
        if let layersWithWindow { metadata.add(key("attention.sliding_window_pattern"), flags: layersWithWindow) }
    }

    /// The factors of Llama 3's scaling as a tensor; nil for other scalings.
    var rotaryFactors: Tensor? {
        guard case .llama3 = rotary.scaling else { return nil }
        return Tensor(rotary.factors(headSize: headSize).map { Float($0) })
    }
}
