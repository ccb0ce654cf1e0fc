import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

private let vocabulary = 50

private func configuration(_ family: DecoderConfiguration.Family) -> DecoderConfiguration {
    DecoderConfiguration(
        family: family, vocabularySize: vocabulary, hiddenSize: 32, intermediateSize: 48, layerCount: 3, headCount: 4,
        keyValueHeadCount: 2, maximumPositions: 64, slidingWindow: family == .qwen2 ? 5 : nil,
        layersWithWindow: family == .qwen2 ? [false, true, true] : nil, tiesEmbeddings: family == .qwen3,
        dataType: .f32)
}

/// A network with weights large enough to matter.
private func network(_ family: DecoderConfiguration.Family) -> DecoderNetwork {
    DecoderNetwork(configuration(family), seed: 3, initialDeviation: 0.2)
}

private func windows(count: Int = 6, length: Int = 16) throws -> CalibrationWindows {
    try CalibrationWindows(
        tokens: (0..<400).map { ($0 * $0 + 3 * $0) % vocabulary }, count: count, length: length, seed: 8)
}

@Suite struct DecoderBlocksTests {
    @Test(arguments: DecoderConfiguration.Family.allCases)
    func blocksOneByOneAreTheNetwork(family: DecoderConfiguration.Family) throws {
        let network = network(family)
        let blocks = DecoderBlocks(network)
        let tokens = try windows().windows[0]
        var hidden = try blocks.embed(tokens)
        for index in 0..<blocks.blockCount {
            let block = try blocks.block(index)
            var seen: [String: [Int]] = [:]
            hidden = try block.run(hidden) { seen[$0] = $1.shape }
            #expect(seen.count == 7 && Set(seen.keys) == Set(block.matrixNames))
            #expect(seen["model.layers.\(index).mlp.down_proj.weight"] == [1, 16, 48])
        }
        let expected = network(Tensor(tokens, shape: [1, 16])).floats()
        let found = network.logits(ofHidden: hidden).floats()
        #expect(zip(expected, found).allSatisfy { abs($0 - $1) < 1e-4 })
    }

    @Test func wandaPrunesEveryProjectionBehindThePrunedPrefix() throws {
        let network = network(.llama)
        let source = InMemoryWeights(
            network.parameters.filter { $0.parameter.wrappedValue.rank == 2 }.map {
                ($0.name, $0.parameter.wrappedValue.detached())
            })
        var run = try RecipeRun(
            Recipe(yaml: "stages: [{prune: {method: wanda, sparsity: 0.5}}]"), on: source)
        try run.prune(stage: 0, calibratedBy: windows(), through: DecoderBlocks(network))
        #expect(run.decisions.count == 21)
        #expect(run.decisions.values.allSatisfy { $0.mask?.sparsity == 0.5 })

        // The norms that the last block saw are those of the network whose earlier blocks are pruned.
        let name = "model.layers.2.mlp.down_proj.weight"
        for (parameter, mask) in network.parameters.compactMap({ named in
            run.decisions[named.name]?.mask.map { (named, $0) }
        }) where !parameter.name.hasPrefix("model.layers.2.") {
            var values = parameter.parameter.wrappedValue.detached()
            mask.apply(to: &values)
            parameter.parameter.wrappedValue = values
        }
        var norms = ColumnNorms()
        network.model.layers[2].feedForward?.down.inputObserver = { norms.add($0) }
        for window in try windows().windows { _ = network(Tensor(window, shape: [1, window.count])) }
        let method = PruningMethod(
            criterion: WandaCriterion(), granularity: RowGranularity(), allocation: UniformAllocation(), sparsity: 0.5)
        let expected = try method.masks(
            of: [PrunableWeight(name: name, rows: 32, columns: 48)], inputNorms: { _ in norms.norms },
            values: { _ in try source.values(of: name) })[0]
        let found = try #require(run.decisions[name]?.mask)
        #expect(MaskAgreement(found, expected).jaccard > 0.99)  // sums in another order may swap near ties
    }

    /// Queries, keys and values see one input, and so do gate and up.
    @Test(arguments: DecoderConfiguration.Family.allCases)
    func momentsAreGatheredOnceForEachInput(family: DecoderConfiguration.Family) throws {
        let network = network(family)
        let source = DecoderBlocks(network)
        let names = Set(try (0..<3).flatMap { try source.block($0).matrixNames }).filter { !$0.contains("k_proj") }
        var walk = try BlockSequentialPruning(source, windows: windows(), momentsOf: names)
        try walk.run { block in
            let found = block.inputMoments.map { $0.names.map { $0.split(separator: ".")[4] } }
            #expect(found == [["q_proj", "v_proj"], ["o_proj"], ["gate_proj", "up_proj"], ["down_proj"]])
            for (names, moments) in block.inputMoments {
                #expect(moments.rowCount == 6 * 16)
                for name in names {
                    let norms = try #require(block.inputNorms[name])
                    #expect(zip(moments.squares, norms).allSatisfy { abs($0 - Double($1 * $1)) < 1e-4 * $0 })
                }
            }
            return [:]
        }
    }

    @Test func tokensTheModelDoesNotKnowAreRefused() {
        #expect { _ = try DecoderBlocks(network(.llama)).embed([1, 50]) } throws: {
            "\($0)".contains("the tokenizer gives token 50, expected one of the model's 50")
        }
    }
}

@Suite struct MaskedNetworkTests {
    @Test func lossesAreThoseOfTheMaskedNetworkAndWeightsComeBack() throws {
        let network = network(.qwen3)
        let windows = try windows(count: 9).windows
        let decoder = try MaskedNetwork(decoder: network, windows: windows, shardCount: 3)
        #expect(decoder.weights.count == 21)
        #expect(decoder.chanceLoss == log(50))
        let dense = try decoder.losses(nil)
        #expect(dense.count == 3)
        let everything = decoder.weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) }
        #expect(try decoder.losses(everything) == dense)
        let nothing = decoder.weights.map {
            WeightMask(rows: $0.rows, columns: $0.columns, kept: [Bool](repeating: false, count: $0.count))
        }
        let empty = try decoder.losses(nothing)
        // Without projections a hidden state is its token's embedding.
        let tokens = Tensor(windows[0].dropLast().map { $0 }, shape: [1, 15])
        let bare = network.logits(ofHidden: network.embed(tokens)).floats()
        #expect(zip(network(tokens).floats(), bare).allSatisfy { abs($0 - $1) < 1e-5 })
        #expect(empty != dense)
        decoder.restore()
        #expect(try MaskedNetwork(decoder: network, windows: windows, shardCount: 3).losses(nil) == dense)
    }

    @Test func sweepsANetwork() throws {
        let network = network(.llama)
        let before = network.parameters.map { $0.parameter.wrappedValue.floats() }
        let report = try SparsitySweep.run(
            on: network, windows: windows(count: 4).windows,
            variants: SparsityVariant.standard(sparsities: [0.2, 0.4, 0.6, 0.8], seed: 1))
        #expect(report.series.count == 5 && report.weights.count == 21)
        #expect(report.series.allSatisfy { $0.points.allSatisfy { $0.loss.isFinite && $0.loss > 0 } })
        #expect(network.parameters.map { $0.parameter.wrappedValue.floats() } == before)
    }
}
