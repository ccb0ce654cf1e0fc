import CKernels
import CoppiceTensors

/// The search for a codebook: a matrix, what its groups are divided by, and how its normalized entries are distributed.
struct CodebookSearch {
    /// Tables of values, and how far each reaches.
    struct Tables {
        /// i8 `[tables, 2^bits]`, ascending.
        var values: Tensor
        /// f32 `[tables]`: 127 of a table stands for this share of a group's largest magnitude.
        var reach: [Float]
    }

    private let x: Tensor
    private let groupSize: Int?
    /// f32 `[rows, groups]`: the largest magnitude of each.
    private let magnitudes: Tensor
    private var rows: Int { x.shape[0] }
    private var columns: Int { x.shape[1] }
    private var groupLength: Int { PlaneCodes.groupLength(groupSize, columns: columns) }

    /// - Throws: `badData` for NaN or infinity, naming the element.
    init(_ matrix: Tensor, groupSize: Int?) throws {
        let x = matrix.converted(to: .f32).contiguous()
        try IntegerQuantization.requireFinite(x)
        let found = Tensor(uninitialized: [x.shape[0], PlaneCodes.groupCount(groupSize, columns: x.shape[1])])
        withExtendedLifetime((x.storage, found.storage)) {
            coppice_group_magnitudes(
                x.floats, x.shape[0], x.shape[1], PlaneCodes.groupLength(groupSize, columns: x.shape[1]),
                found.floats)
        }
        self.x = x
        self.groupSize = groupSize
        magnitudes = found
    }

    /// The distribution of the entries divided by their group's magnitude, from -1 to 1, weighted so that squared errors
    /// are the weights': of each bin the sum of weights, and that of weight · entry.
    func histogram() -> (weights: [Double], sums: [Double]) {
        let bins = Int(COPPICE_HISTOGRAM_BINS), parts = Int(COPPICE_HISTOGRAM_PARTS)
        var all = [Double](repeating: 0, count: parts * 2 * bins)
        withExtendedLifetime((x.storage, magnitudes.storage)) {
            coppice_normalized_histogram(x.floats, magnitudes.floats, rows, columns, groupLength, &all)
        }
        var total = [Double](repeating: 0, count: 2 * bins)
        for part in 0..<parts { for index in total.indices { total[index] += all[part * 2 * bins + index] } }
        return (Array(total[..<bins]), Array(total[bins...]))
    }

    /// Values by k-means.
    func means(bits: Int, tables: CodebookQuantization.Tables, keepsZero: Bool) -> Tables {
        let count = 1 << bits
        if tables == .tensor {
            let (weights, sums) = histogram()
            var centers = [Float](repeating: 0, count: count)
            coppice_histogram_centers(weights, sums, Int32(count), keepsZero ? 1 : 0, &centers)
            let reach = centers.map(abs).max() ?? 0
            let values = centers.map { reach > 0 ? Int8(($0 * (127 / reach)).rounded(.toNearestOrEven)) : 0 }
            return Tables(values: Tensor(values, shape: [1, count]), reach: [reach])
        }
        let length = tables == .group ? groupLength : max(columns, groupLength)
        let total = rows * ((columns + length - 1) / length)
        let values = Tensor(uninitialized: [total, count], dataType: .i8)
        var reach = [Float](repeating: 0, count: total)
        withExtendedLifetime((x.storage, magnitudes.storage, values.storage)) {
            coppice_table_centers(
                x.floats, magnitudes.floats, rows, columns, groupLength, length, Int32(bits), keepsZero ? 1 : 0,
                values.basePointer.assumingMemoryBound(to: Int8.self), &reach)
        }
        return Tables(values: values, reach: reach)
    }

    /// The exponent of a power curve with the least squared error (``PowerCurve/bestExponent(bits:error:)``).
    func bestExponent(bits: Int) -> Double {
        let (weights, sums) = histogram()
        let middle = weights.count / 2
        // Both signs together: the curve is odd.
        return PowerCurve.bestExponent(
            bits: bits, weights: [weights[middle]] + (1...middle).map { weights[middle + $0] + weights[middle - $0] },
            sums: [0] + (1...middle).map { sums[middle + $0] - sums[middle - $0] })
    }

    /// Scales for the tables, and the nearest value for each entry.
    ///
    /// - Throws: `badData` for a row whose scale f16 cannot hold.
    func codes(_ found: Tables, bits: Int, tables: CodebookQuantization.Tables) throws -> PlaneCodes {
        let groups = PlaneCodes.groupCount(groupSize, columns: columns)
        let strides = CodebookWeight.strides(tables, groups: groups)
        var halves = [Float16](repeating: 0, count: rows * groups)
        magnitudes.withElements(Float.self) { magnitudes in
            for row in 0..<rows {
                for group in 0..<groups {
                    let at = row * groups + group
                    let scale = magnitudes[at] * found.reach[row * strides.row + group * strides.group] / 127
                    halves[at] = scale > 0 ? max(Float16(scale), .leastNonzeroMagnitude) : 0
                }
            }
        }
        if let bad = halves.firstIndex(where: { !$0.isFinite }) {
            throw CoppiceError(.badData, field: "row \(bad / groups)", "has values too large for an f16 scale")
        }
        let scales = Tensor(uninitialized: [rows, groups], dataType: .f16)
        halves.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { scales.basePointer.copyMemory(from: base, byteCount: bytes.count) }
        }
        let codes = Tensor(uninitialized: [rows, columns], dataType: .u8)
        withExtendedLifetime((x.storage, found.values.storage, scales.storage, codes.storage)) {
            coppice_nearest_values(
                x.floats, rows, columns, groupLength, Int32(bits),
                found.values.basePointer.assumingMemoryBound(to: Int8.self), strides.row, strides.group,
                scales.basePointer, codes.basePointer.assumingMemoryBound(to: UInt8.self))
        }
        return PlaneCodes(packing: codes, bits: bits, groupSize: groupSize, scales: scales)
    }
}

extension Tensor {
    /// The elements of a contiguous f32 tensor, which must outlive their use.
    fileprivate var floats: UnsafeMutablePointer<Float> { basePointer.assumingMemoryBound(to: Float.self) }
}
