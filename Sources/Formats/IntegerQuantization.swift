import CKernels
import CoppiceTensors

/// How values are quantized: round-to-nearest integers with one f16 scale for each group of inputs of a row.
public struct IntegerQuantization: Sendable, Hashable {
    /// Bits of a code: 4 or 8.
    public var bits: Int
    /// Inputs that share a scale, a multiple of 16; nil: all of a row (per channel).
    public var groupSize: Int?
    /// Symmetric codes have no zero point: w = (code - 2^(bits-1)) · scale with scale = 2 max|w| / (2^bits - 1).
    /// Asymmetric: w = (code - zero) · scale over the range of the group's values, widened to hold 0.
    public var isSymmetric: Bool

    /// - Precondition: 4 or 8 bits; a group size that is a positive multiple of 16.
    public init(bits: Int, groupSize: Int? = nil, isSymmetric: Bool = true) {
        precondition(bits == 4 || bits == 8, "\(bits) bits, expected 4 or 8")
        precondition(groupSize.map { $0 > 0 && $0 % 16 == 0 } ?? true, "groups are multiples of 16 columns")
        self.bits = bits
        self.groupSize = groupSize
        self.isSymmetric = isSymmetric
    }

    /// "int4-group32", "int8", with "-asymmetric" where so.
    public var label: String {
        "int\(bits)" + (groupSize.map { "-group\($0)" } ?? "") + (isSymmetric ? "" : "-asymmetric")
    }

    /// Columns of a group in a matrix of so many columns.
    func groupLength(columns: Int) -> Int { groupSize ?? max(16, (columns + 15) / 16 * 16) }

    func groupCount(columns: Int) -> Int {
        let length = groupLength(columns: columns)
        return (columns + length - 1) / length
    }

    /// A quantized matrix: one byte a code, scales f16 and zero points u8 `[rows, groups]`.
    struct Codes {
        var codes: Tensor
        var scales: Tensor
        var zeros: Tensor
    }

    /// Rounds a matrix to the nearest codes. Zero stays exactly zero.
    ///
    /// - Parameter values: `[rows, columns]`.
    /// - Throws: `badData` for NaN, infinity, or values beyond what f16 scales reach (about 8 · 10⁶ at 8 bits).
    /// - Complexity: O(rows · columns).
    func quantize(_ values: Tensor) throws -> Codes {
        let x = values.converted(to: .f32).contiguous()
        let (rows, columns) = (x.shape[0], x.shape[1])
        try Self.requireFinite(x)
        let groups = groupCount(columns: columns)
        let result = Codes(
            codes: Tensor(uninitialized: [rows, columns], dataType: .u8),
            scales: Tensor(uninitialized: [rows, groups], dataType: .f16),
            zeros: Tensor(uninitialized: [rows, groups], dataType: .u8))
        let failed = withExtendedLifetime(x) {
            coppice_quantize_groups(
                x.basePointer.assumingMemoryBound(to: Float.self), rows, columns, Int32(bits),
                groupLength(columns: columns), isSymmetric ? 1 : 0,
                result.codes.basePointer.assumingMemoryBound(to: UInt8.self), result.scales.basePointer,
                result.zeros.basePointer.assumingMemoryBound(to: UInt8.self))
        }
        guard failed < 0 else {
            throw CoppiceError(.badData, field: "row \(failed)", "has values too large for an f16 scale")
        }
        return result
    }

    static func requireFinite(_ x: Tensor) throws {
        try x.withElements(Float.self) { all in
            guard let bad = all.firstIndex(where: { !$0.isFinite }) else { return }
            let columns = max(1, x.shape[1])
            throw CoppiceError(
                .badData, field: "[\(bad / columns), \(bad % columns)]", "is \(all[bad]), expected a finite number")
        }
    }

    // MARK: Options in checkpoints

    var options: [String: String] {
        ["bits": "\(bits)", "group_size": groupSize.map(String.init) ?? "row", "symmetric": "\(isSymmetric)"]
    }

    init(options stored: StoredWeight) throws {
        let bits = try stored.integerOption("bits", in: 4...8)
        guard bits == 4 || bits == 8 else { throw stored.failure("options.bits", "expected 4 or 8, found \(bits)") }
        var group: Int?
        if stored.options["group_size"] != "row" {
            let size = try stored.integerOption("group_size", in: 16...StoredWeight.largestExtent)
            guard size % 16 == 0 else {
                throw stored.failure("options.group_size", "expected \"row\" or a multiple of 16, found \(size)")
            }
            group = size
        }
        let symmetric = try stored.option("symmetric", oneOf: ["true", "false"]) == "true"
        self.init(bits: bits, groupSize: group, isSymmetric: symmetric)
    }
}
