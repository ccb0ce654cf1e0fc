import CKernels

/// Which entries of a matrix are kept, line by line: what products go through that skip the others.
///
/// Made once for a mask that products meet many times. O(rows · columns) to make, eight bytes for each kept entry.
public final class SparseSupport: Sendable {
    /// Outputs of a linear layer.
    public let rows: Int
    /// Inputs of it.
    public let columns: Int
    /// Bit `i % 64` of word `i / 64` is set where entry `i` in row-major order is kept.
    public let words: [UInt64]
    private let byRow: Lines
    private let byColumn: Lines

    /// Number of kept entries.
    public var keptCount: Int { byRow.places.count }

    /// Places of kept entries, those of line i at `starts[i] ..< starts[i + 1]`.
    private struct Lines {
        var starts: [Int32]
        var places: [Int32]
    }

    /// - Parameter words: the bitmap, row-major.
    /// - Precondition: enough words, no bit set past the end, fewer than 2³¹ entries kept.
    public init(rows: Int, columns: Int, words: [UInt64]) {
        precondition(
            rows >= 0 && columns >= 0 && words.count == (rows * columns + 63) / 64, "the bitmap has the wrong size")
        self.rows = rows
        self.columns = columns
        self.words = words
        let kept = coppice_bitmap_count(words, words.count)
        precondition(kept <= Int32.max, "too many kept entries")
        var byRow = Lines(starts: [0], places: [])
        byRow.places.reserveCapacity(kept)
        var counts = [Int32](repeating: 0, count: columns + 1)
        for row in 0..<rows {
            for column in 0..<columns {
                let index = row * columns + column
                guard words[index / 64] >> UInt64(index % 64) & 1 == 1 else { continue }
                byRow.places.append(Int32(column))
                counts[column + 1] += 1
            }
            byRow.starts.append(Int32(byRow.places.count))
        }
        for column in 0..<columns { counts[column + 1] += counts[column] }
        var byColumn = Lines(starts: counts, places: .init(repeating: 0, count: byRow.places.count))
        for row in 0..<rows {
            for column in byRow.places[Int(byRow.starts[row])..<Int(byRow.starts[row + 1])] {
                byColumn.places[Int(counts[Int(column)])] = Int32(row)
                counts[Int(column)] += 1
            }
        }
        self.byRow = byRow
        self.byColumn = byColumn
    }

    /// The entries of a matrix that are not zero.
    public convenience init(ofNonzerosOf matrix: Tensor) {
        precondition(matrix.rank == 2, "entries of shape \(matrix.shape): a matrix expected")
        var words = [UInt64](repeating: 0, count: (matrix.count + 63) / 64)
        matrix.converted(to: .f32).withElements(Float.self) { elements in
            for (index, element) in elements.enumerated() where element != 0 {
                words[index / 64] |= 1 << UInt64(index % 64)
            }
        }
        self.init(rows: matrix.shape[0], columns: matrix.shape[1], words: words)
    }

    /// Kept entries.
    public var count: Int { byRow.places.count }

    /// Ones where entries are kept, zeros elsewhere: f32 `[rows, columns]`.
    public var indicator: Tensor {
        var ones = Tensor.ones([rows, columns]).contiguous()
        ones.withMutableElements(Float.self) { elements in
            guard let base = elements.baseAddress, !elements.isEmpty else { return }
            coppice_bitmap_apply(base, elements.count, words)
        }
        return ones
    }

    // MARK: - Products of panels

    /// Calls `body` with the kept entries of each row, or of each column.
    private func withLines(ofColumns: Bool, _ body: (coppice_sparse_lines) -> Void) {
        let lines = ofColumns ? byColumn : byRow
        lines.starts.withUnsafeBufferPointer { starts in
            lines.places.withUnsafeBufferPointer { places in
                body(
                    coppice_sparse_lines(
                        count: ofColumns ? columns : rows, starts: starts.baseAddress, places: places.baseAddress,
                        line_step: ofColumns ? 1 : columns, place_step: ofColumns ? columns : 1))
            }
        }
    }

    /// A batch's panels times the kept entries of a matrix: of rows (x Wᵀ) or of columns (x W).
    func product(_ panels: SparsePanels, _ matrix: Tensor, ofColumns: Bool) -> SparsePanels {
        let (lines, places) = ofColumns ? (columns, rows) : (rows, columns)
        precondition(panels.columns == places && matrix.shape == [rows, columns], "a product of other shapes")
        let out = SparsePanels(rows: panels.rows, columns: lines)
        let dense = matrix.contiguous()
        withExtendedLifetime((panels, dense)) {
            withLines(ofColumns: ofColumns) { own in
                coppice_sparse_product(
                    panels.count, own, places, dense.pointer(), panels.values.pointer(), out.values.pointer())
            }
        }
        return out
    }

    /// The kept entries of leftᵀ · right, zeros elsewhere: f32 `[rows, columns]`.
    func outerProduct(_ left: SparsePanels, _ right: SparsePanels) -> Tensor {
        precondition(left.columns == rows && right.columns == columns && left.rows == right.rows, "other shapes")
        let result = Tensor(uninitialized: [rows, columns])
        withExtendedLifetime((left, right)) {
            withLines(ofColumns: false) { own in
                coppice_sparse_outer_product(
                    left.count, own, columns, left.values.pointer(), right.values.pointer(), result.pointer())
            }
        }
        return result
    }
}

/// A batch as sparse products take it: 64 rows at a time, column after column, filled up with zeros.
struct SparsePanels {
    let rows: Int
    let columns: Int
    /// f32 `[panels, columns, 64]`.
    let values: Tensor

    /// Panels whose values are not set yet.
    init(rows: Int, columns: Int) {
        let width = Int(COPPICE_SPARSE_PANEL)
        self.rows = rows
        self.columns = columns
        values = Tensor(uninitialized: [(rows + width - 1) / width, columns, width])
    }

    /// - Parameter batch: f32 `[rows, columns]`.
    init(_ batch: Tensor) {
        self.init(rows: batch.shape[0], columns: batch.shape[1])
        let source = batch.contiguous()
        withExtendedLifetime(source) { coppice_sparse_pack(rows, columns, source.pointer(), values.pointer()) }
    }

    var count: Int { values.shape[0] }

    /// f32 `[rows, columns]`.
    var batch: Tensor {
        let result = Tensor(uninitialized: [rows, columns])
        coppice_sparse_unpack(rows, columns, values.pointer(), result.pointer())
        withExtendedLifetime(values) {}
        return result
    }
}
