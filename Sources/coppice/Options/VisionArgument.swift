import ArgumentParser
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// The network that a command works on: a stored one, or an architecture by its name.
struct VisionArgument: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "A folder or .safetensors file of a vision network, or the name of an architecture such as resnet20.",
            valueName: "network"))
    var network: String
    @Option(help: ArgumentHelp("Classes of an architecture (default: as published).", valueName: "n"))
    var classes: Int?
    @Option(help: ArgumentHelp("Channels of an architecture's images (default: as published).", valueName: "n"))
    var inputChannels: Int?
    @Option(help: ArgumentHelp("Rows and columns of an architecture's images (default: as published).", valueName: "n"))
    var imageSize: Int?
    @Option(help: ArgumentHelp("What an architecture's widths are multiplied by (default: 1).", valueName: "x"))
    var widthMultiplier: Double?

    mutating func validate() throws {
        let counts = [
            ("--classes", classes), ("--input-channels", inputChannels), ("--image-size", imageSize),
        ]
        for (name, count) in counts {
            if let count, count < 1 { throw ValidationError("\(name): expected at least 1, found \(count)") }
        }
    }

    /// The architecture, and the stored network where it is one.
    ///
    /// - Throws: `usage` for a name that is not known, and for options of architectures beside a stored network; what
    ///   opening throws.
    func open() throws -> (architecture: VisionArchitecture, checkpoint: VisionCheckpoint?) {
        guard FileManager.default.fileExists(atPath: network) || network.contains("/") else {
            let size = imageSize.map { Windows.Axes($0) }
            return (
                try VisionArchitecture(
                    named: network, classes: classes, inputChannels: inputChannels, imageSize: size,
                    widthMultiplier: widthMultiplier), nil
            )
        }
        let isChanged = classes != nil || inputChannels != nil || imageSize != nil || widthMultiplier != nil
        if isChanged {
            throw CoppiceError(
                .usage, source: network,
                "--classes, --input-channels, --image-size and --width-multiplier are for names of architectures, not "
                    + "for stored networks")
        }
        let checkpoint = try VisionCheckpoint.open(network)
        return (checkpoint.architecture, checkpoint)
    }

    /// Labelled training images for methods that need a batch: equally many of each class, as the network takes them.
    ///
    /// - Throws: `noInput` and `badData` as opening data sets does.
    static func batch(
        _ folder: String, for architecture: VisionArchitecture, normalization: ImageNormalization?, imagesPerClass: Int,
        seed: UInt64
    ) throws -> LabeledBatch {
        let images = try ImageDataSet.open(folder, split: .train, for: architecture, normalization: normalization)
        return try batch(images, imagesPerClass: imagesPerClass, seed: seed, source: folder)
    }

    /// The same of images that are open.
    static func batch(
        _ images: ImageDataSet, imagesPerClass: Int, seed: UInt64, source: String
    ) throws -> LabeledBatch {
        let sample = try images.sample(min(images.count, imagesPerClass * images.classCount), seed: seed)
        guard let batch = Array(sample.batches(of: sample.count)).first else {
            throw CoppiceError(.badData, source: source, "holds no images")
        }
        return batch
    }
}
