import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// Encoders against `transformers` (Tools/fixtures/make_encoder_models.py).
@Suite struct EncoderTests {
    private struct Case {
        let configuration: EncoderConfiguration
        let model: SafetensorsFile
        let reference: SafetensorsFile

        init(_ name: String) throws {
            let folder = fixtures + "/encoders/" + name
            let text = try String(contentsOfFile: folder + "/config.json", encoding: .utf8)
            configuration = try EncoderConfiguration(
                json: JSON(text: text, source: "config.json"), source: "config.json")
            model = try SafetensorsFile(path: folder + "/model.safetensors")
            reference = try SafetensorsFile(path: folder + "/reference.safetensors")
        }

        func load(_ network: Module) throws { try network.load(source: model.path) { try model.tensor($0) } }

        /// Outputs, loss and gradients; parameters are those of the file and no others.
        func check(_ network: Module, _ logits: Tensor) throws {
            let own = Set(network.parameters.map(\.name))
            let shared: Set = ["lm_head.decoder.weight", "lm_head.decoder.bias", "cls.predictions.decoder.weight"]
            #expect(own == Set(model.names).subtracting(shared))
            #expect(try difference(logits, reference.tensor("logits")) < 2e-5)
            let loss = try logits.meanCrossEntropy(targets: reference.tensor("targets"))
            #expect(try difference(loss, reference.tensor("loss")) < 1e-5)
            let prefix = "gradient."
            let names = reference.names.filter { $0.hasPrefix(prefix) }
            #expect(names.count >= 6)
            let parameters = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
            for name in names {
                let parameter = try #require(parameters[String(name.dropFirst(prefix.count))])
                let found = gradients(of: loss, withRespectTo: [parameter.wrappedValue])[0]
                #expect(try difference(found, reference.tensor(name)) < 2e-5, "\(name)")
            }
        }
    }

    private static func difference(_ a: Tensor, _ b: Tensor) -> Double {
        let (a, b) = (a.doubles(), b.doubles())
        guard a.count == b.count else { return .infinity }
        return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
    }

    private static func difference(_ a: Tensor, _ b: [Double]) -> Double { difference(a, Tensor(b)) }

    @Test(arguments: ["roberta-masked", "bert-masked"]) func maskedLanguageModelsEqualTransformers(name: String) throws
    {
        let item = try Case(name)
        let network = MaskedLanguageEncoder(item.configuration, seed: 1)
        try item.load(network)
        let (tokens, types) = (try item.reference.tensor("input_ids"), try item.reference.tensor("token_type_ids"))
        try item.check(network, network(tokens, types: types))
        // The loss that makes scores of asked places alone.
        let targets = try item.reference.tensor("targets")
        if name == "roberta-masked" {
            let loss = network.loss(LabeledBatch(inputs: tokens, targets: targets))
            #expect(try Self.difference(loss, item.reference.tensor("loss")) < 1e-5)
        }
        let nothing = network.loss(LabeledBatch(inputs: tokens, targets: targets * 0 - 1))
        #expect(nothing.scalar == 0)
        #expect(gradients(of: nothing, withRespectTo: [network.bias])[0].doubles().allSatisfy { $0 == 0 })
    }

    @Test(arguments: ["roberta-classifier", "bert-classifier"]) func classifiersEqualTransformers(name: String) throws {
        let item = try Case(name)
        let classes = try item.reference.tensor("logits").shape[1]
        let network = EncoderClassifier(item.configuration, classCount: classes, seed: 1)
        try item.load(network)
        let (tokens, types) = (try item.reference.tensor("input_ids"), try item.reference.tensor("token_type_ids"))
        try item.check(network, network(tokens, types: types))
    }

    /// Padding changes nothing: a padded text has the hidden states of the text alone.
    @Test(arguments: EncoderConfiguration.Family.allCases) func paddingIsNotAttendedTo(
        family: EncoderConfiguration.Family
    ) {
        let configuration = EncoderConfiguration(
            family: family, vocabularySize: 20, hiddenSize: 8, layerCount: 2, headCount: 2, positionCount: 12)
        let stack = EncoderStack(configuration, seed: 4, initialDeviation: 0.5)
        let pad = configuration.padToken
        let alone = stack(Tensor([5, 6, 7, 8], shape: [1, 4]))
        let padded = stack(Tensor([5, 6, 7, 8, pad, pad, 9, 10, 11, 12, 13, 14], shape: [2, 6]))
        #expect(Self.difference(padded.slice(axis: 0, 0..<1).slice(axis: 1, 0..<4), alone) < 1e-5)
        let longer = stack(Tensor([5, 6, 7, 8, 9, 10], shape: [1, 6]))
        #expect(Self.difference(longer.slice(axis: 1, 0..<4), alone) > 1e-2)
    }

