import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// The vision transformers' part of the essential-sparsity experiment.
@Suite struct VisionSparsityTests {
    private typealias Kind = VisionPretraining.Kind

    /// What was measured: errors at sparsities 0 to 0.9, those of initial weights at 0, 0.2, 0.4, 0.6 and 0.8.
    private struct Numbers {
        var magnitude: [Kind: [Double]] = [:]
        var random: [Kind: [Double]] = [:]
        var fresh = [0.60, 0.605, 0.61, 0.62, 0.64]
        var freshRandom = [0.60, 0.61, 0.60, 0.635, 0.65]
        var share: [Kind: Double] = [.supervised: 0.080, .selfSupervised: 0.085]
        var tolerancePoint: [Kind: Double] = [.supervised: 0.5, .selfSupervised: 0.5]

        /// All claims hold.
        init() {
            // Nearly flat up to 0.5, steep from there on.
            let sharp = [0.30, 0.302, 0.304, 0.306, 0.308, 0.31, 0.36, 0.41, 0.46, 0.51]
            for kind in Kind.allCases {
                magnitude[kind] = sharp
                random[kind] = [sharp[0], 0.301] + sharp.dropFirst(2).map { $0 + 0.02 }
            }
        }
    }

    private func report(
        _ curves: KeyValuePairs<String, [Double]>, _ sparsities: [Double], tolerancePoint: Double
    ) throws -> SparsityReport {
        let series = curves.map { label, losses -> [String: Any] in
            [
                "label": label, "tolerancePoint": tolerancePoint,
                "points": zip(sparsities, losses).map { sparsity, loss -> [String: Any] in
                    ["sparsity": sparsity, "shardLosses": [loss], "layerSparsities": [sparsity]]
                },
            ]
        }
        let object: [String: Any] = [
            "weights": ["blocks.0.attn.qkv.weight"], "tolerance": 0.05, "measure": "accuracy", "chanceLoss": 0.8,
            "series": series,
        ]
        return try JSONDecoder().decode(SparsityReport.self, from: JSONSerialization.data(withJSONObject: object))
    }

