import CKernels

extension Tensor {
    /// A scalar.
    public init(_ value: Double, dataType: DataType = .f32) {
        let number = Tensor([value], shape: [])
        self = dataType == .f64 ? number : CPUBackend.shared.convert(number, to: dataType)
    }

    /// All elements zero.
    public static func zeros(_ shape: [Int], dataType: DataType = .f32) -> Tensor {
        let result = Tensor(uninitialized: shape, dataType: dataType)
        result.basePointer.initializeMemory(as: UInt8.self, repeating: 0, count: result.byteCount)
        return result
    }

    /// All elements one.
    public static func ones(_ shape: [Int], dataType: DataType = .f32) -> Tensor {
        full(shape, 1, dataType: dataType)
    }

    /// All elements equal to a value.
    public static func full(_ shape: [Int], _ value: Double, dataType: DataType = .f32) -> Tensor {
        let (result, element) = (Tensor(uninitialized: shape, dataType: dataType), Tensor(value, dataType: dataType))
        withExtendedLifetime(element) {
            coppice_fill(Int32(dataType.byteCount), element.basePointer, result.count, result.basePointer)
        }
        return result
    }

    /// 0, 1, …, count - 1.
    public static func range(_ count: Int, dataType: DataType = .i64) -> Tensor {
        Tensor(Array(0..<count)).converted(to: dataType)
    }

    /// The identity matrix.
    public static func identity(_ size: Int, dataType: DataType = .f32) -> Tensor {
        let positions = range(size)
        return positions.reshaped([size, 1]).equals(positions).converted(to: dataType)
    }

    /// For each index a row with one at its place and zero elsewhere: shape [..., depth].
    public static func oneHot(_ indices: Tensor, depth: Int, dataType: DataType = .f32) -> Tensor {
        indices.expanded(at: indices.rank).equals(range(depth, dataType: indices.dataType)).converted(to: dataType)
    }
}
