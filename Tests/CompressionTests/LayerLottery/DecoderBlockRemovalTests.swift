import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// Layers and sub-layers of small random decoders.
@Suite struct DecoderBlockRemovalTests {
    private static let removals = [
        ["model.layers.1"], ["model.layers.0.self_attn"], ["model.layers.2.mlp", "model.layers.0"],
        ["model.layers.1.self_attn", "model.layers.1.mlp", "model.layers.3.self_attn"],
    ]

    private func configuration(_ family: DecoderConfiguration.Family = .qwen2) -> DecoderConfiguration {
        DecoderConfiguration(
            family: family, vocabularySize: 50, hiddenSize: 24, intermediateSize: 30, layerCount: 4, headCount: 4,
            keyValueHeadCount: 2, headSize: 6, maximumPositions: 64, hasOutputBias: family == .llama,
            hasFeedForwardBias: family == .llama, tiesEmbeddings: family == .qwen3, dataType: .f32)
    }

    private func network(_ configuration: DecoderConfiguration) -> DecoderNetwork {
        DecoderNetwork(configuration, seed: 3, initialDeviation: 0.2)
    }

    private func batches(_ count: Int = 6, of size: Int = 3) throws -> [LabeledBatch] {
        let tokens = (0..<400).map { ($0 * $0 + 7 * $0) % 50 }
        return try CalibrationWindows(tokens: tokens, count: count, length: 12, seed: 4).batches(
            of: size, vocabularySize: 50)
    }

    private func difference(_ a: Tensor, _ b: Tensor) -> Float {
        zip(a.floats(), b.floats()).reduce(0) { max($0, abs($1.0 - $1.1)) }
    }

    /// Outputs, loss and the gradients of what is left are those of the whole network with the branches at zero.
    @Test(arguments: DecoderConfiguration.Family.allCases, removals)
    func removalIsABranchOfZeros(family: DecoderConfiguration.Family, names: [String]) throws {
        let whole = network(configuration(family))
        let removal = try DecoderBlockRemoval(of: names, from: whole.configuration)
        let small = removal(whole)
        let batch = try batches()[0]
        #expect(difference(small.outputs(batch.inputs), whole.outputs(batch.inputs)) > 1e-3)
        removal.silence(whole)
        #expect(difference(small.outputs(batch.inputs), whole.outputs(batch.inputs)) < 1e-5)
        let slopes = [whole, small].map { network in
            let own = network.parameters
            return Dictionary(
                uniqueKeysWithValues: zip(
                    own.map(\.name),
                    gradients(of: network.loss(batch), withRespectTo: own.map(\.parameter.wrappedValue))))
        }
        for (name, slope) in slopes[1] {
            let original = try #require(slopes[0][removal.originalName(name)])
            #expect(difference(slope, original) < 1e-5, "\(name)")
        }
        #expect(small.parameterCount == removal.configuration.cost.parameters)
    }

