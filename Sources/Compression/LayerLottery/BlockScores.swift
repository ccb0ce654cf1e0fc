import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

/// Scores of blocks: the lowest are removed first.
public struct BlockScores<Place: BlockPlace>: Sendable, Hashable {
    /// All blocks that may be removed, in the network's order.
    public let blocks: [Place]
    /// Of each block.
    public let scores: [Double]

    /// - Precondition: a score of each block.
    public init(blocks: [Place], scores: [Double]) {
        precondition(blocks.count == scores.count, "\(scores.count) scores of \(blocks.count) blocks")
        self.blocks = blocks
        self.scores = scores
    }

    /// Uniform scores, a function of the seed.
    static func random(_ blocks: [Place], seed: UInt64) -> [Double] {
        var generator = RandomGenerator(seed: seed)
        return blocks.map { _ in Double(generator.next() >> 11) * 0x1p-53 }
    }

    /// Sums or means of weights' scores over each block.
    static func sums(
        over blocks: [Place], of prunable: PrunableNetwork, _ criterion: BlockCriterion,
        _ aggregate: BlockCriterion.Aggregate, _ batches: [LabeledBatch]
    ) throws -> [Double] {
        let own: any NetworkCriterion =
            switch criterion {
            case .grasp: GradientFlowCriterion()
            case .l1: .magnitude
            default: GradientWeightCriterion()
            }
        let scores = try prunable.network.withTraining(true) { try prunable.scores(by: own, batches: batches) }
        return blocks.map { block in
            var (sum, count) = (0.0, 0)
            for (weight, score) in zip(prunable.weights, scores) where weight.name.hasPrefix(block.name + ".") {
                sum += score.converted(to: .f64).sum().doubles()[0]
                count += weight.count
            }
            return aggregate == .sum ? sum : sum / Double(max(1, count))
        }
    }

    /// - Throws: `.badData` naming a block whose score is not a number.
    static func checked(_ scores: [Double], of blocks: [Place], by criterion: BlockCriterion) throws -> [Double] {
        for (block, score) in zip(blocks, scores) where !score.isFinite {
            throw CoppiceError(
                .badData, field: block.name,
                "its score is \(score), expected a number: the weights or the data are not "
                    + "suited to \(criterion.rawValue)")
        }
        return scores
    }

    /// log softmax, in f64.
    static func logarithms(_ scores: Tensor) -> Tensor {
        let scores = scores.converted(to: .f64)
        return scores - scores.logSumExp(axis: -1).reshaped(Array(scores.shape.dropLast()) + [1])
    }

    /// The names of the blocks with the lowest scores, in the network's order; the earlier among equals.
    ///
    /// - Parameter least: how many of the blocks must stay.
    /// - Throws: `.usage` for less than one block or more than may be removed, naming these.
    public func lowest(_ count: Int, leaving least: Int = 0) throws -> [String] {
        let limit = blocks.count - least
        guard !blocks.isEmpty else {
            throw CoppiceError(.usage, field: "count", "\(count), and the network has no block that may be removed")
        }
        guard limit > 0, (1...limit).contains(count) else {
            let all = least == 0 ? "the \(limit)" : "\(max(0, limit)) of the \(blocks.count)"
            throw CoppiceError(
                .usage, field: "count",
                "\(count), expected 1 to \(all) blocks that may be removed: "
                    + blocks.map(\.name).joined(separator: ", "))
        }
        let ranked = blocks.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
        return ranked.prefix(count).sorted().map { blocks[$0].name }
    }
}

/// What plans of removals tell of scores.
extension BlockScores {
    /// `name`, `score` and `removed` of each block.
    func json(removing names: Set<String>) -> JSON {
        .array(
            zip(blocks, scores).map { block, score in
                .object([
                    "name": .string(block.name), "score": .number(score), "removed": .bool(names.contains(block.name)),
                ])
            })
    }

    /// A line for each block.
    func lines(removing names: Set<String>) -> [String] {
        let width = blocks.map(\.name.count).max() ?? 0
        return zip(blocks, scores).map { block, score in
            let name = block.name + String(repeating: " ", count: width - block.name.count)
            return "\(name)  \(String(format: "%12.5g", score))\(names.contains(block.name) ? "  removed" : "")"
        }
    }
}
