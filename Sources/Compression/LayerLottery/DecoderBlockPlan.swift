import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

/// The blocks that were chosen to be removed from a language model, and what that saves.
public struct DecoderBlockPlan: Sendable {
    public let scores: BlockScores<DecoderBlockPlace>
    public let removal: DecoderBlockRemoval
    /// Multiplications are those with weights for one token.
    public var before: NetworkCost { removal.original.cost }
    public var after: NetworkCost { removal.configuration.cost }

    /// Removes the blocks with the lowest scores. One of them stays, so that there is a layer left.
    ///
    /// - Throws: as ``BlockScores/lowest(_:leaving:)`` does.
    public init(
        _ scores: BlockScores<DecoderBlockPlace>, removing count: Int, from configuration: DecoderConfiguration
    ) throws {
        self.scores = scores
        removal = try DecoderBlockRemoval(of: scores.lowest(count, leaving: 1), from: configuration)
    }

    /// Removes the fewest blocks with the lowest scores that bring the multiplications for one token down to a budget.
    ///
    /// - Throws: `.badData` for a budget that not even all blocks but one reach.
    public init(
        _ scores: BlockScores<DecoderBlockPlace>, multiplications budget: Int, from configuration: DecoderConfiguration
    ) throws {
        var least = Int.max
        self.scores = scores
        removal = try Self.fewest(scores, atLeast: 1, from: configuration) { removal in
            least = min(least, removal.configuration.cost.multiplyAccumulates)
            return least <= budget
        } orThrow: {
            CoppiceError(
                .badData, field: "flops",
                "\(budget), expected at least \(least): what is left for a token without all "
                    + "\(scores.blocks.first?.kind.rawValue ?? "") blocks but one")
        }
    }

    /// Removes the fewest blocks with the lowest scores, none if it may be, that bring a measured time down to a limit.
    ///
    /// - Parameters:
    ///   - limit: seconds.
    ///   - time: seconds of what a removal leaves; asked for ever more blocks until one fits.
    /// - Throws: `.badData` for a limit that not even all blocks but one reach, naming what was measured; what `time`
    ///   throws.
    public init(
        _ scores: BlockScores<DecoderBlockPlace>, seconds limit: Double, from configuration: DecoderConfiguration,
        measuring time: (DecoderBlockRemoval) throws -> Double
    ) throws {
        var least = Double.infinity
        self.scores = scores
        removal = try Self.fewest(scores, atLeast: 0, from: configuration) { removal in
            let seconds = try time(removal)
            least = min(least, seconds)
            return seconds <= limit
        } orThrow: {
            CoppiceError(
                .badData, field: "latency",
                String(format: "%.3g ms, expected at least %.3g ms: ", limit * 1e3, least * 1e3)
                    + "what was measured without all \(scores.blocks.first?.kind.rawValue ?? "") blocks but one")
        }
    }

    private static func fewest(
        _ scores: BlockScores<DecoderBlockPlace>, atLeast first: Int, from configuration: DecoderConfiguration,
        fits: (DecoderBlockRemoval) throws -> Bool, orThrow error: () -> CoppiceError
    ) throws -> DecoderBlockRemoval {
        for count in stride(from: first, through: max(first, scores.blocks.count - 1), by: 1) {
            let names = count == 0 ? [] : try scores.lowest(count, leaving: 1)
            let removal = try DecoderBlockRemoval(of: names, from: configuration)
            if try fits(removal) { return removal }
        }
        throw error()
    }

    private var removedNames: Set<String> { Set(removal.removed.map(\.name)) }

    /// For other programs: `layers_before`, `layers_after`, `removed`, `parameters_before`, `parameters_after`,
    /// `multiplications_before`, `multiplications_after` (with weights, for one token), `blocks` (`name`, `score`,
    /// `removed`).
    public var json: JSON {
        .object([
            "layers_before": .integer(removal.original.layerCount),
            "layers_after": .integer(removal.configuration.layerCount),
            "removed": .array(removal.removed.map { .string($0.name) }),
            "parameters_before": .integer(before.parameters), "parameters_after": .integer(after.parameters),
            "multiplications_before": .integer(before.multiplyAccumulates),
            "multiplications_after": .integer(after.multiplyAccumulates),
            "blocks": scores.json(removing: removedNames),
        ])
    }

    /// A table for people.
    public var text: String {
        var lines = scores.lines(removing: removedNames)
        let change = before.change(to: after, unit: "MACs a token")
        lines.append("\(removal.original.layerCount) layers → \(removal.configuration.layerCount): \(change)")
        if removal.removed.isEmpty { lines.append("note: the model is fast enough as it is: nothing is removed") }
        return lines.joined(separator: "\n")
    }
}

extension DecoderConfiguration {
    /// Parameters, and multiplications with weights for one token; those of queries with keys, which grow with the
    /// text, are not among them.
    public var cost: NetworkCost {
        var cost = NetworkCost(parameters: 0, multiplyAccumulates: 0)
        let uses = weightUses
        for (name, shape) in tensorShapes {
            let count = shape.reduce(1, *)
            cost.parameters += count
            cost.multiplyAccumulates += count * (uses[name] ?? 0)
        }
        return cost
    }
}
