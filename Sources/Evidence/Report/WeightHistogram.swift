import CoppiceModels
import CoppiceTensors

/// How a model's matrices are distributed, in units of each matrix's root mean square.
public struct WeightHistogram: Sendable, Hashable {
    /// Increasing bounds of the bins.
    public var edges: [Double]
    /// Weights in each bin; those beyond the ends are in the outermost bins.
    public var counts: [Int]

    /// Counts the weights of some tensors.
    ///
    /// - Parameters:
    ///   - range: the ends in units of the root mean square: from −range to range.
    ///   - scales: the root mean square that each tensor is divided by; its own when nil. Give the scales of the
    ///     uncompressed model to compare like with like.
    /// - Complexity: O(weights), one tensor in memory at a time.
    public init(
        _ tensors: some Sequence<() throws -> Tensor>, range: Double = 4, binCount: Int = 81, scales: [Double]? = nil
    ) throws {
        precondition(binCount > 0 && range > 0, "a histogram without bins")
        edges = (0...binCount).map { range * Double(2 * $0 - binCount) / Double(binCount) }
        var counts = [Int](repeating: 0, count: binCount)
        for (index, load) in tensors.enumerated() {
            let tensor = try load().converted(to: .f32)
            let scale = scales.flatMap { index < $0.count ? $0[index] : nil } ?? Self.rootMeanSquare(tensor)
            guard scale > 0, scale.isFinite else { continue }
            let factor = Float(Double(binCount) / (2 * range * scale))
            let middle = Float(binCount) / 2
            tensor.withElements(Float.self) { elements in
                for value in elements where value.isFinite {
                    let place = min(max(value * factor + middle, 0), Float(binCount - 1))
                    counts[Int(place)] += 1
                }
            }
        }
        self.counts = counts
    }

    /// The root mean square of a tensor; zero for an empty one.
    public static func rootMeanSquare(_ tensor: Tensor) -> Double {
        let values = tensor.converted(to: .f32)
        guard values.count > 0 else { return 0 }
        let sum = values.withElements(Float.self) { $0.reduce(0.0) { $0 + Double($1) * Double($1) } }
        return (sum / Double(values.count)).squareRoot()
    }

    /// The histograms of the same matrices of two models, both in units of the first one's root mean squares.
    ///
    /// Matrices are those that the second model stores compressed, or all block projections where it stores none so.
    ///
    /// - Throws: what reading a weight throws.
    public static func pair(
        before: Checkpoint, after: Checkpoint
    ) throws -> (before: WeightHistogram, after: WeightHistogram)? {
        let known = Set(before.weightNames)
        let matrices = after.weightNames.filter { known.contains($0) && after.shape(of: $0)?.count == 2 }
        let compressed = matrices.filter { after.isCompressed($0) }
        let chosen = compressed.isEmpty ? matrices.filter { $0.contains("_proj") } : compressed
        guard !chosen.isEmpty else { return nil }
        let scales = try chosen.map { rootMeanSquare(try before.tensor($0)) }
        func histogram(_ model: Checkpoint) throws -> WeightHistogram {
            try WeightHistogram(chosen.map { name in { try model.tensor(name) } }, scales: scales)
        }
        return (try histogram(before), try histogram(after))
    }
}
