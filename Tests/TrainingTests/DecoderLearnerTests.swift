import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

@Suite struct DecoderLearnerTests {
    private func recipe(_ change: (inout TrainingRecipe) -> Void = { _ in }) -> TrainingRecipe {
        var recipe = TrainingRecipe()
        recipe.model.hiddenSize = 16
        recipe.model.intermediateSize = 24
        recipe.model.layers = 2
        recipe.model.heads = 4
        recipe.model.keyValueHeads = 2
        recipe.model.headSize = 4
        recipe.model.context = 16
        recipe.model.initialDeviation = 0.1
        recipe.optimizer.learningRate = 1e-2
        recipe.schedule.warmupSteps = 3
        recipe.loop.batchSize = 4
        recipe.loop.sequenceLength = 12
        recipe.loop.duration = .steps(20)
        recipe.loop.validateEvery = 10
        change(&recipe)
        return recipe
    }

    private func learner(_ recipe: TrainingRecipe) -> DecoderLearner {
        DecoderLearner(recipe, configuration: recipe.configuration(vocabularySize: 11, beginToken: nil, endToken: 0))
    }

    private let train = TokenStream(tokens: (0..<900).map { Int32(($0 * $0 / 3) % 11) }, byteCount: 900)
    private let validation = TokenStream(tokens: (0..<90).map { Int32(($0 * $0 / 3) % 11) }, byteCount: 90)

    private func bits(_ tensors: [NamedTensor]) -> [[UInt32]] { tensors.map { $0.tensor.floats().map(\.bitPattern) } }

    @Test(arguments: [TrainingRecipe.Model.Family.llama, .qwen2, .qwen3], [true, false])
    func lossGoesDown(family: TrainingRecipe.Model.Family, ties: Bool) throws {
        let recipe = recipe {
            ($0.model.family, $0.model.tiesEmbeddings) = (family, ties)
            $0.loop.duration = .steps(80)
        }
        var trainer = try Trainer(learner(recipe), recipe: recipe, train: train, validation: validation)
        #expect(try trainer.run() == .completed)
        let curve = trainer.state.curve
        #expect(curve.count == 8)
        let (first, last) = (try #require(curve.first?.validationLoss), try #require(curve.last?.validationLoss))
        #expect(first < log(11) + 0.3 && last < first - 0.4)
    }

    @Test(arguments: [0.0, 0.2], OperandPrecision.allCases)
    func savedAndRestoredGoesOnBitForBit(dropout: Double, precision: OperandPrecision) throws {
        try checkRestoring(recipe { ($0.model.dropout, $0.loop.precision) = (dropout, precision) })
    }

    @Test func aWindowOfGradientsGoesOnBitForBit() throws {
        let recipe = recipe {
            $0.optimizer.kind = .mfac
            ($0.optimizer.fisherWindow.gradients, $0.optimizer.fisherWindow.dampening) = (4, 1e-2)
        }
        try checkRestoring(recipe)
        let own = learner(recipe)
        #expect(try own.windowSummary()?.hasPrefix("M-FAC keeps 4 gradients of ") == true)
        #expect(try learner(self.recipe()).windowSummary() == nil)
        _ = try own.accumulate(TokenBatch(train.tokens, starts: [0, 100], length: 12), weight: 1, randomSeed: 0)
        try own.update(learningRate: 0.1, gradientScale: 1, step: 0)
        var tensors: [String: Tensor] = [:]
        for own in own.parameters() + own.optimizerState() where !own.name.hasPrefix("optimizer.window") {
            tensors[own.name] = own.tensor
        }
        #expect { try self.learner(recipe).restore(tensors, source: "file") } throws: {
            "\($0)".contains("file: optimizer.window: is missing")
        }
    }

    private func checkRestoring(_ recipe: TrainingRecipe) throws {
        let whole = learner(recipe)
        var trainer = try Trainer(whole, recipe: recipe, train: train, validation: validation)
        _ = try trainer.run()

        let store = MemoryStore()
        let interruption = TrainingInterruption()
        let first = learner(recipe)
        final class Stop: TrainingObserver {
            let interruption: TrainingInterruption
            init(_ interruption: TrainingInterruption) { self.interruption = interruption }
            func observe(_ event: TrainingEvent) {
                if case .progress(let progress) = event, progress.step == 10 { interruption.request() }
            }
        }
        var part = try Trainer(
            first, recipe: recipe, train: train, validation: validation, store: store, observers: [Stop(interruption)],
            interruption: interruption)
        #expect(try part.run() == .interrupted)
        let saved = try #require(store.latest)
        #expect(saved.state.step == 10)
        let second = learner(recipe)
        try second.restore(saved.tensors, source: "memory")
        var rest = try Trainer(second, recipe: recipe, train: train, validation: validation, state: saved.state)
        #expect(try rest.run() == .completed)
        #expect(bits(second.parameters()) == bits(whole.parameters()))
        #expect(bits(second.optimizerState()) == bits(whole.optimizerState()))
        #expect(rest.state == trainer.state)
    }

