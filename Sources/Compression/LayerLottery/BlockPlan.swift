import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import OrderedCollections

/// The blocks that were chosen to be removed from a network, and what that saves.
public struct BlockPlan: Sendable {
    public let scores: BlockScores<ResidualBlockPlace>
    public let removal: BlockRemoval
    public let before: NetworkCost
    public let after: NetworkCost

    /// Removes the blocks with the lowest scores.
    ///
    /// - Throws: as ``BlockScores/lowest(_:)`` does.
    public init(_ scores: BlockScores<ResidualBlockPlace>, removing count: Int, from architecture: VisionArchitecture)
        throws
    {
        self.scores = scores
        removal = try BlockRemoval(of: scores.lowest(count), from: architecture)
        before = try Self.cost(architecture)
        after = try Self.cost(removal.architecture)
    }

    /// Removes the fewest blocks with the lowest scores that bring the multiplications down to a budget.
    ///
    /// - Throws: `.badData` for a budget that not even all blocks together reach.
    public init(
        _ scores: BlockScores<ResidualBlockPlace>, multiplications budget: Int, from architecture: VisionArchitecture
    ) throws {
        var least = try Self.cost(architecture).multiplyAccumulates
        for count in stride(from: 1, through: scores.blocks.count, by: 1) {
            let plan = try BlockPlan(scores, removing: count, from: architecture)
            if plan.after.multiplyAccumulates <= budget {
                self = plan
                return
            }
            least = plan.after.multiplyAccumulates
        }
        throw CoppiceError(
            .badData, field: "flops",
            "\(budget), expected at least \(least): what is left of \(architecture.name) without all blocks that may "
                + "be removed")
    }

    /// Removes the fewest blocks with the lowest scores, none if it may be, that bring a measured time down to a limit.
    ///
    /// - Parameters:
    ///   - limit: seconds.
    ///   - time: seconds of what a removal leaves; asked for ever more blocks until one fits.
    /// - Throws: `.badData` for a limit that not even all blocks together reach, naming what was measured; what `time`
    ///   throws.
    public init(
        _ scores: BlockScores<ResidualBlockPlace>, seconds limit: Double, from architecture: VisionArchitecture,
        measuring time: (BlockRemoval) throws -> Double
    ) throws {
        var least = Double.infinity
        for count in 0...scores.blocks.count {
            let removal = try BlockRemoval(of: count == 0 ? [] : scores.lowest(count), from: architecture)
            let seconds = try time(removal)
            if seconds <= limit {
                self.scores = scores
                self.removal = removal
                before = try Self.cost(architecture)
                after = try Self.cost(removal.architecture)
                return
            }
            least = min(least, seconds)
        }
        throw CoppiceError(
            .badData, field: "latency",
            String(format: "%.3g ms, expected at least %.3g ms: ", limit * 1e3, least * 1e3)
                + "what was measured of \(architecture.name) without all blocks that may be removed")
    }

    private static func cost(_ architecture: VisionArchitecture) throws -> NetworkCost {
        let structure = try ChannelStructure(architecture)
        return structure.cost(structure.widths)
    }

    private var removedNames: Set<String> { Set(removal.removed.map(\.name)) }

    /// For other programs: `architecture`, `new_architecture` (fields of a configuration file), `removed`,
    /// `parameters_before`, `parameters_after`, `multiplications_before`, `multiplications_after`, `blocks`
    /// (`name`, `score`, `removed`).
    public var json: JSON {
        var members: OrderedDictionary<String, JSON> = [
            "architecture": .string(removal.original.description),
            "new_architecture": VisionCheckpoint.configuration(of: removal.architecture),
            "removed": .array(removal.removed.map { .string($0.name) }),
        ]
        members.merge(before.changeMembers(to: after)) { $1 }
        members["blocks"] = scores.json(removing: removedNames)
        return .object(members)
    }

    /// A table for people.
    public var text: String {
        var lines = scores.lines(removing: removedNames)
        let change = before.change(to: after, unit: "MACs")
        lines.append("\(removal.original) → \(removal.architecture): \(change)")
        if removal.removed.isEmpty { lines.append("note: the network is fast enough as it is: nothing is removed") }
        return lines.joined(separator: "\n")
    }
}
