import CKernels
import CoppiceTensors

/// How the kept values of a sparse weight are stored.
public enum PackedValueType: Sendable, Hashable {
    /// f32, bf16 or f16.
    case float(DataType)
    case integer(IntegerQuantization)

    public var label: String {
        switch self {
        case .float(let type): type.description
        case .integer(let quantization): quantization.label
        }
    }
}

/// The values of a compressed weight, row after row: what dense-quantized, N:M and unstructured formats share.
struct PackedValues: Sendable {
    let type: PackedValueType
    let columns: Int
    /// Floats `[count]`, or codes u8: `[count]` at 8 bits, `[count / 2]` at 4.
    let values: Tensor
    /// f16 `[rows, groups]`, for integers.
    let scales: Tensor?
    /// u8 `[rows, groups]`, for asymmetric integers.
    let zeros: Tensor?

    /// Elements of a row of `count` values: rows of 4-bit codes take whole bytes.
    static func rowValues(_ count: Int, _ type: PackedValueType) -> Int {
        if case .integer(let quantization) = type, quantization.bits == 4 { return (count + 1) / 2 * 2 }
        return count
    }

    /// Elements that `values` holds.
    var elementCount: Int {
        if case .integer(let quantization) = type, quantization.bits == 4 { return values.count * 2 }
        return values.count
    }

    var byteCount: Int { values.byteCount + (scales?.byteCount ?? 0) + (zeros?.byteCount ?? 0) }

    /// Packs the values of a matrix that `keeps` says, row after row.
    ///
    /// - Parameter keeps: the kept columns of a row, ascending; nil for all.
    init(_ matrix: Tensor, type: PackedValueType, keeps: ((Int) -> [Int])?) throws {
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        self.type = type
        self.columns = columns
        switch type {
        case .float(let dataType):
            precondition([.f32, .bf16, .f16].contains(dataType), "\(dataType) values")
            let x = matrix.converted(to: .f32).contiguous()
            try IntegerQuantization.requireFinite(x)
            guard let keeps else {
                values = x.converted(to: dataType).reshaped([-1])
                (scales, zeros) = (nil, nil)
                return
            }
            var packed: [Float] = []
            x.withElements(Float.self) { all in
                for row in 0..<rows { for column in keeps(row) { packed.append(all[row * columns + column]) } }
            }
            values = Tensor(packed).converted(to: dataType)
            (scales, zeros) = (nil, nil)
        case .integer(let quantization):
            let quantized = try quantization.quantize(matrix)
            var codes: [UInt8] = []
            codes.reserveCapacity(rows * columns)
            quantized.codes.withElements(UInt8.self) { all in
                for row in 0..<rows {
                    let start = codes.count
                    if let keeps {
                        for column in keeps(row) { codes.append(all[row * columns + column]) }
                    } else {
                        codes.append(contentsOf: all[(row * columns)..<((row + 1) * columns)])
                    }
                    if quantization.bits == 4, (codes.count - start) % 2 == 1 { codes.append(0) }
                }
            }
            if quantization.bits == 4 {
                let packed = Tensor(uninitialized: [codes.count / 2], dataType: .u8)
                coppice_pack_nibbles(codes, 1, codes.count, packed.basePointer.assumingMemoryBound(to: UInt8.self))
                values = packed
            } else {
                values = Tensor(codes)
            }
            scales = quantized.scales
            zeros = quantization.isSymmetric ? nil : quantized.zeros
        }
    }

    /// Packs the values of a matrix in the columns of masks, row after row.
    ///
    /// - Parameter starts: the element at which each row's values start, and the end, i64 `[rows + 1]`.
    init(_ matrix: Tensor, type: PackedValueType, masks: ColumnMasks, starts: Tensor) throws {
        guard case .float(let dataType) = type else {
            self = try PackedValues(matrix, type: type) { masks.columns(of: $0) }
            return
        }
        precondition([.f32, .bf16, .f16].contains(dataType), "\(dataType) values")
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        let x = matrix.converted(to: .f32).contiguous()
        try IntegerQuantization.requireFinite(x)
        let places = starts.integers()
        var packed = Tensor(uninitialized: [places[rows]])
        x.withElements(Float.self) { all in
            packed.withMutableElements(Float.self) { packed in
                nonisolated(unsafe) let (all, packed) = (all, packed)
                let rowsInTask = max(1, (1 << 16) / max(1, columns))
                inParallel((rows + rowsInTask - 1) / rowsInTask) { task in
                    for row in (task * rowsInTask)..<min(rows, (task + 1) * rowsInTask) {
                        var place = places[row]
                        for column in 0..<columns where all[row * columns + column] != 0 {
                            packed[place] = all[row * columns + column]
                            place += 1
                        }
                    }
                }
            }
        }
        self = PackedValues(type: type, columns: columns, values: packed.converted(to: dataType))
    }

