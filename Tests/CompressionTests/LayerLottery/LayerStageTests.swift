import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// `granularity: layer` in recipes, beside the removal that it is made of.
@Suite struct LayerStageTests {
    let folder: TemporaryFolder
    private let text = CalibrationTokens((0..<500).map { ($0 * $0 + 7 * $0) % 50 }, source: "text.txt")

    init() throws { folder = try TemporaryFolder() }

    private func recipe(_ stages: String, extra: String = "") throws -> Recipe {
        try Recipe(
            yaml: "seed: 4\n\(extra)\n"
                + "calibration: { samples: 6, sequence_length: 12, batch_size: 3, images: 40 }\nstages:\n" + stages,
            source: "r.yaml")
    }

    // MARK: Language models

    private func decoder() throws -> Checkpoint {
        try TinyCheckpoint.make(
            in: folder, dataType: .f32,
            configuration: DecoderConfiguration(
                family: .qwen2, vocabularySize: 50, hiddenSize: 32, intermediateSize: 48, layerCount: 4, headCount: 4,
                keyValueHeadCount: 2, maximumPositions: 64, dataType: .f32))
    }

    private func network(_ checkpoint: Checkpoint) throws -> DecoderNetwork {
        let network = DecoderNetwork(checkpoint.configuration)
        try network.load { try checkpoint.tensor($0) }
        return network
    }

    private func compress(
        _ checkpoint: Checkpoint, _ stages: String, extra: String = "", to name: String = "out"
    ) throws -> (checkpoint: Checkpoint, report: CompressionReport) {
        let report = try Compressor(checkpoint, recipe: recipe(stages, extra: extra)).run(
            output: folder.path + "/" + name, calibration: text)
        return (try Checkpoint.open(folder.path + "/" + name), report)
    }

    private let tokens = Tensor((0..<24).map { ($0 * 11 + 3) % 50 }, shape: [2, 12])

    @Test(arguments: [
        ("random", "layer", BlockCriterion.random), ("kl", "layer", .kl), ("cka", "mlp", .cka),
        ("l1", "attention", .l1), ("snip", "layer", .snip), ("grasp", "attention", .grasp),
    ])
    func layersOfLanguageModelsGo(_ method: String, _ kind: String, _ criterion: BlockCriterion) throws {
        let whole = try decoder()
        let (small, report) = try compress(
            whole, "  - prune: { method: \(method), granularity: layer, blocks: \(kind), sparsity: 0.5 }\n")
        // Two of four, by the scores that blocks have by themselves.
        let batches = try CalibrationWindows(tokens: text.tokens, count: 6, length: 12, seed: 4)
            .batches(of: 3, vocabularySize: 50)
        let scores = try BlockScores(
            of: network(whole), blocks: #require(DecoderBlockKind(rawValue: kind)), by: criterion, batches: batches,
            seed: 4)
        let names = try scores.lowest(2)
        let removal = try DecoderBlockRemoval(of: names, from: whole.configuration)
        #expect(small.configuration == removal.configuration)
        let expected = try removal(network(whole))
        for (name, parameter) in expected.parameters {
            #expect(try small.tensor(name).floats() == parameter.wrappedValue.floats(), "\(name)")
        }
        let blocks = try #require(report.stageReports?.first?.blocks)
        #expect(blocks.map(\.name) == scores.blocks.map(\.name) && blocks.map(\.score) == scores.scores)
        #expect(blocks.filter(\.removed).map(\.name) == names)
        let bytes = try whole.weightNames.reduce(0) { $0 + (try whole.tensor($1).byteCount) }
        #expect(report.totals.bytesBefore == bytes)
        #expect(report.totals.bytes < report.totals.bytesBefore)
        // What was in between is gone.
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(Set(files) == ["model", "out"])
    }

