/// The widths of a decoder whose projections have a wanted number of weights.
struct ModelShape: Sendable, Hashable {
    /// Two heads of half the width.
    static let heads = 2

    var width: Int
    var intermediate: Int
    var layers: Int

    /// Weights of the projections: four squares of attention and three of the feed-forward part, in each layer.
    var prunableCount: Int { layers * (4 * width * width + 3 * width * intermediate) }

    init(width: Int, intermediate: Int, layers: Int) {
        self.width = width
        self.intermediate = intermediate
        self.layers = layers
    }

    /// The shape of about the proportions of another, whose projections have about so many weights: the width, a
    /// multiple of four, follows the square root of the number, and the feed-forward width makes up for the rounding.
    init(prunableCount: Double, like other: ModelShape) {
        let ratio = (prunableCount / Double(other.prunableCount)).squareRoot()
        layers = other.layers
        width = max(4, 4 * Int((Double(other.width) * ratio / 4).rounded()))
        let rest = prunableCount / Double(layers) - Double(4 * width * width)
        intermediate = max(1, Int((rest / Double(3 * width)).rounded()))
    }
}
