import CoppiceModels
import CoppiceTensors

/// What goes or stays whole in the blocks of a decoder or an encoder, with all rows and columns that belong to it: its
/// attention heads, or the neurons of its feed-forward layers.
///
/// ```swift
/// let heads = TransformerUnits(.head, of: configuration)
/// heads.count                                       // in each block
/// heads.configuration(configuration, keeping: 4)    // of the model that is left
/// ```
public struct TransformerUnits: Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// A head of keys and values with all heads of queries that it serves: one head, or, under grouped-query
        /// attention (Ainslie et al., "GQA", 2023), a whole group, so that groups stay of one size.
        case head
        /// A neuron of the feed-forward layer: of a decoder its rows of gate and up and its column of down, of an encoder
        /// its row and its column.
        case neuron
    }

    /// Where a tensor of a block has its units: so many consecutive positions of one axis for each.
    public struct Part: Sendable, Hashable {
        /// Behind the block's prefix, such as `self_attn.q_proj.weight`.
        public var name: String
        public var axis: Int
        public var extent: Int

        var isMatrix: Bool { name.hasSuffix(".weight") }

        /// The positions of some units, in their order.
        func positions(_ units: [Int]) -> [Int] { units.flatMap { ($0 * extent)..<(($0 + 1) * extent) } }

        /// What a matrix keeps of a block's units: whole rows or columns.
        func mask(rows: Int, columns: Int, keeping units: [Int]) -> WeightMask {
            var isKept = [Bool](repeating: false, count: axis == 0 ? rows : columns)
            for position in positions(units) { isKept[position] = true }
            let kept =
                axis == 0
                ? isKept.flatMap { [Bool](repeating: $0, count: columns) }
                : (0..<rows).flatMap { _ in isKept }
            return WeightMask(rows: rows, columns: columns, kept: kept)
        }
    }

    public let kind: Kind
    /// Units in a block.
    public let count: Int
    /// The layers that have such units, all but those whose attention or feed-forward layer was removed. Blocks are
    /// counted among these.
    public let layers: [Int]
    /// What makes the units: rows of matrices and elements of biases.
    public let makers: [Part]
    /// The matrix whose columns read them.
    public let reader: Part
    /// What names of a block's tensors begin with, before its number.
    private let prefix: String

    public init(_ kind: Kind, of configuration: DecoderConfiguration) {
        self.kind = kind
        prefix = "model.layers."
        layers = configuration.layers(with: kind == .head ? .attention : .feedForward)
        let size = configuration.headSize
        let group = configuration.headCount / configuration.keyValueHeadCount * size
        let rows: [(String, Int)]
        let hasBias: Bool
        switch kind {
        case .head:
            count = configuration.keyValueHeadCount
            rows = [("self_attn.q_proj", group), ("self_attn.k_proj", size), ("self_attn.v_proj", size)]
            hasBias = configuration.hasAttentionBias
            reader = Part(name: "self_attn.o_proj.weight", axis: 1, extent: group)
        case .neuron:
            count = configuration.intermediateSize
            rows = [("mlp.gate_proj", 1), ("mlp.up_proj", 1)]
            hasBias = configuration.hasFeedForwardBias
            reader = Part(name: "mlp.down_proj.weight", axis: 1, extent: 1)
        }
        makers = Self.makers(rows, hasBias: hasBias)
    }

    public init(_ kind: Kind, of configuration: EncoderConfiguration) {
        self.kind = kind
        prefix = configuration.family.rawValue + ".encoder.layer."
        layers = Array(0..<configuration.layerCount)
        let size = configuration.headSize
        switch kind {
        case .head:
            count = configuration.headCount
            makers = Self.makers(
                ["query", "key", "value"].map { ("attention.self." + $0, size) }, hasBias: true)
            reader = Part(name: "attention.output.dense.weight", axis: 1, extent: size)
        case .neuron:
            count = configuration.intermediateSize
            makers = Self.makers([("intermediate.dense", 1)], hasBias: true)
            reader = Part(name: "output.dense.weight", axis: 1, extent: 1)
        }
    }

    private static func makers(_ rows: [(name: String, extent: Int)], hasBias: Bool) -> [Part] {
        rows.flatMap { name, extent in
            (hasBias ? ["weight", "bias"] : ["weight"]).map {
                Part(name: "\(name).\($0)", axis: 0, extent: extent)
            }
        }
    }

    public var blockCount: Int { layers.count }
    public var parts: [Part] { makers + [reader] }
    var matrices: [Part] { parts.filter(\.isMatrix) }

    /// The checkpoint's name of a block's tensor.
    public func name(_ part: Part, block: Int) -> String { "\(blockName(block)).\(part.name)" }

    func blockName(_ block: Int) -> String { "\(prefix)\(layers[block])" }

    /// The configuration of a model whose blocks keep so many units each.
    ///
    /// A Llama whose width is no longer a multiple of its number of heads becomes a Mistral without a window, which
    /// computes the same: `transformers` (5.19) refuses such a Llama. That cannot be where it has biases.
    ///
    /// - Precondition: at least one unit, at most all.
    public func configuration(_ whole: DecoderConfiguration, keeping kept: Int) -> DecoderConfiguration {
        precondition((1...count).contains(kept), "\(kept) of \(count) units")
        var result = whole
        switch kind {
        case .neuron: result.intermediateSize = kept
        case .head:
            result.keyValueHeadCount = kept
            result.headCount = whole.headCount / whole.keyValueHeadCount * kept
            let isPlain = !whole.hasAttentionBias && !whole.hasOutputBias && !whole.hasFeedForwardBias
            if whole.family == .llama, isPlain, whole.hiddenSize % result.headCount != 0 { result.family = .mistral }
        }
        return result
    }

    /// The configuration of an encoder whose layers keep so many units each; heads stay of their size.
    ///
    /// - Precondition: at least one unit, at most all.
    public func configuration(_ whole: EncoderConfiguration, keeping kept: Int) -> EncoderConfiguration {
        precondition((1...count).contains(kept), "\(kept) of \(count) units")
        var result = whole
        switch kind {
        case .neuron: result.intermediateSize = kept
        case .head: result.headCount = kept
        }
        return result
    }
}

extension TransformerUnits: CustomStringConvertible {
    /// What a block has, for messages: `2 heads, each of 3 queries`.
    public var description: String {
        let name = count == 1 ? kind.rawValue : kind.rawValue + "s"
        guard kind == .head, let keys = makers.first(where: { $0.name.contains("k_proj") }),
            reader.extent > keys.extent
        else { return "\(count) \(name)" }
        return "\(count) \(name) of keys and values (with \(reader.extent / keys.extent) of queries each)"
    }
}
