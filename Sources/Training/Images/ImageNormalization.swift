import CKernels
import CoppiceTensors

/// How a pixel's byte becomes a number: `(byte / 255 − mean) / deviation`, channel by channel.
public struct ImageNormalization: Sendable, Hashable, Codable {
    /// Of each channel, where 1 is the largest byte.
    public var mean: [Double]
    /// Of each channel, where 1 is the largest byte; above 0.
    public var deviation: [Double]

    /// - Precondition: as many means as deviations, deviations above 0, all finite.
    public init(mean: [Double], deviation: [Double]) {
        precondition(mean.count == deviation.count && !mean.isEmpty, "means and deviations of different channels")
        precondition(
            mean.allSatisfy(\.isFinite) && deviation.allSatisfy { $0.isFinite && $0 > 0 }, "a deviation is not above 0")
        self.mean = mean
        self.deviation = deviation
    }

    public var channels: Int { mean.count }

    /// Mean and deviation of images themselves, by channel; a channel without contrast is divided by 1. O(pixels).
    public init(of dataSet: ImageDataSet) {
        let (channels, plane) = (dataSet.channels, dataSet.rows * dataSet.columns)
        var sums = [UInt64](repeating: 0, count: channels)
        var squares = sums
        dataSet.pixels.withElements(UInt8.self) { pixels in
            coppice_image_moments(pixels.baseAddress, dataSet.count, channels, plane, &sums, &squares)
        }
        let count = Double(dataSet.count * plane)
        let mean = sums.map { Double($0) / count / 255 }
        let variance = zip(mean, squares).map { max(0, Double($1) / count / (255 * 255) - $0 * $0) }
        // Less than a tenth of a byte's step is rounding, no contrast.
        self.init(mean: mean, deviation: variance.map { $0 < 1.5e-7 ? 1 : $0.squareRoot() })
    }

    /// What every byte becomes: `[channels · 256]`.
    var table: [Float] {
        zip(mean, deviation).flatMap { mean, deviation in
            (0..<256).map { Float((Double($0) / 255 - mean) / deviation) }
        }
    }
}

extension ImageNormalization {
    /// Of MNIST's training images.
    public static let mnist = ImageNormalization(mean: [0.1307], deviation: [0.3081])
    /// Of Fashion-MNIST's training images.
    public static let fashionMNIST = ImageNormalization(mean: [0.2860], deviation: [0.3530])
    /// Of CIFAR-10's training images.
    public static let cifar10 = ImageNormalization(
        mean: [0.4914, 0.4822, 0.4465], deviation: [0.2470, 0.2435, 0.2616])
    /// Of CIFAR-100's training images.
    public static let cifar100 = ImageNormalization(
        mean: [0.5071, 0.4865, 0.4409], deviation: [0.2673, 0.2564, 0.2762])
    /// Of ImageNet, as torchvision's models expect it.
    public static let imageNet = ImageNormalization(mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])

    /// From −1 to 1.
    public static func centred(channels: Int) -> ImageNormalization {
        ImageNormalization(
            mean: [Double](repeating: 0.5, count: channels), deviation: [Double](repeating: 0.5, count: channels))
    }
}
