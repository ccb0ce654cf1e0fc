import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct TrainingRecipeTests {
    private func message(_ yaml: String) -> String? {
        do {
            _ = try TrainingRecipe(yaml: yaml, source: "r.yaml")
            return nil
        } catch { return (error as? CoppiceError).map { $0.kind == .badData ? "\($0)" : "wrong kind" } ?? "\(error)" }
    }

    @Test func everyKeyIsRead() throws {
        let recipe = try TrainingRecipe(
            yaml: """
                name: tales
                seed: 7
                model:
                  family: qwen3
                  hidden_size: 64
                  intermediate_size: 128
                  layers: 2
                  heads: 4
                  key_value_heads: 2
                  head_size: 32
                  context: 128
                  rope_base: 50000
                  norm_epsilon: 1e-6
                  tied_embeddings: false
                  initial_deviation: 0.01
                  dropout: 0.1
                tokenizer: { train: 512 }
                data: { train: [a.txt, b.txt], validation: c.txt, separator: "***" }
                optimizer:
                  learning_rate: 2e-3
                  betas: [0.8, 0.9]
                  epsilon: 1e-6
                  weight_decay: 0.2
                  decay: projections
                  clip_norm: none
                schedule: { kind: linear, warmup_steps: 5, minimum_ratio: 0.2 }
                training:
                  batch_size: 4
                  sequence_length: 64
                  accumulation: 2
                  steps: 30
                  validate_every: 10
                  checkpoint_every: 20
                  log_every: 1
                  patience: 3
                  precision: bf16
                """)
        #expect(recipe.name == "tales" && recipe.seed == 7)
        let model = recipe.model
        #expect(model.family == .qwen3 && model.hiddenSize == 64 && model.intermediateSize == 128 && model.layers == 2)
        #expect(model.heads == 4 && model.keyValueHeads == 2 && model.headSize == 32 && model.context == 128)
        #expect(model.ropeBase == 50_000 && model.normEpsilon == 1e-6 && !model.tiesEmbeddings)
        #expect(model.initialDeviation == 0.01 && model.dropout == 0.1)
        #expect(recipe.tokenizer == .trained(vocabulary: 512))
        #expect(recipe.data.train == ["a.txt", "b.txt"] && recipe.data.validation == ["c.txt"])
        #expect(recipe.data.separator == "***")
        let optimizer = recipe.optimizer
        #expect(optimizer.learningRate == 2e-3 && optimizer.beta1 == 0.8 && optimizer.beta2 == 0.9)
        #expect(optimizer.epsilon == 1e-6 && optimizer.weightDecay == 0.2 && optimizer.decay == .projections)
        #expect(optimizer.clipNorm == nil)
        #expect(recipe.schedule.kind == .linear && recipe.schedule.warmupSteps == 5)
        #expect(recipe.schedule.minimumRatio == 0.2)
        let loop = recipe.loop
        #expect(loop.batchSize == 4 && loop.sequenceLength == 64 && loop.accumulation == 2)
        #expect(loop.duration == .steps(30) && loop.validateEvery == 10 && loop.checkpointEvery == 20)
        #expect(loop.logEvery == 1 && loop.patience == 3 && loop.precision == .bf16)
        #expect(recipe.tokensPerStep == 512)
        #expect(recipe.hash.count == 64)
    }

    @Test func epochsBecomeSteps() throws {
        var recipe = TrainingRecipe()
        recipe.loop.batchSize = 4
        recipe.loop.accumulation = 2
        recipe.loop.duration = .epochs(1.5)
        #expect(recipe.denseSteps(windowsPerEpoch: 100) == 19)  // 150 windows in eights
        recipe.loop.duration = .epochs(0.001)
        #expect(recipe.denseSteps(windowsPerEpoch: 10) == 1)
    }

    @Test func pruningIsReadAndMakesMoreStepsAffordable() throws {
        let recipe = try TrainingRecipe(
            yaml: """
                data: { train: a.txt }
                training: { steps: 1000 }
                prune: { final_sparsity: 0.6, window: [0.1, 0.5], ramp: cubic, every: 7, scope: layer }
                """)
        let prune = try #require(recipe.prune)
        #expect(prune.finalSparsity == 0.6 && prune.window.start == 0.1 && prune.window.end == 0.5)
        #expect(prune.ramp == .cubic && prune.interval == 7 && prune.scope == .layer)
        let schedule = try #require(try recipe.pruningSchedule(windowsPerEpoch: 1))
        // 100 dense steps, 400 of mean density 0.55, 500 of density 0.4.
        #expect(schedule.startStep == 100 && schedule.endStep == 827 && schedule.totalSteps == 2_077)
        let defaults = try #require(try TrainingRecipe(yaml: "data: {train: a}\nprune: {final_sparsity: 0.5}").prune)
        #expect(defaults == TrainingRecipe.Pruning(finalSparsity: 0.5))
        #expect(defaults.window == .middle && defaults.ramp == .geometric && defaults.scope == .global)
        #expect(defaults.floor == nil)
        func floor(_ keys: String) throws -> LayerFloor? {
            try TrainingRecipe(yaml: "data: {train: a}\nprune: {final_sparsity: 0.5, \(keys)}").prune?.floor
        }
        #expect(try floor("floor: 40") == .count(40) && floor("floor: 0.02") == .share(0.02))
        #expect(try floor("floor: 0.0005, floor_of: model") == .standard)
        #expect(try TrainingRecipe(yaml: "data: {train: a}").pruningSchedule(windowsPerEpoch: 1) == nil)
        let short = try TrainingRecipe(
            yaml: "data: {train: a}\ntraining: {steps: 10}\nprune: {final_sparsity: 0.5, every: 9}", source: "r.yaml")
        #expect {
            try short.pruningSchedule(windowsPerEpoch: 1)
        } throws: {
            ($0 as? CoppiceError)?.kind == .badData && "\($0)".hasPrefix("r.yaml: prune.every: 9 steps")
        }
    }

    @Test func wordsOfDefaultRecipe() throws {
        let recipe = try TrainingRecipe(yaml: "data: { train: a.txt }")
        #expect(recipe.model.keyValueHeads == recipe.model.heads)
        #expect(recipe.data.validation.isEmpty)
    }

    @Test(arguments: [
        (
            "data: {train: a}\nmodel:\n  hiden_size: 3",
            "r.yaml: line 3: model: unknown key \"hiden_size\"; did you mean \"hidden_size\"?"
        ),
        (
            "data: {train: a}\nschedule: {kind: cosin}",
            "r.yaml: line 2: schedule.kind: unknown value \"cosin\"; did you mean \"cosine\"?"
        ),
        (
            "data: {train: a}\nprune: {sparsity: 0.5}",
            "r.yaml: line 2: prune: unknown key \"sparsity\"; expected one of final_sparsity, window, ramp, every, scope, floor, floor_of"
        ),
        (
            "data: {train: a}\nprune: {final_sparsity: 1}",
            "r.yaml: line 2: prune.final_sparsity: expected a number from 0.0 to below 1.0, found 1"
        ),
        (
            "data: {train: a}\nprune: {final_sparsity: 0.5, window: [0.7, 0.2]}",
            "r.yaml: line 2: prune.window: expected two increasing fractions of compute, such as [0.25, 0.75]"
        ),
        (
            "data: {train: a}\nprune: {final_sparsity: 0.5, floor: 1.5}",
            "r.yaml: line 2: prune.floor: expected a count from 1, or a share above 0 and below 1, found 1.5"
        ),
        (
            "data: {train: a}\nprune: {final_sparsity: 0.5, scope: layer, floor: 10}",
            "r.yaml: line 2: prune.floor: goes with scope global alone; leave it out"
        ),
        ("seed: 1", "r.yaml: line 1: the key \"data\" is missing, expected train and validation text files"),
        ("data: {validation: a}", "r.yaml: line 1: data: the key \"train\" is missing, expected text files"),
        ("", "r.yaml: is empty, expected a training recipe with \"model\" and \"data\""),
        (
            "data: {train: a}\nmodel: {hidden_size: 10, heads: 3}",
            "r.yaml: line 2: model.heads: expected a divisor of hidden_size (10) or a head_size, found 3"
        ),
        (
            "data: {train: a}\nmodel: {heads: 6, key_value_heads: 4}",
            "r.yaml: line 2: model.key_value_heads: expected a divisor of heads (6), found 4"
        ),
        (
            "data: {train: a}\nmodel: {hidden_size: 15, heads: 3}",
            "r.yaml: line 2: model.heads: expected an even head size (rotary embeddings turn pairs), found 5"
        ),
        (
            "data: {train: a}\nmodel: {layers: 0}",
            "r.yaml: line 2: model.layers: expected a whole number from 1 to 1024, found 0"
        ),
        (
            "data: {train: a}\nmodel: {dropout: 1}",
            "r.yaml: line 2: model.dropout: expected a number from 0.0 to below 1.0, found 1"
        ),
        (
            "data: {train: a}\noptimizer: {learning_rate: fast}",
            "r.yaml: line 2: optimizer.learning_rate: expected a number from 1e-12 to 100.0, found fast"
        ),
        (
            "data: {train: a}\noptimizer: {learning_rate: .nan}",
            "r.yaml: line 2: optimizer.learning_rate: expected a number from 1e-12 to 100.0, found .nan"
        ),
        (
            "data: {train: a}\noptimizer: {betas: [0.9]}",
            "r.yaml: line 2: optimizer.betas: expected two numbers, found 1"
        ),
        (
            "data: {train: a}\ntraining: {steps: 5, epochs: 1}",
            "r.yaml: line 2: training.epochs: does not go with steps; leave one of them out"
        ),
        (
            "data: {train: a}\ntraining: {sequence_length: 1024}",
            "r.yaml: line 2: training: sequence_length 1024 is longer than the model's context of 512"
        ),
        (
            "data: {train: a}\ntraining: {patience: 2}",
            "r.yaml: line 2: training: patience needs a validation text, expected data.validation"
        ),
        (
            "data: {train: a}\ntokenizer: {train: 100}",
            "r.yaml: line 2: tokenizer.train: expected a whole number from 259 to 1000000, found 100"
        ),
        (
            "data: {train: a}\ntokenizer: {train: 300, path: t}",
            "r.yaml: line 2: tokenizer: expected either train (the size of a new vocabulary) or path (a tokenizer), found both"
        ),
        (
            "data: {train: a}\nschedule: {kind: constant, minimum_ratio: 0.1}",
            "r.yaml: line 2: schedule.minimum_ratio: has no meaning for a constant schedule; leave it out"
        ),
        (
            "data: &x {train: a}",
            "r.yaml: line 1: anchors (& before a name) are not accepted; repeat the options, or put a space behind the &"
        ),
        ("data: {train: [a, ", "r.yaml: line 2: is not YAML: did not find expected node content"),
        ("data: {train: a}\ndata: {train: b}", "r.yaml: line 1: the key \"data\" appears twice"),
    ])
    func mistakesAreNamed(yaml: String, expected: String) {
        #expect(message(yaml) == expected)
    }

    @Test func missingFileIsNoInput() {
        #expect { try TrainingRecipe.load("/nonexistent/r.yaml") } throws: { ($0 as? CoppiceError)?.kind == .noInput }
    }
}
