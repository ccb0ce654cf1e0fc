import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Testing

/// Language models by criteria, schedules and recoveries that need the whole model in memory.
@Suite struct LanguageModelStageTests {
    let folder: TemporaryFolder
    let checkpoint: Checkpoint
    /// A text that can be learned: every token follows from the one before.
    let text = CalibrationTokens((0..<600).map { $0 * 7 % 50 }, source: "text.txt")

    init() throws {
        folder = try TemporaryFolder()
        checkpoint = try TinyCheckpoint.make(in: folder)
    }

    private func compress(
        _ stages: String..., training: String = "epochs: 2, batch_size: 4", to name: String = "out"
    ) throws -> (model: Checkpoint, report: CompressionReport) {
        let recipe = try Recipe(
            yaml: """
                prefer: size
                calibration: { samples: 8, sequence_length: 16, batch_size: 4 }
                training: { \(training) }
                stages: [\(stages.map { "{ \($0) }" }.joined(separator: ", "))]
                """, source: "r.yaml")
        let report = try Compressor(checkpoint, recipe: recipe).run(
            output: folder.path + "/" + name, calibration: recipe.needsCalibration ? text : nil)
        return (try Checkpoint.open(folder.path + "/" + name), report)
    }

    private func projections(_ model: Checkpoint) throws -> [String: [Float]] {
        let names = model.weightNames.filter(WeightSelection.isBlockProjection)
        return Dictionary(
            uniqueKeysWithValues: try names.map { ($0, try model.weight($0).dense().floats()) })
    }

    private func zeros(of model: Checkpoint) throws -> Int {
        try projections(model).values.reduce(0) { $0 + $1.count { $0 == 0 } }
    }

    /// Half of the weights that are pruned.
    private func half(of model: Checkpoint) throws -> Int {
        try projections(model).values.reduce(0) { $0 + $1.count } / 2
    }

    /// In nats a token, of the text that recipes train on.
    private func loss(_ model: Checkpoint) throws -> Double {
        let network = DecoderNetwork(model.configuration)
        try network.load { try model.tensor($0) }
        let tokens = Array(text.tokens.prefix(61))
        return withoutRecording {
            Double(
                network.loss(
                    Tensor(Array(tokens.dropLast()), shape: [1, 60]),
                    targets: Tensor(Array(tokens.dropFirst()), shape: [1, 60])
                ).scalar)
        }
    }

    @Test(arguments: [
        "method: snip", "method: taylor", "method: hessian", "method: grasp",
        "method: obd, gradients: 4, gradient_batch: 2", "method: woodfisher, gradients: 4, gradient_batch: 2",
        "method: m-fac, gradients: 4, gradient_batch: 2, recovery: surgeon",
        "method: woodfisher, gradients: 4, gradient_batch: 2, recovery: surgeon, schedule: { kind: gradual, every: 2 }",
        "method: movement", "method: searched",
        "method: magnitude, scope: global, schedule: gradual",
        "method: random, scope: global, schedule: { kind: dynamic, every: 4 }",
        "method: magnitude, scope: global, schedule: { kind: iterative, levels: 2, rewind: 0.5 }",
        "method: taylor, recovery: { kind: distill, teacher_share: 0.5 }",
        "method: taylor, allocation: rate-distortion, grid: 4, samples: 2, recovery: fine-tune",
    ])
    func everyCombinationEndsAtTheSparsity(options: String) throws {
        let (model, report) = try compress("prune: { \(options), sparsity: 0.5 }")
        #expect(try zeros(of: model) == half(of: model))
        #expect(report.weights.map(\.name) == checkpoint.weightNames)
        #expect(try loss(model).isFinite)
        for name in try projections(model).keys where try model.weight(name).sparsity > 0.2 {
            #expect(try model.weight(name).label == "sparse-bitmask-bf16", "\(name)")
        }
    }

