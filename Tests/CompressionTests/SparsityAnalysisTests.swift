import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

@Suite struct SparsityAnalysisTests {
    /// A tiny decoder that has learned to count in threes modulo 11, and windows of that.
    private static let stream = TokenStream(tokens: (0..<600).map { Int32(($0 * 3) % 11) }, byteCount: 600)
    private static let configuration = DecoderConfiguration(
        family: .llama, vocabularySize: 11, hiddenSize: 16, intermediateSize: 24, layerCount: 2, headCount: 4,
        keyValueHeadCount: 2, maximumPositions: 32)

    private static func trained() throws -> DecoderNetwork {
        let network = DecoderNetwork(configuration, seed: 3, initialDeviation: 0.1)
        let training = SparsityAnalysis.FineTuning.training(steps: 120, learningRate: 1e-2)
        try training.run(network, on: TokenWindows(stream, length: 16, batchSize: 8, seed: 1))
        return network
    }

    private func windows() throws -> [[Int]] {
        try SparsityAnalysis.windows(
            of: Self.stream.tokens.map { Int($0) }, count: 12, length: 16, source: "text")
    }

    private func bits(_ network: DecoderNetwork) -> [[UInt32]] {
        network.parameters.map { $0.parameter.wrappedValue.floats().map(\.bitPattern) }
    }