    @Test func vectorsInThePlaceOfTokensGiveTheSame() {
        let configuration = EncoderConfiguration(vocabularySize: 20, hiddenSize: 8, layerCount: 1, headCount: 2)
        let network = EncoderClassifier(configuration, classCount: 2, seed: 4, initialDeviation: 0.5)
        let tokens = Tensor([5, 6, 7, 8, 9, 10], shape: [2, 3])
        let vectors = network.stack.embeddings.words(tokens)
        #expect(network.outputs(vectors).floats() == network.outputs(tokens).floats())
    }

    @Test func aPretrainedStackMovesUnderAnotherHead() {
        let configuration = EncoderConfiguration(vocabularySize: 20, hiddenSize: 8, layerCount: 2, headCount: 2)
        let pretrained = MaskedLanguageEncoder(configuration, seed: 4)
        let classifier = EncoderClassifier(configuration, classCount: 2, seed: 5)
        Snapshot(of: pretrained.stack).restore(classifier.stack)
        let tokens = Tensor([5, 6, 7], shape: [1, 3])
        #expect(classifier.stack(tokens).floats() == pretrained.stack(tokens).floats())
    }

    @Test(arguments: [
        (#"{"model_type": "gpt2"}"#, "model_type"), (#"{"model_type": "bert"}"#, "hidden_size"), ("[]", "object"),
        (#"{"model_type": "bert", "hidden_act": "relu"}"#, "hidden_act"),
        (#"{"model_type": "roberta", "position_embedding_type": "relative_key"}"#, "position_embedding_type"),
        (#"{"model_type": "bert", "is_decoder": true}"#, "is_decoder"),
        (
            #"{"model_type": "bert", "hidden_size": 10, "num_attention_heads": 3}"#, "num_attention_heads"
        ),
        (
            """
            {"model_type": "roberta", "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 9,
            "intermediate_size": 8, "num_hidden_layers": 1, "max_position_embeddings": 4, "pad_token_id": 9}
            """, "pad_token_id"
        ),
        (
            """
            {"model_type": "roberta", "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 9,
            "intermediate_size": 8, "num_hidden_layers": 1, "max_position_embeddings": 2, "pad_token_id": 1}
            """, "max_position_embeddings"
        ),
    ]) func badConfigurationsAreNamed(text: String, field: String) throws {
        let json = try JSON(text: text, source: "c")
        let error = #expect(throws: CoppiceError.self) { try EncoderConfiguration(json: json, source: "c") }
        #expect(error?.kind == .badData && error?.description.contains(field) == true, "\(error.debugDescription)")
    }

    /// A distilled CodeBERT that detects clones, where COPPICE_DATA names a folder that holds it.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["COPPICE_DATA"] != nil)) func aTrainedModelIsRead() throws {
        let data = ProcessInfo.processInfo.environment["COPPICE_DATA"] ?? ""
        let file = try SafetensorsFile(path: data + "/codebert-3mb/clone_detection.safetensors")
        let text = try String(contentsOfFile: fixtures + "/encoders/codebert.json", encoding: .utf8)
        let golden = try JSON(text: text, source: "codebert.json")
        let configuration = EncoderConfiguration(
            vocabularySize: 1000, hiddenSize: 96, intermediateSize: 64, layerCount: 12, headCount: 8,
            positionCount: 514, tokenTypeCount: 1, normEpsilon: 1e-5)
        let network = EncoderClassifier(configuration, classCount: 2, textsPerExample: 2, stackName: "encoder")
        try network.load(source: file.path) { try file.tensor($0) }
        func numbers(_ json: JSON?) -> [Double] {
            json?.arrayValue?.flatMap { row in row.doubleValue.map { [$0] } ?? numbers(row) } ?? []
        }
        let tokens = Tensor(numbers(golden["input_ids"]).map { Int($0) }, shape: [2, 48])
        #expect(Self.difference(network.outputs(tokens), numbers(golden["logits"])) < 1e-4)
        let hidden = network.stack(tokens.reshaped([4, 24]))[3][5].slice(axis: 0, 0..<16)
        #expect(Self.difference(hidden, numbers(golden["hidden"])) < 1e-4)
    }
}
