import CoppiceFormats
import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Testing

/// Weights of a model in another's names, some of them zero.
private struct ChangedWeights: DecoderWeightSource {
    var own: RandomWeights
    var name: @Sendable (String) -> String = { $0 }
    var zeros: Set<String> = []

    func weight(_ name: String) throws -> any WeightFormat { try DenseWeight(tensor(name)) }

    func tensor(_ name: String) throws -> Tensor {
        let tensor = try own.tensor(self.name(name))
        return zeros.contains(self.name(name)) ? tensor * 0 : tensor
    }
}

@Suite("Models without some sub-layers")
struct SubLayerTests {
    private let tokens = (0..<90).map { ($0 * 11 + 5) % 96 }

    private func configuration(_ family: DecoderConfiguration.Family) -> DecoderConfiguration {
        DecoderConfiguration(
            family: family, vocabularySize: 96, hiddenSize: 32, intermediateSize: 40, layerCount: 4, headCount: 4,
            keyValueHeadCount: 2, headSize: 8, maximumPositions: 128,
            slidingWindow: family == .qwen2 ? 7 : nil,
            layersWithWindow: family == .qwen2 ? [false, true, false, true] : nil,
            hasOutputBias: family == .llama, hasFeedForwardBias: family == .llama)
    }

    @Test(
        "What is left computes what the whole model does with those branches at zero",
        arguments: DecoderConfiguration.Family.allCases,
        [
            ["model.layers.1"], ["model.layers.0", "model.layers.3"], ["model.layers.0.self_attn"],
            ["model.layers.3.self_attn", "model.layers.1.mlp"], ["model.layers.3.mlp", "model.layers.2"],
            ["model.layers.2.self_attn", "model.layers.2.mlp", "model.layers.1.self_attn"],
            ["model.layers.0", "model.layers.1.self_attn", "model.layers.2.self_attn", "model.layers.3.self_attn"],
        ])
    func removalIsABranchOfZeros(family: DecoderConfiguration.Family, names: [String]) throws {
        let whole = configuration(family), weights = RandomWeights(whole)
        let removal = try DecoderBlockRemoval(of: names, from: whole)
        let silent = try LanguageModel(
            whole, weights: ChangedWeights(own: weights, zeros: Set(removal.removed.flatMap(\.end))))
        let small = try LanguageModel(
            removal.configuration, weights: ChangedWeights(own: weights, name: { removal.originalName($0) }))
        let expected = try silent.logits(tokens, chunks: [tokens.count])
        #expect(largestDifference(try small.logits(tokens, chunks: [tokens.count]), expected) < 1e-5)
        // Through the cache: chunks, then tokens one by one.
        let chunks = [70, 3] + [Int](repeating: 1, count: tokens.count)
        #expect(largestDifference(try small.logits(tokens, chunks: chunks), expected) < 1e-4)
        let intact = try LanguageModel(whole, weights: weights)
        #expect(largestDifference(try intact.logits(tokens, chunks: [tokens.count]), expected) > 1e-2)
    }

    @Test("Nothing is kept, read or multiplied for what was removed")
    func costs() throws {
        let whole = configuration(.llama), weights = RandomWeights(whole)
        func model(_ names: [String]) throws -> LanguageModel {
            let removal = try DecoderBlockRemoval(of: names, from: whole)
            return try LanguageModel(
                removal.configuration, weights: ChangedWeights(own: weights, name: { removal.originalName($0) }))
        }
        func cacheBytes(_ model: LanguageModel) -> Int { model.makeCache(capacity: 64).bytesPerPosition }
        let all = try model([])
        let attention = try model(["model.layers.1.self_attn"]), layer = try model(["model.layers.1"])
        #expect(4 * cacheBytes(attention) == 3 * cacheBytes(all) && cacheBytes(layer) == cacheBytes(attention))
        #expect(cacheBytes(try model(["model.layers.1.mlp"])) == cacheBytes(all))
        // Four bytes of each number, the biases of the llama among them.
        let perAttention = 4 * (32 * 32 * 2 + 32 * 16 * 2 + 32 + 32), perFeedForward = 4 * (3 * 32 * 40 + 112 + 32)
        #expect(all.weightBytesPerToken - attention.weightBytesPerToken == perAttention)
        #expect(attention.weightBytesPerToken - layer.weightBytesPerToken == perFeedForward)
    }
}
