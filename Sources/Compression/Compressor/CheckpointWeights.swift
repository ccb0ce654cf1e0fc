import CoppiceFormats
import CoppiceModels
import CoppiceTensors

/// The matrices of a checkpoint, read one at a time.
public struct CheckpointWeights: WeightSource {
    public let matrices: [PrunableWeight]
    private let checkpoint: Checkpoint

    public init(_ checkpoint: Checkpoint) {
        self.checkpoint = checkpoint
        matrices = checkpoint.configuration.tensorShapes.filter { $0.shape.count == 2 }.map {
            PrunableWeight(name: $0.name, rows: $0.shape[0], columns: $0.shape[1])
        }
    }

    public func values(of name: String) throws -> Tensor {
        // Read once each time: what is read again comes from the system's cache.
        defer { checkpoint.releasePages(of: name) }
        return try checkpoint.weight(name).dense()
    }
}
