import CoppiceCompression
import CoppiceTensors
import CoppiceTraining
import Testing

/// The parts of recipes that are about networks in memory.
@Suite struct NetworkRecipeTests {
    private func stage(_ options: String, training: String = "epochs: 4") throws -> PruneStage {
        let recipe = try Recipe(
            yaml: "training: { \(training) }\nstages:\n  - prune: { \(options) }\n", source: "r.yaml")
        guard case .prune(let stage) = recipe.stages[0] else { throw CoppiceError(.internal, "no prune stage") }
        return stage
    }

    private func failure(_ options: String, training: String = "epochs: 4") -> String {
        do {
            _ = try stage(options, training: training)
            return "nothing was wrong"
        } catch { return "\(error)" }
    }

    @Test func defaultsAreThoseOfThePapers() throws {
        let flow = try stage("method: synflow, sparsity: 0.9")
        #expect(flow.network.schedule == .oneShot(rounds: 100) && flow.scope == .global)
        #expect(flow.needOfImages == nil)
        let snip = try stage("method: snip, sparsity: 0.9, allocation: erk")
        #expect(snip.network.schedule == .oneShot(rounds: 1) && snip.scope == .layer && snip.allocation == .erk)
        #expect(snip.needOfImages?.reason == "method snip looks at gradients" && snip.needOfImages?.isOfLabels == true)
        let fisher = try stage("method: woodfisher, sparsity: 0.5, gradients: 16, gradient_batch: 4, block_size: 64")
        #expect(fisher.network.sampling == GradientSampling(count: 16, batchSize: 4))
        #expect(fisher.network.blockSize == 64)
        let indexed = try stage("method: magnitude, sparsity: 0.5, allocation: pq-index")
        #expect(indexed.allocation == .pqIndex && indexed.index == .gentle && indexed.scope == .layer)
        let bolder = try stage("method: magnitude, sparsity: 0.5, allocation: pq-index, p: 1, q: 2")
        #expect(bolder.index == .aggressive)
        #expect("\(Recipe.Stage.prune(bolder))".contains("allocation: pq-index, p: 1.0, q: 2.0"))
        let magnitude = try stage("method: magnitude, sparsity: 0.5")
        #expect(magnitude.network == NetworkPruning() && magnitude.needOfImages == nil && magnitude.scope == .layer)
        let words = try stage("method: magnitude, sparsity: 0.5, schedule: gradual, recovery: distill")
        #expect(words.network.schedule == .gradual(begin: 0, end: 3, every: 20))
        #expect(words.network.recovery == .distill(temperature: 4, teacherShare: 0.9))
        #expect(words.needOfImages?.reason == "schedule gradual trains")
        let levels = try stage(
            "method: magnitude, sparsity: 0.5, schedule: { kind: iterative, levels: 3, rewind: none }")
        #expect(levels.network.schedule == .iterative(levels: 3, rewind: nil))
    }

