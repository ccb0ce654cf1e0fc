import CoppiceTensors

/// How a weight matrix W `[rows = outputs, columns = inputs]` is stored and multiplied: y = x Wᵀ.
///
/// A conforming type is an immutable value. It knows its bytes, the exact matrix that it stands for, how to
/// multiply a batch of activations with it, and how it is written to a checkpoint. Storage layouts are described
/// in `docs/formats.md`.
public protocol WeightFormat: Sendable {
    /// The family's name, as ``StoredWeight/format`` has it: `"dense"`, `"integer"`, `"sparse-n:m"`…
    static var name: String { get }

    /// Outputs: rows of W.
    var rows: Int { get }
    /// Inputs: columns of W.
    var columns: Int { get }
    /// Bytes that a product reads from memory, padding and metadata included.
    var byteCount: Int { get }
    /// Entries of W that are not zero. O(weight).
    var nonZeroCount: Int { get }
    /// The family with its options, short and readable: `"bf16"`, `"int4-group128"`, `"sparse-2:4-int8"`.
    var label: String { get }

    /// W as f32 `[rows, columns]`: exactly the matrix that ``multiply(_:into:)`` uses.
    func dense() -> Tensor

    /// Writes x Wᵀ to `y`, for one to thousands of rows of x; picks its kernel by that number. Multithreaded, with
    /// a result that does not depend on the number of threads. May be called from several threads.
    ///
    /// Sums are in f32. Integer weights may round activations to 8 bits in blocks of 32 columns: y[i][r] is then off by
    /// at most Σ_c |W[r][c]| m / 254, m the largest magnitude of c's block in x[i]. Dense bf16 weights may round
    /// activations to bf16 where ``ActivationRows/mayNarrow``: off by at most Σ_c |W[r][c] x[i][c]| / 256.
    ///
    /// - Precondition: x has W's columns, y has W's rows as columns and as many rows as x; they do not overlap.
    func multiply(_ x: ActivationRows, into y: OutputRows)

    /// Writes row `row` of W to `columns` floats at `destination`: an embedding lookup. O(columns).
    func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>)

    /// The tensors and options that a checkpoint keeps. Tensors share this weight's memory where they can.
    func stored() -> StoredWeight

    /// The weight that ``stored()`` described, over the same memory.
    ///
    /// - Throws: `CoppiceError` of kind `badData` that names the tensor, if shapes, types, counts or offsets do not
    ///   fit together.
    init(stored: StoredWeight) throws
}

extension WeightFormat {
    public var label: String { Self.name }

    /// Counted row by row through ``copyRow(_:into:)``.
    public var nonZeroCount: Int {
        let counts = eachRow { values -> Int in
            var count = 0
            for value in values { count &+= value != 0 ? 1 : 0 }
            return count
        }
        return counts.reduce(0, +)
    }

    /// How far W is from a matrix that it stands for, in one pass over both. O(rows · columns).
    ///
    /// - Parameter exact: f32 `[rows, columns]`.
    /// - Returns: entries of W that are not zero, Σ (W − exact)² and Σ exact², summed in f64.
    package func comparison(
        with exact: Tensor
    ) -> (nonZeroCount: Int, squaredError: Double, squareSum: Double) {
        precondition(exact.shape == [rows, columns], "a matrix of \(exact.shape) for \(rows) × \(columns)")
        return exact.withElements(Float.self) { exact in
            nonisolated(unsafe) let exact = exact
            let parts = eachRow { values, row -> (Int, Double, Double) in
                var (count, error, sum) = (0, 0.0, 0.0)
                for column in values.indices {
                    let (own, other) = (values[column], exact[row * columns + column])
                    let difference = Double(own - other)
                    count &+= own != 0 ? 1 : 0
                    error += difference * difference
                    sum += Double(other) * Double(other)
                }
                return (count, error, sum)
            }
            return parts.reduce((0, 0, 0)) { ($0.0 + $1.0, $0.1 + $1.1, $0.2 + $1.2) }
        }
    }

    private func eachRow<Result>(_ body: (UnsafeBufferPointer<Float>) -> Result) -> [Result] {
        eachRow { values, _ in body(values) }
    }

    /// Maps the rows of W, in their order, on the thread pool.
    private func eachRow<Result>(_ body: (UnsafeBufferPointer<Float>, _ row: Int) -> Result) -> [Result] {
        let (columns, rows) = (self.columns, self.rows)
        guard rows > 0 else { return [] }
        return [Result](unsafeUninitializedCapacity: rows) { results, count in
            nonisolated(unsafe) let slots = results
            let rowsInTask = max(1, (1 << 16) / max(1, columns))
            inParallel((rows + rowsInTask - 1) / rowsInTask) { task in
                withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, columns)) { buffer in
                    guard let base = buffer.baseAddress, let first = slots.baseAddress else { return }
                    for row in (task * rowsInTask)..<min(rows, (task + 1) * rowsInTask) {
                        copyRow(row, into: base)
                        let values = UnsafeBufferPointer(start: base, count: columns)
                        (first + row).initialize(to: body(values, row))
                    }
                }
            }
            count = rows
        }
    }

    /// Multiplications of a product with one row of activations: one for each entry of W that is not zero, or of its
    /// factors where W is a product itself.
    ///
    /// - Parameter nonZeroCount: entries of W that are not zero, counted before.
    package func multiplicationCount(nonZeroCount: Int) -> Int {
        (self as? LowRankWeight)?.multiplicationCount ?? nonZeroCount
    }

    /// Bits that one entry of W takes on average, metadata included.
    public var bitsPerWeight: Double {
        rows * columns == 0 ? 0 : Double(byteCount) * 8 / Double(rows * columns)
    }

    /// The share of W's entries that are zero.
    public var sparsity: Double {
        rows * columns == 0 ? 0 : 1 - Double(nonZeroCount) / Double(rows * columns)
    }

    /// W as f32 `[rows, columns]`, row by row through ``copyRow(_:into:)``.
    public func dense() -> Tensor {
        var result = Tensor(uninitialized: [rows, columns])
        result.withMutableElements(Float.self) { elements in
            guard let base = elements.baseAddress else { return }
            nonisolated(unsafe) let start = base
            let rowsInTask = max(1, (1 << 16) / max(1, columns))
            inParallel((rows + rowsInTask - 1) / rowsInTask) { task in
                for row in (task * rowsInTask)..<min(rows, (task + 1) * rowsInTask) {
                    copyRow(row, into: start + row * columns)
                }
            }
        }
        return result
    }

    /// y = x Wᵀ for x `[n, columns]` in f32; y is `[n, rows]`.
    public func multiply(_ x: Tensor) -> Tensor {
        precondition(x.rank == 2 && x.shape[1] == columns, "x has shape \(x.shape), expected [n, \(columns)]")
        var y = Tensor(uninitialized: [x.shape[0], rows])
        x.withElements(Float.self) { input in
            y.withMutableElements(Float.self) { output in
                guard let from = input.baseAddress, let to = output.baseAddress else { return }
                multiply(
                    ActivationRows(from, rows: x.shape[0], columns: columns, stride: columns),
                    into: OutputRows(to, rows: x.shape[0], columns: rows, stride: rows))
            }
        }
        return y
    }

    func checkShapes(_ x: ActivationRows, _ y: OutputRows) {
        precondition(x.columns == columns, "x has \(x.columns) columns, the weight has \(columns)")
        precondition(y.columns == rows, "y has \(y.columns) columns, the weight has \(rows) rows")
        precondition(x.rows == y.rows, "x has \(x.rows) rows, y has \(y.rows)")
    }
}
