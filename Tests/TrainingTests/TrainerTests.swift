import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Synchronization
import Testing

/// Keeps all events.
final class EventRecorder: TrainingObserver {
    let events = Mutex<[TrainingEvent]>([])
    func observe(_ event: TrainingEvent) { events.withLock { $0.append(event) } }
    var validations: [(step: Int, loss: Double, isBest: Bool)] {
        events.withLock { $0 }.compactMap {
            if case .validation(let step, _, let loss, let isBest, _) = $0 { (step, loss, isBest) } else { nil }
        }
    }
    var checkpoints: [Int] {
        events.withLock { $0 }.compactMap { if case .checkpoint(let step) = $0 { step } else { nil } }
    }
    var progress: [TrainingProgress] {
        events.withLock { $0 }.compactMap { if case .progress(let progress) = $0 { progress } else { nil } }
    }
}

/// Keeps checkpoints in memory.
final class MemoryStore: Trainer.CheckpointStore {
    private(set) var latest: (state: TrainingState, tensors: [String: Tensor])?
    private(set) var best: (state: TrainingState, tensors: [String: Tensor])?

    private func named(_ tensors: [NamedTensor]) -> [String: Tensor] {
        Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.tensor) })
    }
    func saveLatest(_ state: TrainingState, _ learner: any LanguageModelLearner) {
        latest = (state, named(learner.parameters() + learner.optimizerState()))
    }
    func saveBest(_ state: TrainingState, _ learner: any LanguageModelLearner) {
        best = (state, named(learner.parameters()))
    }
}

@Suite struct TrainerTests {
    /// A stream in which each token mostly decides the next.
    private func stream(_ count: Int, seed: UInt64) -> TokenStream {
        var state = seed
        var tokens: [Int32] = [0]
        while tokens.count < count {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let last = tokens[tokens.count - 1]
            tokens.append(state >> 61 == 0 ? Int32((state >> 33) % 8) : (last * 3 + 1) % 8)
        }
        return TokenStream(tokens: tokens, byteCount: count)
    }

    private func recipe(steps: Int, _ change: (inout TrainingRecipe) -> Void = { _ in }) -> TrainingRecipe {
        var recipe = TrainingRecipe()
        recipe.optimizer.learningRate = 0.1
        recipe.schedule.warmupSteps = 2
        recipe.loop.batchSize = 4
        recipe.loop.sequenceLength = 16
        recipe.loop.duration = .steps(steps)
        recipe.loop.validateEvery = 5
        recipe.loop.checkpointEvery = 7
        recipe.loop.logEvery = 4
        change(&recipe)
        return recipe
    }

