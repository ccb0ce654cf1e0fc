import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// A recurrent network that reads figures row by row, compressed by recipes as others are.
@Suite(.serialized) struct RecurrentCompressorTests {
    private let folder: TemporaryFolder
    private static let images = CompressionImages(
        training: .shapes(200, size: 12, seed: 1), evaluation: .shapes(100, size: 12, seed: 2))

    init() throws { folder = try TemporaryFolder() }

    /// A network that has learned a little, as a folder.
    private func trained(_ name: String = "fastgrnn-16") throws -> VisionCheckpoint {
        let path = folder.path + "/" + name
        if let found = try? VisionCheckpoint.open(path) { return found }
        let network = try VisionArchitecture(named: name, images: [1, 12, 12], classes: 10).makeNetwork(seed: 1)
        let training = try #require(Self.images.training)
        let rates = LearningRateSchedule(
            kind: .cosine, peak: 0.02, warmupSteps: 0, minimumRatio: 0, totalSteps: 60)
        try SupervisedTraining(optimizer: AdamW(), rates: rates)
            .run(network, on: ImageBatches(training, batchSize: 20, seed: 1))
        try VisionCheckpoint.write(network, normalization: training.normalization, folder: path)
        return try .open(path)
    }

    private func compress(
        _ stage: String, to name: String = "out", from checkpoint: VisionCheckpoint? = nil
    ) throws -> (report: CompressionReport, network: any VisionNetwork) {
        let recipe = try Recipe(
            yaml: "training: { epochs: 1, batch_size: 20, optimizer: { learning_rate: 0.02 } }\n"
                + "calibration: { images: 100, batch_size: 50 }\nstages:\n  - prune: { \(stage) }\n",
            source: "r.yaml")
        let output = folder.path + "/" + name
        let report = try VisionCompressor(checkpoint ?? trained(), recipe: recipe).run(
            output: output, images: Self.images)
        return (report, try VisionCheckpoint.open(output).network())
    }

    private func matrices(_ network: any VisionNetwork) -> [(name: String, values: [Float])] {
        network.parameters.filter { $0.parameter.wrappedValue.rank >= 2 }.map {
            ($0.name, $0.parameter.wrappedValue.floats())
        }
    }

    private func failure(_ stage: String, from checkpoint: VisionCheckpoint? = nil) -> String {
        do {
            _ = try compress(stage, from: checkpoint)
            return "nothing was wrong"
        } catch { return "\(error)" }
    }