    @Test func learnedMasksHaveTheDefaultsOfTheirPapers() throws {
        let searched = try stage("method: searched, sparsity: 0.9").network.search
        #expect(searched == SearchOptions() && searched.restriction == .poly4 && searched.learningRate == 0.1)
        let bip = try stage("method: bip, sparsity: 0.9").network.bilevel
        #expect(
            bip.maskRate == 0.1 && bip.regularization == 1 && bip.lowerSteps == 1 && bip.implicitGradient == .formula)
        #expect(bip.scoreScale == .raw)
        let scaled = try stage("method: bip, sparsity: 0.9, score_scale: layer")
        #expect(scaled.network.bilevel.scoreScale == .layer)
        #expect("\(Recipe.Stage.prune(scaled))".contains("score_scale: layer"))
        let movement = try stage("method: movement, sparsity: 0.9")
        #expect(movement.network.schedule == .gradual(begin: 0, end: 3, every: 20) && movement.scope == .global)
        let dynamic = try stage("method: random, sparsity: 0.9, schedule: dynamic").network.schedule
        #expect(dynamic == .dynamic(DynamicOptions(.rigl, end: 3)))
        let sap = try stage("method: magnitude, schedule: { kind: sap, p: 1, q: 2, scope: neuron, rewind: none }")
        var options = AdaptiveOptions()
        (options.index, options.scope, options.rewind) = (.aggressive, .neuron, nil)
        #expect(sap.network.schedule == .adaptive(options) && sap.sparsity == 0)
        options = AdaptiveOptions()
        options.keep = .best(tolerance: 0.02)
        let best = try stage("method: magnitude, schedule: { kind: sap, keep: best, tolerance: 0.02 }")
        #expect(best.network.schedule == .adaptive(options))
        options.keep = .best(tolerance: 0)
        #expect(
            try stage("method: magnitude, schedule: { kind: sap, keep: best }").network.schedule == .adaptive(options))
        let channels = try stage("method: taylor, sparsity: 0.5, granularity: channel, of: parameters, floor: 0.2")
        #expect(channels.unit == .channel && channels.network.measure == .parameters && channels.scope == .global)
        #expect(channels.floor == .share(0.2) && channels.needOfImages != nil)
        #expect(try stage("method: l2, sparsity: 0.5, granularity: filter").needOfImages == nil)
        let measured = try stage(
            "method: l2, sparsity: 0.5, granularity: filter, allocation: rate-distortion, of: multiplications, "
                + "floor: 0.2, schedule: { kind: one-shot, rounds: 3 }")
        #expect(measured.allocation == .rateDistortion && measured.network.measure == .multiplications)
        #expect(measured.floor == .share(0.2) && measured.network.schedule == .oneShot(rounds: 3))
        #expect(!measured.rateDistortion.countsMultiplications && measured.needOfImages?.isOfLabels == false)
        #expect(
            try stage("method: magnitude, sparsity: 0.5, pattern: block, block: [4, 8]").pattern
                == .blocks(rows: 4, columns: 8, score: .mean))
    }

    @Test func trainingIsWrittenAsInTrainingRecipes() throws {
        let recipe = try Recipe(
            yaml: """
                seed: 9
                calibration: { images: 500, batch_size: 20 }
                training:
                  epochs: 1.5
                  batch_size: 32
                  optimizer: { momentum: 0.8 }
                  schedule: { kind: constant }
                  augmentation: standard
                  label_smoothing: 0.1
                stages: [{ prune: { method: random, sparsity: 0.5 } }]
                """)
        #expect(recipe.images == .init(count: 500, batchSize: 20))
        #expect(recipe.training.loop.epochs == 1.5 && recipe.training.loop.batchSize == 32)
        #expect(recipe.training.optimizer.momentum == 0.8 && recipe.training.optimizer.learningRate == 0.01)
        #expect(recipe.training.schedule.kind == .constant && recipe.training.loop.labelSmoothing == 0.1)
        #expect(recipe.training.images.augmentation == .standard && recipe.training.seed == 9)
    }

    @Test(arguments: [
        (
            "method: magnitude, sparsity: 1",
            "stages[0].prune.sparsity: expected a number from 0.0 to below 1.0, found 1"
        ),
        ("method: magnitude, sparsity: -0.1", "expected a number from 0.0 to below 1.0, found -0.1"),
        ("method: snip, sparsity: 0.5, gradients: 3", "gradients: is an option of method obd, woodfisher and m-fac"),
        ("method: woodfisher, sparsity: 0.5, storage: bf16", "storage: is an option of method m-fac; leave it out"),
        ("method: m-fac, sparsity: 0.5, storage: f64", "storage: unknown value"),
        ("method: obd, sparsity: 0.5, block_size: 3", "block_size: is an option of method woodfisher and sparsegpt"),
        (
            "method: wanda, sparsity: 0.5, dampening: 0.1",
            "dampening: is an option of method obd, woodfisher, m-fac and"
        ),
        ("method: sparsegpt, sparsity: 0.5, recovery: reconstruct", "recovery: sparsegpt reconstructs as it removes"),
        (
            "method: taylor, sparsity: 0.5, recovery: reconstruct",
            "recovery: reconstruct makes up for what goes matrix by"
        ),
        (
            "method: magnitude, sparsity: 0.5, recovery: reconstruct, schedule: gradual",
            "schedule: reconstruct comes after pruning at once"
        ),
        (
            "method: sparsegpt, sparsity: 0.5, scope: row",
            "scope: sparsegpt compares the weights of a block of a matrix's"
        ),
        ("method: sparsegpt, sparsity: 0.5, allocation: lamp", "allocation: sparsegpt has no scores before it prunes"),
        ("method: sparsegpt, sparsity: 0.5, pattern: group", "pattern: sparsegpt removes single weights"),
        ("method: sparsegpt, sparsity: 0.5, granularity: head", "granularity: method sparsegpt scores single weights"),
        (
            "method: magnitude, sparsity: 0.5, schedule: { kind: gradual, begin: 2, end: 1 }",
            "end: the schedule ends at epoch 1.0, before it starts at epoch 2.0"
        ),
        (
            "method: magnitude, sparsity: 0.5, schedule: { kind: gradual, end: 9 }",
            "end: the schedule ends at epoch 9.0, after the 4.0 epochs of training"
        ),
        (
            "method: magnitude, sparsity: 0.5, schedule: { kind: gradual, levels: 2 }",
            "levels: has no meaning for schedule gradual"
        ),
        (
            "method: magnitude, sparsity: 0.5, schedule: { kind: iterative, rewind: 4 }",
            "rewind: epoch 4.0 is not before the end of training"
        ),
        ("method: magnitude, sparsity: 0.5, schedule: gradul", "unknown value \"gradul\"; did you mean \"gradual\"?"),
        ("method: magnitude, sparsity: 0.5, schedule: { rounds: 3 }", "the key \"kind\" is missing"),
        ("method: magnitude, pattern: \"2:4\", schedule: gradual", "fixes the sparsity and is reached at once"),
        ("method: magnitude, sparsity: 0.5, recovery: surgeon", "expected method obd, woodfisher or m-fac"),
        ("method: m-fac, sparsity: 0.5, recovery: surgeon, schedule: iterative", "schedule one-shot or gradual"),
        ("method: m-fac, pattern: \"2:4\", recovery: surgeon", "expected pattern unstructured"),
        (
            "method: magnitude, sparsity: 0.5, recovery: { kind: fine-tune, temperature: 2 }",
            "temperature: is an option of recovery distill"
        ),
        ("method: mask, sparsity: 0.5, masks: a", "sparsity: does not go with method mask"),
        ("method: mask", "the key \"masks\" is missing"),
        ("method: magnitude, sparsity: 0.5, masks: a", "masks: is an option of method mask"),
        ("method: synflow, scope: global, allocation: erk, sparsity: 0.5", "does not go with scope global"),
        (
            "method: grasp, sparsity: 0.5, allocation: lamp",
            "allocation: lamp squares scores, and those of grasp may be negative"
        ),
        (
            "method: grasp, sparsity: 0.5, pattern: group, group_score: l2",
            "group_score: l2 squares scores, and those of grasp may be negative; expected mean or max"
        ),
        (
            "method: movement, sparsity: 0.5, pattern: block, block: [2, 2], group_score: l2",
            "group_score: l2 squares scores, and those of movement may be negative; expected mean or max"
        ),
        (
            "method: magnitude, sparsity: 0.5, recovery: { kind: none, trains: bias }",
            "trains: is an option of recoveries that train, fine-tune and distill"
        ),
        ("method: magnitude, sparsity: 0.5, recovery: { kind: fine-tune, trains: [] }", "trains: expected"),
        ("method: searched, sparsity: 0.5, rates: sum", "rates: unknown value \"sum\""),
        ("method: searched, sparsity: 0.5, init: sparsegpt", "init: expected one of magnitude, wanda, random, snip"),
        ("method: searched, sparsity: 0.5, scope: layer", "scope: does not go with method searched, whose rates say"),
        ("method: searched, sparsity: 0.5, recovery: fine-tune", "then_train trains them afterwards"),
        ("method: magnitude, sparsity: 0.5, restrict: poly4", "restrict: is an option of method searched"),
        ("method: magnitude, sparsity: 0.5, gamma: 2", "gamma: is an option of method bip"),
        ("method: snip, sparsity: 0.5, mask_learning_rate: 2", "is an option of method searched and bip"),
        ("method: bip, sparsity: 0.5, gamma: 0", "gamma: expected a number from"),
        ("method: bip, sparsity: 0.5, score_scale: global", "score_scale: unknown value \"global\""),
        (
            "method: bip, sparsity: 0.5, granularity: filter, score_scale: layer",
            "score_scale: layer is of single weights: each filter is compared with those of its group alone"
        ),
        ("method: searched, sparsity: 0.5, score_scale: layer", "score_scale: is an option of method bip"),
        ("method: bip, sparsity: 0.5, implicit: exact", "implicit: unknown value \"exact\""),
        ("method: bip, sparsity: 0.5, allocation: erk", "allocation: does not go with method bip, which learns"),
        ("method: bip, sparsity: 0.5, granularity: filter, of: parameters", "of: does not go with method bip"),
        ("method: movement, pattern: \"2:4\"", "pattern: 2:4 fixes the sparsity, and movement ramps it up"),
        ("method: movement, sparsity: 0.5, schedule: one-shot", "schedule: movement prunes while the network trains"),
        ("method: movement, sparsity: 0.5, allocation: lamp", "lamp is not for scores of movement"),
        ("method: snip, sparsity: 0.5, granularity: channel", "granularity: method snip scores single weights"),
        ("method: l1, sparsity: 0.5", "method: l1 scores whole channels; set granularity to channel or filter"),
        ("method: l1, sparsity: 0.5, granularity: channel, pattern: group", "pattern: does not go with granularity"),
        ("method: l1, sparsity: 0.5, granularity: channel, scope: row", "scope: rows are single outputs"),
        (
            "method: l1, sparsity: 0.5, granularity: channel, allocation: erk",
            "leave it out and set scope to layer or global, or allocation to rate-distortion"
        ),
        (
            "method: l1, sparsity: 0.5, granularity: channel, schedule: { kind: one-shot, rounds: 2 }",
            "schedule: does not go with granularity channel"
        ),
        (
            "method: l1, sparsity: 0.5, granularity: channel, allocation: rate-distortion, schedule: iterative",
            "schedule: whole channels go in rounds, expected schedule one-shot"
        ),
        (
            "method: l1, sparsity: 0.5, granularity: filter, allocation: rate-distortion, curves: a.json",
            "curves: curves of a file are of single weights, those of filters are measured; leave it out"
        ),
        (
            "method: l1, sparsity: 0.5, granularity: channel, allocation: rate-distortion, scope: global",
            "allocation: does not go with scope global"
        ),
        ("method: l1, sparsity: 0.5, granularity: channel, grid: 5", "grid: goes with allocation rate-distortion"),
        (
            "method: bip, sparsity: 0.5, granularity: filter, allocation: rate-distortion",
            "allocation: does not go with"
        ),
        ("method: magnitude, sparsity: 0.5, of: parameters", "of: goes with granularity filter and channel"),
        ("method: magnitude, schedule: { kind: sap, p: 2, q: 1 }", "q: expected p below q, found p 2.0 and q 1.0"),
        ("method: magnitude, sparsity: 0.5, schedule: sap", "sparsity: does not go with schedule sap"),
        ("method: magnitude, sparsity: 0.5, allocation: pq-index, p: 2", "p: expected p below q, found p 2.0"),
        ("method: magnitude, sparsity: 0.5, allocation: erk, p: 1", "p: goes with allocation pq-index, and into a"),
        ("method: snip, sparsity: 0.5, allocation: pq-index", "allocation: pq-index is the index of magnitudes"),
        ("method: sparsegpt, sparsity: 0.5, allocation: pq-index", "allocation: pq-index is the index of magnitudes"),
        ("method: snip, schedule: sap", "schedule: sap removes the smallest weights, expected method magnitude"),
        ("method: magnitude, schedule: { kind: sap, beta: 2 }", "beta: expected a number from"),
        ("method: magnitude, schedule: { kind: sap, keep: first }", "keep: unknown value \"first\""),
        ("method: magnitude, schedule: { kind: sap, keep: best, tolerance: 2 }", "tolerance: expected a number from"),
        ("method: magnitude, schedule: { kind: sap, tolerance: 0.1 }", "tolerance: is of keep: best; leave it out"),
        ("method: magnitude, schedule: { kind: iterative, keep: best }", "keep: has no meaning for schedule iterative"),
        ("method: random, sparsity: 0.5, schedule: { kind: dynamic, by: sgd }", "by: unknown value \"sgd\""),
        (
            "method: random, sparsity: 0.5, schedule: { kind: dynamic, end: 5 }",
            "end: the schedule ends at epoch 5.0, after"
        ),
        (
            "method: random, sparsity: 0.5, pattern: group, schedule: dynamic",
            "schedule: dynamic moves single weights, expected pattern unstructured"
        ),
        ("method: magnitude, sparsity: 0.5, grid: 10", "grid: goes with allocation rate-distortion alone"),
        ("method: magnitude, sparsity: 0.5, of: multiplications", "of: goes with granularity filter and channel, and"),
        (
            "method: magnitude, sparsity: 0.5, allocation: rate-distortion, of: channels",
            "of: expected parameters or multiplications"
        ),
        (
            "method: obd, sparsity: 0.5, allocation: rate-distortion, of: multiplications, recovery: surgeon",
            "the recovery surgeon counts weights"
        ),
        (
            "method: magnitude, sparsity: 0.5, allocation: rate-distortion, pattern: group",
            "allocation: rate-distortion shares out single weights"
        ),
        (
            "method: magnitude, sparsity: 0.5, allocation: rate-distortion, schedule: gradual",
            "allocation: rate-distortion measures before it prunes"
        ),
        ("method: magnitude, sparsity: 0.5, pattern: block", "pattern: block needs the key \"block\""),
        (
            "method: magnitude, sparsity: 0.5, pattern: block, block: [4]",
            "block: expected [rows, columns], such as [4, 4]"
        ),
        ("method: magnitude, sparsity: 0.5, pattern: block, block: [0, 4]", "block[0]: expected a whole number from 1"),
        ("method: magnitude, sparsity: 0.5, block: [4, 4]", "block: goes with pattern block alone"),
    ])
    func mistakesAreNamed(options: String, message: String) {
        #expect(failure(options).contains(message), "\(failure(options))")
    }

    /// The ramp of a gradual schedule is a word; the cubic one is the standard and goes without saying.
    @Test func rampsAreChosenByName() throws {
        for ramp in SparsityRamp.allCases {
            let own = try stage("method: magnitude, sparsity: 0.5, schedule: { kind: gradual, ramp: \(ramp) }")
            #expect(own.network.schedule == .gradual(begin: 0, end: 3, every: 20, ramp: ramp))
        }
        #expect(
            failure("method: magnitude, sparsity: 0.5, schedule: { kind: gradual, ramp: cubical }").contains(
                "prune.schedule.ramp: unknown value \"cubical\"; did you mean \"cubic\"?"))
        #expect(
            failure("method: magnitude, sparsity: 0.5, schedule: { kind: iterative, ramp: cubic }").contains(
                "has no meaning for schedule iterative"))
    }

    @Test func schedulesThatEndBeforeTheyStart() throws {
        #expect { _ = try RampSchedule(to: 0.5, begin: 10, end: 10, interval: 1) } throws: {
            "\($0)" == "schedule: ends at step 10 before it has started at step 10"
        }
        #expect { _ = try RampSchedule(from: 0.6, to: 0.5, begin: 0, end: 10, interval: 1) } throws: {
            "\($0)".contains("0.5 is below the 0.6")
        }
        func middle(_ ramp: SparsityRamp) throws -> Double {
            try #require(
                RampSchedule(ramp, from: 0.1, to: 0.9, begin: 10, end: 20, interval: 5).sparsity(at: 15))
        }
        let ramp = try RampSchedule(from: 0.1, to: 0.9, begin: 10, end: 20, interval: 5)
        #expect(ramp.sparsity(at: 9) == nil && ramp.sparsity(at: 12) == nil && ramp.sparsity(at: 21) == nil)
        // Half of the way: 0.9 becomes 0.3 of it, then 0.1; and the mean of both.
        let (geometric, linear) = (try middle(.geometric), try middle(.linear))
        #expect(abs(geometric - 0.7) < 1e-12 && abs(linear - 0.5) < 1e-12)
        // s₁ + (s₀ − s₁)(1 − t)³ at t = 0, 1/2, 1.
        let expected = [0.1, 0.8, 0.9]
        for (step, sparsity) in zip([10, 15, 20], expected) {
            let found = try #require(ramp.sparsity(at: step))
            #expect(abs(found - sparsity) < 1e-12)
        }
    }

    /// Methods of channels may be called as `prune-channels` calls them; the description has the recipe's name.
    @Test(arguments: [("slimming", .bnScale), ("group", .groupL2)] as [(String, PruneStage.Method)])
    func namesOfPruneChannelsAreUnderstood(name: String, method: PruneStage.Method) throws {
        let options = "granularity: channel, sparsity: 0.3"
        let aliased = try stage("method: \(name), \(options)")
        let usual = try stage("method: \(method.rawValue), \(options)")
        #expect(aliased.method == method && aliased == usual)
        #expect(Recipe.Stage.prune(aliased).description.contains("method: \(method.rawValue), "))
    }

    /// What all stages train for: levels begin at the epoch that they are rewound to.
    @Test(arguments: [
        ("method: magnitude, sparsity: 0.5", 0), ("method: magnitude, sparsity: 0.5, recovery: fine-tune", 4),
        ("method: magnitude, sparsity: 0.5, schedule: gradual, recovery: distill", 8),
        ("method: magnitude, sparsity: 0.5, schedule: { kind: iterative, levels: 3, rewind: 1 }", 13),
        ("method: magnitude, schedule: { kind: sap, rounds: 2 }", 12),
        ("method: searched, sparsity: 0.5, epochs: 2, then_train: 1", 3), ("method: movement, sparsity: 0.5", 4),
    ])
    func trainedEpochsAreTold(options: String, epochs: Double) throws {
        let yaml = "training: { epochs: 4 }\nstages:\n  - prune: { \(options) }\n"
        let recipe = try Recipe(yaml: yaml, source: "r.yaml")
        #expect(recipe.trainedEpochs(ofLanguage: false) == epochs && recipe.trainedEpochs(ofLanguage: true) == epochs)
        #expect(recipe.withSeed(9).seed == 9 && recipe.withSeed(9).stages == recipe.stages)
        #expect(recipe.withSeed(9).text.hasSuffix(yaml))
    }

    @Test func anotherSparsity() throws {
        let recipe = try Recipe(
            yaml: "stages:\n  - prune: { method: magnitude, sparsity: 0.5 }\n  - quantize: { bits: 8 }\n")
        let other = try recipe.withSparsity(0.8)
        guard case .prune(let stage) = other.stages[0] else {
            Issue.record("no prune stage")
            return
        }
        #expect(stage.sparsity == 0.8 && other.hash != recipe.hash && other.text.hasSuffix(recipe.text))
        #expect { _ = try recipe.withSparsity(1) } throws: { "\($0)".contains("0 to below 1") }
        let fixed = try Recipe(yaml: "stages: [{ prune: { method: magnitude, pattern: \"2:4\" } }]")
        #expect { _ = try fixed.withSparsity(0.5) } throws: { "\($0)".contains("N:M and masks fix it") }
        let adaptive = try Recipe(yaml: "stages: [{ prune: { method: magnitude, schedule: sap } }]")
        #expect { _ = try adaptive.withSparsity(0.5) } throws: { "\($0)".contains("schedule sap finds its own") }
    }
}
