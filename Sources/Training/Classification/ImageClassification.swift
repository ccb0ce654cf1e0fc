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
    /// - Throws: `.badData` unless a network of the architecture takes these images and knows their classes.
    public func check(fits architecture: VisionArchitecture) throws {
        guard architecture.inputShape == [channels, rows, columns] else {
            let expected = architecture.inputShape.map(String.init).joined(separator: " × ")
            throw CoppiceError(
                .badData, source: name,
                "has images of \(channels) × \(rows) × \(columns), expected \(expected) for "
                    + architecture.name)
        }
        guard architecture.classes == classCount else {
            throw CoppiceError(
                .badData, source: name,
                "has \(classCount) classes, expected the \(architecture.classes) that "
                    + "\(architecture.name) tells apart")
        }
    }
}
