import CKernels
import CoppiceTensors

/// Random changes to training images that leave their class as it is, each a pure function of the seed and the number
/// of the sample.
public struct ImageAugmentation: Sendable, Hashable, Codable {
    /// Black pixels that are put around an image before a window of its own size is cut out at random (He et al., "Deep
    /// residual learning for image recognition", 2016, section 4.2: 4); 0 for none.
    public var padding: Int
    /// Whether every other image is mirrored left to right.
    public var flips: Bool
    /// Rows and columns of a square at a random place that is filled with the mean, in part outside of the image
    /// (DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017); 0 for none.
    public var cutout: Int

    /// - Precondition: numbers are not negative.
    public init(padding: Int = 0, flips: Bool = false, cutout: Int = 0) {
        precondition(padding >= 0 && cutout >= 0, "a negative extent")
        self.padding = padding
        self.flips = flips
        self.cutout = cutout
    }

    /// Images as they are.
    public static let none = ImageAugmentation()
    /// What is usual for CIFAR: a window of the image with four pixels around it, mirrored or not.
    public static let standard = ImageAugmentation(padding: 4, flips: true)

    /// What is done to an image.
    ///
    /// - Parameter sample: the number of the sample, counted through all epochs.
    func view(of image: Int, sample: Int, seed: UInt64, rows: Int, columns: Int) -> coppice_image_view {
        var view = coppice_image_view()
        view.index = Int64(image)
        guard self != .none else { return view }
        let key = EpochOrder.mix(seed ^ 0x696D_6167_65) ^ EpochOrder.mix(UInt64(sample) << 20 | 1)
        // A whole number below `bound` from the draw's own 64 bits: the bias is below 2⁻³².
        func draw(_ number: UInt64, below bound: Int) -> Int32 {
            Int32(truncatingIfNeeded: EpochOrder.mix(key &+ number).multipliedFullWidth(by: UInt64(bound)).high)
        }
        if padding > 0 {
            view.row = draw(0, below: 2 * padding + 1) - Int32(padding)
            view.column = draw(1, below: 2 * padding + 1) - Int32(padding)
        }
        if flips { view.flip = draw(2, below: 2) }
        if cutout > 0 {
            view.hidden_size = Int32(cutout)
            view.hidden_row = draw(3, below: rows) - Int32(cutout / 2)
            view.hidden_column = draw(4, below: columns) - Int32(cutout / 2)
        }
        return view
    }
}