    @Test func lossGoesDownAndEventsComeWhenDue() throws {
        let recorder = EventRecorder()
        let store = MemoryStore()
        var trainer = try Trainer(
            BigramLearner(vocabularySize: 8), recipe: recipe(steps: 22), train: stream(2000, seed: 1),
            validation: stream(200, seed: 2), store: store, observers: [recorder])
        #expect(try trainer.run() == .completed)
        let curve = trainer.state.curve
        #expect(curve.map(\.step) == [5, 10, 15, 20, 22])
        let (start, end) = (try #require(curve.first), try #require(curve.last))
        #expect(end.trainingLoss < start.trainingLoss - 0.2)
        #expect(try #require(end.validationLoss) < (try #require(start.validationLoss)) - 0.2)
        #expect(curve.map(\.tokens) == [5, 10, 15, 20, 22].map { $0 * 64 })
        #expect(recorder.checkpoints == [7, 14, 21, 22])
        #expect(recorder.progress.map(\.step) == [4, 8, 12, 16, 20, 22])
        #expect(recorder.progress.allSatisfy { $0.tokensPerSecond > 0 && $0.gradientNorm > 0 })
        #expect(recorder.validations.map(\.step) == [5, 10, 15, 20, 22])
        #expect(store.best?.state.step == recorder.validations.last { $0.isBest }?.step)
        guard case .end(.completed, 22, 1408) = recorder.events.withLock({ $0 }).last else {
            Issue.record("no end event")
            return
        }
    }

    @Test(arguments: [1, 5, 7, 10, 13])
    func resumedEqualsNeverInterrupted(firstPart: Int) throws {
        let (train, validation) = (stream(2000, seed: 1), stream(200, seed: 2))
        let whole = BigramLearner(vocabularySize: 8)
        var trainer = try Trainer(whole, recipe: recipe(steps: 20), train: train, validation: validation)
        _ = try trainer.run()

        let interruption = TrainingInterruption()
        let store = MemoryStore()
        let first = BigramLearner(vocabularySize: 8)
        first.willRun = { if first.seeds.count == firstPart - 1 { interruption.request() } }
        var part = try Trainer(
            first, recipe: recipe(steps: 20), train: train, validation: validation, store: store,
            interruption: interruption)
        #expect(try part.run() == .interrupted)
        let saved = try #require(store.latest)
        #expect(saved.state.step == firstPart)

        // Through JSON, as on disk.
        let state = try JSONDecoder().decode(TrainingState.self, from: JSONEncoder().encode(saved.state))
        #expect(state == saved.state)
        let second = BigramLearner(vocabularySize: 8)
        try second.restore(saved.tensors, source: "memory")
        var rest = try Trainer(
            second, recipe: recipe(steps: 20), train: train, validation: validation, state: state, store: store)
        #expect(try rest.run() == .completed)
        #expect(second.table.map(\.bitPattern) == whole.table.map(\.bitPattern))
        #expect(rest.state == trainer.state)
        #expect(first.seeds + second.seeds == whole.seeds)
    }

    @Test func accumulatedBatchesEqualABiggerOne() throws {
        let train = stream(2000, seed: 1)
        let big = BigramLearner(vocabularySize: 8)
        let small = BigramLearner(vocabularySize: 8)
        var bigTrainer = try Trainer(big, recipe: recipe(steps: 10) { $0.loop.batchSize = 6 }, train: train)
        var smallTrainer = try Trainer(
            small, recipe: recipe(steps: 10) { ($0.loop.batchSize, $0.loop.accumulation) = (2, 3) }, train: train)
        _ = try bigTrainer.run()
        _ = try smallTrainer.run()
        #expect(small.seeds.count == 30 && Set(small.seeds).count == 30)
        for (a, b) in zip(big.table, small.table) { #expect(abs(a - b) < 1e-4) }
    }

    @Test func stopsWhenValidationNoLongerImproves() throws {
        // A validation text that contradicts the training text: learning makes it worse.
        let contrary = TokenStream(tokens: (0..<200).map { Int32($0 % 8) }, byteCount: 200)
        let recorder = EventRecorder()
        let store = MemoryStore()
        var trainer = try Trainer(
            BigramLearner(vocabularySize: 8),
            recipe: recipe(steps: 1000) { ($0.loop.patience, $0.loop.validateEvery) = (3, 2) },
            train: stream(2000, seed: 1), validation: contrary, store: store, observers: [recorder])
        #expect(try trainer.run() == .stoppedEarly)
        let validations = recorder.validations
        #expect(validations.suffix(3).allSatisfy { !$0.isBest } && validations.dropLast(3).last?.isBest == true)
        #expect(store.best?.state.step == validations.dropLast(3).last?.step)
        #expect(trainer.state.stopping.bestLoss == validations.map(\.loss).min())
        #expect(store.latest?.state.step == trainer.state.step)
        // Taken up again, it stays stopped.
        let saved = try #require(store.latest)
        var again = try Trainer(
            BigramLearner(vocabularySize: 8), recipe: recipe(steps: 1000) { $0.loop.patience = 3 },
            train: stream(2000, seed: 1), validation: contrary, state: saved.state)
        #expect(try again.run() == .stoppedEarly)
        #expect(again.state.step == saved.state.step)
    }

    fileprivate struct Failure: CustomTestStringConvertible, Sendable {
        /// In step 10; nil: losses and gradients are finite up to the last update, which is not.
        var loss: Double?
        var step: Int
        var message: String
        var kept: Int
        var testDescription: String { message }
    }

    /// What is no number ends the run, and nothing is kept of it.
    @Test(arguments: [
        Failure(loss: .nan, step: 10, message: "the loss is nan", kept: 7),
        Failure(loss: .infinity, step: 10, message: "the loss is inf", kept: 7),
        Failure(step: 20, message: "table is not finite", kept: 14),
    ])
    fileprivate func noNumberIsKept(_ failure: Failure) throws {
        let store = MemoryStore()
        let learner = BigramLearner(vocabularySize: 8)
        if let loss = failure.loss { learner.failure = (10, loss) } else { learner.brokenUpdate = 19 }
        var trainer = try Trainer(learner, recipe: recipe(steps: 20), train: stream(2000, seed: 1), store: store)
        do {
            _ = try trainer.run()
            Issue.record("no error")
        } catch let error as CoppiceError {
            #expect(error.kind == .badData)
            #expect(
                "\(error)"
                    == "recipe: step \(failure.step): \(failure.message), expected a finite number; the checkpoint of step "
                    + "\(failure.kept) is kept; try a lower learning_rate, more warmup_steps or clip_norm")
        }
        #expect(store.latest?.state.step == failure.kept)
    }

    @Test func clippingBoundsTheStep() throws {
        // Plain gradients would move the table by different amounts; with clipping far below the norm, AdamW's moments
        // are those of the clipped gradient.
        let free = BigramLearner(vocabularySize: 8)
        let clipped = BigramLearner(vocabularySize: 8)
        for (learner, norm) in [(free, Double?.none), (clipped, 1e-3)] {
            var trainer = try Trainer(
                learner, recipe: recipe(steps: 1) { $0.optimizer.clipNorm = norm }, train: stream(2000, seed: 1))
            _ = try trainer.run()
        }
        let norm = { (learner: BigramLearner) in
            learner.optimizerState()[0].tensor.floats().reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() / 0.1
        }
        #expect(norm(free) > 0.01)
        #expect(abs(norm(clipped) - 1e-3) < 1e-5)
    }

    @Test func textsThatDoNotFitAreRefused() throws {
        #expect {
            _ = try Trainer(BigramLearner(vocabularySize: 8), recipe: recipe(steps: 1), train: stream(16, seed: 1))
        } throws: { "\($0)".contains("16 tokens") }
        #expect {
            _ = try Trainer(
                BigramLearner(vocabularySize: 8), recipe: recipe(steps: 1), train: stream(100, seed: 1),
                validation: stream(1, seed: 1))
        } throws: { "\($0)".contains("validation") }
        #expect {
            _ = try Trainer(BigramLearner(vocabularySize: 4), recipe: recipe(steps: 1), train: stream(100, seed: 1))
        } throws: { "\($0)".contains("expected tokens below 4") }
    }
}
