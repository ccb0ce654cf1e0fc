import CoppiceModels
import CoppiceTensors

/// The images that a recipe trains, validates and tests on, all normalized alike.
package struct ClassificationImages: Sendable {
    package var training: ImageDataSet
    package var validation: ImageDataSet?
    package var test: ImageDataSet?
    /// What a user should know of them; nil for nothing.
    package var warning: String?

    /// Opens them.
    ///
    /// - Parameter dataFolder: where the recipe's directory is looked up that does not exist in the working folder.
    /// - Throws: `.noInput` and `.badData` as opening data sets does; `.badData` where there is one class alone.
    package init(_ recipe: ClassificationRecipe, dataFolder: String?) throws {
        let directory = try DataPath.locate(
            recipe.images.directory, folder: dataFolder, expected: "a folder of images")
        let all = try ImageDataSet.open(directory, split: .train)
        training = all
        guard all.classCount > 1 else {
            throw CoppiceError(
                .badData, source: directory, "has training \(all.noun) of one class, expected at least two classes")
        }
        try all.check(takes: recipe.images.augmentation)
        do {
            test = try ImageDataSet.open(directory, split: .test)
        } catch let error as CoppiceError where error.kind == .noInput && recipe.images.validation != .test {
            // A set without test images is trained on all the same.
        }
        if let test, test.pixels.shape.dropFirst() != all.pixels.shape.dropFirst() {
            throw CoppiceError(
                .badData, source: directory,
                "has test \(test.noun) of \(test.extent), expected \(all.extent) as the training \(all.noun)")
        }
        switch recipe.images.validation {
        case .none: break
        case .heldOut(let part):
            let count = max(1, Int((part * Double(all.count)).rounded()))
            let parts = try all.split(validation: count, seed: recipe.seed)
            (training, validation) = (parts.training, parts.validation)
            warning = all.loneClassWarning
        case .test: (validation, test) = (test, nil)
        }
        if recipe.images.normalization == .computed {
            training.normalization = ImageNormalization(of: training)
        }
        validation?.normalization = training.normalization
        test?.normalization = training.normalization
    }
}

extension ClassificationRecipe {
    /// The network that training starts from, with its weights where the recipe names some.
    ///
    /// - Parameters:
    ///   - images: what it is to classify.
    ///   - seed: of its random weights; nil for the recipe's.
    /// - Throws: `.noInput` and `.badData` for an architecture or a stored network that does not fit.
    package func makeNetwork(
        for images: ImageDataSet, dataFolder: String?, seed: UInt64? = nil
    ) throws -> any VisionNetwork {
        try makeStartingPoint(for: images, dataFolder: dataFolder, seed: seed).network
    }

    /// A network of the recipe's architecture with random weights, whatever weights the recipe names.
    package func makeRandomNetwork(
        for images: ImageDataSet, dataFolder: String?, seed: UInt64
    ) throws -> any VisionNetwork {
        let network = try architecture(for: images, dataFolder: dataFolder).makeNetwork(seed: seed)
        try checkScales(of: network, source: source)
        return network
    }

    /// - Returns: the network that training starts from, and which of its weights are sparse.
    func makeStartingPoint(
        for images: ImageDataSet, dataFolder: String?, seed: UInt64? = nil
    ) throws -> (network: any VisionNetwork, sparse: SparseWeights?) {
        let network = try makeRandomNetwork(for: images, dataFolder: dataFolder, seed: seed ?? self.seed)
        guard let checkpoint = try startingCheckpoint(dataFolder: dataFolder) else { return (network, nil) }
        try network.load(checkpoint.tensors)
        return (network, try SparseWeights(checkpoint))
    }

    /// The stored network that training starts from; nil for a new one.
    package func startingCheckpoint(dataFolder: String?) throws -> VisionCheckpoint? {
        try model.weights.map {
            try VisionCheckpoint.open(DataPath.locate($0, folder: dataFolder, expected: "a trained network"))
        }
    }

    /// - Throws: `.usage` where a folder that is to be written would take the place of the network that training starts
    ///   from, which a run that is started again would then miss.
    func checkWeightsStay(writing output: String, dataFolder: String?) throws {
        guard let start = try startingCheckpoint(dataFolder: dataFolder)?.path,
            OutputFolder.takesPlace(output, of: start)
        else { return }
        throw CoppiceError(
            .usage, source: source, field: "model.weights",
            "\(output) would take the place of \(start); name another output")
    }

    private func architecture(for images: ImageDataSet, dataFolder: String?) throws -> VisionArchitecture {
        let architecture: VisionArchitecture
        do {
            architecture =
                try storedArchitecture(for: images, dataFolder: dataFolder)
                ?? VisionArchitecture(
                    named: model.architecture, images: [images.channels, images.rows, images.columns],
                    classes: images.classCount, sequenceLength: model.sequenceLength,
                    widthMultiplier: model.widthMultiplier)
        } catch var error as CoppiceError {
            error.source = error.source ?? source
            throw error
        }
        return architecture
    }

    /// The architecture of the network to go on from, where the recipe names no other.
    private func storedArchitecture(for images: ImageDataSet, dataFolder: String?) throws -> VisionArchitecture? {
        guard model.architecture.isEmpty, let weights = model.weights else { return nil }
        let path = try DataPath.locate(weights, folder: dataFolder, expected: "a network")
        let architecture = try VisionCheckpoint.open(path).architecture
        try images.check(fits: architecture)
        return architecture
    }
}
