import CoppiceFormats
import CoppiceTensors

/// Picks, for one matrix, the storage in which a decision about it pays off.
///
/// Removed weights pay only where a sparse format stores what is kept in fewer bytes than a dense format stores all:
/// reading the weights is what decoding waits for. Of the formats that hold the decision exactly the smallest wins,
/// and among those within ``indifference`` of it the one with the fastest kernel.
public struct FormatPlanner: Sendable {
    /// Formats whose sizes differ by less than this share count as equal.
    public var indifference = 0.03

    public init() {}

    /// The matrix in the format that is chosen for it.
    ///
    /// - Parameters:
    ///   - values: the matrix, f32 `[rows, columns]`, with removed entries set to zero.
    ///   - dataType: the type of values that are not quantized: f32, f16 or bf16.
    /// - Throws: `.badData` when a format cannot hold the matrix.
    /// - Complexity: O(rows · columns) for each candidate, at most three.
    public func format(
        _ values: Tensor, for decision: WeightDecision, dataType: DataType
    ) throws -> any WeightFormat {
        let candidates = try self.candidates(values, for: decision, dataType: dataType)
        let smallest = candidates.map(\.byteCount).min() ?? 0
        let limit = Double(smallest) * (1 + indifference)
        return candidates.first { Double($0.byteCount) <= limit } ?? candidates[0]
    }

    /// The formats that hold a decision, the one with the fastest kernel first.
    private func candidates(
        _ values: Tensor, for decision: WeightDecision, dataType: DataType
    ) throws -> [any WeightFormat] {
        let packed: PackedValueType
        var candidates: [any WeightFormat]
        if let stage = decision.quantization {
            let quantization = IntegerQuantization(
                bits: stage.bits, groupSize: stage.groupSize, isSymmetric: stage.isSymmetric)
            packed = .integer(quantization)
            candidates = [try IntegerGroupWeight(quantizing: values, quantization)]
        } else {
            packed = .float(dataType)
            candidates = [try DenseWeight(values.converted(to: dataType))]
        }
        guard decision.mask != nil else { return candidates }
        if let pattern = decision.pattern,
            SemiStructuredWeight.supports(kept: pattern.kept, of: pattern.groupLength, columns: values.shape[1])
        {
            candidates.append(
                try SemiStructuredWeight(
                    packing: values, kept: pattern.kept, of: pattern.groupLength, values: packed))
        }
        if case .integer(let quantization) = packed, let length = decision.groupLength,
            quantization.groupSize == length
        {
            candidates.append(try GroupSparseWeight(packing: values, quantization))
        }
        candidates.append(try BitmaskSparseWeight(packing: values, values: packed))
        return candidates
    }
}
