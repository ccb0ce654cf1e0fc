import CoppiceTensors

/// Whole blocks of consecutive rows and columns go or stay: what kernels of dense tiles skip.
///
/// Gray, Radford and Kingma, "GPU kernels for block-sparse weights" (2017). A block's score is made of its entries'
/// scores, as that of a group is (``GroupGranularity/Score``).
public struct BlockGranularity: Granularity {
    /// Rows of a block.
    public var rows: Int
    /// Columns of a block.
    public var columns: Int
    public var score: GroupGranularity.Score

    /// - Precondition: at least one row and column.
    public init(rows: Int, columns: Int, score: GroupGranularity.Score = .mean) {
        precondition(rows > 0 && columns > 0, "blocks of \(rows) × \(columns)")
        self.rows = rows
        self.columns = columns
        self.score = score
    }

    /// - Throws: `.badData` naming a matrix that blocks do not tile, with the sizes that would do.
    public func check(_ weight: PrunableWeight) throws {
        for (size, extent, what) in [(rows, weight.rows, "rows"), (columns, weight.columns, "columns")]
        where extent % size != 0 {
            let fitting = (1...64).filter { extent % $0 == 0 }.map(String.init)
            throw CoppiceError(
                .badData, field: weight.name,
                "blocks of \(rows) × \(columns) need \(what) that are a multiple of \(size), this weight has \(extent); "
                    + "\(fitting.joined(separator: ", ")) divide it; exclude the weight or choose another block")
        }
    }

    public func check(_ scores: Tensor, name: String) throws { try score.check(scores, name: name) }

    /// Each entry's block's score in its place. O(N).
    public func comparable(_ scores: Tensor) -> Tensor {
        let blocks = blockScores(scores)
        let (width, count) = (scores.shape[1], blocks.shape[1])
        var result = Tensor(uninitialized: scores.shape)
        result.withMutableElements(Float.self) { out in
            blocks.withElements(Float.self) { blocks in
                for index in out.indices {
                    out[index] = blocks[index / width / rows * count + index % width / columns]
                }
            }
        }
        return result
    }

    /// Removes ⌊count / block⌋ blocks with the smallest scores, the earliest first among equals. O(N).
    public func mask(_ scores: Tensor, removing count: Int) -> WeightMask {
        let (height, width) = (scores.shape[0], scores.shape[1])
        guard scores.count > 0 else { return WeightMask(keepingAllOf: height, width) }
        let blocks = ExactSelection.mask(blockScores(scores), removing: count / (rows * columns))
        let kept = (0..<scores.count).map { blocks[$0 / width / rows, $0 % width / columns] }
        return WeightMask(rows: height, columns: width, kept: kept)
    }

    /// One score a block, f32 `[rows / block rows, columns / block columns]`.
    func blockScores(_ scores: Tensor) -> Tensor {
        let (down, across) = (scores.shape[0] / rows, scores.shape[1] / columns)
        // A block's entries side by side: a group.
        let entries = scores.reshaped([down, rows, across, columns]).permuted([0, 2, 1, 3]).contiguous()
        return GroupGranularity.scores(
            of: entries.reshaped([down, across * rows * columns]), length: rows * columns, score)
    }
}
