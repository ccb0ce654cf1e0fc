import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// A decoder language model that is run block by block, with one block's weights in memory.
public struct DecoderBlocks: BlockwiseModel {
    private let configuration: DecoderConfiguration
    private let source: String?
    private let tensor: (String) throws -> Tensor
    private let embeddingRow: (Int, UnsafeMutablePointer<Float>) throws -> Void

    /// A model in memory or in a file.
    ///
    /// - Parameters:
    ///   - source: the model's file, for error messages.
    ///   - tensor: the tensor of a checkpoint name.
    ///   - embeddingRow: writes the embedding of a token to `hiddenSize` floats.
    public init(
        _ configuration: DecoderConfiguration, source: String? = nil, tensor: @escaping (String) throws -> Tensor,
        embeddingRow: @escaping (_ token: Int, _ to: UnsafeMutablePointer<Float>) throws -> Void
    ) {
        self.configuration = configuration
        self.source = source
        self.tensor = tensor
        self.embeddingRow = embeddingRow
    }

    /// The blocks of a checkpoint, or of what pruning left of it.
    public init(_ model: NarrowedCheckpoint) throws {
        let embeddings = try model.checkpoint.weight("model.embed_tokens.weight")
        self.init(
            model.configuration, source: model.checkpoint.path, tensor: model.tensor,
            embeddingRow: { embeddings.copyRow($0, into: $1) })
    }

    /// The blocks of a network in memory, with the weights that it has when each is asked for.
    ///
    /// - Parameter source: the model's file, for error messages.
    public init(_ network: DecoderNetwork, source: String? = nil) {
        let parameters = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        let embedding = network.model.embedding.weight
        self.init(
            network.configuration, source: source,
            tensor: { name in
                guard let parameter = parameters[name] else {
                    throw CoppiceError(.badData, source: source, field: name, "there is no such weight")
                }
                return parameter.wrappedValue.detached()
            },
            embeddingRow: { token, target in
                embedding.detached().slice(axis: 0, token..<(token + 1)).withElements(Float.self) { row in
                    if let base = row.baseAddress { target.update(from: base, count: row.count) }
                }
            })
    }

    public var blockCount: Int { configuration.layerCount }

    /// - Returns: `[1, tokens, hidden]`.
    /// - Throws: `.badData` for a token that the model does not know.
    public func embed(_ tokens: [Int]) throws -> Tensor {
        if let unknown = tokens.first(where: { !(0..<configuration.vocabularySize).contains($0) }) {
            throw CoppiceError(
                .badData, source: source,
                "the tokenizer gives token \(unknown), expected one of the model's \(configuration.vocabularySize)")
        }
        let size = configuration.hiddenSize
        var hidden = Tensor(uninitialized: [1, tokens.count, size])
        try hidden.withMutableElements(Float.self) { elements in
            guard let base = elements.baseAddress else { return }
            for (position, token) in tokens.enumerated() { try embeddingRow(token, base + position * size) }
        }
        return hidden
    }

    public func block(_ index: Int) throws -> any ModelBlock {
        // A network of this block alone: same shapes, same window, a vocabulary of one.
        var single = configuration
        single.layerCount = 1
        single.vocabularySize = 1
        single.tiesEmbeddings = true
        single.layersWithWindow = configuration.layersWithWindow.map { [$0[index]] }
        single.layersWithAttention = configuration.layersWithAttention.map { [$0[index]] }
        single.layersWithFeedForward = configuration.layersWithFeedForward.map { [$0[index]] }
        let network = DecoderNetwork(single)
        let prefix = "model.layers.\(index)."
        try network.model.layers[0].load(source: source) { try tensor(prefix + $0) }
        return DecoderModelBlock(network, prefix: prefix)
    }
}

/// A decoder block in memory.
private final class DecoderModelBlock: ModelBlock {
    private let network: DecoderNetwork
    private let block: DecoderBlock
    private let projections: [(name: String, linear: Linear)]
    private var angles: (positions: Int, values: RotaryAngles)?

    init(_ network: DecoderNetwork, prefix: String) {
        self.network = network
        block = network.model.layers[0]
        projections = block.modules.compactMap { name, module in
            (module as? Linear).map { (prefix + name + ".weight", $0) }
        }
    }

    var matrixNames: [String] { projections.map(\.name) }

    func matrix(_ name: String) -> Tensor { projection(name).weight.detached() }

    func setMatrix(_ name: String, to values: Tensor) { projection(name).weight = values }

    private func projection(_ name: String) -> Linear {
        guard let found = projections.first(where: { $0.name == name }) else {
            preconditionFailure("the block has no matrix \(name)")
        }
        return found.linear
    }

    func run(_ hidden: Tensor, observe: ((String, Tensor) -> Void)?) throws -> Tensor {
        if let observe {
            for (name, linear) in projections { linear.inputObserver = { observe(name, $0) } }
        }
        defer { for (_, linear) in projections { linear.inputObserver = nil } }
        let positions = hidden.shape[1]
        let angles =
            self.angles.flatMap { $0.positions == positions ? $0.values : nil }
            ?? network.rotaryAngles(positions: positions)
        self.angles = (positions, angles)
        return withoutRecording { block(hidden, angles: angles) }
    }
}
