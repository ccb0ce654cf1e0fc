import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import OrderedCollections

/// A configuration whose cost is known.
public protocol CostedConfiguration: Sendable {
    var layerCount: Int { get }
    /// Parameters, and multiplications with weights for one token.
    var cost: NetworkCost { get }
}

public typealias DecoderBlockPlan = TextBlockPlan<DecoderBlockRemoval>
public typealias EncoderLayerPlan = TextBlockPlan<EncoderLayerRemoval>

/// The blocks that were chosen to be removed from a language model or an encoder, and what that saves.
public struct TextBlockPlan<Removal: TextBlockRemoval>: Sendable where Removal.Configuration: CostedConfiguration {
    public let scores: BlockScores<Removal.Place>
    public let removal: Removal
    /// Multiplications are those with weights for one token.
    public var before: NetworkCost { removal.original.cost }
    public var after: NetworkCost { removal.configuration.cost }

    /// Removes the blocks with the lowest scores. One of them stays, so that there is a layer left.
    ///
    /// - Throws: as ``BlockScores/lowest(_:leaving:)`` does.
    public init(
        _ scores: BlockScores<Removal.Place>, removing count: Int, from configuration: Removal.Configuration
    ) throws {
        self.scores = scores
        removal = try Removal(of: scores.lowest(count, leaving: 1), from: configuration)
    }

    /// Removes the fewest blocks with the lowest scores that bring the multiplications for one token down to a budget.
    ///
    /// - Throws: `.badData` for a budget that not even all blocks but one reach.
    public init(
        _ scores: BlockScores<Removal.Place>, multiplications budget: Int, from configuration: Removal.Configuration
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
                    + "\(scores.blocks.count) blocks but one")
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
        _ scores: BlockScores<Removal.Place>, seconds limit: Double, from configuration: Removal.Configuration,
        measuring time: (Removal) throws -> Double
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
                    + "what was measured without all \(scores.blocks.count) blocks but one")
        }
    }

    private static func fewest(
        _ scores: BlockScores<Removal.Place>, atLeast first: Int, from configuration: Removal.Configuration,
        fits: (Removal) throws -> Bool, orThrow error: () -> CoppiceError
    ) throws -> Removal {
        for count in stride(from: first, through: max(first, scores.blocks.count - 1), by: 1) {
            let names = count == 0 ? [] : try scores.lowest(count, leaving: 1)
            let removal = try Removal(of: names, from: configuration)
            if try fits(removal) { return removal }
        }
        throw error()
    }

    private var removedNames: Set<String> { Set(removal.removed.map(\.name)) }

    /// For other programs: `layers_before`, `layers_after`, `removed`, `parameters_before`, `parameters_after`,
    /// `multiplications_before`, `multiplications_after` (with weights, for one token), `blocks` (`name`, `score`,
    /// `removed`).
    public var json: JSON {
        var members: OrderedDictionary<String, JSON> = [
            "layers_before": .integer(removal.original.layerCount),
            "layers_after": .integer(removal.configuration.layerCount),
            "removed": .array(removal.removed.map { .string($0.name) }),
        ]
        members.merge(before.changeMembers(to: after)) { $1 }
        members["blocks"] = scores.json(removing: removedNames)
        return .object(members)
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

extension DecoderConfiguration: CostedConfiguration {
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

extension EncoderConfiguration: CostedConfiguration {
    /// Parameters of embeddings and layers, and multiplications with the layers' matrices for one token: of all but the
    /// head, in which encoders differ.
    public var cost: NetworkCost {
        var cost = NetworkCost(parameters: 0, multiplyAccumulates: 0)
        let network = MaskedLanguageEncoder(unloaded: self)
        for (_, parameter) in network.stack.parameters { cost.parameters += parameter.wrappedValue.count }
        for (_, parameter) in network.stack.layers.flatMap(\.parameters) where parameter.wrappedValue.rank == 2 {
            cost.multiplyAccumulates += parameter.wrappedValue.count
        }
        return cost
    }
}
