extension CompressionReport {
    /// Multiplications with weights for one image, or for one token of a text: of each entry of a convolution one for every
    /// output pixel, of a linear layer one. What is zero is not counted, nor are products of activations with one another.
    public struct Multiplications: Sendable, Hashable, Codable {
        /// With all entries that were there before, zeros among them.
        public var dense: Int
        /// With those that were not zero before.
        public var before: Int
        /// With those that are not zero afterwards.
        public var after: Int
        /// What is left of ``dense``.
        public var share: Double

        public init(dense: Int, before: Int, after: Int) {
            self.dense = dense
            self.before = before
            self.after = after
            share = dense == 0 ? 1 : Double(after) / Double(dense)
        }

        /// What was left of ``dense`` before.
        public var shareBefore: Double { dense == 0 ? 1 : Double(before) / Double(dense) }

        /// Those with one weight, by its numbers of entries.
        ///
        /// - Parameter uses: how often each entry is multiplied.
        /// - Returns: nil for what nothing is multiplied with.
        init?(uses: Int?, dense: Int, before: Int, after: Int) {
            guard let uses, uses > 0 else { return nil }
            self.init(dense: uses * dense, before: uses * before, after: uses * after)
        }

        /// The sums; nil where nothing is counted.
        init?(_ parts: some Sequence<Multiplications?>) {
            let parts = parts.compactMap { $0 }
            guard !parts.isEmpty else { return nil }
            self.init(
                dense: parts.reduce(0) { $0 + $1.dense }, before: parts.reduce(0) { $0 + $1.before },
                after: parts.reduce(0) { $0 + $1.after })
        }
    }

    /// The weights of convolutions and linear layers none of whose entries is left.
    static func collapsed(_ weights: [Weight]) -> [String] {
        weights.filter { $0.multiplications?.after == 0 && $0.count > 0 }.map(\.name)
    }
}
