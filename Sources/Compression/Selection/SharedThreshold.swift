import CKernels
import CoppiceTensors

/// One threshold for several matrices, each of which keeps at least a number of its largest scores.
public enum SharedThreshold {
    /// How many of the smallest scores each matrix loses.
    ///
    /// The `floors[l]` largest scores of matrix l are set aside, and of all others together the `removed` smallest go.
    /// Equal scores are told apart by (matrix, index), the earliest removed first. With floors of zero this is plain
    /// selection. A floor is at most what an earlier stage has left: scores of −∞ do not fill it.
    ///
    /// - Parameters:
    ///   - counts: scores of each matrix.
    ///   - floors: the least that each keeps, at most its count.
    ///   - removed: how many go, of all.
    ///   - scores: the scores of a matrix, f32, `counts[index]` of them in any order, finite or −∞. Called three times for
    ///     each matrix, so that only one needs to be in memory.
    /// - Precondition: floors leave `removed` scores to remove.
    /// - Complexity: O(N + 2048 L) for L matrices, three passes; 16 KB for each matrix.
    public static func removedCounts(
        _ counts: [Int], floors: [Int], removing removed: Int, scores: (_ index: Int) throws -> Tensor
    ) rethrows -> [Int] {
        precondition(counts.count == floors.count && removed >= 0, "\(floors.count) floors of \(counts.count) matrices")
        guard removed > 0 else { return counts.map { _ in 0 } }
        let kept = counts.reduce(0, +) - removed
        precondition(kept >= floors.reduce(0, +), "floors leave fewer scores than are to be removed")
        var search = Search(counts: counts, floors: floors, kept: kept)
        for level in 0..<3 {
            let histograms = try counts.indices.map { index -> [UInt64] in
                var histogram = [UInt64](repeating: 0, count: Int(COPPICE_SELECTION_BUCKETS))
                try scores(index).withElements(Float.self) { elements in
                    precondition(elements.count == counts[index], "matrix \(index) has another number of scores")
                    guard let base = elements.baseAddress else { return }
                    coppice_selection_count(base, elements.count, Int32(level), search.prefix, &histogram)
                }
                return histogram
            }
            search.descend(level, histograms)
        }
        return search.removedCounts(removing: removed)
    }

    /// The search for the threshold's order key, digit by digit from the highest.
    private struct Search {
        let counts: [Int]
        var floors: [Int]
        let kept: Int
        /// The digits found so far.
        var prefix: UInt32 = 0
        /// Scores of each matrix whose keys are below those that begin with the prefix.
        var below: [Int]
        /// Scores of each matrix whose keys begin with it.
        var equal: [Int]

        init(counts: [Int], floors: [Int], kept: Int) {
            (self.counts, self.floors, self.kept) = (counts, floors, kept)
            below = counts.map { _ in 0 }
            equal = counts
        }

        /// Finds the next digit: the first with which no more is kept than may be, when all up to it goes.
        mutating func descend(_ level: Int, _ histograms: [[UInt64]]) {
            if level == 0 {
                // Scores of −∞ alone share these first buckets: what is gone already.
                let last = Int(ExactSelection.orderKey(-.infinity) >> 21)
                for (index, histogram) in histograms.enumerated() {
                    let gone = histogram[0...last].reduce(0, +)
                    floors[index] = min(floors[index], counts[index] - Int(gone))
                }
            }
            var digit = 0
            while true {
                precondition(digit < histograms.first?.count ?? 0, "fewer scores than are to be removed")
                var keptAfter = 0
                for index in counts.indices {
                    equal[index] = Int(histograms[index][digit])
                    keptAfter += max(floors[index], counts[index] - below[index] - equal[index])
                }
                if keptAfter <= kept { break }
                for index in counts.indices { below[index] += equal[index] }
                digit += 1
            }
            prefix = prefix << (level == 2 ? 10 : 11) | UInt32(digit)
        }

        /// What is below the threshold goes down to the floors, then as many equal to it as are missing.
        func removedCounts(removing removed: Int) -> [Int] {
            var result = counts.indices.map { min(below[$0], counts[$0] - floors[$0]) }
            var missing = removed - result.reduce(0, +)
            for index in counts.indices {
                let taken = min(missing, min(equal[index], counts[index] - floors[index] - result[index]))
                result[index] += taken
                missing -= taken
            }
            return result
        }
    }
}
