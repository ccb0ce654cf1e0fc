import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct LayerwiseDistortionTests {
    private func network() -> DecoderNetwork {
        DecoderNetwork(
            DecoderConfiguration(
                family: .llama, vocabularySize: 30, hiddenSize: 16, intermediateSize: 24, layerCount: 2, headCount: 2,
                keyValueHeadCount: 1, maximumPositions: 32), seed: 5, initialDeviation: 0.3)
    }

    private let windows = (0..<3).map { window in (0..<12).map { ($0 * 7 + window * 11) % 30 } }

    /// Running on from cached hidden states is running the whole network.
    @Test func curvesAreThoseOfTheWholeNetwork() throws {
        let network = network()
        let prunable = try PrunableNetwork(network)
        let names = prunable.weights.filter { !$0.name.contains("embed") }
        #expect(names.count == 15)
        let grid = RateGrid(steps: 3)
        let method = PruningMethod(
            criterion: MagnitudeCriterion(), granularity: UnstructuredGranularity(), allocation: UniformAllocation(),
            sparsity: 0.5)
        let before = prunable.weights.indices.map { prunable.values($0).floats() }
        for kind in OutputDistortion.allCases {
            let found = try LayerwiseDistortion(network, weights: names).curves(
                on: windows, grid: grid, distortion: kind, method: method)
            let inputs = windows.map { Tensor($0, shape: [1, $0.count]) }
            let expected = try prunable.distortionCurves(on: inputs, grid: grid, distortion: kind)
            for (own, other) in zip(found, expected.filter { !$0.name.contains("embed") }) {
                #expect(own.name == other.name && own.points.map(\.kept) == other.points.map(\.kept))
                for (a, b) in zip(own.points, other.points) {
                    #expect(abs(a.distortion - b.distortion) <= 1e-5 * max(b.distortion, 1e-6), "\(own.name)")
                }
                #expect(own.points[0].distortion == 0 && own.points[2].distortion > own.points[1].distortion * 0.5)
            }
        }
        #expect(prunable.weights.indices.map { prunable.values($0).floats() } == before)
    }

    /// What is removed already stays so, whatever the criterion would rather remove, and costs nothing more.
    @Test func whatIsRemovedCostsNothing() throws {
        let network = network()
        let prunable = try PrunableNetwork(network, targets: [WeightPattern("up_proj")])
        try prunable.prune(by: .magnitude, to: 0.5)
        let masks = Dictionary(uniqueKeysWithValues: zip(prunable.weights.map(\.name), prunable.masks))
        let method = PruningMethod(
            criterion: RandomCriterion(seed: 1), granularity: UnstructuredGranularity(),
            allocation: UniformAllocation(), sparsity: 0.5)
        let curves = try LayerwiseDistortion(network, weights: prunable.weights).curves(
            on: windows, grid: RateGrid(steps: 4), distortion: .mean, method: method, earlier: { masks[$0] })
        for (curve, mask) in zip(curves, prunable.masks) {
            #expect(curve.points[0].kept == mask.keptCount && curve.points[0].distortion == 0, "\(curve.name)")
            #expect(curve.points.dropFirst().allSatisfy { $0.kept < mask.keptCount && $0.distortion > 0 })
        }
    }

    @Test func embeddingsHaveNoCurve() throws {
        let network = network()
        let weights = try PrunableNetwork(network, includesEmbeddings: true).weights.filter {
            $0.name.contains("embed")
        }
        #expect {
            _ = try LayerwiseDistortion(network, weights: weights)
        } throws: { "\($0)".contains("model.embed_tokens.weight: rate-distortion measures matrices of layers") }
    }

    @Test func betweenPointsDistortionIsOnALine() {
        let curve = DistortionCurve(
            name: "a", count: 10,
            points: [.init(kept: 10, distortion: 0), .init(kept: 6, distortion: 2), .init(kept: 1, distortion: 12)])
        #expect([10, 8, 6, 3, 1, 0].map { curve.distortion(keeping: $0) } == [0, 1, 2, 8, 12, 12])
        let finer = curve.interpolated(parts: 5)
        #expect(finer.points.map(\.kept) == [10, 8, 6, 5, 3, 1])
        #expect(finer.points.map(\.distortion) == [0, 1, 2, 4, 8, 12])
    }
}
