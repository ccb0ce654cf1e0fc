import CoppiceFormats
import CoppiceModels
import CoppiceTensors

/// Picks, for one matrix, the storage in which a decision about it pays off.
///
/// Where a recipe names a structure (N:M, groups, a rank), its format is taken. Where it only says how many weights go,
/// a bitmask is taken where decoding with it was measured to be faster than with the dense weight, or, with
/// ``Preference/size`` and for weights that were stored sparsely before, wherever it is smaller. Of the formats that are left the smallest wins, and among those within
/// ``indifference`` of it the one with the fastest kernel.
public struct FormatPlanner: Sendable {
    /// What a format has to be better in than the one that it replaces.
    public enum Preference: String, Sendable, Hashable, CaseIterable {
        /// Faster, at one row of activations.
        case speed
        /// Smaller.
        case size
    }

    /// From where on a bitmask is faster than the dense weight of the same values.
    public struct BreakEven: Sendable, Hashable {
        /// Bits of a value.
        public var bits: Int
        /// The share of entries that are zero, at least.
        public var sparsity: Double
        /// Entries of the matrix, at least: what is small is read from caches, where unpacking is what counts.
        public var entries: Int

        public init(bits: Int, sparsity: Double, entries: Int) {
            self.bits = bits
            self.sparsity = sparsity
            self.entries = entries
        }
    }

    /// Measured by `coppice bench --formats 4096x4096,1024x4096,1024x1024,512x512` on two cores of an AMD EPYC (Zen 4),
    /// and for f32 by the same products. 4-bit codes are not here: spreading them over columns takes longer than
    /// reading all of them.
    public static let measuredBreakEvens = [
        BreakEven(bits: 16, sparsity: 0.45, entries: 1 << 22), BreakEven(bits: 16, sparsity: 0.8, entries: 1 << 18),
        BreakEven(bits: 8, sparsity: 0.5, entries: 1 << 22), BreakEven(bits: 8, sparsity: 0.7, entries: 1 << 20),
        BreakEven(bits: 32, sparsity: 0.45, entries: 1 << 22),
    ]

    /// For encoders, which see many rows of activations at once: a bitmask pays where few entries are left of a matrix,
    /// which then are multiplied alone (`Tools/peers/encoder_speed.py`).
    public static let encoderBreakEvens = [4, 8, 16, 32].map {
        BreakEven(bits: $0, sparsity: EncoderCheckpoint.sparsityThatPays, entries: 1 << 14)
    }

    public var preference = Preference.speed
    /// Where bitmasks are faster.
    public var breakEvens = Self.measuredBreakEvens
    /// Formats whose sizes differ by less than this share count as equal.
    public var indifference = 0.03

    public init(preference: Preference = .speed) { self.preference = preference }

    /// The matrix in the format that is chosen for it.
    ///
    /// - Parameters:
    ///   - values: the matrix, f32 `[rows, columns]`, with removed entries set to zero.
    ///   - dataType: the type of values that are not quantized: f32, f16 or bf16.
    /// - Throws: `.badData` when a format cannot hold the matrix.
    /// - Complexity: O(rows · columns) for each candidate, at most three; that of a singular value decomposition for a
    ///   decision with a rank.
    public func format(
        _ values: Tensor, for decision: WeightDecision, dataType: DataType
    ) throws -> any WeightFormat {
        if let target = decision.lowRank, values.count > 0 {
            return try LowRankWeight(factoring: values, target, values: type(decision, dataType))
        }
        let candidates = try self.candidates(values, for: decision, dataType: dataType)
        let smallest = candidates.map(\.byteCount).min() ?? 0
        let limit = Double(smallest) * (1 + indifference)
        return candidates.first { Double($0.byteCount) <= limit } ?? candidates[0]
    }

    private func type(_ decision: WeightDecision, _ dataType: DataType) -> PackedValueType {
        guard let stage = decision.quantization else { return .float(dataType) }
        return .integer(
            IntegerQuantization(bits: stage.bits, groupSize: stage.groupSize, isSymmetric: stage.isSymmetric))
    }

    /// The formats that hold a decision, the one with the fastest kernel first.
    private func candidates(
        _ values: Tensor, for decision: WeightDecision, dataType: DataType
    ) throws -> [any WeightFormat] {
        // These store every entry: a mask would cost as much as it saves, or nearly.
        if let planes = decision.quantization?.bitPlanes { return [try BitPlaneWeight(quantizing: values, planes)] }
        if let codebook = decision.quantization?.codebook(keepsZero: decision.mask != nil) {
            return [try CodebookWeight(quantizing: values, codebook)]
        }
        let packed = type(decision, dataType)
        var candidates: [any WeightFormat]
        switch packed {
        case .integer(let quantization): candidates = [try IntegerGroupWeight(quantizing: values, quantization)]
        case .float(let type): candidates = [try DenseWeight(values.converted(to: type))]
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
        if bitmaskPays(values, packed, decision) {
            candidates.append(try BitmaskSparseWeight(packing: values, values: packed))
        }
        return candidates
    }

    /// Whether a bitmask is worth considering.
    private func bitmaskPays(_ values: Tensor, _ type: PackedValueType, _ decision: WeightDecision) -> Bool {
        // A structure without a format of its own was asked for, and a bitmask is the only one that stores it.
        let isAsked = decision.pattern != nil || decision.groupLength != nil
        if preference == .size || isAsked || decision.isStoredSparsely { return true }
        let bits =
            switch type {
            case .float(let dataType): dataType.byteCount * 8
            case .integer(let quantization): quantization.bits
            }
        let known = breakEvens.filter { $0.bits == bits && values.count >= $0.entries }
        guard !known.isEmpty else { return false }
        let sparsity = Double(values.zeroCount) / Double(max(1, values.count))
        return known.contains { sparsity >= $0.sparsity }
    }
}
