import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

extension Classification {
    /// Measures a network in use on all images of a set, and leaves it in the mode that it was in.
    ///
    /// - Parameter progress: told the images done; false ends the measurement.
    /// - Returns: nil when it was ended.
    public static func measure(
        _ network: any SupervisedNetwork, on images: ImageDataSet, batchSize: Int = 250,
        progress: (Int) -> Bool = { _ in true }
    ) -> Classification? {
        var result = Classification()
        let isWhole = network.inUse {
            for batch in images.batches(of: batchSize) {
                result.add(network.outputs(batch.inputs), targets: batch.targets)
                guard progress(result.count) else { return false }
            }
            return true
        }
        return isWhole ? result : nil
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

extension ImageNormalization {
    /// As a checkpoint stores it.
    public init(_ stored: VisionCheckpoint.Normalization) { self.init(mean: stored.mean, deviation: stored.deviation) }

    public var stored: VisionCheckpoint.Normalization { .init(mean: mean, deviation: deviation) }
}
