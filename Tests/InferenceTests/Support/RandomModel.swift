import CoppiceFormats
import CoppiceInference
import CoppiceModels
import CoppiceTensors

/// Weights in memory, drawn at random.
struct RandomWeights: DecoderWeightSource {
    var tensors: [String: Tensor] = [:]

    init(_ configuration: DecoderConfiguration, seed: UInt64 = 7) {
        var generator = RandomGenerator(seed: seed)
        for (name, shape) in configuration.tensorShapes {
            let isNorm = name.hasSuffix("norm.weight")
            let spread = shape.count == 2 ? 1.3 / Double(shape[1]).squareRoot() : 0.2
            tensors[name] =
                isNorm
                ? Tensor((0..<shape[0]).map { 1 + 0.1 * Float($0 % 5) }, shape: shape)
                : Tensor.normal(
                    shape, standardDeviation: name.contains("embed") ? 1 : spread, using: &generator)
        }
    }

    func weight(_ name: String) throws -> any WeightFormat { try DenseWeight(tensor(name)) }

    func tensor(_ name: String) throws -> Tensor {
        guard let tensor = tensors[name] else { throw CoppiceError(.badData, field: name, "is missing") }
        return tensor
    }
}

extension LanguageModel {
    /// A small model of random weights.
    static func random(
        vocabulary: Int = 96, context: Int = 256, seed: UInt64 = 7,
        change: (inout DecoderConfiguration) -> Void = { _ in }
    ) throws -> LanguageModel {
        var configuration = DecoderConfiguration(
            vocabularySize: vocabulary, hiddenSize: 32, intermediateSize: 72, layerCount: 2, headCount: 4,
            keyValueHeadCount: 2, maximumPositions: context)
        change(&configuration)
        return try LanguageModel(configuration, weights: RandomWeights(configuration, seed: seed))
    }

    /// Logits of all tokens of one text, computed in chunks.
    func logits(
        _ tokens: [Int], chunks: [Int], element: KeyValueCache.Element = .f32
    ) throws -> [[Float]] {
        let cache = makeCache(capacity: tokens.count, element: element)
        let sequence = SequenceID(3)
        try cache.add(sequence, reserving: tokens.count)
        cache.plan(sequence, length: tokens.count)
        var result: [[Float]] = []
        var start = 0
        for chunk in chunks where start < tokens.count {
            let end = min(tokens.count, start + chunk)
            result += try forward(
                [Row(sequence: sequence, start: start, count: end - start)], tokens: Array(tokens[start..<end]),
                cache: cache, logits: .all
            ).copy()
            start = end
        }
        return result
    }
}

/// One byte a token; the last id is the end token.
struct ByteTokenizer: Tokenizer {
    var vocabularySize: Int
    var beginToken: Int? { nil }
    var endTokens: Set<Int> { [vocabularySize - 1] }
    func encode(_ text: String, addingSpecialTokens: Bool) -> [Int] { text.utf8.map { Int($0) % vocabularySize } }
    func encode(_ text: String, parsingSpecialTokens: Bool) -> [Int] { encode(text, addingSpecialTokens: false) }
    func decode(_ ids: [Int], skippingSpecialTokens: Bool) -> String {
        String(decoding: ids.flatMap(bytes(of:)), as: UTF8.self)
    }
    func piece(_ id: Int) -> String { "<\(id)>" }
    func bytes(of id: Int) -> [UInt8] { [UInt8(truncatingIfNeeded: id % 64 + 33)] }
}
