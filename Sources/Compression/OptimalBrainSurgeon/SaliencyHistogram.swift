import CoppiceTensors
import Foundation

/// How saliencies are spread when weights go: how many of each power of ten, of the weights that go and of those that
/// stay. Where the two overlap, an allocation removed more of some layers than one threshold would have.
public struct SaliencyHistogram: Sendable, Hashable, Codable {
    /// Saliencies from 10ᵉ to below 10ᵉ⁺¹.
    public struct Decade: Sendable, Hashable, Codable {
        /// e.
        public var exponent: Int
        public var removed: Int
        public var kept: Int
    }

    /// From the smallest saliencies to the largest, those without weights in between included.
    public var decades: [Decade]
    /// Weights whose saliency is zero.
    public var zeros: Int

    /// Counts the saliencies of weights that were there.
    ///
    /// - Parameters:
    ///   - saliencies: f32, at least zero, of each weight of a network.
    ///   - before: the weights that are counted.
    ///   - after: those of them that stay.
    /// - Complexity: O(N).
    init(_ saliencies: [Tensor], before: [WeightMask], after: [WeightMask]) {
        var (removed, kept, zeros) = ([Int: Int](), [Int: Int](), 0)
        for (scores, masks) in zip(saliencies, zip(before, after)) {
            let (was, stays) = (masks.0.indicator.floats(), masks.1.indicator.floats())
            for (place, score) in scores.floats().enumerated() where was[place] > 0 {
                guard score > 0 else {
                    zeros += 1
                    continue
                }
                let exponent = Int(log10(Double(score)).rounded(.down))
                if stays[place] > 0 { kept[exponent, default: 0] += 1 } else { removed[exponent, default: 0] += 1 }
            }
        }
        let exponents = Array(removed.keys) + Array(kept.keys)
        self.zeros = zeros
        guard let least = exponents.min(), let most = exponents.max() else {
            decades = []
            return
        }
        decades = (least...most).map {
            Decade(exponent: $0, removed: removed[$0] ?? 0, kept: kept[$0] ?? 0)
        }
    }
}
