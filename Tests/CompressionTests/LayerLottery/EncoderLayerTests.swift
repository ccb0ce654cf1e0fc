import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// Whole layers of encoders that go: BERTs of four layers with the words of the one that is published.
@Suite struct EncoderLayerTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A BERT of random weights that fills gaps, with the names of today.
    private func encoder(layers: Int = 4) throws -> EncoderCheckpoint {
        let published = try EncoderCheckpoint.open(PublishedEncoder.path)
        var configuration = published.configuration
        configuration.layerCount = layers
        let network = MaskedLanguageEncoder(configuration, seed: 8, initialDeviation: 0.4)
        let path = folder.path + "/bert-\(layers)"
        try FileManager.default.copyItem(atPath: PublishedEncoder.path, toPath: path)
        try FileManager.default.removeItem(atPath: path + "/model.safetensors")
        var json = try #require(published.configurationJSON.objectValue)
        json["num_hidden_layers"] = .integer(layers)
        try Data(JSON.object(json).serialized().utf8).write(to: URL(fileURLWithPath: path + "/config.json"))
        var tensors = network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) }
        // A pooler, as of a folder with more than one head.
        tensors.append(("bert.pooler.dense.bias", .zeros([configuration.hiddenSize])))
        try SafetensorsWriter.write(tensors.map { .init($0.0, $0.1) }, to: path + "/model.safetensors")
        return try .open(path)
    }

    private func compress(
        _ stages: String, _ checkpoint: EncoderCheckpoint, to name: String = "out", extra: String = ""
    ) throws -> (report: CompressionReport, checkpoint: EncoderCheckpoint) {
        let recipe = try Recipe(
            yaml: "seed: 3\ncalibration: { samples: 8, sequence_length: 16, batch_size: 4 }\n\(extra)\nstages:\n"
                + stages, source: "r")
        let output = folder.path + "/" + name
        let report = try EncoderCompressor(checkpoint, recipe: recipe).run(
            output: output, calibration: PublishedEncoder.calibration)
        return (report, try .open(output))
    }

    private let tokens = Tensor([2, 9, 10, 4, 13, 7, 8, 3], shape: [1, 8])

    private func bits(_ tensor: Tensor) -> [UInt32] { tensor.floats().map(\.bitPattern) }

    @Test(arguments: ["l1", "random", "snip", "grasp", "cka", "kl"]) func layersGo(_ method: String) throws {
        let whole = try encoder()
        let (report, small) = try compress("  - prune: { method: \(method), granularity: layer, count: 2 }\n", whole)
        #expect(small.configuration.layerCount == 2)
        #expect(small.configurationJSON["num_hidden_layers"]?.intValue == 2)
        let blocks = try #require(report.stageReports?.first?.blocks)
        #expect(blocks.map(\.name) == (0..<4).map { "bert.encoder.layer.\($0)" })
        let kept = blocks.indices.filter { !blocks[$0].removed }
        #expect(kept.count == 2)
        let largest = try #require(blocks.filter(\.removed).map(\.score).max())
        #expect(kept.allSatisfy { blocks[$0].score >= largest })
        // What is left has its weights, under new numbers.
        for name in small.storedNames {
            var old = name
            for (new, layer) in kept.enumerated() where name.hasPrefix("bert.encoder.layer.\(new).") {
                old = name.replacingOccurrences(of: "layer.\(new).", with: "layer.\(layer).")
            }
            #expect(try bits(small.storedTensor(name)) == bits(whole.storedTensor(old)), "\(name)")
        }
        #expect(small.storedNames.contains("bert.pooler.dense.bias"))
        #expect(small.storedNames.count == whole.storedNames.count - 2 * 16)
        // It computes what the layers do one after the other.
        let network = try whole.maskedLanguageModel()
        let context = network.context(of: tokens)
        var hidden = network.embedded(tokens, context)
        for index in 0..<4 {
            let place = EncoderLayerPlace(.bert, layer: index)
            hidden = network.layer(index, hidden, context, without: kept.contains(index) ? nil : place)
        }
        #expect(try bits(network.outputs(ofHidden: hidden)) == bits(small.maskedLanguageModel()(tokens)))
        // Reports count from the whole encoder on.
        #expect(report.totals.bytesBefore == (try ModelInventory(whole).total.byteCount))
        #expect(report.totals.bytes == (try ModelInventory(small).total.byteCount))
        #expect(abs(report.prunable.removed - 0.5) < 1e-9)
        let counts = try #require(report.totals.multiplications)
        #expect(counts.dense - counts.after == 2 * (4 * 12 * 12 + 2 * 12 * 20))
    }

    /// Divergence and similarity are those of the encoders that are left.
    @Test func scoresAreThoseOfWhatIsLeft() throws {
        let network = try encoder(layers: 3).maskedLanguageModel()
        let texts = [[2, 9, 10, 4, 13, 7, 8, 3], [2, 11, 12, 3]]
        let batches = texts.map {
            LabeledBatch(
                inputs: Tensor($0, shape: [1, $0.count]), targets: Tensor($0, shape: [1, $0.count]))
        }
        let places = EncoderLayerPlace.all(of: network.configuration)
        let kl = try BlockScores(of: network, blocks: places, by: .kl, batches: batches)
        let cka = try BlockScores(of: network, blocks: places, by: .cka, batches: batches)
        for (index, place) in places.enumerated() {
            let small = try EncoderLayerRemoval(of: [place.name], from: network.configuration)(network)
            #expect(small.configuration.layerCount == 2)
            var (sum, rows) = (0.0, 0)
            var (before, after): ([Tensor], [Tensor]) = ([], [])
            for batch in batches {
                let (whole, part) = (network.outputs(batch.inputs), small.outputs(batch.inputs))
                func logarithms(_ x: Tensor) -> [Double] {
                    let x = x.converted(to: .f64)
                    return (x - x.logSumExp(axis: -1).reshaped(Array(x.shape.dropLast()) + [1])).doubles()
                }
                for (p, q) in zip(logarithms(whole), logarithms(part)) { sum += exp(p) * (p - q) }
                rows += batch.inputs.count
                before.append(network.stack(batch.inputs).reshaped([-1, 12]))
                after.append(small.stack(batch.inputs).reshaped([-1, 12]))
            }
            #expect(abs(kl.scores[index] - sum / Double(rows)) < 1e-5 * sum)
            let similarity = LinearCKA.similarity(.concatenated(before, axis: 0), .concatenated(after, axis: 0))
            #expect(abs(cka.scores[index] - (1 - similarity)) < 1e-5)
        }
        #expect { try BlockScores(of: network, blocks: places, by: .kl) } throws: {
            "\($0)".contains("kl: needs a calibration text")
        }
    }

    /// Later stages work on what is left, learn from the whole encoder, and keep formats.
    @Test func laterStagesWorkOnWhatIsLeft() throws {
        let whole = try encoder()
        let (report, small) = try compress(
            """
              - prune: { method: kl, granularity: layer, sparsity: 0.5, ignore: [layer.0] }
              - prune: { method: magnitude, granularity: neuron, sparsity: 0.2 }
              - prune: { method: wanda, pattern: '2:4' }
              - prune: { method: magnitude, sparsity: 0, recovery: distill }
              - quantize: { bits: 8 }

            """, whole, extra: "training: { epochs: 1, batch_size: 4 }")
        #expect(small.configuration.layerCount == 3 && small.configuration.intermediateSize == 16)
        #expect(report.stageReports?.map(\.stage) == [0, 1])
        #expect(report.stageReports?[0].blocks?.map(\.name) == (1..<4).map { "bert.encoder.layer.\($0)" })
        let matrices = small.storedNames.filter(EncoderCheckpoint.isLayerMatrix)
        #expect(matrices.count == 18)
        for name in matrices {
            let weight = try small.weight(name)
            #expect(weight.label.hasSuffix("int8") && 2 * weight.nonZeroCount <= weight.rows * weight.columns)
        }
        // Again, in the formats that there are: nothing is expanded.
        let (_, again) = try compress("  - prune: { method: l1, granularity: layer, count: 1 }\n", small, to: "again")
        #expect(again.configuration.layerCount == 2)
        for name in again.storedNames.filter(EncoderCheckpoint.isLayerMatrix) {
            #expect(try again.weight(name).label.hasSuffix("int8"))
        }
    }

    @Test func budgetsTakeAsFewAsTheyNeed() throws {
        let configuration = try encoder().configuration
        let scores = BlockScores(blocks: EncoderLayerPlace.all(of: configuration), scores: [4, 3, 1, 2])
        let layer = 4 * 12 * 12 + 2 * 12 * 20
        #expect(configuration.cost.multiplyAccumulates == 4 * layer)
        let network = MaskedLanguageEncoder(configuration)
        #expect(configuration.cost.parameters == network.stack.parameterCount)
        let equal = try EncoderLayerPlan(scores, multiplications: 2 * layer, from: configuration)
        #expect(equal.removal.removed.map(\.layer) == [2, 3] && equal.after.multiplyAccumulates == 2 * layer)
        let least = try EncoderLayerPlan(scores, multiplications: 2 * layer - 1, from: configuration)
        #expect(least.removal.removed.map(\.layer) == [1, 2, 3])
        #expect { try EncoderLayerPlan(scores, multiplications: layer - 1, from: configuration) } throws: {
            "\($0)".contains("expected at least \(layer)")
        }
        #expect { try EncoderLayerPlan(scores, removing: 4, from: configuration) } throws: {
            "\($0)".contains("4, expected 1 to 3 of the 4 blocks")
        }
        #expect { try EncoderLayerRemoval(of: ["bert.encoder.layer.9"], from: configuration) } throws: {
            "\($0)".contains("bert.encoder.layer.9: is no layer of the encoder")
        }
        #expect { try EncoderLayerRemoval(of: scores.blocks.map(\.name), from: configuration) } throws: {
            "\($0)".contains("no layer of the encoder is left")
        }
    }

    @Test(arguments: [
        ("method: kl, granularity: layer, count: 4", "removes 4, expected at most 3 of the blocks"),
        ("method: kl, granularity: layer, count: 1, blocks: mlp", "mlp is for language models, expected layer"),
        ("method: kl, granularity: layer, count: 1, removable: shape", "is for vision networks; leave it out"),
        ("method: kl, granularity: layer, sparsity: 0.1", "0.1 removes none of 4 blocks"),
        ("method: taylor, granularity: layer, count: 1", "taylor"),
    ])
    func whatDoesNotFitIsSaid(_ options: String, _ expected: String) throws {
        let whole = try encoder()
        #expect { try compress("  - prune: { \(options) }\n", whole) } throws: { error in
            (error as? CoppiceError)?.kind == .badData && "\(error)".contains(expected)
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
    }
}
