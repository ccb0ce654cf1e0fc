import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

extension EncoderTask {
    /// The matrices of the layers: attention and feed-forward, without embeddings and heads.
    static let prunableWeights = [WeightPattern("encoder.layer")]
}

extension MaskedTransformer {
    /// A masked language model, measured at once by the loss in nats a gap.
    static func languageModel(_ network: MaskedLanguageEncoder, shards: [LabeledBatch]) throws -> MaskedTransformer {
        let evaluation = SparsityEvaluation(by: .loss, chanceLoss: EncoderTask.chanceLoss) { network in
            network.inUse { shards.map { Double(network.loss($0).scalar) } }
        }
        return try MaskedTransformer(network, pruning: EncoderTask.prunableWeights, measuredOn: evaluation)
    }
}
