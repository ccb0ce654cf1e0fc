/// How a pixel becomes a number that a network sees: `(pixel − mean) / deviation`, channel by channel, pixels being from 0
/// to 1 (a byte over 255), and values of series what they are.
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
