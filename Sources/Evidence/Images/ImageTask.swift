import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Images that experiments train and test networks on, the same for every method that is compared.
struct ImageTask: Sendable {
    /// A data set that experiments ask for.
    enum Source: String, Sendable {
        case mnist
        case fashionMNIST = "fashion-mnist"
        case cifar10 = "cifar10-lossless"
    }

    let name: String
    let training: ImageDataSet
    /// The test images in order.
    let test: [LabeledBatch]

    /// - Parameter test: images that are never trained on and that nothing is chosen by.
    init(name: String, training: ImageDataSet, test: ImageDataSet) {
        self.name = name
        self.training = training
        self.test = Array(test.batches(of: 500))
    }

    /// A part of a data set, the same part for the same setting.
    ///
    /// - Parameters:
    ///   - trainingCount: images to train on, or all where there are fewer.
    ///   - testCount: images to test on, or all where there are fewer.
    /// - Throws: `.usage` where no data folder was named; what ``ImageDataSet/open(_:split:)`` throws.
    init(_ source: Source, _ setting: ExperimentSetting, trainingCount: Int, testCount: Int) throws {
        guard let folder = setting.dataFolder else {
            throw CoppiceError(
                .usage,
                "this experiment needs the data set \(source.rawValue): name the folder that holds it with --data "
                    + "or COPPICE_DATA")
        }
        let path = folder + "/" + source.rawValue
        func part(_ split: ImageDataSet.Split, _ count: Int) throws -> ImageDataSet {
            let all = try ImageDataSet.open(path, split: split)
            return setting.isFull || count >= all.count ? all : try all.sample(count, seed: setting.seed)
        }
        self.init(
            name: source.rawValue, training: try part(.train, setting.scaled(trainingCount)),
            test: try part(.test, setting.scaled(testCount)))
    }

    /// Batches to train on in an order of the seed.
    func batches(of size: Int, seed: UInt64, augmentation: ImageAugmentation = .none) -> ImageBatches {
        ImageBatches(training, batchSize: size, seed: seed, augmentation: augmentation)
    }

    /// One batch with so many images of each class, for criteria that look at a batch.
    func balancedBatch(ofEach count: Int, seed: UInt64) throws -> LabeledBatch {
        let part = try training.sample(count * training.classCount, seed: seed)
        guard let batch = part.batches(of: part.count).first(where: { _ in true }) else {
            throw CoppiceError(.badData, source: name, "has no images")
        }
        return batch
    }

    /// The accuracy on the test images, from 0 to 1.
    func accuracy(of network: any SupervisedNetwork) -> Double { Classification(of: network, on: test).accuracy }
}
