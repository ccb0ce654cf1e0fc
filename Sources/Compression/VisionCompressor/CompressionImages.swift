import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// The images that a vision network is compressed with: what criteria and training see, and, apart from them, what
/// accuracy is measured on.
public struct CompressionImages: Sendable {
    /// What accuracy is measured on.
    public enum Evaluation: String, Sendable, Hashable, Codable {
        case test
        /// A tenth of the training images, where there are no test images. Nothing else sees them.
        case heldOut = "held-out"
    }

    /// Nil where the data set has none.
    public let training: ImageDataSet?
    public let evaluation: ImageDataSet
    public let evaluatedOn: Evaluation
    /// What a user should know of them; nil for nothing.
    public private(set) var warning: String?

    /// Images in memory. They are normalized alike.
    public init(training: ImageDataSet?, evaluation: ImageDataSet, evaluatedOn: Evaluation = .test) {
        self.training = training
        self.evaluation = evaluation
        self.evaluatedOn = evaluatedOn
    }

    /// Reads a data set and normalizes it as the network stores it, else as is usual for the set.
    ///
    /// - Parameter seed: decides which images are held out where there are no test images.
    /// - Throws: `.noInput` and `.badData` for what is no data set, or none of the network's images and classes.
    public init(folder: String, for checkpoint: VisionCheckpoint, seed: UInt64) throws {
        func part(_ split: ImageDataSet.Split) throws -> ImageDataSet? {
            do {
                return try ImageDataSet.open(
                    folder, split: split, for: checkpoint.architecture, normalization: checkpoint.normalization)
            } catch let error as CoppiceError where error.kind == .noInput { return nil }
        }
        let (all, test) = (try part(.train), try part(.test))
        if let test {
            self.init(training: all, evaluation: test)
        } else if let all {
            let (training, heldOut) = try all.split(validation: max(1, all.count / 10), seed: seed)
            self.init(training: training, evaluation: heldOut, evaluatedOn: .heldOut)
            warning = all.loneClassWarning
        } else {
            // Says what is missing.
            _ = try ImageDataSet.open(folder, split: .train)
            throw CoppiceError(.noInput, source: folder, "holds no images")
        }
    }
}

extension CompressionImages: StageData {
    func samples(for recipe: Recipe) throws -> [LabeledBatch] {
        try samples(recipe.images.count, of: recipe.images.batchSize, seed: recipe.seed)
    }

    /// Some training images, of each class alike; none where there are no training images.
    func samples(_ count: Int, of size: Int, seed: UInt64) throws -> [LabeledBatch] {
        guard let training else { return [] }
        return Array(try training.sample(min(count, training.count), seed: seed).batches(of: size))
    }

    func loop(
        _ training: ClassificationRecipe, seed: UInt64
    ) throws -> (training: SupervisedTraining, source: any BatchSource) {
        guard let images = self.training else {
            throw CoppiceError(.usage, field: "training", "needs images with labels, and there are none")
        }
        let batches = ImageBatches(
            images, batchSize: training.loop.batchSize, seed: seed, augmentation: training.images.augmentation)
        return (training.training(images: images.count), PrefetchingBatches(batches))
    }

    func accuracy(of network: any SupervisedNetwork) -> Double? {
        Classification.measure(network, on: evaluation)?.accuracy
    }

    func holdingOut(seed: UInt64) throws -> (any StageData)? {
        guard let training else { return nil }
        let (rest, heldOut) = try training.split(validation: max(1, training.count / 10), seed: seed)
        return CompressionImages(training: rest, evaluation: heldOut, evaluatedOn: .heldOut)
    }
}
