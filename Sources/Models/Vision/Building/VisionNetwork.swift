import CoppiceNetworks
import CoppiceTensors

/// A network that classifies images `[images, channels, rows, columns]` or sequences `[sequences, time, features]`.
///
/// Its ``SteppedNetwork/steps`` are its forward pass: a batch of inputs → scores of classes `[inputs, classes]`.
public protocol VisionNetwork: SteppedNetwork {
    associatedtype Configuration: VisionConfiguration
    var configuration: Configuration { get }
}

extension VisionNetwork {
    /// Scores of classes: a batch of inputs → `[inputs, classes]`.
    public func callAsFunction(_ inputs: Tensor) -> Tensor { outputs(inputs) }

    /// The mean cross-entropy in nats of classes `[images]`.
    public func loss(_ images: Tensor, classes: Tensor) -> Tensor {
        self(images).crossEntropy(targets: classes).mean()
    }

    /// Loads a checkpoint of this architecture, under its own names or those of checkpoints that circulate; counts of
    /// batches may be missing, and compressed weights are expanded.
    ///
    /// - Throws: `.badData` naming the tensor that is missing, has another shape, or does not belong to the network.
    public func load(_ file: SafetensorsFile) throws { try load(StoredTensors(file)) }

    /// Loads the tensors of a checkpoint of this architecture, as those of a file.
    ///
    /// - Throws: `.badData` naming the tensor that is missing, has another shape, or does not belong to the network.
    public func load(_ tensors: StoredTensors) throws {
        let names = try TensorShapes(tensors).renamed(Configuration.canonicalNames)
        try names.check(self, named: configuration.name)
        try load(source: tensors.source) { name in
            guard let stored = names.storedName(name) else { return .zeros([], dataType: .i64) }
            return try tensors.tensor(stored)
        }
    }

    /// Images as the network takes them, lying in memory as most of its layers are fastest on.
    func checked(_ images: Tensor) -> Tensor {
        precondition(
            images.rank == 4 && images.shape[1] == configuration.inputChannels
                && min(images.shape[2], images.shape[3]) >= configuration.smallestImage,
            "images of shape \(images.shape) for \(configuration.inputChannels) channels and at least "
                + "\(configuration.smallestImage) rows and columns")
        return images.laidOutForConvolutions()
    }
}