    /// The checkpoint that is written is what the network says, and its configuration says what is missing.
    @Test(arguments: removals) func checkpointsHoldWhatIsLeft(names: [String]) throws {
        let folder = try TemporaryFolder()
        var configuration = configuration()
        configuration.slidingWindow = 5
        configuration.layersWithWindow = [false, true, false, true]
        let whole = try TinyCheckpoint.make(in: folder, dataType: .f32, configuration: configuration)
        let removal = try DecoderBlockRemoval(of: names, from: whole.configuration)
        try removal.write(whole, to: folder.path + "/small")
        let small = try Checkpoint.open(folder.path + "/small")
        #expect(small.configuration == removal.configuration)
        let json = try JSON(
            parsing: try #require(FileManager.default.contents(atPath: folder.path + "/small/config.json")), source: "c"
        )
        #expect(json["num_hidden_layers"]?.intValue == removal.configuration.layerCount)
        #expect(json["layer_types"]?.arrayValue?.count == removal.configuration.layerCount)
        #expect(
            json["block_configs"]?.arrayValue?.count
                == (removal.configuration.hasAllSubLayers ? nil : 3 + (names.count == 1 ? 1 : 0)))
        #expect(json["model_type"]?.stringValue == (removal.configuration.hasAllSubLayers ? "qwen2" : "coppice-qwen2"))
        for name in small.weightNames {
            #expect(try small.tensor(name).floats() == whole.tensor(removal.originalName(name)).floats(), "\(name)")
        }
        // Windows go with their layers.
        if names == ["model.layers.1"] {
            #expect(small.configuration.layersWithWindow == [false, false, true])
        }
        // What is left can be cut again, by the names that it has now.
        let again = try DecoderBlockRemoval(of: ["model.layers.0"], from: small.configuration)
        #expect(again.configuration.layerCount == small.configuration.layerCount - 1)
        guard !removal.configuration.hasAllSubLayers else { return }
        #expect { try small.convert(toGGUF: folder.path + "/small.gguf") } throws: {
            "\($0)".contains("sub-layer, which GGUF cannot say")
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/small.gguf"))
        #expect { try small.convertToCompressedTensors(to: folder.path + "/ct") } throws: {
            "\($0)".contains("which compressed-tensors cannot say")
        }
    }

    /// Compressed weights stay as they are stored.
    @Test func formatsAreKept() throws {
        let folder = try TemporaryFolder()
        let whole = try TinyCheckpoint.make(in: folder)
        _ = try Compressor(whole, recipe: Recipe(yaml: "stages: [quantize: { bits: 8 }]")).run(
            output: folder.path + "/int8")
        let compressed = try Checkpoint.open(folder.path + "/int8")
        let removal = try DecoderBlockRemoval(of: ["model.layers.0"], from: compressed.configuration)
        try removal.write(compressed, to: folder.path + "/small")
        let small = try Checkpoint.open(folder.path + "/small")
        let name = "model.layers.0.mlp.up_proj.weight", old = "model.layers.1.mlp.up_proj.weight"
        #expect(try small.weight(name).label == compressed.weight(old).label && small.isCompressed(name))
        #expect(try small.weight(name).dense().floats() == compressed.weight(old).dense().floats())
    }

    /// Stages of heads and neurons go on with the layers that have them.
    @Test func unitsOfWhatIsLeftCanGo() throws {
        let folder = try TemporaryFolder()
        let whole = try TinyCheckpoint.make(in: folder, dataType: .f32, configuration: configuration())
        let removal = try DecoderBlockRemoval(
            of: ["model.layers.1.self_attn", "model.layers.3.mlp"], from: whole.configuration)
        try removal.write(whole, to: folder.path + "/small")
        let recipe = try Recipe(
            yaml: """
                prefer: size
                calibration: {samples: 3, sequence_length: 12}
                stages:
                  - prune: { method: taylor, sparsity: 0.5, granularity: head }
                  - prune: { method: wanda, sparsity: 0.5, granularity: neuron }
                  - prune: { method: wanda, sparsity: 0.5 }
                """)
        let text = CalibrationTokens((0..<500).map { ($0 * $0 + 7 * $0) % 50 }, source: "text.txt")
        let report = try Compressor(Checkpoint.open(folder.path + "/small"), recipe: recipe).run(
            output: folder.path + "/narrow", calibration: text)
        let narrow = try Checkpoint.open(folder.path + "/narrow").configuration
        #expect(narrow.keyValueHeadCount == 1 && narrow.intermediateSize == 15)
        #expect(narrow.layersWithAttention == [true, false, true, true])
        #expect(narrow.layersWithFeedForward == [true, true, true, false])
        #expect(report.stageReports?.flatMap { $0.units ?? [] }.map(\.block) == [0, 2, 3, 0, 1, 2])
    }

    @Test func namesAreChecked() throws {
        let configuration = configuration()
        #expect { try DecoderBlockRemoval(of: ["model.layers.4"], from: configuration) } throws: {
            "\($0)".contains("model.layers.4: is no block of the model")
        }
        let all = (0..<4).map { "model.layers.\($0)" }
        #expect { try DecoderBlockRemoval(of: all, from: configuration) } throws: {
            "\($0)".contains("no layer of the model is left")
        }
        let rest = try DecoderBlockRemoval(of: ["model.layers.2.mlp"], from: configuration).configuration
        #expect(throws: CoppiceError.self) { try DecoderBlockRemoval(of: ["model.layers.2.mlp"], from: rest) }
        #expect(DecoderBlockPlace.all(.mlp, of: rest).map(\.layer) == [0, 1, 3])
        #expect(DecoderBlockPlace.all(.layer, of: rest).count == 4)
    }
}

