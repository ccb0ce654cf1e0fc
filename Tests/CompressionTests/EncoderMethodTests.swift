import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// What documentation promises of encoders: every method of single weights with every schedule and every recovery that
/// goes with it, on one that fills gaps and on one that classifies texts.
@Suite struct EncoderMethodTests {
    /// A stage, and what its recipe trains with.
    struct Stage: Sendable, CustomTestStringConvertible {
        var options: String
        var training = "epochs: 1, batch_size: 4, optimizer: { learning_rate: 3.0e-3 }"

        var testDescription: String { options }
        /// Whether kept weights stay what they were: nothing trains, and none makes up for others, as none does by a
        /// diagonal Fisher matrix.
        var isUntrained: Bool {
            if options.contains("obd"), options.contains("surgeon") { return true }
            let moving = [
                "gradual", "iterative", "dynamic", "fine-tune", "distill", "movement", "bip", "surgeon", "reconstruct",
                "sparsegpt",
            ]
            return !moving.contains { options.contains($0) }
        }
    }

    private static let gradients = ", gradients: 4, gradient_batch: 2"
    private static let scored = [
        "magnitude", "random", "snip", "grasp", "taylor", "hessian", "obd" + gradients,
        "woodfisher" + gradients + ", block_size: 24", "m-fac" + gradients,
    ]
    private static let schedules = [
        "one-shot", "{ kind: one-shot, rounds: 3 }", "{ kind: gradual, every: 2 }",
        "{ kind: gradual, begin: 0.2, end: 0.6, every: 1, ramp: linear }",
        "{ kind: iterative, levels: 2, rewind: 0.5 }", "{ kind: iterative, levels: 2, rewind: none }",
    ]
    private static let recoveries = ["fine-tune", "distill"]

    /// Of each method every schedule, and every recovery.
    static let scoredStages =
        scored.flatMap { method in
            schedules.map { Stage(options: "method: \(method), schedule: \($0), scope: global") }
                + recoveries.map { Stage(options: "method: \(method), recovery: \($0), scope: global") }
        }
        + ["obd", "woodfisher", "m-fac"].map {
            Stage(options: "method: \($0)\(gradients), recovery: surgeon, scope: global")
        }

    /// Methods that go their own way.
    static let otherStages = [
        Stage(options: "method: movement"), Stage(options: "method: movement, schedule: { kind: gradual, every: 1 }"),
        Stage(options: "method: movement, recovery: distill"),
        Stage(options: "method: searched"), Stage(options: "method: searched, init: snip, restrict: cosine"),
        Stage(
            options: "method: bip, mask_learning_rate: 1",
            training: "epochs: 1, batch_size: 4, optimizer: { kind: sgd, learning_rate: 0.01 }"),
        Stage(options: "method: wanda, scope: layer"),
        Stage(options: "method: wanda, scope: layer, recovery: fine-tune"),
        Stage(options: "method: wanda, scope: layer, recovery: reconstruct"), Stage(options: "method: sparsegpt"),
        Stage(options: "method: sparsegpt, recovery: fine-tune"),
        Stage(options: "method: magnitude, recovery: reconstruct"),
        Stage(options: "method: random, schedule: { kind: dynamic, every: 1 }, scope: global"),
        Stage(options: "method: random, schedule: { kind: dynamic, by: set, every: 1 }, scope: layer"),
        Stage(options: "method: magnitude, schedule: { kind: dynamic, every: 1 }, allocation: erk"),
    ]

    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func recipe(_ stage: Stage, sparsity: String = ", sparsity: 0.5") throws -> Recipe {
        try Recipe(
            yaml: """
                seed: 3
                calibration: { samples: 8, sequence_length: 16, batch_size: 4 }
                training: { \(stage.training) }
                stages:
                  - prune: { \(stage.options)\(sparsity) }
                """, source: "r.yaml")
    }

    private func matrices(_ checkpoint: EncoderCheckpoint) throws -> [(name: String, values: [Float])] {
        try checkpoint.storedNames.filter(EncoderCheckpoint.isLayerMatrix).map {
            ($0, try checkpoint.weight($0).dense().floats())
        }
    }

