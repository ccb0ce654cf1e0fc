import CoppiceTensors

extension DecoderConfiguration {
    /// The two branches of a layer, each with the norm before it.
    public enum SubLayer: String, Sendable, Hashable, CaseIterable {
        case attention
        case feedForward = "mlp"

        /// Its name in `block_configs`.
        fileprivate var key: String { self == .attention ? "attention" : "ffn" }
    }

    /// Whether a layer has a sub-layer; without it the identity is left of that branch.
    public func has(_ part: SubLayer, inLayer layer: Int) -> Bool {
        (part == .attention ? layersWithAttention : layersWithFeedForward)?[layer] ?? true
    }

    /// Whether no layer is without attention or feed-forward layer, as in all models but those that blocks were removed
    /// from.
    public var hasAllSubLayers: Bool {
        (0..<layerCount).allSatisfy { layer in SubLayer.allCases.allSatisfy { has($0, inLayer: layer) } }
    }

    /// The layers that have a sub-layer, in their order.
    public func layers(with part: SubLayer) -> [Int] { (0..<layerCount).filter { has(part, inLayer: $0) } }

    /// What stands before the `model_type` of models without some sub-layers, so that programs which would compute
    /// those with random weights refuse the file.
    static let ownTypePrefix = "coppice-"

    /// What `config.json` says of missing sub-layers: `block_configs`, with `no_op` for each, as in the configurations
    /// of DeciLM and Llama-Nemotron (Bercovich et al., "Puzzle", 2024).
    var blockConfigurations: JSON {
        .array(
            (0..<layerCount).map { layer in
                func description(_ part: SubLayer) -> JSON { ["no_op": .bool(!has(part, inLayer: layer))] }
                return .object([
                    SubLayer.attention.key: description(.attention),
                    SubLayer.feedForward.key: description(.feedForward),
                ])
            })
    }

    /// Reads `block_configs`.
    ///
    /// - Returns: whether each layer has the sub-layer; nil where all have it.
    /// - Throws: `.badData` for a list of another length or entries of another kind, and for a linear layer in the
    ///   place of a sub-layer.
    static func layers(
        with part: SubLayer, in fields: ConfigurationFields, layerCount: Int
    ) throws -> [Bool]? {
        let key = "block_configs"
        guard let list = fields.value(key) else { return nil }
        guard let blocks = list.arrayValue, blocks.count == layerCount, blocks.allSatisfy({ $0.objectValue != nil })
        else { throw fields.mismatch(key, "a list of \(layerCount) objects") }
        let present = try blocks.enumerated().map { layer, block in
            let own = ConfigurationFields(json: block, source: fields.source, prefix: "\(key)[\(layer)].")
            guard let description = try own.object(part.key) else { return true }
            if try description.flag("replace_with_linear", default: false) {
                throw description.mismatch("replace_with_linear", "false")
            }
            return try !description.flag("no_op", default: false)
        }
        return present.contains(false) ? present : nil
    }

    /// - Throws: `.badData` where a layer is without a sub-layer, which another program's format has no words for.
    func checkHasAllSubLayers(source: String, format: String) throws {
        for layer in 0..<layerCount {
            for part in SubLayer.allCases where !has(part, inLayer: layer) {
                throw CoppiceError(
                    .badData, source: source, field: "model.layers.\(layer)",
                    "is without its \(part.rawValue) sub-layer, which \(format) cannot say; expected a model of whole "
                        + "layers")
            }
        }
    }
}