    /// A text that is too short for a single move says so, and which option is at fault.
    @Test(arguments: [
        ("dynamic", "schedule: every: 100 steps, and connections stay from step "),
        ("{ kind: dynamic, every: 4, end: 0 }", "schedule: end: epoch 0.0, and connections stay from step 0 of "),
    ])
    func connectionsThatNeverMoveAreRefused(schedule: String, message: String) {
        #expect {
            _ = try compress("prune: { method: random, sparsity: 0.5, schedule: \(schedule) }")
        } throws: { "\($0)".hasPrefix("r.yaml: stages[0].prune: \(message)") }
    }

    @Test func bilevelPruningTrainsByMomentum() throws {
        let (model, _) = try compress("prune: { method: bip, sparsity: 0.5 }")
        #expect(try zeros(of: model) == half(of: model))
        let byMomentum = try Recipe(yaml: "stages: [{ prune: { method: bip, sparsity: 0.5 } }]").languageTraining
        #expect(byMomentum.optimizer.kind == .sgd && byMomentum.optimizer.clipNorm == 1)
        #expect(byMomentum.loop.batchSize == 8)
        let others = try Recipe(yaml: "stages: [{ prune: { method: snip, sparsity: 0.5 } }]").languageTraining
        #expect(others.optimizer.kind == .adamw && others.optimizer.learningRate == 1e-4)
        #expect(others.optimizer.weightDecay == 0.01 && others.optimizer.clipNorm == 1)
        #expect {
            _ = try compress("prune: { method: bip, sparsity: 0.5 }", training: "optimizer: { kind: adamw }")
        } throws: { "\($0)".contains("expected training.optimizer.kind sgd, found adamw") }
    }

    @Test(arguments: ["taylor, schedule: { kind: one-shot, rounds: 3 }", "magnitude, schedule: gradual"])
    func budgetsHoldInEverySchedule(options: String) throws {
        let (model, _) = try compress("prune: { method: \(options), sparsity: 0.25, budgets: { mlp: 0.75 } }")
        for (name, values) in try projections(model) {
            let part = name.contains("mlp") ? 0.75 : 0.25
            #expect(values.count { $0 == 0 } == Int(part * Double(values.count)), "\(name)")
        }
    }

    /// Subset retraining of norms: every other tensor is written as it would be without.
    @Test func fineTuningTrainsWhatIsNamed() throws {
        let stage = "method: magnitude, sparsity: 0.6"
        let training = "epochs: 6, batch_size: 4, optimizer: { learning_rate: 3.0e-2 }"
        let (plain, _) = try compress("prune: { \(stage) }", to: "plain")
        let (tuned, _) = try compress(
            "prune: { \(stage), recovery: { kind: fine-tune, trains: \"*norm*\" } }", training: training, to: "tuned")
        #expect(try loss(tuned) < loss(plain))
        for name in checkpoint.weightNames {
            let isSame = try tuned.tensor(name).floats() == plain.tensor(name).floats()
            #expect(isSame != name.contains("norm"), "\(name)")
        }
        #expect {
            _ = try compress("prune: { \(stage), recovery: { kind: fine-tune, trains: [bias, nrm] } }")
        } throws: {
            "\($0)".hasSuffix(
                "prune.recovery.trains: \"nrm\" matches no parameter of the network; did you mean \"norm\"?")
        }
    }

    @Test func sparsityFollowsTheIndexOfWhatIsLeft() throws {
        let (model, report) = try compress(
            "prune: { method: magnitude, schedule: { kind: sap, rounds: 2, scope: global } }")
        let rounds = try #require(report.stageReports?.first?.rounds)
        #expect(rounds.count >= 2 && rounds[0].removed > 0 && rounds[0].accuracy == nil)
        #expect(try zeros(of: model) == rounds.reduce(0) { $0 + $1.removed })
    }

    /// Training brings the loss down, keeps the mask of the same stage without training, and reaches every tensor.
    @Test(arguments: ["magnitude", "wanda", "sparsegpt"]) func fineTuningKeepsTheMask(method: String) throws {
        let stage = "method: \(method), sparsity: 0.6"
        let training = "epochs: 6, batch_size: 4, optimizer: { learning_rate: 3.0e-3 }"
        let (plain, _) = try compress("prune: { \(stage) }", to: "plain")
        let (tuned, report) = try compress("prune: { \(stage), recovery: fine-tune }", training: training, to: "tuned")
        #expect(try loss(tuned) < 0.8 * loss(plain))
        let (before, after) = (try projections(plain), try projections(tuned))
        for (name, values) in before {
            #expect(zip(values, try #require(after[name])).allSatisfy { ($0 == 0) == ($1 == 0) }, "\(name)")
        }
        for name in ["model.norm.weight", "model.embed_tokens.weight"] {
            #expect(try tuned.tensor(name).floats() != plain.tensor(name).floats(), "\(name)")
            #expect(try tuned.tensor(name).dataType == .bf16)
        }
        #expect(report.calibrationTokens == text.tokens.count && report.calibrationSource == text.source)
    }

    @Test func laterStagesWorkOnWhatTrainingLeft() throws {
        let (model, report) = try compress(
            "prune: { method: magnitude, pattern: \"2:4\", recovery: fine-tune }", "quantize: { bits: 8 }")
        let name = "model.layers.1.mlp.up_proj.weight"
        #expect(try model.weight(name).label == "sparse-2:4-int8")
        #expect(report.weights.first { $0.name == name }?.sparsity ?? 0 >= 0.5)
        // A second stage counts what the first removed.
        let (twice, _) = try compress(
            "prune: { method: wanda, sparsity: 0.25, recovery: fine-tune }", "prune: { method: taylor, sparsity: 0.5 }",
            to: "twice")
        #expect(try zeros(of: twice) == half(of: twice))
    }

    /// What whole heads left trains on, in its new shapes or with its zeros.
    @Test(arguments: ["layer", "global"]) func headsGoBeforeTraining(scope: String) throws {
        let heads = "prune: { method: taylor, sparsity: 0.5, granularity: head, scope: \(scope) }"
        let training = "epochs: 6, batch_size: 4, optimizer: { learning_rate: 3.0e-3 }"
        let (plain, _) = try compress(heads, to: "plain")
        let (tuned, report) = try compress(
            heads, "prune: { method: magnitude, sparsity: 0, recovery: fine-tune }", training: training, to: "tuned")
        #expect(tuned.configuration == plain.configuration)
        #expect(try loss(tuned) < 0.8 * loss(plain))
        let (before, after) = (try projections(plain), try projections(tuned))
        for (name, values) in before { #expect(zip(values, after[name] ?? []).allSatisfy { $0 != 0 || $1 == 0 }) }
        #expect(report.stageReports?.first?.units?.isEmpty == false)
    }

    @Test func masksOfAnotherModelAreTaken() throws {
        let (plain, _) = try compress("prune: { method: random, sparsity: 0.5 }", to: "plain")
        let (model, _) = try compress("prune: { method: mask, masks: \(plain.path), recovery: fine-tune }")
        let (before, after) = (try projections(plain), try projections(model))
        for (name, values) in before { #expect(zip(values, after[name] ?? []).allSatisfy { $0 != 0 || $1 == 0 }) }
    }

    @Test func sameRecipeSameBytes() throws {
        let stage = "prune: { method: taylor, sparsity: 0.5, recovery: fine-tune }"
        _ = try compress(stage, to: "one")
        _ = try compress(stage, to: "two")
        let (one, two) = (try folder.files("one"), try folder.files("two"))
        #expect(one.filter { $0.key.hasSuffix("safetensors") } == two.filter { $0.key.hasSuffix("safetensors") })
    }

    @Test(arguments: [
        ("prune: { method: synflow, sparsity: 0.5 }", "prune.method: synflow is for vision networks"),
        ("prune: { method: l1, sparsity: 0.5, granularity: filter }", "prune.method: l1 is for vision networks"),
        ("prune: { method: wanda, sparsity: 0.5, schedule: gradual }", "prune.schedule: wanda prunes at once"),
        ("prune: { method: sparsegpt, sparsity: 0.5, schedule: gradual }", "prune.schedule: sparsegpt prunes at once"),
        (
            "prune: { method: taylor, sparsity: 0.5 } }, { prune: { method: random, sparsity: 0, recovery: reconstruct }",
            "stages[1].prune.recovery: what earlier stages removed is lost where a stage takes gradients or trains"
        ),
    ])
    func whatIsForVisionNetworksIsRefused(stage: String, message: String) throws {
        #expect { _ = try compress(stage) } throws: { "\($0)".contains(message) }
    }

    @Test func thereAreNoBatchNormalizationsToPenalize() throws {
        #expect {
            _ = try compress("prune: { method: snip, sparsity: 0.5 }", training: "bn_scale_l1: 1.0e-4")
        } throws: {
            "\($0)"
                == "r.yaml: training.bn_scale_l1: is of batch normalizations, and a network of texts has none; leave it out"
        }
    }

    @Test func textsAreChecked() throws {
        let recipe = try Recipe(
            yaml: "calibration: { sequence_length: 16 }\nstages: [prune: { method: snip, sparsity: 0.5 }]",
            source: "r.yaml")
        let compressor = try Compressor(checkpoint, recipe: recipe)
        func refusal(_ tokens: [Int]?, _ message: String) {
            #expect {
                _ = try compressor.run(
                    output: folder.path + "/out", calibration: tokens.map { CalibrationTokens($0, source: "t.txt") })
            } throws: { "\($0)".contains(message) }
        }
        refusal(nil, "stages[0].prune: method snip looks at gradients, and needs a calibration text; there is none")
        refusal(Array(0..<10), "t.txt: the calibration text has 10 tokens, expected at least one window of 16")
        refusal(Array(0..<16), "t.txt: has 16 tokens, expected at least 17")
        refusal(Array(repeating: 77, count: 100), "t.txt: has the token 77, expected tokens below 50")
    }
}
