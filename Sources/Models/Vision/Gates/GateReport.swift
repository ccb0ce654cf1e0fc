import Foundation

/// How open the gates of a network are, over images.
public struct GateReport: Sendable, Hashable {
    public struct Block: Sendable, Hashable {
        /// The block's, such as `layer1.0`.
        public var name: String
        /// The part of the images that each gate is open for.
        public var means: [Double]
        /// Multiplications for one image that each closed gate saves.
        public var multiplications: [Int]
        /// How often gates of the block have opened again in training.
        public var reopenings: Int

        public init(name: String, means: [Double], multiplications: [Int], reopenings: Int = 0) {
            self.name = name
            self.means = means
            self.multiplications = multiplications
            self.reopenings = reopenings
        }

        /// The mean over the block's gates.
        public var mean: Double { means.reduce(0, +) / Double(max(1, means.count)) }
        /// The largest ḡ(1 − ḡ): 0 where every gate decides alike for all images, at most ¼.
        public var disagreement: Double { means.map { $0 * (1 - $0) }.max() ?? 0 }
        /// Whether each gate is open for at least half of the images.
        public var decisions: [Bool] { means.map { $0 >= 0.5 } }
    }

    public var mode: GateMode
    public var blocks: [Block]
    /// Multiplications for one image of the network without gates.
    public var multiplications: Int

    public init(mode: GateMode, blocks: [Block], multiplications: Int) {
        self.mode = mode
        self.blocks = blocks
        self.multiplications = multiplications
    }

    private var means: [Double] { blocks.flatMap(\.means) }
    /// Number of gates.
    public var count: Int { means.count }
    /// The mean over all gates.
    public var mean: Double { means.reduce(0, +) / Double(max(1, count)) }
    /// Of the gate that images disagree about most.
    public var disagreement: Double { blocks.map(\.disagreement).max() ?? 0 }
    /// The mean over gates of the entropy of being open, in bits: 0 where all are unanimous, at most 1.
    public var entropy: Double {
        func term(_ p: Double) -> Double { p > 0 ? -p * log2(p) : 0 }
        return means.reduce(0) { $0 + term($1) + term(1 - $1) } / Double(max(1, count))
    }
    /// How often gates have opened again in training.
    public var reopenings: Int { blocks.reduce(0) { $0 + $1.reopenings } }
    /// Multiplications for an average image where what is closed for it is skipped, gates not counted.
    public var expectedMultiplications: Double {
        blocks.reduce(Double(multiplications)) { total, block in
            zip(block.means, block.multiplications).reduce(total) { $0 - (1 - $1.0) * Double($1.1) }
        }
    }
    /// Gates that are open for at least half of the images.
    public var openCount: Int { means.count { $0 >= 0.5 } }

    /// `open 0.98  entropy 0.01 bits  multiplications 97 %`, then `name 0.98` of each block.
    public var summary: String {
        let part = 100 * expectedMultiplications / Double(max(1, multiplications))
        let whole = String(format: "open %.2f  entropy %.2f bits  multiplications %.0f %%", mean, entropy, part)
        return ([whole] + blocks.map { "\($0.name) \(String(format: "%.2f", $0.mean))" }).joined(separator: "  ")
    }
}