    /// Heads, pruning, distillation from the whole model and 8 bits, behind a layer and an attention that went.
    @Test func laterStagesOfLanguageModelsWorkOnWhatIsLeft() throws {
        let whole = try decoder()
        let (small, report) = try compress(
            whole,
            """
              - prune: { method: random, granularity: layer, count: 1, ignore: [layers.0] }
              - prune: { method: l1, granularity: layer, blocks: attention, count: 1 }
              - prune: { method: magnitude, granularity: head, sparsity: 0.5 }
              - prune: { method: magnitude, sparsity: 0.5, targets: [layers.2.mlp], recovery: distill }
              - quantize: { bits: 8 }

            """, extra: "training: { epochs: 1, batch_size: 4 }")
        #expect(small.configuration.layerCount == 3 && small.configuration.keyValueHeadCount == 1)
        #expect(small.configuration.layers(with: .attention).count == 2)
        #expect(report.stageReports?.map(\.stage) == [0, 1, 2])
        let names = report.stageReports?[0].blocks?.map(\.name)
        #expect(names == ["model.layers.1", "model.layers.2", "model.layers.3"])
        #expect(try small.weight("model.layers.2.mlp.up_proj.weight").sparsity >= 0.5)
        #expect(report.stages.count == 5 && report.stages[0].contains("granularity: layer, count: 1"))
        let logits = try network(small).outputs(tokens).floats()
        #expect(logits.allSatisfy { $0.isFinite })
    }

    @Test(arguments: [
        ("{ method: kl, granularity: layer, sparsity: 0.9 }", "", 3),
        ("{ method: kl, granularity: layer, count: 4 }", "count: 4 removes 4, expected at most 3", 0),
        ("{ method: kl, granularity: layer, sparsity: 0.2 }", "sparsity: 0.2 removes none of 4 blocks", 0),
        ("{ method: kl, granularity: layer, count: 1, removable: shape }", "removable: is for vision networks", 0),
        ("{ method: kl, granularity: layer, count: 1, targets: [layers.9] }", "matches no", 0),
    ])
    func whatDoesNotFitLanguageModelsIsSaidBeforehand(_ stage: String, _ expected: String, _ removed: Int) throws {
        let whole = try decoder()
        do {
            let recipe = try recipe("  - prune: \(stage)\n")
            _ = try Compressor(whole, recipe: recipe)
            #expect(expected.isEmpty)
            guard expected.isEmpty else { return }
            let (small, _) = try compress(whole, "  - prune: \(stage)\n")
            #expect(small.configuration.layerCount == 4 - removed)
        } catch let error as CoppiceError {
            #expect(!expected.isEmpty && error.description.contains(expected), "\(error)")
        }
    }

    // MARK: Vision networks

    private func vision() throws -> VisionCheckpoint {
        let network = try VisionArchitecture(
            named: "resnet14", classes: ImageDataSet.shapes(1, size: 12, seed: 1).classCount, inputChannels: 1,
            imageSize: 12, widthMultiplier: 0.25
        ).makeNetwork(seed: 7)
        try VisionCheckpoint.write(network, folder: folder.path + "/network")
        return try .open(folder.path + "/network")
    }

    private var images: CompressionImages {
        let set = ImageDataSet.shapes(60, size: 12, seed: 1)
        return CompressionImages(training: set, evaluation: .shapes(30, size: 12, seed: 2))
    }

    private func compress(
        _ checkpoint: VisionCheckpoint, _ stages: String, extra: String = "", to name: String = "out"
    ) throws -> (checkpoint: VisionCheckpoint, report: CompressionReport) {
        let report = try VisionCompressor(checkpoint, recipe: recipe(stages, extra: extra)).run(
            output: folder.path + "/" + name, images: images)
        return (try .open(folder.path + "/" + name), report)
    }