    /// What a stage made: as many zeros as were asked for, kept weights as they were where nothing trains, all else numbers.
    private func check(
        _ stage: Stage, _ before: EncoderCheckpoint, _ after: EncoderCheckpoint, _ report: CompressionReport
    ) throws {
        let (old, new) = (try matrices(before), try matrices(after))
        let count = new.reduce(0) { $0 + $1.values.count }
        let zeros = new.reduce(0) { $0 + $1.values.count { $0 == 0 } }
        let expected = ExactSelection.removedCount(count, sparsity: 0.5)
        // Where each matrix rounds its own count, no more than one each.
        #expect(zeros <= expected && zeros >= expected - (stage.options.contains("global") ? 0 : new.count), "\(zeros)")
        #expect(report.stages.count == 1 && old.map(\.name) == new.map(\.name))
        for name in after.storedNames {
            let values = try after.isCompressed(name) ? after.weight(name).dense() : after.storedTensor(name)
            #expect(values.floats().allSatisfy { $0.isFinite }, "\(name)")
        }
        let moved = zip(old, new).contains { pair in zip(pair.0.values, pair.1.values).contains { $1 != 0 && $0 != $1 }
        }
        #expect(moved != stage.isUntrained)
    }

    @Test(arguments: scoredStages + otherStages) func gapsAreFilledByWhatIsLeft(stage: Stage) throws {
        let before = try EncoderCheckpoint.open(PublishedEncoder.path)
        let text = CalibrationTokens(Array(try PublishedEncoder.calibration.tokens.prefix(240)), source: "text")
        let report = try EncoderCompressor(before, recipe: recipe(stage)).run(
            output: folder.path + "/out", calibration: text)
        try check(stage, before, .open(folder.path + "/out"), report)
    }

    /// The same of a classifier: every schedule and recovery by one method, every method at once.
    @Test(arguments: scoredStages.filter { $0.options.contains("taylor") || !$0.options.contains("{") } + otherStages)
    func textsAreClassifiedByWhatIsLeft(stage: Stage) throws {
        let before = try TextClassifier.write(to: folder.path + "/classifier", layers: 1)
        let report = try EncoderCompressor(before, recipe: recipe(stage)).run(
            output: folder.path + "/out", labelled: TextClassifier.texts(24))
        try check(stage, before, .open(folder.path + "/out"), report)
    }

    /// Sparsity by the index of what is left, and by what it costs the outputs.
    @Test func sparsitiesOfTheirOwn() throws {
        let before = try EncoderCheckpoint.open(PublishedEncoder.path)
        let text = CalibrationTokens(Array(try PublishedEncoder.calibration.tokens.prefix(240)), source: "text")
        let adaptive = Stage(options: "method: magnitude, schedule: { kind: sap, rounds: 2, scope: global }")
        let report = try EncoderCompressor(before, recipe: recipe(adaptive, sparsity: "")).run(
            output: folder.path + "/sap", calibration: text)
        let rounds = try #require(report.stageReports?.first?.rounds)
        let zeros = try matrices(.open(folder.path + "/sap")).reduce(0) { $0 + $1.values.count { $0 == 0 } }
        #expect(zeros == rounds.reduce(0) { $0 + $1.removed } && zeros > 0)
        for recovery in ["none", "fine-tune", "distill"] {
            let stage = Stage(
                options: "method: taylor, allocation: rate-distortion, grid: 4, samples: 2, recovery: \(recovery)")
            _ = try EncoderCompressor(before, recipe: recipe(stage)).run(
                output: folder.path + "/rates", calibration: text)
            let own = try matrices(.open(folder.path + "/rates"))
            let count = own.reduce(0) { $0 + $1.values.count }
            #expect(own.reduce(0) { $0 + $1.values.count { $0 == 0 } } == count / 2, "\(recovery)")
        }
    }

    /// The same recipe gives the same bytes, whatever trains.
    @Test(arguments: [
        "method: taylor, schedule: { kind: gradual, every: 2 }, recovery: distill", "method: movement",
        "method: random, schedule: { kind: dynamic, every: 1 }",
        "method: magnitude, schedule: { kind: iterative, levels: 2, rewind: 0.5 }",
    ])
    func sameRecipeSameBytes(options: String) throws {
        let text = CalibrationTokens(Array(try PublishedEncoder.calibration.tokens.prefix(240)), source: "text")
        for name in ["one", "two"] {
            _ = try EncoderCompressor(.open(PublishedEncoder.path), recipe: recipe(Stage(options: options))).run(
                output: folder.path + "/" + name, calibration: text)
        }
        #expect(try folder.files("one") == folder.files("two"))
    }
}
