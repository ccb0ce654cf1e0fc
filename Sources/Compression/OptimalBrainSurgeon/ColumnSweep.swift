import CoppiceTensors

/// A matrix on its way through ``SparseGPT``, block of columns by block of columns.
///
/// What the removals of earlier blocks do to a block is added up in one product when its turn comes; within a block rows
/// are on their own.
final class ColumnSweep {
    let rows: Int
    let columns: Int
    /// W: final to the left of the next block, as it was from there on.
    private(set) var values: Tensor
    /// Of each group of a row so many are kept. Nil: what goes is known before a block is swept.
    var pattern: SemiStructuredPattern?

    /// w / U_jj of removed weights, zero of kept ones: `[rows, columns]`, set to the left of the next block.
    private let errors: Tensor
    private let factor: Tensor
    /// Row-major flags.
    private var kept: [Bool]

    /// Rows that a thread takes at a time.
    private static let rowsOfTask = 16

    /// - Parameter factor: U, f32 `[columns, columns]`.
    init(_ weights: Tensor, _ factor: Tensor) {
        (rows, columns) = (weights.shape[0], weights.shape[1])
        precondition(factor.shape == [columns, columns], "a factor of \(factor.shape) for weights of \(weights.shape)")
        values = weights.detached().copied()
        self.factor = factor.contiguous()
        errors = Tensor(uninitialized: weights.shape)
        kept = [Bool](repeating: true, count: weights.count)
    }

    var mask: WeightMask { WeightMask(rows: rows, columns: columns, kept: kept) }

    /// Removes what a mask does not keep. O(N).
    func remove(_ mask: WeightMask) {
        precondition(mask.rows == rows && mask.columns == columns, "a mask of another shape")
        kept.withUnsafeMutableBufferPointer { kept in
            for index in kept.indices where mask.words[index / 64] >> UInt64(index % 64) & 1 == 0 {
                kept[index] = false
            }
        }
    }

    /// Sets the weights of some inputs to zero.
    func clear(_ inputs: [Int]) {
        values.withMutableElements(Float.self) { elements in
            for row in 0..<rows {
                for input in inputs { elements[row * columns + input] = 0 }
            }
        }
    }

    /// What is gone of each column.
    var removedOfColumns: [Int] {
        kept.withUnsafeBufferPointer { kept in
            var counts = [Int](repeating: 0, count: columns)
            for row in 0..<rows {
                for column in 0..<columns where !kept[row * columns + column] { counts[column] += 1 }
            }
            return counts
        }
    }

    /// W_b ← W_b − E U_b, E what earlier blocks left behind. O(rows · columns before · block).
    func bringUpToDate(_ block: Range<Int>) {
        let (start, width) = (block.lowerBound, block.count)
        guard start > 0 else { return }
        let change = errors.slice(axis: 1, 0..<start).matmul(
            factor.slice(axis: 0, 0..<start).slice(axis: 1, block))
        change.withElements(Float.self) { change in
            values.withMutableElements(Float.self) { values in
                guard let change = change.baseAddress, let values = values.baseAddress else { return }
                inParallel(rows) { row in
                    let (own, by) = (values + row * columns + start, change + row * width)
                    for column in 0..<width { own[column] -= by[column] }
                }
            }
        }
    }

    /// Removes so many weights of a block, what is gone among them, by one threshold on w² / U_jj². O(rows · block).
    func choose(_ count: Int, in block: Range<Int>) {
        let (start, width) = (block.lowerBound, block.count)
        let scales = block.map { inverseScale($0) }
        var scores = Tensor(uninitialized: [rows, width])
        kept.withUnsafeMutableBufferPointer { kept in
            values.withElements(Float.self) { values in
                scores.withMutableElements(Float.self) { scores in
                    inParallel(rows) { row in
                        for column in 0..<width {
                            let index = row * columns + start + column
                            // The root has the same order. What is gone is below every score.
                            scores[row * width + column] =
                                kept[index] ? abs(values[index]) * scales[column] : -.infinity
                        }
                    }
                }
            }
            let mask = ExactSelection.mask(scores, removing: count)
            for row in 0..<rows {
                for column in 0..<width { kept[row * columns + start + column] = mask[row, column] }
            }
        }
    }

    /// Removes what goes of a block and moves the weights to the right of it within the block.
    /// O(rows · block²), in parallel.
    func sweep(_ block: Range<Int>) {
        let start = block.lowerBound
        // Rows of U beside each other: its own are a power of two apart in most models.
        let own = factor.slice(axis: 0, block).slice(axis: 1, block).copied()
        let scales = block.map { inverseScale($0) }
        let errors = errors.basePointer.assumingMemoryBound(to: Float.self)
        kept.withUnsafeMutableBufferPointer { kept in
            values.withMutableElements(Float.self) { values in
                own.withElements(Float.self) { factor in
                    guard let values = values.baseAddress, let factor = factor.baseAddress,
                        let kept = kept.baseAddress
                    else { return }
                    let pattern = pattern
                    inParallel((rows + Self.rowsOfTask - 1) / Self.rowsOfTask) { task in
                        for row in (task * Self.rowsOfTask)..<min((task + 1) * Self.rowsOfTask, rows) {
                            let first = row * columns + start
                            Self.sweepRow(
                                values + first, errors + first, kept + first, factor: factor, scales: scales,
                                pattern: pattern)
                        }
                    }
                }
            }
        }
    }

    private static func sweepRow(
        _ values: UnsafeMutablePointer<Float>, _ errors: UnsafeMutablePointer<Float>,
        _ kept: UnsafeMutablePointer<Bool>, factor: UnsafePointer<Float>, scales: [Float],
        pattern: SemiStructuredPattern?
    ) {
        let width = scales.count
        for column in 0..<width {
            if let pattern, column % pattern.groupLength == 0 {
                choose(pattern, from: values + column, kept + column, scales, at: column)
            }
            guard !kept[column] else {
                errors[column] = 0
                continue
            }
            let error = values[column] * scales[column]
            errors[column] = error
            values[column] = 0
            let row = factor + column * width
            for right in column + 1..<max(column + 1, width) { values[right] -= error * row[right] }
        }
    }

    /// Keeps the weights of a group that cost most, the later ones among equals. O(M · removed).
    private static func choose(
        _ pattern: SemiStructuredPattern, from values: UnsafeMutablePointer<Float>, _ kept: UnsafeMutablePointer<Bool>,
        _ scales: [Float], at column: Int
    ) {
        let length = pattern.groupLength
        var left = (0..<length).count { kept[$0] }
        while left > pattern.kept {
            var least = -1
            var cost = Float.infinity
            for index in 0..<length where kept[index] {
                let own = abs(values[index]) * scales[column + index]
                if least < 0 || own < cost { (least, cost) = (index, own) }
            }
            kept[least] = false
            left -= 1
        }
    }

    /// 1 / U_jj.
    private func inverseScale(_ column: Int) -> Float {
        factor.withElements(Float.self) { 1 / $0[column * (columns + 1)] }
    }
}
