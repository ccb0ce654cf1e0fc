import CoppiceTensors

/// A stored model of any kind.
public enum AnyCheckpoint: Sendable {
    case languageModel(Checkpoint)
    case vision(VisionCheckpoint)

    /// Opens a model and tells its kind: a folder whose `config.json` names an architecture is a vision network, and so
    /// is a `.safetensors` file that says so or that has no configuration beside it; any other is a language model.
    ///
    /// - Throws: as ``Checkpoint/open(_:)`` and ``VisionCheckpoint/open(_:)``.
    public static func open(_ path: String) throws -> AnyCheckpoint {
        VisionCheckpoint.isMeant(path) ? .vision(try .open(path)) : .languageModel(try .open(path))
    }
}
