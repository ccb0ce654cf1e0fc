import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// A vision transformer, compressed by recipes as other networks are.
@Suite(.serialized) struct VisionTransformerCompressorTests {
    private let folder: TemporaryFolder
    private static let images = CompressionImages(
        training: .shapes(200, size: 12, seed: 1), evaluation: .shapes(100, size: 12, seed: 2))

    init() throws { folder = try TemporaryFolder() }

    /// A network that has learned a little, as a folder: nine patches, two blocks of three heads.
    private func trained() throws -> VisionCheckpoint {
        let path = folder.path + "/dense"
        if let found = try? VisionCheckpoint.open(path) { return found }
        let network = try VisionArchitecture(named: "vit-2-24-p4", images: [1, 12, 12], classes: 10)
            .makeNetwork(seed: 1)
        let training = try #require(Self.images.training)
        let rates = LearningRateSchedule(
            kind: .cosine, peak: 5e-3, warmupSteps: 5, minimumRatio: 0, totalSteps: 60)
        try SupervisedTraining(optimizer: AdamW(), rates: rates)
            .run(network, on: ImageBatches(training, batchSize: 20, seed: 1))
        try VisionCheckpoint.write(network, normalization: training.normalization, folder: path)
        return try .open(path)
    }

    private func compress(
        _ stage: String, to name: String = "out"
    ) throws -> (report: CompressionReport, network: any VisionNetwork) {
        let recipe = try Recipe(
            yaml: "training: { epochs: 1, batch_size: 20, optimizer: { kind: adamw, learning_rate: 0.002 } }\n"
                + "calibration: { images: 100, batch_size: 50 }\nstages:\n  - \(stage)\n",
            source: "r.yaml")
        let output = folder.path + "/" + name
        let report = try VisionCompressor(trained(), recipe: recipe).run(output: output, images: Self.images)
        return (report, try VisionCheckpoint.open(output).network())
    }

    /// All that inputs are multiplied with, and no vector that is added to them.
    private static let weights =
        ["patch_embed.proj.weight"]
        + (0..<2).flatMap { block in
            ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"].map { "blocks.\(block).\($0).weight" }
        } + ["head.weight"]

