/// An n-dimensional array with value semantics.
///
/// A tensor is a small handle: data type, shape, strides and a reference to shared storage. Copies and views
/// (transposes, slices, broadcasts) share storage; writing through ``withMutableElements(_:_:)`` copies first when
/// the storage is shared. Arithmetic follows the NumPy broadcasting rules.
///
/// ```swift
/// let x = Tensor([1, 2, 3, 4], shape: [2, 2]).tracked()
/// let y = (x * x).sum()
/// let slope = gradients(of: y, withRespectTo: [x])[0]   // 2x
/// ```
public struct Tensor: @unchecked Sendable {
    /// Element type.
    public let dataType: DataType
    /// Extent of each dimension. Empty for a scalar.
    public let shape: [Int]
    /// Distance between neighbours along each dimension, in elements. Zero where broadcast.
    public let strides: [Int]
    /// First element, in elements from the start of the storage.
    public let offset: Int
    /// The memory that this tensor views.
    public internal(set) var storage: TensorStorage
    /// How the tensor was computed, where that is recorded for differentiation.
    var node: Node?

    init(
        dataType: DataType, shape: [Int], strides: [Int], offset: Int, storage: TensorStorage, node: Node? = nil
    ) {
        self.dataType = dataType
        self.shape = shape
        self.strides = strides
        self.offset = offset
        self.storage = storage
        self.node = node
    }

    /// A contiguous tensor over existing storage, for checkpoints and backends.
    ///
    /// - Precondition: the storage holds `offset` plus all elements.
    public init(dataType: DataType, shape: [Int], storage: TensorStorage, byteOffset: Int = 0) {
        precondition(byteOffset % dataType.byteCount == 0, "the offset is not a multiple of the element size")
        precondition(
            byteOffset + shape.reduce(1, *) * dataType.byteCount <= storage.byteCount, "the storage is too small")
        self.init(
            dataType: dataType, shape: shape, strides: Self.contiguousStrides(shape),
            offset: byteOffset / dataType.byteCount, storage: storage)
    }

    /// A contiguous tensor whose elements are not set yet.
    public init(uninitialized shape: [Int], dataType: DataType = .f32) {
        precondition(shape.allSatisfy { $0 >= 0 }, "negative extent in shape \(shape)")
        self.init(
            dataType: dataType, shape: shape, strides: Self.contiguousStrides(shape), offset: 0,
            storage: TensorStorage(byteCount: shape.reduce(1, *) * dataType.byteCount))
    }

    /// Number of dimensions.
    public var rank: Int { shape.count }

    /// Number of elements.
    public var count: Int { shape.reduce(1, *) }

    /// Bytes that the elements take when contiguous.
    public var byteCount: Int { count * dataType.byteCount }

    /// Whether elements lie in row-major order without gaps.
    public var isContiguous: Bool {
        var expected = 1
        for axis in stride(from: rank - 1, through: 0, by: -1) where shape[axis] != 1 {
            if strides[axis] != expected { return count == 0 }
            expected *= shape[axis]
        }
        return true
    }

    /// Row-major strides of a shape.
    static func contiguousStrides(_ shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for axis in stride(from: shape.count - 2, through: 0, by: -1) {
            strides[axis] = strides[axis + 1] * max(1, shape[axis + 1])
        }
        return strides
    }

    /// Address of the first element. Valid while the storage lives.
    public var basePointer: UnsafeMutableRawPointer { storage.pointer + offset * dataType.byteCount }
}

// MARK: - Host access

extension Tensor {
    /// A contiguous tensor with the given elements in row-major order.
    ///
    /// - Precondition: as many elements as the shape holds.
    public init<Element: TensorElement>(_ elements: [Element], shape: [Int]) {
        precondition(elements.count == shape.reduce(1, *), "\(elements.count) elements do not fill shape \(shape)")
        self.init(uninitialized: shape, dataType: Element.dataType)
        elements.withUnsafeBytes { source in
            if let base = source.baseAddress { storage.pointer.copyMemory(from: base, byteCount: source.count) }
        }
    }

    /// A vector.
    public init<Element: TensorElement>(_ elements: [Element]) { self.init(elements, shape: [elements.count]) }

    /// Calls `body` with the elements in row-major order, copying to contiguous memory first if needed.
    ///
    /// - Precondition: `Element` is the type of the tensor's elements.
    public func withElements<Element: TensorElement, Result>(
        _ type: Element.Type = Element.self, _ body: (UnsafeBufferPointer<Element>) throws -> Result
    ) rethrows -> Result {
        precondition(Element.dataType == dataType, "elements are \(dataType), not \(Element.dataType)")
        let source = contiguous()
        return try withExtendedLifetime(source.storage) {
            try body(
                UnsafeBufferPointer(
                    start: UnsafePointer(source.basePointer.assumingMemoryBound(to: Element.self)), count: count))
        }
    }

    /// Calls `body` with writable elements in row-major order. Copies first when the storage is shared or the
    /// tensor is a view; the result is no longer part of any recorded computation.
    ///
    /// - Precondition: `Element` is the type of the tensor's elements.
    public mutating func withMutableElements<Element: TensorElement, Result>(
        _ type: Element.Type = Element.self, _ body: (UnsafeMutableBufferPointer<Element>) throws -> Result
    ) rethrows -> Result {
        precondition(Element.dataType == dataType, "elements are \(dataType), not \(Element.dataType)")
        node = nil
        if storage.isReadOnly || !isContiguous || !isKnownUniquelyReferenced(&storage) { self = copied() }
        return try body(
            UnsafeMutableBufferPointer(start: basePointer.assumingMemoryBound(to: Element.self), count: count))
    }

    /// The elements in row-major order, converted to `Float`.
    public func floats() -> [Float] {
        let converted = self.converted(to: .f32)
        return converted.withElements(Float.self) { Array($0) }
    }

    /// The elements in row-major order, converted to `Double`.
    public func doubles() -> [Double] {
        converted(to: .f64).withElements(Double.self) { Array($0) }
    }

    /// The elements in row-major order, converted to `Int` (truncating toward zero).
    public func integers() -> [Int] {
        converted(to: .i64).withElements(Int.self) { Array($0) }
    }

    /// The only element, as a `Float`.
    ///
    /// - Precondition: exactly one element.
    public var scalar: Float {
        precondition(count == 1, "a tensor of shape \(shape) is not a scalar")
        return floats()[0]
    }
}
