import CoppiceNetworks
import CoppiceTensors

/// An encoder without some of its layers. Where one was, the identity is; what is left keeps its weights, in the formats
/// that they are stored in, and layers are numbered anew.
///
/// ```swift
/// let removal = try EncoderLayerRemoval(of: ["bert.encoder.layer.3"], from: checkpoint.configuration)
/// try removal.write(checkpoint, to: "shallow")       // one layer less, which transformers loads
/// ```
///
/// Layers go as a whole: behind each part of one its sum with what came in is normalized, so that there is no way around
/// a part alone.
public struct EncoderLayerRemoval: TextBlockRemoval, Equatable {
    public let removed: [EncoderLayerPlace]
    /// Of the encoder with all layers.
    public let original: EncoderConfiguration
    /// Of what is left.
    public let configuration: EncoderConfiguration
    private let numbering: LayerNumbering

    /// - Throws: `.badData` for a name that is no layer's and for a removal that leaves none.
    public init(of names: [String], from original: EncoderConfiguration) throws {
        removed = try EncoderLayerPlace.all(of: original).named(names, kind: "layer of the encoder")
        let gone = Set(removed.map(\.layer))
        let left = (0..<original.layerCount).filter { !gone.contains($0) }
        guard !left.isEmpty else {
            throw CoppiceError(
                .badData, field: "blocks", "without \(names.joined(separator: ", ")) no layer of the encoder is left")
        }
        var rest = original
        rest.layerCount = left.count
        self.original = original
        configuration = rest
        numbering = LayerNumbering(prefix: EncoderLayerPlace.prefix(original.family), oldLayers: left)
    }

    /// What a tensor of the smaller encoder is called in the whole one.
    public func originalName(_ name: String) -> String { numbering.originalName(name) }

    /// What a tensor of the whole encoder is called in the smaller one; nil where it goes with its layer.
    public func newName(_ name: String) -> String? { numbering.newName(name) }

    /// The smaller network with the weights of what is left.
    ///
    /// - Precondition: a network of the original configuration.
    public func callAsFunction<Network: EncoderNetwork>(_ network: Network) -> Network {
        precondition(network.configuration == original, "a network of another configuration")
        let result = network.unloaded(configuration)
        numbering.copyWeights(of: network, to: result)
        return result
    }

    /// Writes what is left of a checkpoint, with its tokenizer: matrices as they are stored, other tensors in their
    /// types, all heads among them.
    ///
    /// - Throws: `.badData` for weights that are not finite, naming the tensor; what ``CheckpointWriter`` throws.
    /// - Precondition: a checkpoint of the original configuration.
    public func write(_ checkpoint: EncoderCheckpoint, to path: String) throws {
        precondition(checkpoint.configuration == original, "a checkpoint of another configuration")
        let names = checkpoint.storedNames.compactMap { old in newName(old).map { (old: old, new: $0) } }
        let writer = try CheckpointWriter(
            path: path, configuration: configuration.json(changing: checkpoint.configurationJSON),
            shapes: names.map { ($0.new, checkpoint.storedShape($0.old) ?? []) }, tokenizerFolder: checkpoint.folder)
        for (old, new) in names {
            if checkpoint.isCompressed(old) {
                var stored = try checkpoint.weight(old).stored()
                stored.name = new
                try writer.add(new, stored)
                continue
            }
            let tensor = try checkpoint.storedTensor(old)
            if tensor.dataType.isFloatingPoint, tensor.firstNonFiniteIndex != nil {
                throw CoppiceError(
                    .badData, source: checkpoint.path, field: old,
                    "holds NaN or infinite values, expected finite numbers")
            }
            try writer.add(new, tensor)
        }
        try writer.finish()
    }
}
