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
    /// By new number.
    private let oldLayers: [Int]

    /// - Throws: `.badData` for a name that is no layer's and for a removal that leaves none.
    public init(of names: [String], from original: EncoderConfiguration) throws {
        let layers = EncoderLayerPlace.all(of: original)
        removed = try names.map { name in
            guard let layer = layers.first(where: { $0.name == name }) else {
                throw CoppiceError(
                    .badData, field: name, "is no layer of the encoder" + Spelling.hint(name, layers.map(\.name)))
            }
            return layer
        }
        let gone = Set(removed.map(\.layer))
        oldLayers = (0..<original.layerCount).filter { !gone.contains($0) }
        guard !oldLayers.isEmpty else {
            throw CoppiceError(
                .badData, field: "blocks", "without \(names.joined(separator: ", ")) no layer of the encoder is left")
        }
        var rest = original
        rest.layerCount = oldLayers.count
        self.original = original
        configuration = rest
    }

    private var prefix: String { EncoderLayerPlace.prefix(original.family) }

    /// The layer that a tensor is of, and what its name has behind the number; nil for what is in no layer.
    private func place(of name: String) -> (layer: Int, rest: Substring)? {
        guard name.hasPrefix(prefix) else { return nil }
        let rest = name.dropFirst(prefix.count)
        guard let end = rest.firstIndex(of: "."), let layer = Int(rest[..<end]) else { return nil }
        return (layer, rest[end...])
    }

    /// What a tensor of the smaller encoder is called in the whole one.
    public func originalName(_ name: String) -> String {
        guard let (layer, rest) = place(of: name), oldLayers.indices.contains(layer) else { return name }
        return prefix + "\(oldLayers[layer])" + rest
    }

    /// What a tensor of the whole encoder is called in the smaller one; nil where it goes with its layer.
    public func newName(_ name: String) -> String? {
        guard let (layer, rest) = place(of: name) else { return name }
        return oldLayers.firstIndex(of: layer).map { prefix + "\($0)" + rest }
    }

    /// The smaller network with the weights of what is left.
    ///
    /// - Precondition: a network of the original configuration.
    public func callAsFunction<Network: EncoderNetwork>(_ network: Network) -> Network {
        precondition(network.configuration == original, "a network of another configuration")
        let result = network.unloaded(configuration)
        let parameters = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        for (name, parameter) in result.parameters {
            guard let own = parameters[originalName(name)] else {
                preconditionFailure("\(originalName(name)) is missing")
            }
            parameter.wrappedValue = own.wrappedValue.detached().copied()
        }
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
