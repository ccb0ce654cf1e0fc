import CoppiceFormats
import CoppiceNetworks
import CoppiceTensors

extension EncoderCheckpoint {
    /// The share of zeros from which on the rows of a batch meet the kept entries of a matrix alone, which then is faster
    /// than a dense product; with fewer zeros it is slower (`docs/pruning.md`).
    public static let sparsityThatPays = SparseProducts.linearSparsityThatPays

    /// The encoder with the head that fills gaps in texts, as `BertForMaskedLM` and `RobertaForMaskedLM` store it.
    ///
    /// - Parameter expands: whether compressed matrices become parameters of f32, which can be trained. Else the network
    ///   computes with them as they are, by the kernels of their formats, and is for use alone.
    /// - Throws: `.badData` where the head is missing or has a table of words of its own, and for tensors that are
    ///   missing or of another shape.
    public func maskedLanguageModel(expanding expands: Bool = true) throws -> MaskedLanguageEncoder {
        let network = MaskedLanguageEncoder(unloaded: configuration)
        try load(network, expanding: expands, expected: "ForMaskedLM, which can fill gaps in texts")
        try checkSharedWords(network.stack.embeddings.words)
        return network
    }

    /// Fills a network with the weights of its layers and its head.
    ///
    /// - Parameter expected: the kind of model behind the family's name, where the head is missing.
    /// - Throws: `.badData` where the head is missing, and for tensors that are missing or of another shape.
    func load(_ network: some EncoderNetwork, expanding expands: Bool, expected: String) throws {
        let family = configuration.family
        let stack = ["embeddings.", "encoder."].map { family.rawValue + "." + $0 }
        let head = network.parameters.map(\.name).filter { name in !stack.contains(where: name.hasPrefix) }
        if let missing = head.first(where: { storedName(of: $0) == nil }) {
            throw CoppiceError(
                .badData, source: weights.source, field: missing,
                "is missing, expected a \(family == .bert ? "Bert" : "Roberta")\(expected)")
        }
        let stored = expands ? [] : try useStoredMatrices(in: network)
        try network.load(source: weights.source, excluding: stored, tensor)
    }

    /// Lets layers compute with compressed matrices.
    ///
    /// - Returns: the parameters in whose place they are.
    func useStoredMatrices(in network: some EncoderNetwork) throws -> Set<String> {
        var names: Set<String> = []
        let words = network.stack.embeddings.words
        for (module, layer) in network.modules where layer is Linear || layer === words {
            let name = module + ".weight"
            guard weights.isCompressed(name), let weight = try weights.weight(name) else { continue }
            let expected = (layer as? Linear)?.weight.shape ?? words.weight.shape
            guard [weight.rows, weight.columns] == expected else {
                throw CoppiceError(
                    .badData, source: weights.source, field: name,
                    "shape [\(weight.rows), \(weight.columns)], expected \(expected)")
            }
            (layer as? Linear)?.storedWeight = FormatMatrix(weight)
            if layer === words { words.storedWeight = FormatMatrix(weight) }
            names.insert(name)
        }
        return names
    }

    /// Checks that a table of words that is stored with the head too is that of the embeddings.
    private func checkSharedWords(_ table: Embedding) throws {
        for name in ["cls.predictions.decoder.weight", "lm_head.decoder.weight"] {
            guard weights.shape(of: name) != nil else { continue }
            let words = try table.storedWeight.map { _ in try weights.tensor(wordsName) } ?? table.weight
            let own = try weights.tensor(name).converted(to: words.dataType)
            let isShared =
                own.shape == words.shape
                && own.withElements(Float.self) { own in words.withElements(Float.self) { own.elementsEqual($0) } }
            guard isShared else {
                throw CoppiceError(
                    .badData, source: weights.source, field: name,
                    "differs from the table of words, expected a head that shares it")
            }
        }
    }

    private var wordsName: String { configuration.family.rawValue + ".embeddings.word_embeddings.weight" }
}
