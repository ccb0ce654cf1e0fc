import CKernels
import Foundation

/// How far two masks over the same weights agree.
///
/// Counts are over any number of matrices: add up ``WeightMask`` pairs with `+`.
public struct MaskAgreement: Sendable, Hashable {
    /// Weights in all.
    public var count: Int
    /// Weights that the first mask keeps.
    public var keptByFirst: Int
    /// Weights that the second mask keeps.
    public var keptBySecond: Int
    /// Weights that both keep.
    public var keptByBoth: Int

    /// Counts of nothing.
    public static let zero = MaskAgreement(count: 0, keptByFirst: 0, keptBySecond: 0, keptByBoth: 0)

    init(count: Int, keptByFirst: Int, keptBySecond: Int, keptByBoth: Int) {
        self.count = count
        self.keptByFirst = keptByFirst
        self.keptBySecond = keptBySecond
        self.keptByBoth = keptByBoth
    }

    /// Compares two masks of one matrix.
    ///
    /// - Precondition: equal shapes.
    /// - Complexity: O(N / 64).
    public init(_ first: WeightMask, _ second: WeightMask) {
        precondition(first.rows == second.rows && first.columns == second.columns, "masks of different shapes")
        self.init(
            count: first.count, keptByFirst: first.keptCount, keptBySecond: second.keptCount,
            keptByBoth: coppice_bitmap_count_both(first.words, second.words, first.words.count))
    }

    /// The cosine of the angle between the two 0/1 vectors: |A∩B| / √(|A|·|B|). One for two empty masks.
    public var cosine: Double {
        if keptByFirst == 0 && keptBySecond == 0 { return 1 }
        if keptByFirst == 0 || keptBySecond == 0 { return 0 }
        return Double(keptByBoth) / (Double(keptByFirst) * Double(keptBySecond)).squareRoot()
    }

    /// |A∩B| / |A|: how much of the first mask the second one keeps too. One for an empty first mask.
    ///
    /// Zhang et al., "Lottery jackpots exist in pre-trained models" (2021).
    public var overlap: Double { keptByFirst == 0 ? 1 : Double(keptByBoth) / Double(keptByFirst) }

    /// |A∩B| / |A∪B| of the kept sets. One for two empty masks.
    public var jaccard: Double {
        let union = keptByFirst + keptBySecond - keptByBoth
        return union == 0 ? 1 : Double(keptByBoth) / Double(union)
    }

    /// The fraction of weights on which the masks differ.
    public var hammingDistance: Double {
        count == 0 ? 0 : Double(keptByFirst + keptBySecond - 2 * keptByBoth) / Double(count)
    }

    /// The cosine that two independent random masks of these sizes have on average: √(|A|·|B|) / N. Below it means
    /// that the masks avoid each other; a high cosine at low sparsity says little, since this is high there too.
    public var expectedCosine: Double {
        count == 0 ? 1 : (Double(keptByFirst) * Double(keptBySecond)).squareRoot() / Double(count)
    }

    public static func + (a: MaskAgreement, b: MaskAgreement) -> MaskAgreement {
        MaskAgreement(
            count: a.count + b.count, keptByFirst: a.keptByFirst + b.keptByFirst,
            keptBySecond: a.keptBySecond + b.keptBySecond, keptByBoth: a.keptByBoth + b.keptByBoth)
    }
}
