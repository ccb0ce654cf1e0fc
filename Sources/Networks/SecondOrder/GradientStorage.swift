import CoppiceTensors

/// The precision that gradients of a Fisher matrix are stored in.
public enum GradientStorage: String, Sendable, Hashable, CaseIterable {
    case f32
    /// Half the memory of f32. F is that of the gradients rounded to 8 bits of mantissa.
    case bf16

    public var dataType: DataType { self == .bf16 ? .bf16 : .f32 }

    /// Bytes of a number.
    public var byteCount: Int { dataType.byteCount }
}
