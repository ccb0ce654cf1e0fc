import CoppiceFormats
import CoppiceTensors

extension ModelInventory {
    /// What an encoder consists of, all heads that are stored among it.
    public init(_ checkpoint: EncoderCheckpoint, kernels: KernelTable = .standard) throws {
        let model = checkpoint.configuration
        let entries = try checkpoint.storedNames.map { name in
            if checkpoint.isCompressed(name) { return Entry(name, try checkpoint.weight(name), kernels) }
            let tensor = try checkpoint.storedTensor(name)
            return Entry(
                name: name, shape: tensor.shape, format: tensor.dataType.description, byteCount: tensor.byteCount,
                zeroCount: tensor.dataType.isFloatingPoint ? tensor.zeroCount : 0,
                isParameter: tensor.dataType.isFloatingPoint)
        }
        let labels = checkpoint.head == .classifies ? try? checkpoint.labels() : nil
        self.init(
            path: checkpoint.path, configuration: checkpoint.configurationJSON, kind: model.family.rawValue,
            details: [
                "\(model.layerCount) layers of \(model.hiddenSize)", "\(model.headCount) heads of \(model.headSize)",
                "feed-forward \(model.intermediateSize)", "vocabulary \(model.vocabularySize)",
                "\(model.positionCount) positions",
            ] + (labels.map { ["\($0.count) labels"] } ?? []), entries: entries)
        take(checkpoint.weightUses, for: "a token")
    }
}
