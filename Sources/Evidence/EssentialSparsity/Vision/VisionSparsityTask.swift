import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What vision transformers are pre-trained on, and the other classes that they are fine-tuned on.
package struct VisionSparsityTask: Sendable {
    let size: VisionSparsitySize
    /// What the images are from.
    let name: String
    /// The first half of the classes.
    package let pretraining: ImageDataSet
    /// Test images of these classes.
    let pretrainingTests: ImageDataSet
    /// The second half, labelled from 0 on.
    package let tuning: ImageDataSet
    /// Images of these classes that are not trained on, in parts.
    package let testing: [LabeledBatch]

    /// The matrices of the blocks: attention and feed-forward, without patches, positions and heads.
    static let prunableWeights = [WeightPattern("blocks")]
    /// Images of a part that is tested apart.
    private static let testedTogether = 250

    /// - Throws: `.badData` for images of another size than whole patches, a class without images, and fewer than four
    ///   classes.
    package init(training: ImageDataSet, test: ImageDataSet, size: VisionSparsitySize) throws {
        let half = training.classCount / 2
        guard half > 1 else {
            throw CoppiceError(
                .badData, source: training.name, field: "classes",
                "\(training.classCount), expected at least 4: half of them are for fine-tuning")
        }
        guard training.rows % size.patchSize == 0, training.columns % size.patchSize == 0 else {
            throw CoppiceError(
                .badData, source: training.name, field: "images",
                "\(training.extent), expected rows and columns in multiples of \(size.patchSize)")
        }
        let (seen, heldOut) = (Array(0..<half), Array(half..<(2 * half)))
        self.size = size
        name = training.name
        pretraining = try training.keeping(classes: seen)
        pretrainingTests = try test.keeping(classes: seen)
        let (images, tests) = (try training.keeping(classes: heldOut), try test.keeping(classes: heldOut))
        let count = min(size.tuningImages, images.count)
        let (learned, rest) =
            count < images.count
            ? try images.split(validation: images.count - count, seed: 0) : (images, nil as ImageDataSet?)
        tuning = learned
        var parts = [try tests.sample(min(size.testImages, tests.count), seed: 0)]
        if let rest, size.testImages > tests.count {
            parts.append(try rest.sample(min(size.testImages - tests.count, rest.count), seed: 0))
        }
        testing = parts.flatMap { Array($0.batches(of: Self.testedTogether)) }
    }

    var classCount: Int { tuning.classCount }
    var testCount: Int { testing.reduce(0) { $0 + $1.count } }
    /// Of a network that is pre-trained, and of one that is fine-tuned: there are as many classes.
    var configuration: VisionTransformer.Configuration { size.configuration(of: pretraining) }
    /// Patches that are hidden of each image, at least one.
    var hiddenCount: Int { max(1, Int((Double(configuration.patchCount) * size.hiddenShare).rounded())) }

    /// Images to pre-train on: windows of padded images, mirrored or not.
    func pretrainingBatches(seed: UInt64) -> ImageBatches {
        ImageBatches(pretraining, batchSize: size.pretrainingBatch, seed: seed, augmentation: .standard)
    }

    /// Images to fine-tune on, mirrored or not.
    func tuningBatches(seed: UInt64) -> ImageBatches {
        ImageBatches(tuning, batchSize: size.tuningBatch, seed: seed, augmentation: ImageAugmentation(flips: true))
    }

    /// Fine-tuning as the paper has it, at this network's rate.
    var tuningSteps: SupervisedTraining {
        SparsityAnalysis.FineTuning.training(steps: size.tuningSteps, learningRate: size.tuningRate)
    }

    /// Images of the classes seen, with hidden patches: what a self-supervised network is tested on.
    var hiddenPatches: [LabeledBatch] {
        let images = ImageBatches(
            pretrainingTests, batchSize: min(Self.testedTogether, pretrainingTests.count), seed: 0)
        let source = MaskedPatches(
            images, patchCount: configuration.patchCount, hiddenCount: hiddenCount, seed: 0)
        return (0..<images.batchesPerEpoch).map { source.batch(at: $0) }
    }
}
