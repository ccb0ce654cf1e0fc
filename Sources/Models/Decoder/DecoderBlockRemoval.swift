import CoppiceFormats
import CoppiceNetworks
import CoppiceTensors

/// A decoder without some of its attention or feed-forward sub-layers, or without whole layers. Where one was, the
/// identity is; what is left keeps its weights, in the formats that they are stored in.
///
/// ```swift
/// let removal = try DecoderBlockRemoval(of: ["model.layers.3"], from: checkpoint.configuration)
/// try removal.write(checkpoint, to: "shallow")       // one layer less, which transformers loads
/// ```
///
/// Layers of which nothing is left go, and those behind them are numbered anew. Layers of which something is left stay
/// under `block_configs` in the configuration (see ``DecoderConfiguration/layersWithAttention``).
public struct DecoderBlockRemoval: Sendable, Equatable {
    public let removed: [DecoderBlockPlace]
    /// Of the model with all blocks.
    public let original: DecoderConfiguration
    /// Of what is left.
    public let configuration: DecoderConfiguration
    private let numbering: LayerNumbering

    /// - Throws: `.badData` for a name that is no block's and for a removal that leaves no layer.
    public init(of names: [String], from original: DecoderConfiguration) throws {
        let blocks = DecoderBlockKind.allCases.flatMap { DecoderBlockPlace.all($0, of: original) }
        removed = try blocks.named(names, kind: "block of the model")
        let gone = removed
        func isLeft(_ part: DecoderConfiguration.SubLayer, _ layer: Int) -> Bool {
            original.has(part, inLayer: layer)
                && !gone.contains { $0.layer == layer && $0.kind.parts.contains(part) }
        }
        let touched = Set(gone.map(\.layer))
        let kept = (0..<original.layerCount).filter { layer in
            !touched.contains(layer) || DecoderConfiguration.SubLayer.allCases.contains { isLeft($0, layer) }
        }
        guard !kept.isEmpty else {
            throw CoppiceError(
                .badData, field: "blocks", "without \(names.joined(separator: ", ")) no layer of the model is left")
        }
        var rest = original
        rest.layerCount = kept.count
        func flags(_ part: DecoderConfiguration.SubLayer) -> [Bool]? {
            let flags = kept.map { isLeft(part, $0) }
            return flags.contains(false) ? flags : nil
        }
        rest.layersWithAttention = flags(.attention)
        rest.layersWithFeedForward = flags(.feedForward)
        rest.layersWithWindow = original.layersWithWindow.map { windows in kept.map { windows[$0] } }
        if rest.layersWithWindow?.contains(true) == false { (rest.slidingWindow, rest.layersWithWindow) = (nil, nil) }
        self.original = original
        configuration = rest
        numbering = LayerNumbering(prefix: "model.layers.", oldLayers: kept)
    }

    /// What a tensor of the smaller model is called in the whole one.
    public func originalName(_ name: String) -> String { numbering.originalName(name) }

    /// The smaller network with the weights of what is left.
    ///
    /// - Precondition: a network of the original configuration.
    public func callAsFunction(_ network: DecoderNetwork) -> DecoderNetwork {
        let result = DecoderNetwork(configuration)
        numbering.copyWeights(of: network, to: result)
        return result
    }

    /// Makes the removed branches zero in the whole network, which then computes what the smaller one does.
    public func silence(_ network: DecoderNetwork) {
        let ends = Set(removed.flatMap(\.end))
        for (name, parameter) in network.parameters where ends.contains(name) {
            parameter.wrappedValue = .zeros(parameter.wrappedValue.shape, dataType: parameter.wrappedValue.dataType)
        }
    }

    /// Writes what is left of a checkpoint, with its tokenizer: matrices as they are stored, other tensors in their
    /// types.
    ///
    /// - Parameter early: other weights of the whole model to take instead, f32 by their names, which are stored in the
    ///   checkpoint's dense type.
    /// - Throws: `.badData` for weights that are not finite, naming the tensor; what ``CheckpointWriter`` throws.
    /// - Precondition: a checkpoint of the original configuration.
    public func write(
        _ checkpoint: Checkpoint, to path: String, early: ((_ name: String) throws -> Tensor)? = nil
    ) throws {
        precondition(checkpoint.configuration == original, "a checkpoint of another configuration")
        let writer = try CheckpointWriter(path: path, basedOn: checkpoint, configuration: configuration)
        for (name, _) in configuration.tensorShapes {
            let old = originalName(name)
            if let early {
                let values = try early(old)
                guard values.firstNonFiniteIndex == nil else {
                    throw CoppiceError(.badData, field: old, "holds NaN or infinite values, expected finite numbers")
                }
                try writer.add(name, values.narrowed(to: checkpoint.denseType(of: old), field: old))
                continue
            }
            try checkpoint.checkFinite(old)
            if checkpoint.isCompressed(old) {
                var stored = try checkpoint.stored(old)
                stored.name = name
                try writer.add(name, stored)
            } else {
                try writer.add(name, checkpoint.tensor(old))
            }
            checkpoint.releasePages(of: old)
        }
        try writer.finish()
    }
}

/// What is left of a model in memory or in a file, by the names of the smaller one.
public struct RemainingWeights: Sendable {
    public let checkpoint: Checkpoint
    public let removal: DecoderBlockRemoval

    public init(_ checkpoint: Checkpoint, _ removal: DecoderBlockRemoval) {
        self.checkpoint = checkpoint
        self.removal = removal
    }

    public func weight(_ name: String) throws -> any WeightFormat {
        try checkpoint.weight(removal.originalName(name))
    }

    public func tensor(_ name: String) throws -> Tensor { try checkpoint.tensor(removal.originalName(name)) }
}
