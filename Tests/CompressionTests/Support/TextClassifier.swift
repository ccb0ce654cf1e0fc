import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation

/// A BERT of random weights that classifies texts in the words of the one that is published, as a folder.
enum TextClassifier {
    static let labels = ["fox", "cat", "other"]

    /// - Parameter width: of its states; nil for that of the published one.
    static func write(
        to path: String, layers: Int = 2, width: Int? = nil, seed: UInt64 = 5
    ) throws -> EncoderCheckpoint {
        let published = try EncoderCheckpoint.open(PublishedEncoder.path)
        var configuration = published.configuration
        configuration.layerCount = layers
        if let width {
            (configuration.hiddenSize, configuration.intermediateSize) = (width, 2 * width)
            (configuration.headCount, configuration.headSize) = (4, width / 4)
        }
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for name in ["vocab.txt", "tokenizer_config.json"] {
            try FileManager.default.copyItem(atPath: PublishedEncoder.path + "/" + name, toPath: path + "/" + name)
        }
        var json = published.configurationJSON.objectValue ?? [:]
        json["architectures"] = ["BertForSequenceClassification"]
        json["num_hidden_layers"] = .integer(layers)
        json["hidden_size"] = .integer(configuration.hiddenSize)
        json["intermediate_size"] = .integer(configuration.intermediateSize)
        json["num_attention_heads"] = .integer(configuration.headCount)
        json["id2label"] = .object(
            .init(uniqueKeysWithValues: labels.enumerated().map { ("\($0)", JSON.string($1)) }))
        try Data(JSON.object(json).serialized().utf8).write(to: URL(fileURLWithPath: path + "/config.json"))
        let network = EncoderClassifier(configuration, classCount: labels.count, seed: seed, initialDeviation: 0.4)
        try SafetensorsWriter.write(
            network.parameters.map { .init($0.name, $0.parameter.wrappedValue.detached()) },
            to: path + "/model.safetensors")
        return try .open(path)
    }

    /// Texts, and pairs of them, whose label follows from a word.
    static func texts(_ count: Int, pairs: Bool = false, seed: UInt64 = 1) -> LabelledTexts {
        var generator = RandomGenerator(seed: seed)
        let words = ["the", "quick", "brown", "did", "jump", "cafe", "and", "a", "!", ","]
        return LabelledTexts(
            (0..<count).map { index in
                func text(_ first: String) -> String {
                    let length = Int.random(in: 2...9, using: &generator)
                    return ([first] + (0..<length).map { _ in words.randomElement(using: &generator) ?? "a" })
                        .joined(separator: " ")
                }
                let label = index % 3
                let first = text(["fox", "cafes", "did"][label])
                return .init(pairs ? [first, text("a")] : [first], label: label)
            }, source: "texts.tsv")
    }
}