    private init(type: PackedValueType, columns: Int, values: Tensor) {
        self.type = type
        self.columns = columns
        self.values = values
        (scales, zeros) = (nil, nil)
    }

    /// The parts of a checkpoint: `values`, and for integers `scales` and `zeros`.
    ///
    /// - Parameter elements: how many elements there must be.
    init(stored: StoredWeight, rows: Int, columns: Int, elements: Int) throws {
        self.columns = columns
        switch try stored.option("values", oneOf: ["f32", "bf16", "f16", "integer"]) {
        case "integer":
            let quantization = try IntegerQuantization(options: stored)
            type = .integer(quantization)
            values = try stored.part("values", .u8, [quantization.bits == 4 ? elements / 2 : elements])
            let groups = quantization.groupCount(columns: columns)
            scales = try stored.part("scales", .f16, [rows, groups]).aligned(to: 2)
            zeros = quantization.isSymmetric ? nil : try stored.part("zeros", .u8, [rows, groups])
        case let name:
            let dataType: DataType = name == "f32" ? .f32 : name == "bf16" ? .bf16 : .f16
            type = .float(dataType)
            values = try stored.part("values", dataType, [elements])
            (scales, zeros) = (nil, nil)
        }
    }

    /// Whether `elements` of a row must be counted with 4-bit padding, as the options say.
    static func isNibbles(_ stored: StoredWeight) -> Bool {
        stored.options["values"] == "integer" && stored.options["bits"] == "4"
    }

    var parts: [String: Tensor] {
        var parts = ["values": values]
        parts["scales"] = scales
        parts["zeros"] = zeros
        return parts
    }

    var options: [String: String] {
        switch type {
        case .float(let dataType): ["values": dataType.description]
        case .integer(let quantization): quantization.options.merging(["values": "integer"]) { $1 }
        }
    }

    /// Calls `body` with the kernels' description of the weight.
    func withKernel<Result>(
        rows: Int, rowValues: Int, masks: Tensor? = nil, starts: Tensor? = nil,
        _ body: (UnsafePointer<coppice_packed_weight>) -> Result
    ) -> Result {
        var kernel = coppice_packed_weight()
        kernel.rows = rows
        kernel.columns = columns
        kernel.values = UnsafeRawPointer(values.basePointer)
        kernel.value_count = elementCount
        kernel.masks = masks.map { UnsafePointer($0.basePointer.assumingMemoryBound(to: UInt16.self)) }
        kernel.starts = starts.map { UnsafePointer($0.basePointer.assumingMemoryBound(to: Int64.self)) }
        kernel.row_values = rowValues
        kernel.group = 16
        switch type {
        case .float(.f32): kernel.value = COPPICE_PACKED_F32
        case .float(.f16): kernel.value = COPPICE_PACKED_F16
        case .float: kernel.value = COPPICE_PACKED_BF16
        case .integer(let quantization):
            kernel.value = quantization.bits == 4 ? COPPICE_PACKED_U4 : COPPICE_PACKED_U8
            kernel.scales = scales.map { UnsafeRawPointer($0.basePointer) }
            kernel.zeros = zeros.map { UnsafePointer($0.basePointer.assumingMemoryBound(to: UInt8.self)) }
            kernel.zero = Float(1 << (quantization.bits - 1))
            kernel.group = quantization.groupLength(columns: columns)
            kernel.groups = quantization.groupCount(columns: columns)
        }
        return withExtendedLifetime((self, masks, starts)) { withUnsafePointer(to: kernel, body) }
    }
}

extension Tensor {
    /// The tensor, copied where its first element is not at a multiple of `alignment` bytes.
    func aligned(to alignment: Int) -> Tensor {
        UInt(bitPattern: basePointer) % UInt(alignment) == 0 ? self : copied()
    }
}
