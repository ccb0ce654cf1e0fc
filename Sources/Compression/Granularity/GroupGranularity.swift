import CoppiceTensors

/// Whole groups of consecutive inputs of a row go or stay: what a group-sparse format stores, an index for each group
/// instead of each weight.
///
/// A group's score is made of its entries' scores, which may be negative but for ``Score/l2``. Zeng et al., "GQSA: Group
/// Quantization and Sparsity for Accelerating Large Language Model Inference" (2024), section 3.2, takes the mean; a mean
/// hides a single large weight, which ``Score/max`` and ``Score/l2`` heed.
public struct GroupGranularity: Granularity {
    /// How a group's entries make its score.
    public enum Score: String, Sendable, Hashable, CaseIterable {
        case mean, max, l2

        /// - Throws: `.usage` naming the matrix where ``l2`` is to square scores of which some are negative. O(N).
        func check(_ scores: Tensor, name: String) throws {
            guard self == .l2 else { return }
            let negative = scores.withElements(Float.self) { $0.first { $0 < 0 } }
            guard let negative else { return }
            throw CoppiceError(
                .usage, field: "group_score",
                "l2 squares scores, and \(name) has one of \(negative); expected mean or max")
        }
    }

    /// Inputs in a group: 4, 8, 16, 32 or 64. From 16 on there is a format for quantized groups.
    public var groupLength: Int
    public var score: Score
    /// Whether groups are compared only within their row, so that each output loses the same number of them.
    public var isWithinRows: Bool

    /// - Precondition: a length of ``PruneStage/groupLengths``.
    public init(groupLength: Int, score: Score = .mean, isWithinRows: Bool = false) {
        precondition(PruneStage.groupLengths.contains(groupLength), "groups of \(groupLength)")
        self.groupLength = groupLength
        self.score = score
        self.isWithinRows = isWithinRows
    }

    public func check(_ weight: PrunableWeight) throws {
        guard weight.columns % groupLength != 0 else { return }
        let fitting = PruneStage.groupLengths.filter { weight.columns % $0 == 0 }.map(String.init)
        throw CoppiceError(
            .badData, field: weight.name,
            "groups of \(groupLength) need rows whose length is a multiple of it, this weight's is \(weight.columns); "
                + (fitting.isEmpty
                    ? "no length from 4 to 64 divides it" : "\(fitting.joined(separator: ", ")) would do")
                + "; exclude the weight or choose another pattern")
    }

    public func check(_ scores: Tensor, name: String) throws { try score.check(scores, name: name) }

    /// Each entry's group's score in its place, so that entries of several matrices compare as their groups do. O(N).
    public func comparable(_ scores: Tensor) -> Tensor {
        let groups = groupScores(scores)
        var result = Tensor(uninitialized: scores.shape)
        result.withMutableElements(Float.self) { out in
            groups.withElements(Float.self) { groups in
                for index in out.indices { out[index] = groups[index / groupLength] }
            }
        }
        return result
    }

    /// Removes ⌊count / groupLength⌋ groups with the smallest scores, the earliest first among equals. O(N).
    public func mask(_ scores: Tensor, removing count: Int) -> WeightMask {
        let (rows, columns) = (scores.shape[0], scores.shape[1])
        guard scores.count > 0 else { return WeightMask(keepingAllOf: rows, columns) }
        let groups = groupScores(scores), removed = count / groupLength
        let kept =
            isWithinRows
            ? ExactSelection.mask(groups, removing: removed / rows, ofEach: groups.shape[1], extra: removed % rows)
            : ExactSelection.mask(groups, removing: removed)
        // A group never crosses a word: its length divides 64.
        var words = [UInt64](repeating: 0, count: (scores.count + 63) / 64)
        let ones = UInt64.max >> UInt64(64 - groupLength)
        for group in 0..<groups.count where kept.words[group / 64] >> UInt64(group % 64) & 1 == 1 {
            words[group * groupLength / 64] |= ones << UInt64(group * groupLength % 64)
        }
        return WeightMask(rows: rows, columns: columns, words: words)
    }

    func groupScores(_ scores: Tensor) -> Tensor { Self.scores(of: scores, length: groupLength, score) }

    /// One score a group of consecutive entries, f32 `[rows, groups]`. Entries that an earlier stage removed have a score
    /// of −∞ and count as zero in a mean; a group of nothing else stays below all, at −∞.
    static func scores(of scores: Tensor, length groupLength: Int, _ score: Score) -> Tensor {
        let (rows, groups) = (scores.shape[0], scores.shape[1] / groupLength)
        var result = Tensor(uninitialized: [rows, groups])
        scores.withElements(Float.self) { scores in
            result.withMutableElements(Float.self) { out in
                for group in 0..<(rows * groups) {
                    var (sum, largest, squares) = (0.0, -Float.infinity, 0.0)
                    for index in (group * groupLength)..<((group + 1) * groupLength) where scores[index] > -.infinity {
                        let value = scores[index]
                        largest = Swift.max(largest, value)
                        sum += Double(value)
                        squares += Double(value) * Double(value)
                    }
                    switch score {
                    case _ where largest == -.infinity: out[group] = largest
                    case .mean: out[group] = Float(sum / Double(groupLength))
                    case .max: out[group] = largest
                    case .l2: out[group] = Float(Swift.min(squares.squareRoot(), Double(Float.greatestFiniteMagnitude)))
                    }
                }
            }
        }
        return result
    }
}