    private func values(_ network: any VisionNetwork) -> [String: [Float]] {
        Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter.wrappedValue.floats()) })
    }

    @Test func vectorsThatAreAddedAreNoWeights() throws {
        let network = try trained().network()
        #expect(try PrunableNetwork(network).weights.map(\.name) == Self.weights)
        let all = try PrunableNetwork(network, includesEmbeddings: true).weights.map(\.name)
        #expect(Set(all).subtracting(Self.weights) == ["cls_token", "pos_embed"])
    }

    /// As many weights as are asked for; what is removed is gone, what is kept is a number, and the accuracy is that of the
    /// network that was written.
    @Test(arguments: [
        "method: magnitude", "method: snip", "method: grasp", "method: taylor", "method: hessian",
        "method: m-fac, gradients: 16, gradient_batch: 8, recovery: surgeon",
        "method: magnitude, schedule: { kind: gradual, every: 2 }, recovery: distill",
        "method: magnitude, schedule: { kind: iterative, levels: 2, rewind: 0.5 }",
        "method: magnitude, recovery: fine-tune",
    ])
    func everyMethodReachesTheSparsity(options: String) throws {
        let (report, network) = try compress("prune: { \(options), scope: global, sparsity: 0.7 }")
        let after = values(network)
        let own = Self.weights.compactMap { after[$0] }
        let count = own.reduce(0) { $0 + $1.count }
        let zeros = own.reduce(0) { $0 + $1.count { $0 == 0 } }
        let expected = ExactSelection.removedCount(count, sparsity: 0.7)
        #expect(zeros == expected, "\(zeros) of \(count)")
        #expect(after.values.allSatisfy { $0.allSatisfy(\.isFinite) })
        // Nothing of the tables goes.
        #expect(after["pos_embed"]?.contains(0) == false)
        let accuracy = try #require(report.accuracy)
        #expect(Classification.measure(network, on: Self.images.evaluation)?.accuracy == accuracy.after)
        #expect(report.totals.bytes < report.totals.bytesBefore)
        // Each matrix of a block is multiplied once with each of ten tokens, the patches' with nine, the head's with one.
        let left = Self.weights.reduce(0) { sum, name in
            let kept = (after[name] ?? []).count { $0 != 0 }
            return sum + kept * (name.hasPrefix("blocks") ? 10 : name.hasPrefix("patch") ? 9 : 1)
        }
        #expect(report.totals.multiplications?.after == left)
    }

    /// Heads and neurons are channels: a smaller dense network is left, which is a network like any other.
    @Test(arguments: ["method: l2", "method: taylor, of: multiplications", "method: l2, recovery: fine-tune"])
    func headsAndNeuronsGo(options: String) throws {
        let (report, network) = try compress(
            "prune: { \(options), granularity: channel, sparsity: 0.5, scope: global }")
        let cut = try #require(network.configuration as? VisionTransformer.Configuration)
        #expect(cut.heads != nil || !cut.options.widths.isEmpty)
        let channels = try #require(report.stageReports?.first?.channels)
        #expect(channels.count == 4 && channels.allSatisfy { $0.kept >= 1 })
        #expect(report.totals.bytes < report.totals.bytesBefore)
        #expect(Classification.measure(network, on: Self.images.evaluation)?.accuracy == report.accuracy?.after)
    }

    /// Quantized matrices are stored in their format, tables of vectors as they were.
    @Test func integersTakeAQuarterOfTheBytes() throws {
        let (report, network) = try compress("quantize: { bits: 8 }")
        let formats = Dictionary(uniqueKeysWithValues: report.weights.map { ($0.name, $0.format) })
        #expect(Self.weights.allSatisfy { formats[$0]?.hasPrefix("int8") == true })
        let before = values(try trained().network())
        #expect(values(network)["pos_embed"] == before["pos_embed"])
        #expect(Double(report.totals.bytes) < 0.4 * Double(report.totals.bytesBefore))
    }

    /// One-shot curves: of all weights but those that give the scores, and of whole heads.
    @Test func curvesOfWeightsAndOfHeads() throws {
        let network = try trained().network()
        var analysis = SparsityAnalysis()
        (analysis.sparsities, analysis.refinesKnee) = ([0.3, 0.6], false)
        let result = try analysis.run(network, on: Self.images.evaluation, by: .loss)
        #expect(result.sweep.weights == Self.weights.dropLast())
        #expect(result.sweep.series[0].points.count == 3)
        analysis.pattern = .heads
        // Two and four of six heads, with their rows of queries, keys and values and their columns.
        let heads = try analysis.run(network, on: Self.images.evaluation, by: .loss)
        let attention = Self.weights.filter { $0.contains("attn") }
        #expect(heads.sweep.weights == attention)
        #expect(heads.sweep.series[0].points.map(\.sparsity) == [0, 1.0 / 6, 0.5])
    }

    /// A head is removed with its queries, its keys, its values and what reads them.
    @Test func headsOfOneMatrixGoTogether() throws {
        let network = try trained().network()
        let configuration = try #require(network.configuration as? VisionTransformer.Configuration)
        let masked = MaskedNetwork(
            try PrunableNetwork(network), measuredOn: SparsityEvaluation(Self.images.evaluation, by: .loss, seed: 1))
        let variant = SparsityVariant(
            label: "heads", criterion: MagnitudeCriterion(), heads: try #require(AttentionHeads(configuration)),
            scope: .global, sparsities: [1.0 / 6, 0.5])
        var found: [[WeightMask]] = []
        _ = try SparsitySweep(variants: [variant], evaluation: masked.evaluation).run(
            masked.weights, values: masked.values,
            evaluate: { masks in
                if let masks { found.append(masks) }
                return try masked.losses(masks)
            })
        #expect(found.count >= 2)
        masked.restore()
        // The sum of all that belongs to a head, by block and head.
        func size(_ block: Int, _ head: Int) -> Float {
            let values = values(network)
            let (inputs, output) = (
                values[Self.weights[1 + 4 * block]] ?? [], values[Self.weights[2 + 4 * block]] ?? []
            )
            return inputs.indices.filter { $0 / 24 / 8 % 3 == head }.reduce(0) { $0 + abs(inputs[$1]) }
                + output.indices.filter { $0 % 24 / 8 == head }.reduce(0) { $0 + abs(output[$1]) }
        }
        let sizes = (0..<6).map { size($0 / 3, $0 % 3) }
        let least = try #require(sizes.indices.min { sizes[$0] < sizes[$1] })
        let first = try #require(found.first { $0.reduce(0) { $0 + $1.removedCount } == 4 * 8 * 24 })
        let place = try #require(masked.weights.firstIndex { $0.name == Self.weights[1 + 4 * (least / 3)] })
        #expect(!first[place][least % 3 * 8, 0])
        for masks in found {
            var gone = 0
            for block in 0..<2 {
                let places = ["qkv", "proj"].compactMap { part in
                    masked.weights.firstIndex { $0.name == "blocks.\(block).attn.\(part).weight" }
                }
                let (inputs, output) = (masks[places[0]], masks[places[1]])
                for head in 0..<3 {
                    let isKept = inputs[head * 8, 0]
                    gone += isKept ? 0 : 1
                    for row in 0..<72 where row / 8 % 3 == head { #expect(inputs[row, 23] == isKept) }
                    for column in (head * 8)..<(head * 8 + 8) { #expect(output[11, column] == isKept) }
                }
            }
            #expect(masks.reduce(0) { $0 + $1.removedCount } == gone * 4 * 8 * 24 && gone > 0)
        }
    }
}
