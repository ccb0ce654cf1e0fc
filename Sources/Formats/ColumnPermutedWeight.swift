import CoppiceTensors

/// A weight whose columns are stored in another order, in any other format: column `order[i]` of W is column i of
/// what is stored.
///
/// GPTQ's "act-order" gives the columns of a group the same scale wherever they are. Stored side by side they are an
/// ordinary group, and a product takes the activations in the same order: copying them costs one read and write for
/// each activation, against one multiplication for each weight.
public struct ColumnPermutedWeight: WeightFormat {
    public static let name = "column-permuted"

    /// The matrix with its columns as they are stored.
    public let inner: any WeightFormat
    /// i32 `[columns]`, each of 0 ..< columns once.
    private let order: Tensor

    public var rows: Int { inner.rows }
    public var columns: Int { inner.columns }
    public var byteCount: Int { inner.byteCount + order.byteCount }
    public var label: String { inner.label + "-permuted" }
    public var nonZeroCount: Int { inner.nonZeroCount }

    /// Rows of activations that are brought into order together: 256 rows of 4096 columns are 4 MiB.
    private static let rowsAtOnce = 256

    /// - Precondition: `order` has each of W's columns once.
    public init(_ inner: any WeightFormat, order: [Int]) {
        precondition(order.sorted() == Array(0..<inner.columns), "not an order of \(inner.columns) columns")
        self.inner = inner
        self.order = Tensor(order.map(Int32.init))
    }

    public init(stored: StoredWeight) throws {
        let columns = try stored.matrixShape().columns
        order = try stored.part("order", .i32, [columns])
        var isThere = [Bool](repeating: false, count: columns)
        for (place, column) in order.integers().enumerated() {
            guard isThere.indices.contains(column), !isThere[column] else {
                throw stored.failure(
                    "order", "element \(place) is \(column), expected each of 0 to \(columns - 1) once")
            }
            isThere[column] = true
        }
        var rest = stored
        rest.tensors["order"] = nil
        rest.format = rest.options.removeValue(forKey: "format") ?? ""
        guard rest.format != Self.name else {
            throw stored.failure("options.format", "expected another format than \(Self.name)")
        }
        inner = try WeightFormats.decode(rest)
    }

    /// The columns in their order, for a weight that is stored in another one.
    ///
    /// - Parameter stored: the weight with its columns in the order of `order`.
    public static func stored(_ stored: StoredWeight, order: [Int]) -> StoredWeight {
        var result = stored
        result.format = name
        result.options["format"] = stored.format
        result.tensors["order"] = Tensor(order.map(Int32.init))
        return result
    }

    public func stored() -> StoredWeight { Self.stored(inner.stored(), order: order.integers()) }

    public func multiply(_ x: ActivationRows, into y: OutputRows) {
        checkShapes(x, y)
        let chunk = min(x.rows, Self.rowsAtOnce)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, chunk * columns)) { buffer in
            guard let base = buffer.baseAddress else { return }
            order.withElements(Int32.self) { order in
                for start in stride(from: 0, to: x.rows, by: max(1, chunk)) {
                    let count = min(chunk, x.rows - start)
                    for row in 0..<count {
                        let (source, target) = (x.base + (start + row) * x.stride, base + row * columns)
                        for place in 0..<columns { target[place] = source[Int(order[place])] }
                    }
                    inner.multiply(
                        ActivationRows(base, rows: count, columns: columns, stride: columns),
                        into: OutputRows(y.base + start * y.stride, rows: count, columns: rows, stride: y.stride))
                }
            }
        }
    }

    public func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, columns)) { buffer in
            guard let base = buffer.baseAddress else { return }
            inner.copyRow(row, into: base)
            order.withElements(Int32.self) { order in
                for place in 0..<columns { destination[Int(order[place])] = base[place] }
            }
        }
    }
}
