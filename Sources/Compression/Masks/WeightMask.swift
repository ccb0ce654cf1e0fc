import CKernels
import CoppiceTensors

/// Which weights of a matrix are kept: one bit a weight, row-major.
///
/// A mask is a decision, not a property of the values: a kept weight may be zero, and a removed one stays removed
/// whatever happens to its value.
public struct WeightMask: Sendable, Hashable {
    /// Rows (outputs) of the matrix.
    public let rows: Int
    /// Columns (inputs) of the matrix.
    public let columns: Int
    /// Bit `i % 64` of word `i / 64` is set where element `i` in row-major order is kept. Bits past the end are zero.
    public private(set) var words: [UInt64]

    /// A mask from its bitmap.
    ///
    /// - Precondition: enough words for all elements, and no bit set past the end.
    public init(rows: Int, columns: Int, words: [UInt64]) {
        let count = rows * columns
        precondition(rows >= 0 && columns >= 0 && words.count == (count + 63) / 64, "the bitmap has the wrong size")
        precondition(
            count % 64 == 0 || (words.last ?? 0) >> UInt64(count % 64) == 0, "bits are set past the last element")
        self.rows = rows
        self.columns = columns
        self.words = words
    }

    /// A mask that keeps everything.
    public init(keepingAllOf rows: Int, _ columns: Int) {
        let count = rows * columns
        var words = [UInt64](repeating: .max, count: (count + 63) / 64)
        if count % 64 != 0 { words[words.count - 1] = (1 << UInt64(count % 64)) - 1 }
        self.init(rows: rows, columns: columns, words: words)
    }

    /// A mask from one Boolean a weight, row-major.
    public init(rows: Int, columns: Int, kept: [Bool]) {
        precondition(kept.count == rows * columns, "\(kept.count) flags do not fill \(rows) × \(columns)")
        var words = [UInt64](repeating: 0, count: (kept.count + 63) / 64)
        for (index, flag) in kept.enumerated() where flag { words[index / 64] |= 1 << UInt64(index % 64) }
        self.init(rows: rows, columns: columns, words: words)
    }

    /// Number of weights.
    public var count: Int { rows * columns }

    /// Number of weights kept.
    public var keptCount: Int { coppice_bitmap_count(words, words.count) }

    /// Number of weights removed.
    public var removedCount: Int { count - keptCount }

    /// The fraction of weights removed; zero for an empty matrix.
    public var sparsity: Double { count == 0 ? 0 : Double(removedCount) / Double(count) }

    /// Whether the weight is kept.
    public subscript(row: Int, column: Int) -> Bool {
        get {
            let index = row * columns + column
            return words[index / 64] >> UInt64(index % 64) & 1 == 1
        }
        set {
            let index = row * columns + column
            let bit: UInt64 = 1 << UInt64(index % 64)
            if newValue { words[index / 64] |= bit } else { words[index / 64] &= ~bit }
        }
    }

    /// Kept weights of each row.
    public var keptCountsOfRows: [Int] {
        (0..<rows).map { row in
            var kept = 0
            var index = row * columns
            let end = index + columns
            while index < end {
                let shift = UInt64(index % 64)
                let length = min(64 - index % 64, end - index)
                var word = words[index / 64] >> shift
                if length < 64 { word &= (1 << UInt64(length)) - 1 }
                kept += word.nonzeroBitCount
                index += length
            }
            return kept
        }
    }

    /// What both masks keep.
    ///
    /// - Precondition: equal shapes.
    public func intersection(_ other: WeightMask) -> WeightMask {
        precondition(rows == other.rows && columns == other.columns, "masks of different shapes")
        return WeightMask(rows: rows, columns: columns, words: zip(words, other.words).map { $0 & $1 })
    }

    /// What either mask keeps.
    ///
    /// - Precondition: equal shapes.
    public func union(_ other: WeightMask) -> WeightMask {
        precondition(rows == other.rows && columns == other.columns, "masks of different shapes")
        return WeightMask(rows: rows, columns: columns, words: zip(words, other.words).map { $0 | $1 })
    }