    private func verdicts(_ change: (inout Numbers) -> Void = { _ in }) throws -> [String: Claim.Verdict] {
        var numbers = Numbers()
        change(&numbers)
        let tenths = (0...9).map { Double($0) / 10 }
        let trials = try [UInt64(1), 2].map { seed in
            var pretrainings: [Kind: VisionPretraining] = [:]
            var tuned: [Kind: SparsityReport] = [:]
            for kind in Kind.allCases {
                let last = try #require(numbers.share[kind])
                pretrainings[kind] = VisionPretraining(
                    checkpoints: [
                        .init(step: 0, nearZero: [0.0008, 0.008, 0.0797]),
                        .init(step: 10, nearZero: [last / 100, last / 10, last]),
                    ], result: 0.6)
                tuned[kind] = try report(
                    [
                        "magnitude-global": try #require(numbers.magnitude[kind]),
                        "random-global": try #require(numbers.random[kind]),
                    ], tenths, tolerancePoint: try #require(numbers.tolerancePoint[kind]))
            }
            let fresh = try report(
                ["magnitude-global": numbers.fresh, "random-global": numbers.freshRandom], [0, 0.2, 0.4, 0.6, 0.8],
                tolerancePoint: 0.2)
            return VisionSparsityTrial(seed: seed, pretrainings: pretrainings, tuned: tuned, fresh: fresh)
        }
        let claims = VisionSparsityMeasurement(trials: trials, prunableCount: 1_000_000, classCount: 5).claims
        return Dictionary(uniqueKeysWithValues: claims.map { ($0.id, $0.verdict) })
    }

    @Test func claimsFollowFromNumbers() throws {
        let ids = [
            "vision-sharp-drop", "vision-magnitude-beats-random", "vision-control", "vision-self-supervised",
        ]
        let all = try verdicts()
        #expect(Set(all.keys) == Set(ids) && all.values.allSatisfy { $0 == .holds }, "\(all)")

        /// Whether this claim fails and the others hold.
        func onlyFails(_ id: String, _ change: (inout Numbers) -> Void) throws {
            let found = try verdicts(change)
            for other in ids { #expect(found[other] == (other == id ? .doesNotHold : .holds), "\(other) for \(id)") }
        }
        for kind in Kind.allCases {
            try onlyFails("vision-sharp-drop") { numbers in
                numbers.magnitude[kind] = (0...9).map { 0.30 + 0.02 * Double($0) }
                numbers.random[kind] = (0...9).map { 0.31 + 0.02 * Double($0) }
            }
            try onlyFails("vision-magnitude-beats-random") { $0.random[kind]?[9] = 0.5 }
            // Below 0.2 either may lead, and equal errors are not worse.
            #expect(try verdicts { $0.random[kind]?[1] = 0.2 }["vision-magnitude-beats-random"] == .holds)
            #expect(try verdicts { $0.random[kind]?[4] = 0.308 }["vision-magnitude-beats-random"] == .holds)
        }
        try onlyFails("vision-control") { $0.freshRandom[3] = 0.65 }
        try onlyFails("vision-control") { $0.freshRandom[3] = 0.59 }
        try onlyFails("vision-control") { numbers in
            // Nothing is learned, so nothing can be lost.
            numbers.fresh = [0.75, 0.76, 0.76, 0.77, 0.77]
            numbers.freshRandom = numbers.fresh
        }
        try onlyFails("vision-self-supervised") { $0.share[.selfSupervised] = 0.0799 }
        // A lead of less than four standard errors of two million weights, 0.11 points.
        try onlyFails("vision-self-supervised") { $0.share[.selfSupervised] = 0.081 }
        try onlyFails("vision-self-supervised") { $0.tolerancePoint[.selfSupervised] = 0.4 }
    }

    private static func size() -> VisionSparsitySize {
        var size = VisionSparsitySize()
        (size.width, size.depth, size.headSize, size.patchSize) = (16, 1, 8, 8)
        (size.pretrainingSteps, size.pretrainingBatch, size.checkpoints, size.pretrainingRate) = (4, 4, 2, 2e-2)
        (size.tuningSteps, size.tuningBatch, size.tuningImages, size.testImages) = (2, 4, 20, 16)
        return size
    }

    private static func task(imageSize: Int = 16) throws -> VisionSparsityTask {
        try VisionSparsityTask(
            training: .shapes(60, size: imageSize, seed: 1), test: .shapes(20, size: imageSize, seed: 2), size: size())
    }

    @Test func classesAreSplitAndTestsAreApart() throws {
        let task = try Self.task()
        let names = ImageDataSet.shapes(1, seed: 1).classNames
        #expect(task.pretraining.count == 30 && task.pretraining.classNames == Array(names[..<5]))
        #expect(task.tuning.count == 20 && task.tuning.classNames == Array(names[5...]))
        #expect(task.tuning.classSizes == [4, 4, 4, 4, 4])
        // The ten test images of these classes, and six of the ten that are not trained on.
        #expect(task.testing.map(\.count) == [10, 6])
        func images(_ batches: some Sequence<LabeledBatch>) -> [[Float]] {
            batches.flatMap { batch in
                let values = batch.inputs.floats()
                let size = values.count / batch.count
                return (0..<batch.count).map { Array(values[($0 * size)..<(($0 + 1) * size)]) }
            }
        }
        let (learned, tested) = (Set(images(task.tuning.batches(of: 7))), Set(images(task.testing)))
        #expect(learned.count == 20 && tested.count == 16 && learned.isDisjoint(with: tested))
        let targets = task.testing.flatMap { $0.targets.integers() }
        #expect(targets.allSatisfy((0..<5).contains) && Set(targets).count == 5)
    }

    @Test func imagesThatDoNotFitAreRefused() throws {
        let error = #expect(throws: CoppiceError.self) { try Self.task(imageSize: 20) }
        #expect(error?.kind == .badData && error?.message.contains("multiples of 8") == true)
        let few = try ImageDataSet.shapes(60, size: 16, seed: 1).keeping(classes: [0, 1, 2])
        let second = #expect(throws: CoppiceError.self) {
            try VisionSparsityTask(training: few, test: few, size: Self.size())
        }
        #expect(second?.field == "classes")
    }

    @Test func everyClaimIsJudgedAndRunsRepeat() throws {
        let task = try Self.task()
        func run(_ seeds: [UInt64]) throws -> VisionSparsityMeasurement {
            try VisionSparsityMeasurement(task, seeds.map { try VisionSparsityTrial(task, seed: $0) {} })
        }
        let measured = try run([1, 2])
        #expect(measured.claims.count == 4 && measured.claims.allSatisfy { $0.verdict != .notMeasured })
        // Queries, keys and values, the way out, and a hidden layer of 64.
        #expect(measured.prunableCount == 16 * (48 + 16 + 64 + 64) && measured.classCount == 5)
        #expect(measured.tables.count == 3 && measured.illustrations.count == 2)
        for table in measured.tables {
            #expect(table.table.rows.allSatisfy { $0.count == table.table.head.count }, "\(table.title)")
        }
        let seeds = try #require(measured.json["seeds"]?.arrayValue)
        #expect(seeds.count == 2)
        #expect(try run([2]).json["seeds"]?[0]?.serialized() == seeds[1].serialized())
        for seed in seeds {
            let courses = try Kind.allCases.map { kind in
                try #require(seed["pretrainings"]?[kind.rawValue]?["checkpoints"]?.arrayValue)
            }
            #expect(courses[0].compactMap { $0["step"]?.intValue } == [0, 2, 4])
            // The same start, and other ways from there.
            #expect(courses[0][0].serialized() == courses[1][0].serialized())
            let ends = courses.map { $0[2]["near_zero"]?.serialized() }
            #expect(ends[0] != nil && ends[0] != ends[1])
            for kind in Kind.allCases {
                let curves = try #require(seed["fine_tuned"]?[kind.rawValue]?.arrayValue)
                #expect(curves.compactMap { $0["method"]?.stringValue } == ["magnitude-global", "random-global"])
                for curve in curves {
                    let sparsities = curve["sparsity"]?.arrayValue?.compactMap(\.doubleValue) ?? []
                    #expect(sparsities.map { ($0 * 10).rounded() } == (0...9).map(Double.init))
                }
            }
            #expect(seed["initial_weights"]?[0]?["loss"]?.arrayValue?.count == 5)
        }
    }
}
