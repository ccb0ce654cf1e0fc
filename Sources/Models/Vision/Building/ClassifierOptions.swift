import CoppiceNetworks
import CoppiceTensors

/// What every classifier is told beside its structure.
public struct ClassifierOptions: Sendable, Hashable {
    public var classes: Int
    /// Channels of images; features of each step of sequences.
    public var inputChannels: Int
    /// Rows and columns of images; steps of sequences (rows).
    public var imageSize: Windows.Axes
    /// What the paper's channel counts are multiplied by.
    public var widthMultiplier: Double
    /// Output channels of layers where they are not the architecture's own, as in a network that was cut, by the name of
    /// the layer that first makes these channels; see ``VisionArchitecture/widths``.
    public var widths: [String: Int]

    /// - Precondition: counts are at least 1, a multiplier greater than 0.
    public init(
        classes: Int, inputChannels: Int = 3, imageSize: Windows.Axes, widthMultiplier: Double = 1,
        widths: [String: Int] = [:]
    ) {
        precondition(
            min(classes, inputChannels, imageSize.rows, imageSize.columns) >= 1 && widthMultiplier > 0,
            "a classifier of nothing")
        self.classes = classes
        self.inputChannels = inputChannels
        self.imageSize = imageSize
        self.widthMultiplier = widthMultiplier
        self.widths = widths
    }

    /// Ten classes of handwritten digits: 1 × 28 × 28.
    public static let mnist = ClassifierOptions(classes: 10, inputChannels: 1, imageSize: 28)
    /// Ten classes of small photographs: 3 × 32 × 32.
    public static let cifar = ClassifierOptions(classes: 10, imageSize: 32)
    /// A thousand classes of photographs: 3 × 224 × 224.
    public static let imageNet = ClassifierOptions(classes: 1000, imageSize: 224)
}

/// The size of images that a network's first layers are made for.
public enum ImageScale: Sendable, Hashable, CaseIterable {
    /// As CIFAR's, 32 × 32: no reduction before the first block.
    case small
    /// As ImageNet's, 224 × 224: the first layers reduce rows and columns.
    case large

    /// What the architecture's publication classifies at this scale.
    public var options: ClassifierOptions { self == .small ? .cifar : .imageNet }
}
