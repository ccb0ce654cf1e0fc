import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

extension Classification {
    /// Measures a network in use on all images of a set.
    ///
    /// - Parameter progress: told the images done; false ends the measurement.
    /// - Returns: nil when it was ended.
    public static func measure(
        _ network: any SupervisedNetwork, on images: ImageDataSet, batchSize: Int = 250,
        progress: (Int) -> Bool = { _ in true }
    ) -> Classification? {
        measure(network, on: images.batches(of: batchSize), progress: progress)
    }
}

extension ImageDataSet {
    /// - Throws: `.badData` unless a network of the architecture takes these images or series and knows their classes.
    public func check(fits architecture: VisionArchitecture) throws {
        guard architecture.takes(images: [channels, rows, columns]) else {
            let shape = architecture.inputShape
            let expected =
                architecture.takesSequences
                ? "\(shape[0]) steps of \(shape[1]) values" : shape.map(String.init).joined(separator: " × ")
            throw CoppiceError(
                .badData, source: name, "has \(noun) of \(extent), expected \(expected) for \(architecture.name)")
        }
        guard architecture.classes == classCount else {
            throw CoppiceError(
                .badData, source: name,
                "has \(classCount) classes, expected the \(architecture.classes) that "
                    + "\(architecture.name) tells apart")
        }
    }

    /// - Throws: `.badData` for random changes to series.
    package func check(takes augmentation: ImageAugmentation) throws {
        guard augmentation == .none || !isOfSeries else {
            throw CoppiceError(.badData, source: name, "has series, and augmentation is of images; leave it out")
        }
    }
}
