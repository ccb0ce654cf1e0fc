import CoppiceFormats
import CoppiceTensors

/// A matrix of integers as any tool describes it: w = (code − zero) · scale, with unsigned codes in groups of columns.
struct IntegerParts: Sendable {
    /// 4 or 8.
    var bits: Int
    var rows: Int
    var columns: Int
    /// Columns that share a scale, a multiple of 16; nil: all of a row.
    var groupSize: Int?
    /// u8, row after row, rows on whole bytes; 4-bit codes two in a byte, low bits first.
    var codes: Tensor
    /// f16, bf16 or f32 `[rows, groups]`.
    var scales: Tensor
    /// u8 `[rows, groups]`; nil for 2^(bits−1) everywhere.
    var zeros: Tensor?
    /// The column that each column of codes belongs to, where they are not in order.
    var order: [Int]?

    /// A row's groups; the last may be shorter.
    static func groupCount(_ columns: Int, groupSize: Int?) -> Int {
        groupSize.map { max(1, (columns + $0 - 1) / $0) } ?? 1
    }

    /// The largest relative error that rounding a scale to f16 may have: half a unit in the last of 11 bits.
    static let roundingBound: Float = 0x1p-11

    /// The matrix in the `integer` format, its columns in another order where they are.
    ///
    /// Scales become f16: f16 exactly, bf16 exactly from 2^-17 on, others with a relative error of at most
    /// ``roundingBound``. A matrix of which a scale lies where f16 cannot do that is given dense, exactly.
    func stored(_ name: String) -> StoredWeight {
        guard let scales = halfScales() else {
            return StoredWeight(
                name: name, format: DenseWeight.name, shape: [rows, columns], tensors: ["": dense()])
        }
        var tensors = ["values": codes, "scales": scales]
        tensors["zeros"] = significantZeros
        let options = [
            "values": "integer", "bits": "\(bits)", "group_size": groupSize.map(String.init) ?? "row",
            "symmetric": "\(tensors["zeros"] == nil)",
        ]
        let sorted = StoredWeight(
            name: name, format: IntegerGroupWeight.name, shape: [rows, columns], tensors: tensors, options: options)
        return order.map { ColumnPermutedWeight.stored(sorted, order: $0) } ?? sorted
    }

    /// The zero points, unless all are what symmetric codes have anyway.
    private var significantZeros: Tensor? {
        guard let zeros else { return nil }
        let usual = UInt8(1 << (bits - 1))
        return zeros.withElements(UInt8.self) { $0.allSatisfy { $0 == usual } } ? nil : zeros
    }

    /// The scales as f16; nil when one is not to be had within the bound. NaN and infinity stay, to be found later.
    func halfScales() -> Tensor? {
        guard scales.dataType != .f16 else { return scales }
        let half = scales.converted(to: .f16)
        let (exact, rounded) = (scales.floats(), half.floats())
        let isClose = zip(exact, rounded).allSatisfy { exact, rounded in
            !exact.isFinite || abs(exact - rounded) <= abs(exact) * Self.roundingBound
        }
        return isClose ? half : nil
    }

    /// The matrix, f32 `[rows, columns]`.
    func dense() -> Tensor {
        let groups = Self.groupCount(columns, groupSize: groupSize)
        let length = groupSize ?? max(1, columns)
        let scales = scales.floats()
        let zeros = zeros.map { $0.withElements(UInt8.self) { $0.map(Float.init) } }
        let codes = PackedWords.unpackedRows(codes, rows: rows, columns: columns, bits: bits)
        var result = Tensor(uninitialized: [rows, columns])
        codes.withElements(UInt8.self) { codes in
            result.withMutableElements(Float.self) { target in
                for row in 0..<rows {
                    for place in 0..<columns {
                        let group = row * groups + place / length
                        let zero = zeros?[group] ?? Float(1 << (bits - 1))
                        target[row * columns + (order?[place] ?? place)] =
                            (Float(codes[row * columns + place]) - zero) * scales[group]
                    }
                }
            }
        }
        return result
    }
}