    @Test(arguments: [
        ("random", BlockCriterion.random), ("snip", .snip), ("grasp", .grasp), ("kl", .kl), ("cka", .cka), ("l1", .l1),
    ])
    func blocksOfVisionNetworksGo(_ method: String, _ criterion: BlockCriterion) throws {
        let whole = try vision()
        let (small, report) = try compress(
            whole, "  - prune: { method: \(method), granularity: layer, count: 2, removable: shape }\n")
        let sample = try #require(images.training).sample(40, seed: 4)
        let scores = try BlockScores(
            of: whole.network(), by: criterion, removable: .shape, batches: Array(sample.batches(of: 3)), seed: 4)
        let removal = try BlockRemoval(of: scores.lowest(2), from: whole.architecture)
        #expect(small.architecture == removal.architecture)
        let expected = try removal(whole.network())
        for (own, other) in zip(try small.network().parameters, expected.parameters) {
            #expect(own.parameter.wrappedValue.floats() == other.parameter.wrappedValue.floats(), "\(own.name)")
        }
        let blocks = try #require(report.stageReports?.first?.blocks)
        #expect(blocks.filter(\.removed).map(\.name) == removal.removed.map(\.name))
        let accuracy = try #require(report.accuracy)
        #expect(accuracy.before == Classification.measure(try whole.network(), on: images.evaluation)?.accuracy)
        #expect(accuracy.after == Classification.measure(expected, on: images.evaluation)?.accuracy)
        #expect(report.totals.bytesBefore == (try ModelInventory(whole).total.byteCount))
        let (before, after) = (try ModelInventory(whole).multiplications, try ModelInventory(small).multiplications)
        let counts = try #require(report.totals.multiplications)
        #expect(counts.dense == before.dense && counts.after == after.remaining && after.dense < before.dense)
        #expect(report.prunable.removed > 0.02)
    }

    /// What is left is pruned, fine-tuned and stored sparsely; what was sparse before stays so.
    @Test func laterStagesOfVisionNetworksWorkOnWhatIsLeft() throws {
        let training = "training: { epochs: 1, batch_size: 20 }"
        let whole = try vision()
        let (small, report) = try compress(
            whole,
            """
              - prune: { method: snip, granularity: layer, sparsity: 0.5 }
              - prune: { method: magnitude, sparsity: 0.8, scope: global, ignore: [conv1, "layer?.?.conv2"] }
              - prune: { method: magnitude, sparsity: 0, recovery: distill }

            """, extra: training)
        let removed = try #require(report.stageReports?.first?.blocks).filter(\.removed).map(\.name)
        #expect(removed.count == 1)
        #expect(small.architecture == (try BlockRemoval(of: removed, from: whole.architecture).architecture))
        let entries = try ModelInventory(small).entries
        #expect(entries.contains { $0.format == "sparse-bitmask-f32" })
        let trained = try small.network().parameters.first { $0.name == "conv1.weight" }?.parameter.wrappedValue
        let before = try whole.network().parameters.first { $0.name == "conv1.weight" }?.parameter.wrappedValue
        #expect(trained?.floats() != before?.floats())
        let (again, second) = try compress(
            small, "  - prune: { method: random, granularity: layer, count: 1, removable: shape }\n", to: "again")
        let gone = try #require(second.stageReports?.first?.blocks).filter(\.removed).map { $0.name + "." }
        let left = entries.filter { entry in !gone.contains { entry.name.hasPrefix($0) } }
        #expect(try ModelInventory(again).entries.map(\.format) == left.map(\.format))
        #expect(left.contains { $0.format == "sparse-bitmask-f32" } && left.count < entries.count)
    }

    @Test(arguments: [
        ("{ method: snip, granularity: layer, count: 9 }", "count: 9 removes 9, expected at most"),
        ("{ method: snip, granularity: layer, count: 1, blocks: mlp }", "blocks: is for language models"),
        ("{ method: snip, granularity: layer, count: 1, scope: global }", "does not go with granularity layer"),
        ("{ method: snip, granularity: layer, count: 1, recovery: fine-tune }", "comes in a stage of its own"),
        ("{ method: snip, granularity: layer, count: 1, sparsity: 0.5 }", "does not go with count"),
        ("{ method: taylor, granularity: layer, count: 1 }", "expected random, snip, grasp, l1, cka, kl"),
        ("{ method: kl, sparsity: 0.5 }", "kl scores whole layers; set granularity to layer"),
        ("{ method: magnitude, sparsity: 0.5, count: 1 }", "goes with granularity layer alone"),
        (
            "{ method: magnitude, sparsity: 0.5 }\n  - prune: { method: snip, granularity: layer, count: 1 }",
            "put this stage before stages[0]"
        ),
    ])
    func whatDoesNotFitIsSaid(_ stage: String, _ expected: String) throws {
        let whole = try vision()
        do {
            _ = try VisionCompressor(whole, recipe: recipe("  - prune: \(stage)\n"))
            Issue.record("accepted")
        } catch let error as CoppiceError {
            #expect(error.kind == .badData && error.description.contains(expected), "\(error)")
        }
    }
}
