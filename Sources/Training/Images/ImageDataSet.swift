import CoppiceModels
import CoppiceTensors

/// Labelled images of one size in memory, as bytes; or series of one length, as numbers.
///
/// A series is an image of one column: each step is a row.
///
/// ```swift
/// let digits = try ImageDataSet.open("data/mnist", split: .train)
/// let (training, validation) = try digits.split(validation: 5_000, seed: 1)
/// let batches = ImageBatches(training, batchSize: 128, seed: 1, augmentation: .standard)
/// ```
public struct ImageDataSet: Sendable {
    /// The parts that published data sets come in.
    public enum Split: String, Sendable, Hashable, CaseIterable {
        case train, test
    }

    /// What the set is, for people: `MNIST`, `CIFAR-10`, the name of a folder.
    public let name: String
    /// u8 `[images, channels, rows, columns]`; of series f32 `[series, 1, steps, 1]`.
    public let pixels: Tensor
    /// The class of each image, an index into ``classNames``.
    public let labels: [Int]
    public let classNames: [String]
    /// How pixels become what a network sees.
    public var normalization: ImageNormalization

    /// - Precondition: u8 or f32 pixels of four dimensions, at least one image of at least one pixel; a label for each
    ///   image, all of them classes; a normalization of as many channels.
    public init(
        name: String, pixels: Tensor, labels: [Int], classNames: [String], normalization: ImageNormalization
    ) {
        precondition(
            [.u8, .f32].contains(pixels.dataType) && pixels.rank == 4 && pixels.count > 0, "no images of u8 or f32")
        precondition(pixels.shape[0] == labels.count, "\(labels.count) labels of \(pixels.shape[0]) images")
        precondition(labels.allSatisfy(classNames.indices.contains), "labels of no class")
        precondition(normalization.channels == pixels.shape[1], "the normalization is for other images")
        self.name = name
        self.pixels = pixels.contiguous()
        self.labels = labels
        self.classNames = classNames
        self.normalization = normalization
    }

    /// Number of images.
    public var count: Int { labels.count }
    public var channels: Int { pixels.shape[1] }
    public var rows: Int { pixels.shape[2] }
    public var columns: Int { pixels.shape[3] }
    public var classCount: Int { classNames.count }

    /// Whether the pixels are numbers: values of series.
    public var isOfSeries: Bool { pixels.dataType == .f32 }

    /// What the examples are, for people.
    public var noun: String { isOfSeries ? "series" : "images" }

    /// The size of each example, for people: `1 × 28 × 28`, `96 steps`.
    public var extent: String { isOfSeries ? "\(rows) steps" : "\(channels) × \(rows) × \(columns)" }

    /// Images of each class.
    public var classSizes: [Int] {
        labels.reduce(into: [Int](repeating: 0, count: classCount)) { $0[$1] += 1 }
    }

    /// The images at some places, in their order. O(pixels).
    ///
    /// - Precondition: places of this set, at least one.
    public func subset(_ indices: [Int]) -> ImageDataSet {
        let size = channels * rows * columns * pixels.dataType.byteCount
        let chosen = Tensor(uninitialized: [indices.count] + pixels.shape.dropFirst(), dataType: pixels.dataType)
        for (place, index) in indices.enumerated() {
            precondition(labels.indices.contains(index), "there is no image \(index)")
            (chosen.basePointer + place * size).copyMemory(from: pixels.basePointer + index * size, byteCount: size)
        }
        return ImageDataSet(
            name: name, pixels: chosen, labels: indices.map { labels[$0] }, classNames: classNames,
            normalization: normalization)
    }

    /// SHA-256 of shape, labels and pixels, in hexadecimal.
    public var digest: String {
        var hash = SHA256()
        hash.update("\(pixels.shape) \(labels)".utf8.map { $0 })
        if isOfSeries {
            pixels.withElements(Float.self) { hash.update(UnsafeRawBufferPointer($0)) }
        } else {
            pixels.withElements(UInt8.self) { hash.update(UnsafeRawBufferPointer($0)) }
        }
        return hash.finish()
    }
}