    /// Every criterion, schedule and recovery: as many weights as are asked for, what is removed is gone, what is kept is
    /// a number, and the accuracy is that of the network that was written.
    @Test(arguments: [
        "method: magnitude", "method: random", "method: snip", "method: grasp", "method: synflow", "method: taylor",
        "method: hessian", "method: obd, gradients: 16, gradient_batch: 8",
        "method: woodfisher, gradients: 16, gradient_batch: 8, block_size: 50",
        "method: m-fac, gradients: 16, gradient_batch: 8",
        "method: m-fac, gradients: 16, gradient_batch: 8, recovery: surgeon",
        "method: obd, gradients: 16, gradient_batch: 8, recovery: surgeon, schedule: { kind: one-shot, rounds: 3 }",
        "method: movement", "method: bip", "method: searched, then_train: 1",
        "method: snip, schedule: { kind: one-shot, rounds: 3 }",
        "method: magnitude, schedule: { kind: gradual, every: 2 }",
        "method: taylor, schedule: { kind: gradual, every: 2 }, recovery: distill",
        "method: magnitude, schedule: { kind: iterative, levels: 2, rewind: 0.5 }",
        "method: random, schedule: { kind: dynamic, every: 2 }",
        "method: random, schedule: { kind: dynamic, by: set, every: 2 }", "method: magnitude, recovery: fine-tune",
        "method: magnitude, recovery: distill", "method: wanda",
        "method: wanda, schedule: { kind: gradual, every: 2 }",
    ])
    func everyMethodReachesTheSparsity(options: String) throws {
        let isLearned = ["movement", "bip", "searched"].contains { options.contains("method: \($0)") }
        let isByMatrix = ["dynamic", "wanda"].contains { options.contains($0) }
        let scope = isLearned || isByMatrix ? "" : ", scope: global"
        let (report, network) = try compress("\(options)\(scope), sparsity: 0.7")
        let after = matrices(network)
        #expect(after.map(\.name) == ["cell.W", "cell.U", "fc.weight"])
        let count = after.reduce(0) { $0 + $1.values.count }
        let zeros = after.reduce(0) { $0 + $1.values.count { $0 == 0 } }
        let expected = ExactSelection.removedCount(count, sparsity: 0.7)
        if scope.isEmpty {
            // Matrix by matrix each count is rounded.
            #expect(abs(zeros - expected) <= 3, "\(zeros) of \(count)")
        } else {
            #expect(zeros == expected, "\(zeros) of \(count)")
        }
        #expect(network.parameters.allSatisfy { $0.parameter.wrappedValue.floats().allSatisfy(\.isFinite) })
        let accuracy = try #require(report.accuracy)
        #expect(Classification.measure(network, on: Self.images.evaluation)?.accuracy == accuracy.after)
        #expect(report.totals.bytes < report.totals.bytesBefore)
        // Matrices of the cell are multiplied once in every step.
        let uses = ["cell.W": 12, "cell.U": 12, "fc.weight": 1]
        let left = after.reduce(0) { $0 + (uses[$1.name] ?? 0) * $1.values.count { $0 != 0 } }
        #expect(report.totals.multiplications?.after == left)
        if report.stages[0].contains("schedule") || report.stages[0].contains("recovery") || isLearned { return }
        // Nothing but zeros has changed.
        for (before, after) in zip(matrices(try trained().network()), after) {
            #expect(zip(before.values, after.values).allSatisfy { $1 == 0 || $0 == $1 }, "\(after.name)")
        }
    }

