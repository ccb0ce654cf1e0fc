import CoppiceNetworks
import CoppiceTensors

extension VisionArchitecture {
    /// The architecture of a checkpoint, from its tensors' names and shapes alone: exactly the network that was stored,
    /// also where channels or blocks were removed.
    ///
    /// What leaves no trace in names and shapes is as published: the size of images, and for MobileNets and ShuffleNet
    /// the strides (for large images).
    ///
    /// - Throws: `.badData` when no architecture has such tensors, or naming the tensor that does not belong.
    public init(recognizing tensors: TensorShapes) throws {
        for family in Self.families {
            let own = try tensors.renamed(family.canonicalNames)
            guard var configuration = family.init(recognizing: own) else { continue }
            configuration.options = Self.fitted(configuration, to: own)
            do {
                try self.init(configuration)
            } catch var error as CoppiceError {
                error.source = tensors.source
                throw error
            }
            try own.check(makeUnloadedNetwork(), named: name)
            return
        }
        let names = Self.families.compactMap { $0.knownNames.first }.joined(separator: ", ")
        throw CoppiceError(
            .badData, source: tensors.source,
            "its tensors are of no vision architecture that is known (families of \(names))")
    }

    /// Multipliers in use, the likeliest first.
    private static let multipliers = [1, 0.5, 0.25, 0.75, 2, 0.125, 0.35, 1.4, 0.1, 0.2, 1.3, 4]

    /// The options with the widths of a checkpoint, and the multiplier that leaves the fewest widths to be listed. (At
    /// some multipliers a network adds where at others it does not, so one that fits in all shapes has precedence.)
    private static func fitted(
        _ configuration: any VisionConfiguration, to tensors: TensorShapes
    ) -> ClassifierOptions {
        func candidate(_ multiplier: Double) -> (options: ClassifierOptions, network: any VisionNetwork, first: Double)
        {
            var options = configuration.options
            options.widthMultiplier = multiplier
            var layers = LayerBuilder(unloaded: options, widths: tensors.outputs)
            let network = configuration.network(&layers)
            options.widths = layers.widths.filter { layers.standardWidths[$0.key] != $0.value }
                .reduce(into: [:]) { $0[$1.key] = $1.value }
            let first = layers.widths.elements.first.map { first in
                multiplier * Double(first.value) / Double(layers.standardWidths[first.key] ?? 1)
            }
            return (options, network, first ?? 1)
        }
        let plain = candidate(1)
        if plain.options.widths.isEmpty { return plain.options }
        // The first layer's width as a multiplier explains networks of any width that were not cut.
        let others = (multipliers.dropFirst() + [plain.first]).filter { $0 > 0 && $0 <= largestMultiplier }
        let ranked = ([plain] + others.map(candidate)).enumerated().sorted {
            ($0.element.options.widths.count, $0.offset) < ($1.element.options.widths.count, $1.offset)
        }
        let fitting = ranked.first { (try? tensors.check($0.element.network, named: "")) != nil }
        return fitting?.element.options ?? plain.options
    }
}
