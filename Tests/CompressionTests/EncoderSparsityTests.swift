import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

/// How far an encoder can be pruned, by its loss on hidden tokens.
@Suite struct EncoderSparsityTests {
    private static let frame = EncoderCheckpoint.TextFrame(begin: 11, end: 12, mask: 13)
    private static let configuration = EncoderConfiguration(
        vocabularySize: 16, hiddenSize: 16, intermediateSize: 24, layerCount: 2, headCount: 4, positionCount: 40,
        tokenTypeCount: 1, normEpsilon: 1e-5, padToken: 14)
    /// Counts in threes modulo 11.
    private static let tokens = (0..<600).map { ($0 * 3) % 11 }

    private static func source(_ batch: Int = 8) -> MaskedWindows {
        MaskedWindows(tokens, length: 18, batchSize: batch, frame: frame, vocabularySize: 16, seed: 1)
    }

    private static func trained() throws -> MaskedLanguageEncoder {
        let network = MaskedLanguageEncoder(configuration, seed: 3, initialDeviation: 0.1)
        try SparsityAnalysis.FineTuning.training(steps: 400, learningRate: 1e-2).run(network, on: source())
        return network
    }

    private func windows() throws -> [[Int]] {
        try SparsityAnalysis.windows(of: Self.tokens, count: 16, length: 15, source: "text")
    }

    private func bits(_ network: MaskedLanguageEncoder) -> [[UInt32]] {
        network.parameters.map { $0.parameter.wrappedValue.floats().map(\.bitPattern) }
    }

    @Test func windowsAreFramedAndAskForHiddenTokens() {
        let batch = Self.source(200).batch(at: 2)
        let (inputs, targets) = (batch.inputs.integers(), batch.targets.integers())
        #expect(batch.inputs.shape == [200, 18] && batch.targets.shape == [200, 18])
        var (asked, hidden, same) = (0.0, 0.0, 0.0)
        for row in 0..<200 {
            #expect(inputs[row * 18] == 11 && inputs[row * 18 + 17] == 12)
            #expect(targets[row * 18] == -1 && targets[row * 18 + 17] == -1)
            for place in row * 18 + 1..<row * 18 + 17 where targets[place] >= 0 {
                asked += 1
                hidden += inputs[place] == 13 ? 1 : 0
                same += inputs[place] == targets[place] ? 1 : 0
                #expect(targets[place] < 11)
            }
        }
        #expect(abs(asked / 3_200 - 0.15) < 0.03 && abs(hidden / asked - 0.8) < 0.08 && same > 0)
        #expect(Self.source().batch(at: 5).inputs.integers() == Self.source().batch(at: 5).inputs.integers())
        #expect(Self.source().batch(at: 5).inputs.integers() != Self.source().batch(at: 6).inputs.integers())
    }

    @Test func theAnalysisFindsTheCliffAndRestores() throws {
        let network = try Self.trained()
        let before = bits(network)
        var analysis = SparsityAnalysis()
        (analysis.comparesRandom, analysis.refinesKnee) = (true, false)
        let result = try analysis.run(network, windows: windows(), frame: Self.frame)
        #expect(bits(network) == before)
        // Attention and feed-forward matrices of two layers.
        #expect(result.sweep.weights.count == 12 && result.sweep.weights.allSatisfy { $0.contains("encoder.layer") })
        let (magnitude, random) = (result.sweep.series[0], result.sweep.series[1])
        #expect(abs(result.sweep.chanceLoss - 2.772589) < 1e-5)
        #expect(magnitude.points[0].loss < result.sweep.chanceLoss - 0.4)
        #expect(magnitude.points[magnitude.points.count - 1].loss > magnitude.points[0].loss + 0.5)
        #expect(magnitude.tolerancePoint >= random.tolerancePoint)
        var whole = SparsityAnalysis()
        (whole.pattern, whole.refinesKnee) = (.heads, false)
        let heads = try whole.run(network, windows: windows(), frame: Self.frame).sweep
        #expect(heads.weights.count == 8 && heads.weights.allSatisfy { $0.contains(".attention.") })
        #expect(heads.series[0].points.count > 2 && bits(network) == before)
        // The same network, text and seed: the same numbers.
        let again = try analysis.run(network, windows: windows(), frame: Self.frame)
        #expect(again.json.serialized() == result.json.serialized())
    }

    @Test func fineTuningMakesUpForRemovedWeights() throws {
        let network = try Self.trained()
        var analysis = SparsityAnalysis()
        (analysis.sparsities, analysis.refinesKnee) = ([0.5, 0.7, 0.8], false)
        let zeroShot = try analysis.run(network, windows: windows(), frame: Self.frame)
        analysis.fineTuning = .init(
            SparsityAnalysis.FineTuning.training(steps: 30, learningRate: 1e-2), on: Self.source())
        let before = bits(network)
        let tuned = try analysis.run(network, windows: windows(), frame: Self.frame)
        #expect(bits(network) == before)
        let last = { (result: SparsityAnalysis.Result) in result.sweep.series[0].points.last?.loss ?? .nan }
        #expect(last(tuned) < last(zeroShot))
    }
}
