import CoppiceTensors

/// A stored model of any kind.
public enum AnyCheckpoint: Sendable {
    case languageModel(Checkpoint)
    case vision(VisionCheckpoint)
    /// BERT, RoBERTa.
    case encoder(EncoderCheckpoint)

    /// Opens a model and tells its kind: a folder whose `config.json` names an architecture is a vision network, and so
    /// is a `.safetensors` file that says so or that has no configuration beside it; a `model_type` of encoders makes an
    /// encoder; any other is a language model.
    ///
    /// - Throws: as ``Checkpoint/open(_:)``, ``VisionCheckpoint/open(_:)`` and ``EncoderCheckpoint/open(_:)``.
    public static func open(_ path: String) throws -> AnyCheckpoint {
        if VisionCheckpoint.isMeant(path) { return .vision(try .open(path)) }
        return EncoderCheckpoint.isMeant(path) ? .encoder(try .open(path)) : .languageModel(try .open(path))
    }
}