    @Test func zeroShotFindsTheCliffAndTheMasksThere() throws {
        let network = try Self.trained()
        let before = bits(network)
        var analysis = SparsityAnalysis()
        analysis.comparesRandom = true
        let result = try analysis.run(network, windows: windows())
        #expect(bits(network) == before)
        #expect(result.sweep.series.map(\.label) == ["magnitude-global", "random-global"])
        let (magnitude, random) = (result.sweep.series[0], result.sweep.series[1])
        #expect(magnitude.points.count > 10)
        #expect(magnitude.points[0].loss < 0.5)
        #expect(magnitude.points[magnitude.points.count - 1].loss > 5 * magnitude.points[0].loss)
        #expect(magnitude.tolerancePoint >= random.tolerancePoint)
        let knee = try #require(result.knee)
        let total = knee.masks.reduce(0) { $0 + $1.count }
        let removed = knee.masks.reduce(0) { $0 + $1.removedCount }
        #expect(removed == Int((knee.point.sparsity * Double(total)).rounded()) && removed > 0)
        for (mask, sparsity) in zip(knee.masks, knee.point.layerSparsities) { #expect(mask.sparsity == sparsity) }
        #expect(result.json["series"]?[0]?["knee"]?.doubleValue == magnitude.knee?.breakpoint)
        #expect(result.json["weights"]?.arrayValue?.count == 14 && result.modelDigest.count == 64)
        // Another model, another digest.
        let other = DecoderNetwork(Self.configuration, seed: 4)
        #expect(try SparsityAnalysis().run(other, windows: windows()).modelDigest != result.modelDigest)
    }

    @Test func patternsThatDoNotDivideAreRefusedBeforeAnythingIsMeasured() throws {
        var analysis = SparsityAnalysis()
        analysis.pattern = .groups(length: 7)
        var measured = 0
        #expect {
            _ = try analysis.run(DecoderNetwork(Self.configuration), windows: windows()) { _ in measured += 1 }
        } throws: { error in
            (error as? CoppiceError)?.kind == .badData
                && "\(error)"
                    == "model.layers.0.self_attn.q_proj.weight: pattern n:7 needs rows whose length is a multiple of 7, "
                    + "this weight's is 16; expected one of n:2, n:4, n:8, or other weights (targets, ignore)"
        }
        // 24 of the feed-forward layer would do, 16 of the others would not.
        analysis.pattern = .groups(length: 12)
        #expect(throws: CoppiceError.self) {
            _ = try analysis.run(DecoderNetwork(Self.configuration), windows: windows()) { _ in measured += 1 }
        }
        #expect(measured == 0)
    }

    /// A head goes with its rows of queries, keys and values and the columns that read it; of the rest nothing does.
    @Test func headsGoWhole() throws {
        let network = try Self.trained()
        // The second of two heads of keys and values, with two of queries, is the least of all.
        for (projection, rows) in [("q_proj", 16), ("k_proj", 8)] {
            for (name, parameter) in network.parameters where name == "model.layers.1.self_attn.\(projection).weight" {
                var values = parameter.wrappedValue.detached().floats()
                for place in values.indices where place / 16 >= rows / 2 { values[place] *= 1e-3 }
                parameter.wrappedValue = Tensor(values, shape: [rows, 16])
            }
        }
        let before = bits(network)
        var analysis = SparsityAnalysis()
        (analysis.pattern, analysis.comparesRandom, analysis.refinesKnee) = (.heads, true, false)
        var measured = 0
        let result = try analysis.run(network, windows: windows()) { _ in measured += 1 }
        #expect(bits(network) == before)
        #expect(result.sweep.series.map(\.label) == ["magnitude-heads-global", "random-heads-global"])
        // Four heads in all: of nine sparsities three are others, and none is measured twice.
        let points = result.sweep.series[0].points
        #expect(points.map(\.sparsity) == [0, 0.25, 0.5, 0.75] && measured == 7)
        #expect(result.sweep.weights.count == 8 && result.sweep.weights.allSatisfy { $0.contains("self_attn") })
        #expect(points[1].layerSparsities == [0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5])
        // The loss is that of the network whose head is zero.
        for (name, parameter) in network.parameters where name.hasPrefix("model.layers.1.self_attn.o_proj") {
            var values = parameter.wrappedValue.detached().floats()
            for place in values.indices where place % 16 >= 8 { values[place] = 0 }
            parameter.wrappedValue = Tensor(values, shape: [16, 16])
        }
        let cut = try MaskedNetwork(decoder: network, windows: windows()).losses(nil)
        #expect(zip(cut, points[1].shardLosses).allSatisfy { abs($0 - $1) < 1e-5 })
        analysis.scope = .layer
        let layers = try analysis.run(network, windows: windows()).sweep.series[0]
        #expect(layers.points.map(\.sparsity) == [0, 0.5])
        #expect(layers.points[1].layerSparsities.allSatisfy { $0 == 0.5 })
    }

    @Test func patternsKeepAllOfTheirGroups() throws {
        let network = try Self.trained()
        var analysis = SparsityAnalysis()
        analysis.pattern = .groups(length: 4)
        let result = try analysis.run(network, windows: windows())
        #expect(result.sweep.series.map(\.label) == ["magnitude-n:4"])
        #expect(result.sweep.series[0].points.map(\.sparsity) == [0, 0.25, 0.5, 0.75])
        let knee = try #require(result.knee)
        let kept = Int((4 * (1 - knee.point.sparsity)).rounded())
        let pattern = SemiStructuredPattern(kept: kept, of: 4)
        #expect(knee.masks.allSatisfy { $0.satisfies(pattern) })
    }

    @Test func fineTuningRecoversAndLeavesTheModelAsItWas() throws {
        let network = try Self.trained()
        let before = bits(network)
        var analysis = SparsityAnalysis()
        (analysis.sparsities, analysis.refinesKnee) = ([0.3, 0.6, 0.8], false)
        let plain = try analysis.run(network, windows: windows()).sweep.series[0]
        let source = TokenWindows(Self.stream, length: 16, batchSize: 8, seed: 2)
        analysis.fineTuning = .init(SparsityAnalysis.FineTuning.training(steps: 60, learningRate: 5e-3), on: source)
        let tuned = try analysis.run(network, windows: windows()).sweep.series[0]
        #expect(bits(network) == before)
        #expect(tuned.points.map(\.sparsity) == plain.points.map(\.sparsity))
        #expect(tuned.points[3].loss < plain.points[3].loss / 2)
        // Twice the same.
        #expect(
            try analysis.run(network, windows: windows()).sweep.series[0].points.map(\.loss) == tuned.points.map(\.loss)
        )
    }

    /// The masks hold while the decoder is trained.
    @Test func fineTunedWeightsStayRemoved() throws {
        let network = try Self.trained()
        let source = TokenWindows(Self.stream, length: 16, batchSize: 8, seed: 2)
        let pretrained = try MaskedNetwork(decoder: network, windows: windows())
        let decoder = MaskedNetwork(
            pretrained.prunable, measuredOn: pretrained.evaluation,
            fineTuning: .init(SparsityAnalysis.FineTuning.training(steps: 5, learningRate: 1e-3), on: source))
        let method = PruningMethod(
            criterion: MagnitudeCriterion(), granularity: UnstructuredGranularity(), allocation: GlobalAllocation(),
            sparsity: 0.5)
        let masks = try method.masks(of: decoder.weights, values: decoder.values)
        let dense = network.parameters[1].parameter.wrappedValue.floats()
        _ = try decoder.losses(masks)
        let named = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter.wrappedValue) })
        for (weight, mask) in zip(decoder.weights, masks) {
            let values = try #require(named[weight.name]).floats()
            for (value, kept) in zip(values, mask.indicator.floats()) { #expect((value == 0) == (kept == 0)) }
        }
        #expect(network.parameters[1].parameter.wrappedValue.floats() != dense)
        decoder.restore()
        #expect(network.parameters[1].parameter.wrappedValue.floats() == dense)
    }

    @Test func shortTextsAreRefused() {
        #expect {
            try SparsityAnalysis.windows(of: Array(0..<60), count: 4, length: 16, source: "text.txt")
        } throws: { "\($0)".hasPrefix("text.txt: the evaluation text has 60 tokens") }
    }
}
