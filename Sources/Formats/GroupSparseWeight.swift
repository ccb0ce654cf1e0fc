import CKernels
import CoppiceTensors

/// A group-sparse quantized weight: groups of consecutive inputs of a row are either gone or kept as integers with a
/// scale (and zero point) of their own.
///
/// ```swift
/// let weight = try GroupSparseWeight(packing: pruned, IntegerQuantization(bits: 4, groupSize: 32))
/// ```
///
/// Block-sparse rows with blocks of 1 × group size, whose positions are one bit a group: smaller than column indices of
/// 16 bits wherever more than one group in 16 is kept. Decoding fetches the activations of kept groups only, and cuts
/// the list of all kept groups into equal tasks wherever rows begin and end, so that ragged rows keep all threads busy.
///
/// Zeng et al., "GQSA: Group Quantization and Sparsity for Accelerating Large Language Model Inference" (2024),
/// sections 3.2 (storage) and 3.5 (task-centric parallelism).
public struct GroupSparseWeight: WeightFormat {
    public static let name = "group-sparse"

    /// Group sizes that there are kernels for.
    public static let groupSizes = [16, 32, 64]

    public let rows: Int
    public let columns: Int
    /// Bits, group size and whether there are zero points.
    public let quantization: IntegerQuantization
    /// u8 `[rows, stride]`: group g of a row is bit g % 8 of byte g / 8.
    private let masks: Tensor
    /// Codes of kept groups, group after group: u8 `[groups · size · bits / 8]`.
    private let values: Tensor
    /// f16 `[groups]`.
    private let scales: Tensor
    /// u8 `[groups]`, where asymmetric.
    private let zeros: Tensor?
    /// Kept groups before each row, and in all: i64 `[rows + 1]`. Follows from the masks.
    private let starts: Tensor
    /// Where tasks of equal work begin and end: i64. Follows from the masks.
    private var cuts: Tensor

    /// Work of a task, in the units of the kernel: some 64 KiB of codes.
    private static let workOfTask = 1 << 14

    /// Whether groups of a quantization can be stored.
    public static func supports(_ quantization: IntegerQuantization) -> Bool {
        quantization.groupSize.map(groupSizes.contains) ?? false
    }

    /// Stores the groups of a matrix that have an entry other than zero, rounded to the nearest codes; zeros inside of
    /// them stay exactly zero.
    ///
    /// - Parameter matrix: `[rows, columns]`; the last group of a row may be shorter than the others.
    /// - Throws: `badData` for NaN or infinity, naming the element.
    /// - Precondition: ``supports(_:)``.
    /// - Complexity: O(rows · columns).
    public init(packing matrix: Tensor, _ quantization: IntegerQuantization) throws {
        precondition(matrix.rank == 2, "a weight of shape \(matrix.shape)")
        precondition(Self.supports(quantization), "\(quantization.label) has no groups of a size that is stored")
        let x = matrix.converted(to: .f32).contiguous()
        let (rows, columns) = (x.shape[0], x.shape[1])
        let size = quantization.groupLength(columns: columns), groups = quantization.groupCount(columns: columns)
        let quantized = try quantization.quantize(x)
        let stride = coppice_group_sparse_mask_stride(columns, size)
        var bits = [UInt8](repeating: 0, count: rows * stride)
        var codes: [UInt8] = []
        var kept: [Int] = []
        x.withElements(Float.self) { x in
            quantized.codes.withElements(UInt8.self) { all in
                for row in 0..<rows {
                    for group in 0..<groups {
                        let first = row * columns + group * size
                        let end = min(first + size, (row + 1) * columns)
                        guard (first..<end).contains(where: { x[$0] != 0 }) else { continue }
                        bits[row * stride + group / 8] |= 1 << UInt8(group % 8)
                        kept.append(row * groups + group)
                        codes.append(contentsOf: all[first..<end])
                        codes.append(contentsOf: repeatElement(0, count: size - (end - first)))
                    }
                }
            }
        }
        let scales = Tensor(uninitialized: [kept.count], dataType: .f16)
        withExtendedLifetime((quantized.scales.storage, scales.storage)) {
            let (from, to) = (quantized.scales.basePointer, scales.basePointer)
            for (index, group) in kept.enumerated() {
                to.storeBytes(
                    of: from.load(fromByteOffset: 2 * group, as: UInt16.self), toByteOffset: 2 * index, as: UInt16.self)
            }
        }
        let values: Tensor
        if quantization.bits == 4 {
            values = Tensor(uninitialized: [codes.count / 2], dataType: .u8)
            coppice_pack_nibbles(codes, 1, codes.count, values.basePointer.assumingMemoryBound(to: UInt8.self))
        } else {
            values = Tensor(codes)
        }
        self.init(
            rows: rows, columns: columns, quantization: quantization, masks: Tensor(bits, shape: [rows, stride]),
            values: values, scales: scales,
            zeros: quantization.isSymmetric
                ? nil : quantized.zeros.withElements(UInt8.self) { all in Tensor(kept.map { all[$0] }) })
    }

