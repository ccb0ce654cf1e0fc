import CKernels
import CoppiceTensors

/// ‖X_j‖₂ of each input j of a linear layer over all tokens seen, accumulated in f64.
public struct ColumnNorms: Sendable {
    private var sums: [Double] = []
    /// Σ x² of each input. Empty before anything was added.
    var squares: [Double] { sums }
    /// Rows (tokens) seen.
    public private(set) var rowCount = 0

    public init() {}

    /// Adds the rows of X. The result does not depend on how rows are cut into batches.
    ///
    /// - Parameter x: f32 `[…, columns]`.
    /// - Precondition: as many columns as before.
    /// - Complexity: O(rows · columns).
    public mutating func add(_ x: Tensor) {
        guard let columns = x.shape.last, columns > 0 else { return }
        if sums.isEmpty { sums = [Double](repeating: 0, count: columns) }
        precondition(sums.count == columns, "\(columns) columns after \(sums.count)")
        let rows = x.count / columns
        x.withElements(Float.self) { elements in
            guard let base = elements.baseAddress else { return }
            coppice_add_column_squares(base, rows, columns, columns, &sums)
        }
        rowCount += rows
    }

    /// The norms. Empty before anything was added.
    public var norms: [Float] { sums.map { Float($0.squareRoot()) } }
}