    @Test func adaptiveRoundsAndDistortionGoThroughTheCell() throws {
        let (report, network) = try compress("method: magnitude, schedule: { kind: sap, rounds: 2, scope: global }")
        let rounds = try #require(report.stageReports?.first?.rounds)
        #expect(rounds.count >= 2 && rounds[0].removed > 0)
        let zeros = matrices(network).reduce(0) { $0 + $1.values.count { $0 == 0 } }
        #expect(zeros == rounds.reduce(0) { $0 + $1.removed })
        for calibration in ["data", "gaussian"] {
            let (report, network) = try compress(
                "method: magnitude, sparsity: 0.7, allocation: rate-distortion, grid: 4, calibration: \(calibration)",
                to: calibration)
            let all = matrices(network)
            let count = all.reduce(0) { $0 + $1.values.count }
            #expect(
                all.reduce(0) { $0 + $1.values.count { $0 == 0 } } == ExactSelection.removedCount(count, sparsity: 0.7))
            #expect(report.stageReports?.first?.rates?.count == 3)
        }
    }

    /// The same recipe gives the same bytes, where weights go while the network trains too.
    @Test func sameRecipeSameBytes() throws {
        let stage = "method: magnitude, sparsity: 0.8, schedule: { kind: gradual, every: 2 }, recovery: fine-tune"
        _ = try compress(stage, to: "one")
        _ = try compress(stage, to: "two")
        #expect(try folder.files("one") == folder.files("two"))
    }

    /// Hidden units, and ranks, are channels: a smaller dense network is left, which computes what the other does without
    /// them.
    @Test(arguments: [
        ("fastgrnn-16", "method: l2"), ("fastgrnn-16", "method: taylor, of: multiplications"),
        ("fastgrnn-16", "method: random, of: parameters"), ("fastgrnn-16", "method: group-l2, recovery: fine-tune"),
        ("fastgrnn-16-w6-u8", "method: l1"),
    ])
    func hiddenUnitsGo(name: String, options: String) throws {
        let checkpoint = try trained(name)
        let (report, network) = try compress(
            "\(options), granularity: channel, sparsity: 0.5, scope: global", from: checkpoint)
        let cut = try #require(network.configuration as? FastGRNN.Configuration)
        let before = try #require(checkpoint.architecture.configuration as? FastGRNN.Configuration)
        #expect(cut.hiddenSize < before.hiddenSize || (cut.stateRank ?? 0) < (before.stateRank ?? 0))
        #expect((cut.inputRank == nil) == (before.inputRank == nil))
        #expect(network.configuration.name != before.name && network.configuration.inputShape == [12, 12])
        let stage = try #require(report.stageReports?.first)
        let channels = try #require(stage.channels)
        if !options.contains("of:") {
            let (kept, all) = channels.reduce((0, 0)) { ($0.0 + $1.kept, $0.1 + $1.channels) }
            #expect(kept == all - (all + 1) / 2)
        }
        let (after, earlier) = (
            try #require(stage.multiplicationsAfter), try #require(stage.multiplicationsBefore)
        )
        #expect(after < earlier && report.totals.bytes < report.totals.bytesBefore)
        #expect(Classification.measure(network, on: Self.images.evaluation)?.accuracy == report.accuracy?.after)
        // It is a network like any other.
        _ = try compress("method: magnitude, sparsity: 0.5", to: "again", from: .open(folder.path + "/out"))
    }

    /// What one layer makes, and scales of norms: there are none in a cell.
    @Test func whatACellHasNotIsRefused() throws {
        #expect(failure("method: l2, granularity: filter, sparsity: 0.5").contains("at most 0.0 may go"))
        #expect(failure("method: bn-scale, granularity: channel, sparsity: 0.5") != "nothing was wrong")
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
        #expect(failure("method: magnitude, sparsity: 0.5, targets: conv*").contains("conv*"))
    }

    /// Series that people have go the same way, without what is of images.
    @Test func seriesAreCompressed() throws {
        let data = folder.path + "/steps"
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        for (name, count) in [("TRAIN", 60), ("TEST", 30)] {
            let lines = (0..<count).map { index in
                "\(index % 2)\t"
                    + (0..<12).map { step in
                        "\(step < 3 + index % 7 ? 0.0 : index % 2 == 0 ? 1 : -1)"
                    }.joined(separator: "\t")
            }
            try Data(lines.joined(separator: "\n").utf8).write(
                to: URL(fileURLWithPath: data + "/Steps_\(name).tsv"))
        }
        let series = try ImageDataSet.open(data, split: .train)
        let network = try VisionArchitecture(named: "fastgrnn-8", images: [1, 12, 1], classes: 2).makeNetwork(seed: 3)
        let path = folder.path + "/series"
        try VisionCheckpoint.write(network, normalization: series.normalization, folder: path)
        let checkpoint = try VisionCheckpoint.open(path)
        let images = try CompressionImages(folder: data, for: checkpoint, seed: 1)
        #expect(images.training?.count == 60 && images.evaluation.count == 30)
        func run(_ more: String) throws -> CompressionReport {
            let recipe = try Recipe(
                yaml: """
                    training: { epochs: 4, batch_size: 10, optimizer: { kind: adamw, learning_rate: 0.03 }\(more) }
                    stages:
                      - prune: { method: snip, sparsity: 0.5, recovery: fine-tune }
                    """, source: "r.yaml")
            return try VisionCompressor(checkpoint, recipe: recipe).run(output: folder.path + "/small", images: images)
        }
        let accuracy = try #require(try run("").accuracy)
        #expect(accuracy.after > 0.9 && accuracy.measuredOn == "30 test series of Steps")
        #expect { _ = try run(", augmentation: standard") } throws: {
            "\($0)" == "Steps: has series, and augmentation is of images; leave it out"
        }
    }
}