    @Test func accumulatedGradientsEqualThoseOfABiggerBatch() throws {
        let recipe = recipe()
        let order = WindowOrder(tokenCount: train.tokens.count, length: 12, seed: 1)
        let big = learner(recipe)
        let small = learner(recipe)
        let whole = TokenBatch.training(train, order: order, step: 0, batchSize: 6, accumulation: 1)
        let parts = TokenBatch.training(train, order: order, step: 0, batchSize: 2, accumulation: 3)
        let loss = try big.accumulate(whole[0], weight: 1, randomSeed: 0)
        let losses = try parts.map { try small.accumulate($0, weight: 1.0 / 3, randomSeed: 0) }
        #expect(abs(losses.reduce(0, +) / 3 - loss) < 1e-6)
        #expect(abs(big.gradientNorm() - small.gradientNorm()) < 1e-5 * big.gradientNorm())
        for learner in [big, small] { try learner.update(learningRate: 0.01, gradientScale: 1, step: 0) }
        // The first moments are the gradients times 0.1.
        for (a, b) in zip(big.optimizerState(), small.optimizerState()) where a.name.contains("first_moment") {
            for (x, y) in zip(a.tensor.floats(), b.tensor.floats()) { #expect(abs(x - y) < 1e-6) }
        }
        // An update forgets the gradient.
        #expect(big.gradientNorm() == 0)
    }

    @Test(arguments: TrainingRecipe.Optimizer.Decay.allCases)
    func decayAppliesToWhatTheRecipeSays(decay: TrainingRecipe.Optimizer.Decay) throws {
        // With equal gradients, decay is the only difference between two optimizers.
        let make = { (amount: Double) in
            self.learner(
                self.recipe {
                    ($0.optimizer.decay, $0.optimizer.weightDecay) = (decay, amount)
                    $0.model.family = .qwen2
                })
        }
        let (with, without) = (make(0.5), make(0))
        let batch = TokenBatch(train.tokens, starts: [0, 100], length: 12)
        for learner in [with, without] {
            _ = try learner.accumulate(batch, weight: 1, randomSeed: 0)
            try learner.update(learningRate: 0.1, gradientScale: 1, step: 0)
        }
        for (a, b) in zip(with.parameters(), without.parameters()) {
            let isProjection = a.name.contains("_proj.weight")
            let expected =
                switch decay {
                case .projections: isProjection
                case .matrices: isProjection || a.name.contains("embed")
                case .all: !a.name.hasSuffix("bias")  // zero at the start, so decay moves nothing
                }
            #expect((a.tensor.floats() != b.tensor.floats()) == expected, "\(a.name)")
        }
    }

    /// In bf16 the same steps are taken, up to what eight bits of each factor allow, and parameters stay f32.
    @Test func mixedPrecisionFollowsFullPrecision() throws {
        func trained(_ precision: OperandPrecision) throws -> ([Double], [NamedTensor]) {
            let recipe = recipe { ($0.loop.precision, $0.loop.duration) = (precision, .steps(60)) }
            let own = learner(recipe)
            var trainer = try Trainer(own, recipe: recipe, train: train, validation: validation)
            _ = try trainer.run()
            return (trainer.state.curve.compactMap(\.validationLoss), own.parameters())
        }
        let ((exact, parameters), (mixed, others)) = (try trained(.f32), try trained(.bf16))
        #expect(exact.count == 6 && mixed.count == 6)
        for (a, b) in zip(exact, mixed) { #expect(abs(a - b) < 0.05) }
        #expect(others.allSatisfy { $0.tensor.dataType == .f32 })
        #expect(bits(parameters) != bits(others))
    }

    @Test func dropoutDependsOnTheSeedAlone() throws {
        let recipe = recipe { $0.model.dropout = 0.3 }
        let learner = learner(recipe)
        let batch = TokenBatch(train.tokens, starts: [0, 100], length: 12)
        let losses = try [1, 2, 1].map { try learner.accumulate(batch, weight: 1, randomSeed: $0) }
        #expect(losses[0] == losses[2] && losses[0] != losses[1])
        #expect(try learner.loss(batch) == learner.loss(batch))
    }

    @Test func foreignCheckpointIsRefusedAndChangesNothing() throws {
        let learner = learner(recipe())
        let before = bits(learner.parameters())
        let other = self.learner(recipe { $0.model.intermediateSize = 32 })
        let tensors = Dictionary(
            uniqueKeysWithValues: (other.parameters() + other.optimizerState()).map { ($0.name, $0.tensor) })
        #expect { try learner.restore(tensors, source: "state.safetensors") } throws: {
            ($0 as? CoppiceError)?.kind == .badData && "\($0)".contains("[32, 16], expected f32 [24, 16]")
        }
        #expect { try learner.restore([:], source: "state.safetensors") } throws: {
            "\($0)".hasPrefix("state.safetensors: model.") && "\($0)".hasSuffix("is missing")
        }
        #expect(bits(learner.parameters()) == before)
    }
}
