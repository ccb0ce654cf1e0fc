import CoppiceModels
import CoppiceNetworks
import Foundation
import OrderedCollections

/// The widths that were chosen for a network, and what they cost.
public struct CropPlan<Structure: WidthStructure>: Sendable {
    /// The weight of a convolution or a linear layer.
    public struct Layer: Sendable, Hashable {
        public var name: String
        /// Input and output channels before; inputs of a group.
        public var oldInputs: Int
        public var oldOutputs: Int
        public var newInputs: Int
        public var newOutputs: Int
        /// Elements after for one before.
        public var density: Double
        public var oldParameters: Int
        public var newParameters: Int
        /// Multiplications for one input.
        public var oldMultiplications: Int
        public var newMultiplications: Int
    }

    public let structure: Structure
    /// The chosen widths, in the structure's order.
    public let widths: [Int]
    /// Before rounding.
    public let exactWidths: [Double]
    /// The error of the programme's optimality conditions; nil where no programme was solved.
    public let residual: Double?
    /// The network with the chosen widths, or what makes it.
    private let resized: Structure.Resized
    /// What stands for the signal where Σ log p does not.
    private let signal: ResidualSignal?

    init(
        structure: Structure, widths: [Int], exactWidths: [Double], residual: Double?,
        signal: ResidualSignal? = nil
    ) throws {
        self.structure = structure
        self.signal = signal
        self.widths = widths
        self.exactWidths = exactWidths
        self.residual = residual
        resized = try structure.resized(widths)
    }

    public var before: NetworkCost { structure.cost(structure.widths) }
    public var after: NetworkCost { structure.cost(widths) }

    /// What a user should know: that the budget cuts nothing.
    public var note: String? {
        widths == structure.widths ? "the budget is enough for the network as it is: nothing changes" : nil
    }

    /// Σ log p over layers: what the proxy says of the widths, 0 for the network as it is.
    public var logDensity: Double { layers.reduce(0) { $0 + log($1.density) } }

    /// log E[R] of the widths, 0 for the network as it is; nil where Σ log p stands for the signal.
    public var logSignal: Double? { signal?.logSignal(layers.map { log($0.density) }) }

    /// In the network's order.
    public var layers: [Layer] {
        structure.entries.filter(\.isWeight).map { entry in
            let (old, new) = (entry.count(structure.widths), entry.count(widths))
            return Layer(
                name: String(entry.name.dropLast(entry.name.hasSuffix(".weight") ? 7 : 0)),
                oldInputs: entry.axes[1](structure.widths), oldOutputs: entry.axes[0](structure.widths),
                newInputs: entry.axes[1](widths), newOutputs: entry.axes[0](widths),
                density: Double(new) / Double(old), oldParameters: old, newParameters: new,
                oldMultiplications: old * entry.uses, newMultiplications: new * entry.uses)
        }
    }

    /// A table for people.
    public var text: String {
        let layers = layers
        let nameWidth = max(5, layers.map(\.name.count).max() ?? 5)
        func row(_ cells: [String]) -> String {
            zip(cells, [nameWidth, 12, 12, 8, 11, 11, 13, 13]).enumerated().map { place, cell in
                let gap = String(repeating: " ", count: max(0, cell.1 - cell.0.count))
                return place == 0 ? cell.0 + gap : gap + cell.0
            }.joined(separator: " ")
        }
        var lines = [
            row(["layer", "old", "new", "density", "weights", "new", "MACs", "new"])
        ]
        for layer in layers {
            lines.append(
                row([
                    layer.name, "\(layer.oldInputs) → \(layer.oldOutputs)", "\(layer.newInputs) → \(layer.newOutputs)",
                    String(format: "%.3f", layer.density), "\(layer.oldParameters)", "\(layer.newParameters)",
                    "\(layer.oldMultiplications)", "\(layer.newMultiplications)",
                ]))
        }
        lines.append("\(structure): \(before.change(to: after, unit: "MACs"))")
        if let logSignal { lines.append(String(format: "log E[R] %.3f, Σ log p %.3f", logSignal, logDensity)) }
        if let note { lines.append("note: \(note)") }
        return lines.joined(separator: "\n")
    }
}

extension CropPlan where Structure == TracedStructure {
    /// The channels that stay: the first of each width.
    public var kept: KeptChannels { resized }
}

extension CropPlan where Structure == ChannelStructure {
    /// The network with the chosen widths.
    public var architecture: VisionArchitecture { resized }

    /// For other programs: `architecture`, `new_architecture` (fields of a configuration file), `parameters_before`,
    /// `parameters_after`, `multiplications_before`,
    /// `multiplications_after`, `log_density`, `log_signal` (null but for the proxy `residual`), `residual`, `note`, `widths`
    /// (`name`, `old`, `new`), `layers`.
    public var json: JSON {
        let (before, after) = (before, after)
        let widths = structure.names.indices.map { index -> JSON in
            .object([
                "name": .string(structure.names[index]), "old": .integer(structure.widths[index]),
                "new": .integer(self.widths[index]),
            ])
        }
        let layers = layers.map { layer -> JSON in
            .object([
                "name": .string(layer.name), "inputs_old": .integer(layer.oldInputs),
                "inputs_new": .integer(layer.newInputs), "outputs_old": .integer(layer.oldOutputs),
                "outputs_new": .integer(layer.newOutputs), "density": .number(layer.density),
                "parameters_old": .integer(layer.oldParameters), "parameters_new": .integer(layer.newParameters),
                "multiplications_old": .integer(layer.oldMultiplications),
                "multiplications_new": .integer(layer.newMultiplications),
            ])
        }
        var members: OrderedDictionary<String, JSON> = [
            "architecture": .string(structure.architecture.description),
            "new_architecture": VisionCheckpoint.configuration(of: architecture),
        ]
        members.merge(before.changeMembers(to: after)) { $1 }
        let rest: OrderedDictionary<String, JSON> = [
            "log_density": .number(logDensity), "log_signal": logSignal.map { .number($0) } ?? .null,
            "residual": residual.map { .number($0) } ?? .null,
            "note": note.map { .string($0) } ?? .null, "widths": .array(widths), "layers": .array(layers),
        ]
        members.merge(rest) { $1 }
        return .object(members)
    }
}