@Suite struct DecoderBlockScoreTests {
    private let network = DecoderNetwork(
        DecoderConfiguration(
            vocabularySize: 50, hiddenSize: 24, intermediateSize: 30, layerCount: 3, headCount: 4,
            keyValueHeadCount: 2, headSize: 6, maximumPositions: 64, dataType: .f32), seed: 3, initialDeviation: 0.2)

    private func batches(of size: Int = 3) throws -> [LabeledBatch] {
        let tokens = (0..<400).map { ($0 * $0 + 7 * $0) % 50 }
        return try CalibrationWindows(tokens: tokens, count: 6, length: 12, seed: 4).batches(
            of: size, vocabularySize: 50)
    }

    @Test(arguments: BlockCriterion.allCases, DecoderBlockKind.allCases)
    func everyCriterionScoresAndLeavesTheNetworkAsItWas(criterion: BlockCriterion, kind: DecoderBlockKind) throws {
        let before = network.parameters.map { $0.parameter.wrappedValue.floats() }
        let scores = try BlockScores(
            of: network, blocks: kind, by: criterion, batches: criterion.needsData ? batches() : [])
        #expect(scores.scores.count == 3 && Set(scores.scores).count == 3)
        #expect(network.parameters.map { $0.parameter.wrappedValue.floats() } == before)
        if criterion.needsData {
            #expect { try BlockScores(of: network, blocks: kind, by: criterion) } throws: {
                "\($0)".contains("calibration text")
            }
        }
    }

    /// Sums are over what a block is made of; those of a layer are those of its sub-layers together.
    @Test(arguments: [BlockCriterion.snip, .grasp, .l1]) func layersAreTheirSubLayers(criterion: BlockCriterion) throws
    {
        func scores(_ kind: DecoderBlockKind, _ aggregate: BlockCriterion.Aggregate = .sum) throws -> [Double] {
            try BlockScores(of: network, blocks: kind, by: criterion, aggregate: aggregate, batches: batches()).scores
        }
        let (attention, mlp, layer) = (try scores(.attention), try scores(.mlp), try scores(.layer))
        let size = layer.reduce(0) { max($0, abs($1)) }
        for index in 0..<3 {
            #expect(abs(attention[index] + mlp[index] - layer[index]) < 1e-6 * size)
            #expect(attention[index] != 0 && mlp[index] != 0)
        }
        let means = try scores(.mlp, .mean)
        for (mean, sum) in zip(means, mlp) { #expect(abs(mean * 3 * 24 * 30 - sum) < 1e-6 * size) }
    }

    /// GraSP's sum over all projections is θᵀHg, the slope of ½‖g‖² along θ.
    @Test func flowIsTheSlopeOfTheGradientsNorm() throws {
        let batch = try batches(of: 6)[0]
        let scores = try BlockScores(of: network, blocks: .layer, by: .grasp, batches: [batch])
        let own = network.parameters.filter { $0.name.hasSuffix("_proj.weight") }.map(\.parameter)
        let originals = own.map { $0.wrappedValue.detached() }
        defer { for (parameter, value) in zip(own, originals) { parameter.wrappedValue = value } }
        func halfSquare(_ scale: Double) -> Double {
            for (parameter, value) in zip(own, originals) { parameter.wrappedValue = value * scale }
            let loss = (network.outputs(batch.inputs) / 200).meanCrossEntropy(targets: batch.targets)
            return gradients(of: loss, withRespectTo: own.map(\.wrappedValue)).reduce(0) { total, slope in
                let slope = slope.detached().converted(to: .f64)
                return total + 0.5 * (slope * slope).sum().doubles()[0]
            }
        }
        let slope = (halfSquare(1.01) - halfSquare(0.99)) / 0.02
        #expect(abs(scores.scores.reduce(0, +) / slope - 1) < 2e-2, "\(scores.scores), \(slope)")
    }

    /// The divergence is that of the network without the block, whatever the batches.
    @Test(arguments: DecoderBlockKind.allCases) func divergenceIsThatOfWhatIsLeft(kind: DecoderBlockKind) throws {
        let scores = try BlockScores(of: network, blocks: kind, by: .kl, batches: batches(of: 4))
        let batch = try batches(of: 6)[0]
        func logarithms(_ network: DecoderNetwork) -> [[Double]] {
            let logits = network.outputs(batch.inputs).reshaped([-1, 50]).converted(to: .f64)
            return (0..<logits.shape[0]).map { row in
                let own = logits.slice(axis: 0, row..<(row + 1)).doubles()
                let sum = own.reduce(0) { $0 + exp($1) }
                return own.map { $0 - log(sum) }
            }
        }
        let whole = logarithms(network)
        for (block, score) in zip(scores.blocks, scores.scores) {
            let removal = try DecoderBlockRemoval(of: [block.name], from: network.configuration)
            let part = logarithms(removal(network))
            let divergences = zip(whole, part).map { p, q in zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) } }
            let mean = divergences.reduce(0, +) / Double(divergences.count)
            #expect(abs(mean - score) < 1e-4 * mean, "\(block.name)")
        }
    }

    @Test func aBlockThatDoesNothingIsTheFirstToGo() throws {
        for kind in DecoderBlockKind.allCases {
            let network = DecoderNetwork(network.configuration, seed: 5, initialDeviation: 0.2)
            let name = DecoderBlockPlace(kind, layer: 1).name
            try DecoderBlockRemoval(of: [name], from: network.configuration).silence(network)
            for criterion in [BlockCriterion.cka, .kl] {
                let scores = try BlockScores(of: network, blocks: kind, by: criterion, batches: batches())
                #expect(try scores.lowest(1, leaving: 1) == [name])
                #expect(abs(scores.scores[1]) < 1e-6)
            }
        }
    }

    @Test func budgetsTakeAsFewAsTheyNeed() throws {
        let configuration = network.configuration
        let scores = BlockScores(blocks: DecoderBlockPlace.all(.layer, of: configuration), scores: [2, 3, 1])
        let one = try DecoderBlockPlan(scores, removing: 1, from: configuration)
        #expect(one.removal.removed.map(\.layer) == [2])
        let lines = one.text.split(separator: "\n")
        #expect(lines.prefix(3).map { $0.hasSuffix("  removed") } == [false, false, true])
        #expect(lines[3].hasPrefix("3 layers → 2: ") && lines[3].contains("MACs a token"))
        // Of a layer: queries and outputs, keys and values, three of the feed-forward layer; the head has no bias.
        let layer = 2 * 24 * 24 + 2 * 24 * 12 + 3 * 24 * 30
        #expect(one.before.multiplyAccumulates == 3 * layer + 50 * 24)
        #expect(one.after.multiplyAccumulates == 2 * layer + 50 * 24)
        #expect(one.before.parameters == one.before.multiplyAccumulates + 50 * 24 + 7 * 24)
        let budget = try DecoderBlockPlan(scores, multiplications: 2 * layer + 50 * 24 - 1, from: configuration)
        #expect(budget.removal.removed.map(\.layer) == [0, 2])
        let equal = try DecoderBlockPlan(scores, multiplications: 2 * layer + 50 * 24, from: configuration)
        #expect(equal.removal == one.removal)
        #expect { try DecoderBlockPlan(scores, multiplications: layer, from: configuration) } throws: {
            "\($0)".contains("expected at least \(layer + 50 * 24)")
        }
        #expect { try DecoderBlockPlan(scores, removing: 3, from: configuration) } throws: {
            "\($0)".contains("expected 1 to 2 of the 3 blocks that may be removed: model.layers.0, model.layers.1")
        }
        var asked: [Int] = []
        let fast = try DecoderBlockPlan(scores, seconds: 0.0185, from: configuration) { removal in
            asked.append(removal.removed.count)
            return 0.02 - 0.001 * Double(removal.removed.count)
        }
        #expect(asked == [0, 1, 2] && fast.removal.removed.map(\.layer) == [0, 2])
        #expect { try DecoderBlockPlan(scores, seconds: 0.001, from: configuration) { _ in 0.5 } } throws: {
            "\($0)".contains("latency: 1 ms, expected at least 500 ms")
        }
    }

    @Test func alignmentIsTheSameFromEitherSide() {
        var generator = RandomGenerator(seed: 2)
        let x = Tensor.normal([9, 4], dataType: .f64, using: &generator)
        let y = Tensor.normal([9, 5], dataType: .f64, using: &generator)
        // Padded with columns of zeros it goes by the Gram matrices of examples.
        let wide = Tensor.concatenated([y, .zeros([9, 8], dataType: .f64)], axis: 1)
        #expect(abs(LinearCKA.similarity(x, y) - LinearCKA.similarity(x, wide)) < 1e-12)
    }
}