    /// What this mask removes.
    public var complement: WeightMask {
        var flipped = words.map { ~$0 }
        if count % 64 != 0 { flipped[flipped.count - 1] &= (1 << UInt64(count % 64)) - 1 }
        return WeightMask(rows: rows, columns: columns, words: flipped)
    }

    /// Whether everything kept here is kept by `other` too.
    public func isSubset(of other: WeightMask) -> Bool {
        precondition(rows == other.rows && columns == other.columns, "masks of different shapes")
        return coppice_bitmap_count_both(words, other.words, words.count) == keptCount
    }

    /// Sets the removed elements of a tensor to zero (`+0`), whatever they were.
    ///
    /// - Parameter weight: f32 of shape `[rows, columns]`.
    public func apply(to weight: inout Tensor) {
        precondition(weight.shape == [rows, columns], "the mask is \(rows) × \(columns), the weight \(weight.shape)")
        weight.withMutableElements(Float.self, apply)
    }

    /// Sets the removed elements to zero (`+0`).
    ///
    /// - Precondition: ``count`` elements, row-major.
    public func apply(to elements: UnsafeMutableBufferPointer<Float>) {
        precondition(elements.count == count, "a mask of \(count) for \(elements.count) elements")
        guard let base = elements.baseAddress, !elements.isEmpty else { return }
        coppice_bitmap_apply(base, elements.count, words)
    }

    /// Writes the kept elements of a matrix, and `+0` for the others. O(N).
    ///
    /// - Parameter values: f32 of shape `[rows, columns]`.
    /// - Precondition: ``count`` elements, row-major, that are not the matrix's own.
    func copy(_ values: Tensor, to elements: UnsafeMutableBufferPointer<Float>) {
        precondition(elements.count == count && values.shape == [rows, columns], "a mask of another size")
        values.withElements(Float.self) { source in
            guard let from = source.baseAddress, let to = elements.baseAddress, !elements.isEmpty else { return }
            coppice_bitmap_copy(from, source.count, words, to)
        }
    }

    /// The same where the elements are what another mask of these values made of them: only what differs is written.
    func copyChanges(since before: WeightMask, _ values: Tensor, to elements: UnsafeMutableBufferPointer<Float>) {
        precondition(elements.count == count && values.count == count && before.count == count, "another size")
        values.withElements(Float.self) { source in
            guard let from = source.baseAddress, let to = elements.baseAddress, !elements.isEmpty else { return }
            coppice_bitmap_copy_changes(from, source.count, before.words, words, to)
        }
    }

    /// Weights that both masks keep.
    func commonCount(_ other: WeightMask) -> Int {
        precondition(rows == other.rows && columns == other.columns, "masks of different shapes")
        return coppice_bitmap_count_both(words, other.words, words.count)
    }

    /// Ones where weights are kept, zeros elsewhere: f32 `[rows, columns]`.
    public var indicator: Tensor {
        var ones = Tensor.ones([rows, columns]).contiguous()
        apply(to: &ones)
        return ones
    }

    /// Sets the removed elements of a tensor to a value.
    ///
    /// - Parameter scores: f32 of shape `[rows, columns]`.
    func fillRemoved(of scores: inout Tensor, with value: Float) {
        precondition(scores.shape == [rows, columns], "the mask is \(rows) × \(columns), the tensor \(scores.shape)")
        scores.withMutableElements(Float.self) { elements in
            guard let base = elements.baseAddress, !elements.isEmpty else { return }
            coppice_bitmap_fill_removed(base, elements.count, words, value)
        }
    }

    /// Whether each run of `length` weights of a row keeps at most `kept`: the N:M property.
    public func satisfies(_ pattern: SemiStructuredPattern) -> Bool {
        guard columns % pattern.groupLength == 0 else { return false }
        for row in 0..<rows {
            for start in stride(from: 0, to: columns, by: pattern.groupLength) {
                var kept = 0
                for column in start..<(start + pattern.groupLength) where self[row, column] { kept += 1 }
                if kept > pattern.kept { return false }
            }
        }
        return true
    }
}
