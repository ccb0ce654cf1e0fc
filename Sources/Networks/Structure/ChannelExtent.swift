/// An extent of a parameter as a function of the network's widths: a fixed part, and widths with what they are
/// multiplied by, in the order in which their channels lie on the axis.
public struct ChannelExtent: Sendable, Hashable {
    /// Channels of one width on an axis.
    public struct Term: Sendable, Hashable {
        /// The place of the width among ``WidthStructure/widths``.
        public var width: Int
        /// Neighbouring elements of each channel: pixels where an image was flattened, else 1.
        public var multiple: Int

        public init(width: Int, multiple: Int = 1) {
            self.width = width
            self.multiple = multiple
        }
    }

    public var fixed: Int
    public var terms: [Term]

    public init(fixed: Int, terms: [Term] = []) {
        self.fixed = fixed
        self.terms = terms
    }

    /// The extent in a network of some widths. O(terms).
    public func callAsFunction(_ widths: [Int]) -> Int {
        terms.reduce(fixed) { $0 + $1.multiple * widths[$1.width] }
    }

    /// Where the elements of kept channels are among those of a wider network.
    ///
    /// - Parameters:
    ///   - old: widths of the wider network.
    ///   - kept: of each width, the channels that stay.
    /// - Precondition: ranges within the old widths; no fixed part beside terms.
    package func places(in old: [Int], keeping kept: [Range<Int>]) -> [Int] {
        guard !terms.isEmpty else { return Array(0..<fixed) }
        precondition(fixed == 0, "an axis of channels with others beside them")
        var base = 0
        var places: [Int] = []
        for term in terms {
            let range = kept[term.width]
            places += (range.lowerBound * term.multiple..<range.upperBound * term.multiple).map { base + $0 }
            base += term.multiple * old[term.width]
        }
        return places
    }
}