    public init(stored: StoredWeight) throws {
        let (rows, columns) = try stored.matrixShape()
        let quantization = try IntegerQuantization(options: stored)
        guard let size = quantization.groupSize, Self.groupSizes.contains(size) else {
            let sizes = Self.groupSizes.map(String.init).joined(separator: ", ")
            throw stored.failure(
                "options.group_size", "expected one of \(sizes), found \(stored.options["group_size"] ?? "nothing")")
        }
        let stride = coppice_group_sparse_mask_stride(columns, size)
        let groups = quantization.groupCount(columns: columns)
        let masks = try stored.part("masks", .u8, [rows, stride])
        let bad = masks.withElements(UInt8.self) { all in
            (0..<rows).first { row in
                (groups..<(stride * 8)).contains { all[row * stride + $0 / 8] >> UInt8($0 % 8) & 1 == 1 }
            }
        }
        if let bad { throw stored.failure("masks", "row \(bad) has bits past group \(groups - 1)") }
        let kept = masks.withElements(UInt8.self) { $0.reduce(0) { $0 + $1.nonzeroBitCount } }
        self.init(
            rows: rows, columns: columns, quantization: quantization, masks: masks,
            values: try stored.part("values", .u8, [kept * size * quantization.bits / 8]),
            scales: try stored.part("scales", .f16, [kept]).aligned(to: 2),
            zeros: quantization.isSymmetric ? nil : try stored.part("zeros", .u8, [kept]))
    }

    private init(
        rows: Int, columns: Int, quantization: IntegerQuantization, masks: Tensor, values: Tensor, scales: Tensor,
        zeros: Tensor?
    ) {
        (self.rows, self.columns, self.quantization) = (rows, columns, quantization)
        (self.masks, self.values, self.scales, self.zeros) = (masks, values, scales, zeros)
        let stride = rows == 0 ? 0 : masks.count / rows
        var starts = [0]
        starts.reserveCapacity(rows + 1)
        masks.withElements(UInt8.self) { all in
            var kept = 0
            for row in 0..<rows {
                for byte in (row * stride)..<((row + 1) * stride) { kept += all[byte].nonzeroBitCount }
                starts.append(kept)
            }
        }
        self.starts = Tensor(starts)
        cuts = Tensor([0])
        cuts = Tensor(
            withKernel { kernel in
                let tiles = (rows + Int(COPPICE_GROUP_SPARSE_TILE_ROWS) - 1) / Int(COPPICE_GROUP_SPARSE_TILE_ROWS)
                let steps = (columns + Int(COPPICE_GROUP_SPARSE_STEP) - 1) / Int(COPPICE_GROUP_SPARSE_STEP)
                var cuts = [Int64](repeating: 0, count: tiles * steps + 2)
                let count = coppice_group_sparse_cut(kernel, Self.workOfTask, &cuts, cuts.count)
                return cuts[...count].map(Int.init)
            })
    }

    /// Kept groups.
    public var groupCount: Int { scales.count }

    public var byteCount: Int {
        masks.byteCount + values.byteCount + scales.byteCount + (zeros?.byteCount ?? 0) + starts.byteCount
    }
    public var label: String { "\(Self.name)-\(quantization.label)" }

    private func withKernel<Result>(_ body: (UnsafePointer<coppice_group_sparse>) -> Result) -> Result {
        var kernel = coppice_group_sparse()
        kernel.rows = rows
        kernel.columns = columns
        kernel.bits = Int32(quantization.bits)
        kernel.group = quantization.groupLength(columns: columns)
        kernel.masks = UnsafePointer(masks.basePointer.assumingMemoryBound(to: UInt8.self))
        kernel.mask_stride = coppice_group_sparse_mask_stride(columns, kernel.group)
        kernel.values = UnsafePointer(values.basePointer.assumingMemoryBound(to: UInt8.self))
        kernel.scales = UnsafeRawPointer(scales.basePointer)
        kernel.zeros = zeros.map { UnsafePointer($0.basePointer.assumingMemoryBound(to: UInt8.self)) }
        kernel.starts = UnsafePointer(starts.basePointer.assumingMemoryBound(to: Int64.self))
        kernel.cuts = UnsafePointer(cuts.basePointer.assumingMemoryBound(to: Int64.self))
        kernel.task_count = cuts.count - 1
        return withExtendedLifetime((masks, values, scales, zeros, starts, cuts)) {
            withUnsafePointer(to: kernel, body)
        }
    }

    public func multiply(_ x: ActivationRows, into y: OutputRows) {
        checkShapes(x, y)
        withKernel { kernel in
            let scratch = TensorStorage(byteCount: max(64, coppice_group_sparse_scratch_bytes(kernel, x.rows)))
            withExtendedLifetime(scratch) {
                coppice_group_sparse_product(kernel, x.base, x.rows, x.stride, y.base, y.stride, scratch.pointer)
            }
        }
    }

    public func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
        withKernel { coppice_group_sparse_row($0, row, destination) }
    }

    public func stored() -> StoredWeight {
        var tensors = ["masks": masks, "values": values, "scales": scales]
        tensors["zeros"] = zeros
        return StoredWeight(
            format: Self.name, shape: [rows, columns], tensors: tensors, options: quantization.options)
    }
}
