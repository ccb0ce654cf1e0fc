import CoppiceNetworks
import CoppiceTensors

// How often each entry of a model's weights is multiplied for one input: what multiplications are counted by. An image is
// an input, and of a text one token. Only weights of convolutions and linear layers have a place here; products of
// activations with one another, as in attention, have none.

extension AnyCheckpoint {
    /// How often an entry of each weight is multiplied for one image or token, by the names that ``ModelInventory`` has.
    public var weightUses: [String: Int] {
        switch self {
        case .languageModel(let checkpoint): checkpoint.configuration.weightUses
        case .vision(let checkpoint): checkpoint.architecture.weightUses
        case .encoder(let checkpoint): checkpoint.weightUses
        }
    }
}

extension VisionArchitecture {
    /// How often an entry of each weight is multiplied for one input: output pixels of a convolution, steps of a recurrent
    /// layer, else 1. By a pass of a network that has one channel wherever the architecture has a choice.
    public var weightUses: [String: Int] { weightUses(of: narrowestNetwork()) }

    /// A network that has one channel wherever the architecture has a choice.
    func narrowestNetwork() -> any VisionNetwork {
        var layers = LayerBuilder(unloaded: configuration.options) { [widths] in widths[$0] == nil ? nil : 1 }
        return configuration.network(&layers)
    }

    /// The uses of the weights, by a pass of a network of the architecture with any widths.
    func weightUses(of network: any VisionNetwork) -> [String: Int] {
        var counts = configuration.stepUses
        let modules = network.modules
        func weight(_ name: String) -> String { name.isEmpty ? "weight" : name + ".weight" }
        for (name, module) in modules {
            if let convolution = module as? Conv2d {
                convolution.inputObserver = { input in
                    let size = convolution.windows.outputSize(for: [input.shape[2], input.shape[3]])
                    counts[weight(name), default: 0] += size.rows * size.columns
                }
            } else if let linear = module as? Linear {
                linear.inputObserver = { input in
                    counts[weight(name), default: 0] += input.shape.dropLast().reduce(1, *)
                }
            }
        }
        network.inUse { _ = network.outputs(.zeros([1] + inputShape)) }
        for (_, module) in modules {
            (module as? Conv2d)?.inputObserver = nil
            (module as? Linear)?.inputObserver = nil
        }
        return counts
    }
}

extension DecoderConfiguration {
    /// How often an entry of each matrix is multiplied for one token: once, but for a table that is only looked up. A tied
    /// embedding is multiplied with as the output head.
    public var weightUses: [String: Int] {
        Dictionary(
            uniqueKeysWithValues: tensorShapes.compactMap { name, shape in
                shape.count == 2 && (tiesEmbeddings || name != "model.embed_tokens.weight") ? (name, 1) : nil
            })
    }
}

extension EncoderCheckpoint {
    /// How often an entry of each stored matrix is multiplied for one token: once in the layers and in the head that fills
    /// gaps, which scores words by their table. Other tables are looked up, and other heads see a whole text.
    public var weightUses: [String: Int] {
        let heads = ["cls.predictions.transform.dense.weight", "lm_head.dense.weight"]
        let hasHead = storedNames.contains(where: heads.contains)
        let own = storedNames.filter { name in
            Self.isLayerMatrix(name) || heads.contains(name)
                || hasHead && name.hasSuffix("embeddings.word_embeddings.weight")
        }
        return Dictionary(uniqueKeysWithValues: own.map { ($0, 1) })
    }
}
