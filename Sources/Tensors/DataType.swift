import CKernels

/// The element type of a ``Tensor``, known at run time.
public enum DataType: UInt8, Sendable, CaseIterable, Hashable {
    case f32, f64, bf16, f16, i8, u8, i32, i64, bool

    /// The same type for the kernels.
    package var kernelType: coppice_data_type { coppice_data_type(UInt32(rawValue)) }

    /// Bytes that one element takes.
    public var byteCount: Int {
        switch self {
        case .i8, .u8, .bool: 1
        case .bf16, .f16: 2
        case .f32, .i32: 4
        case .f64, .i64: 8
        }
    }

    /// Whether elements are floating-point numbers (and so have derivatives).
    public var isFloatingPoint: Bool {
        switch self {
        case .f32, .f64, .bf16, .f16: true
        case .i8, .u8, .i32, .i64, .bool: false
        }
    }

    /// The type that the sum or product of elements of two types has: the NumPy rule without its value
    /// dependence. Any floating-point type wins over any integer type; `bf16` with `f16` gives `f32`.
    public static func promoted(_ a: DataType, _ b: DataType) -> DataType {
        if a == b { return a }
        switch (a.isFloatingPoint, b.isFloatingPoint) {
        case (true, false): return a
        case (false, true): return b
        case (true, true):
            if a == .f64 || b == .f64 { return .f64 }
            return .f32
        case (false, false):
            if a == .bool { return b }
            if b == .bool { return a }
            if a == .i64 || b == .i64 { return .i64 }
            return .i32
        }
    }
}

extension DataType: CustomStringConvertible {
    public var description: String {
        switch self {
        case .f32: "f32"
        case .f64: "f64"
        case .bf16: "bf16"
        case .f16: "f16"
        case .i8: "i8"
        case .u8: "u8"
        case .i32: "i32"
        case .i64: "i64"
        case .bool: "bool"
        }
    }
}

/// A Swift type whose values are stored in tensors as they are in memory.
public protocol TensorElement: Sendable {
    /// The data type with this memory layout.
    static var dataType: DataType { get }
}

extension Float: TensorElement { public static var dataType: DataType { .f32 } }
extension Double: TensorElement { public static var dataType: DataType { .f64 } }
extension Int8: TensorElement { public static var dataType: DataType { .i8 } }
extension UInt8: TensorElement { public static var dataType: DataType { .u8 } }
extension Int32: TensorElement { public static var dataType: DataType { .i32 } }
extension Int64: TensorElement { public static var dataType: DataType { .i64 } }
extension Int: TensorElement { public static var dataType: DataType { .i64 } }
extension Bool: TensorElement { public static var dataType: DataType { .bool } }

/// A bfloat16 number: the upper half of an IEEE single.
public struct BFloat16: TensorElement, Hashable {
    public static var dataType: DataType { .bf16 }
    public var bitPattern: UInt16

    public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

    /// The nearest bfloat16, ties to even; NaN stays NaN.
    public init(_ value: Float) {
        let bits = value.bitPattern
        if value.isNaN {
            bitPattern = UInt16(truncatingIfNeeded: bits >> 16) | 0x40
        } else {
            bitPattern = UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
        }
    }

    /// The exact value.
    public var float: Float { Float(bitPattern: UInt32(bitPattern) << 16) }
}

#if arch(arm64) || os(Linux)
    extension Float16: TensorElement { public static var dataType: DataType { .f16 } }
#endif
