import CKernels

/// The matrices in the last two dimensions of a tensor, contiguous and in a precision that LAPACK computes in.
struct MatrixBatch {
    /// Contiguous, f32 or f64, all finite.
    let tensor: Tensor
    let rows: Int
    let columns: Int
    /// The dimensions before the last two.
    let leading: [Int]

    /// Number of matrices.
    var count: Int { leading.reduce(1, *) }
    /// Elements of one matrix.
    var stride: Int { rows * columns }
    var dataType: DataType { tensor.dataType }

    /// Checks shape and elements. f16 and bf16 are computed in f32.
    ///
    /// - Precondition: at least two dimensions, each below 2³¹; a floating-point data type.
    /// - Throws: `badData` if an element is not finite.
    init(_ tensor: Tensor, named name: String = "matrix") throws {
        precondition(tensor.rank >= 2, "\(name) of shape \(tensor.shape): at least two dimensions expected")
        precondition(tensor.dataType.isFloatingPoint, "\(name) of type \(tensor.dataType): floating point expected")
        precondition(
            tensor.shape.suffix(2).allSatisfy { $0 <= Int32.max }, "\(name) of shape \(tensor.shape): too large")
        self.tensor = tensor.converted(to: tensor.dataType == .f64 ? .f64 : .f32).contiguous()
        rows = tensor.shape[tensor.rank - 2]
        columns = tensor.shape[tensor.rank - 1]
        leading = Array(tensor.shape.dropLast(2))
        if let bad = self.tensor.firstNonFinite() {
            throw CoppiceError(
                .badData, field: name, "element \(bad.index) is \(bad.value), a finite number expected")
        }
    }

    /// A new tensor of this precision with `shape` after the leading dimensions.
    func result(_ shape: Int...) -> Tensor { Tensor(uninitialized: leading + shape, dataType: dataType) }

    /// A copy that routines may overwrite.
    func copy() -> Tensor {
        let copy = Tensor(uninitialized: tensor.shape, dataType: dataType)
        copy.basePointer.copyMemory(from: tensor.basePointer, byteCount: tensor.byteCount)
        return copy
    }

    /// The precondition of factorizations of square matrices.
    func requireSquare(_ operation: String) {
        precondition(rows == columns, "\(operation) of shape \(tensor.shape): square matrices expected")
    }

    /// Names matrix `index` in an error, where there are several.
    func name(_ index: Int) -> String? { leading.isEmpty ? nil : "matrix \(index) of \(count)" }
}

extension Tensor {
    func pointer<Scalar>(_ type: Scalar.Type, at index: Int = 0) -> UnsafeMutablePointer<Scalar> {
        basePointer.assumingMemoryBound(to: Scalar.self) + index
    }

    /// The position and value of the first element that is infinite or NaN. Contiguous f32 or f64 only.
    fileprivate func firstNonFinite() -> (index: [Int], value: Double)? {
        func search<Scalar: LAPACKScalar>(_ type: Scalar.Type) -> (index: [Int], value: Double)? {
            withElements(type) { elements in
                guard let flat = elements.firstIndex(where: { !$0.isFinite }) else { return nil }
                var index: [Int] = []
                var rest = flat
                for extent in shape.reversed() {
                    index.append(rest % extent)
                    rest /= extent
                }
                return (index.reversed(), Double(elements[flat]))
            }
        }
        return dataType == .f64 ? search(Double.self) : search(Float.self)
    }

    /// Swaps the last two dimensions of a tensor that this module has just computed. No elements move.
    func withLastDimensionsSwapped() -> Tensor {
        var shape = self.shape
        var strides = self.strides
        shape.swapAt(rank - 1, rank - 2)
        strides.swapAt(rank - 1, rank - 2)
        return Tensor(dataType: dataType, shape: shape, strides: strides, offset: offset, storage: storage)
    }
}

/// Calls `body` with the scalar type of `dataType`.
func withLAPACKScalar<Result>(
    _ dataType: DataType, _ body: (any LAPACKScalar.Type) throws -> Result
) rethrows -> Result {
    _ = useOneBLASThread
    return try body(dataType == .f64 ? Double.self : Float.self)
}

/// Runs `body` for each index below `count` on the thread pool, and returns the first value that is not nil by
/// index order.
func firstFailure(_ count: Int, _ body: (Int) -> CoppiceError?) throws {
    var failures = [CoppiceError?](repeating: nil, count: count)
    failures.withUnsafeMutableBufferPointer { failures in
        nonisolated(unsafe) let slots = failures
        inParallel(count) { slots[$0] = body($0) }
    }
    if let failure = failures.lazy.compactMap({ $0 }).first { throw failure }
}

/// Runs `body` once for each index below `count`, on the thread pool. Different calls may run at the same time.
package func inParallel(_ count: Int, _ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
        var body = body
        withUnsafeMutablePointer(to: &body) { pointer in
            coppice_parallel_for(count, pointer) { context, index in
                guard let context else { return }
                context.assumingMemoryBound(to: ((Int) -> Void).self).pointee(index)
            }
        }
    }
}
