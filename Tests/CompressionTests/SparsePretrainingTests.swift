import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Keeps the last checkpoint in memory.
private final class MemoryStore: Trainer.CheckpointStore {
    private(set) var latest: (state: TrainingState, tensors: [String: Tensor])?

    func saveLatest(_ state: TrainingState, _ learner: any LanguageModelLearner) {
        let tensors = learner.parameters() + learner.optimizerState()
        latest = (state, Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.tensor) }))
    }
    func saveBest(_ state: TrainingState, _ learner: any LanguageModelLearner) {}
}

/// Asks for an interruption after a step.
private final class Stop: TrainingObserver {
    let interruption = TrainingInterruption()
    let step: Int
    init(after step: Int) { self.step = step }
    func observe(_ event: TrainingEvent) {
        if case .progress(let progress) = event, progress.step == step { interruption.request() }
    }
}

@Suite struct SparsePretrainingTests {
    private func recipe(
        _ sparsity: Double?, steps: Int = 24, _ change: (inout TrainingRecipe) -> Void = { _ in }
    ) -> TrainingRecipe {
        var recipe = TrainingRecipe()
        recipe.model.hiddenSize = 16
        recipe.model.intermediateSize = 24
        recipe.model.layers = 2
        (recipe.model.heads, recipe.model.keyValueHeads, recipe.model.headSize) = (4, 2, 4)
        recipe.model.context = 16
        recipe.model.initialDeviation = 0.1
        recipe.optimizer.learningRate = 1e-2
        recipe.optimizer.clipNorm = 0.5
        recipe.schedule.warmupSteps = 3
        (recipe.loop.batchSize, recipe.loop.sequenceLength) = (4, 12)
        recipe.loop.duration = .steps(steps)
        (recipe.loop.validateEvery, recipe.loop.logEvery) = (4, 1)
        recipe.prune = sparsity.map { TrainingRecipe.Pruning(finalSparsity: $0) }
        change(&recipe)
        return recipe
    }

    private let train = TokenStream(tokens: (0..<900).map { Int32(($0 * $0 / 3) % 11) }, byteCount: 900)
    private let validation = TokenStream(tokens: (0..<90).map { Int32(($0 * $0 / 3) % 11) }, byteCount: 90)

    /// A learner and what prunes it.
    private func make(_ recipe: TrainingRecipe) throws -> (DecoderLearner, SparsePretraining?) {
        let configuration = recipe.configuration(vocabularySize: 11, beginToken: nil, endToken: 0)
        let network = DecoderNetwork(recipe, configuration: configuration)
        guard let section = recipe.prune, let schedule = try recipe.pruningSchedule(windowsPerEpoch: 1) else {
            return (DecoderLearner(network, recipe: recipe), nil)
        }
        let hook = try SparsePretraining.of(network, section, schedule)
        return (DecoderLearner(network, recipe: recipe, hooks: [hook]), hook as? SparsePretraining)
    }

    private func bits(_ tensors: [NamedTensor]) -> [[UInt32]] {
        tensors.filter { $0.tensor.dataType == .f32 }.map { $0.tensor.floats().map(\.bitPattern) }
    }

    @Test func densitiesOfTheRunAreThoseOfTheScheduleAndMasksAreNested() throws {
        let recipe = recipe(0.6)
        let (learner, hook) = try make(recipe)
        let pruning = try #require(hook)
        let schedule = pruning.schedule
        #expect(pruning.network.weights.count == 14)
        #expect(pruning.network.weights.allSatisfy { $0.name.hasSuffix("_proj.weight") })
        final class Watch: TrainingObserver, @unchecked Sendable {
            let pruning: SparsePretraining
            let schedule: ComputePhaseSchedule
            var masks: [[WeightMask]] = []
            var wrong: [Int] = []
            init(_ pruning: SparsePretraining) { (self.pruning, schedule) = (pruning, pruning.schedule) }
            func observe(_ event: TrainingEvent) {
                guard case .progress(let progress) = event else { return }
                let (count, step) = (pruning.network.count, progress.step - 1)
                let removed = ExactSelection.removedCount(count, sparsity: 1 - schedule.density(at: step))
                if abs(pruning.network.removedCount - removed) > 1 { wrong.append(step) }
                if progress.pruning?.density != schedule.density(at: step) { wrong.append(step) }
                masks.append(pruning.network.masks)
            }
        }
        let watch = Watch(pruning)
        var trainer = try Trainer(learner, recipe: recipe, train: train, validation: validation, observers: [watch])
        #expect(trainer.totalSteps == schedule.totalSteps && schedule.totalSteps > 24)
        #expect(try trainer.run() == .completed)
        #expect(watch.wrong.isEmpty && watch.masks.count == schedule.totalSteps)
        for (early, late) in zip(watch.masks, watch.masks.dropFirst()) {
            for (a, b) in zip(early, late) { #expect(b.isSubset(of: a)) }
        }
        // In the end exactly as many are gone as were asked for, and they and their moments are zero.
        let count = pruning.network.count
        #expect(pruning.network.removedCount == ExactSelection.removedCount(count, sparsity: 0.6))
        #expect(learner.keptCounts.reduce(0) { $0 + $1.kept } == count - pruning.network.removedCount)
        let tensors = learner.parameters() + learner.optimizerState()
        let named = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.tensor) })
        for (weight, mask) in zip(pruning.network.weights, pruning.network.masks) {
            for prefix in ["", "optimizer.first_moment.", "optimizer.second_moment."] {
                let values = try #require(named[prefix + weight.name]).floats()
                for (value, kept) in zip(values, mask.indicator.floats()) where kept == 0 { #expect(value == 0) }
            }
            #expect(mask.keptCount > 0)
        }
        // Embeddings and norms stay dense.
        let embedding = try #require(named["model.embed_tokens.weight"])
        #expect(embedding.floats().allSatisfy { $0 != 0 })
        // The best validation is one of the sparse model.
        #expect(try #require(trainer.state.stopping.bestStep) > schedule.endStep)
        #expect(trainer.state.curve.contains { $0.step <= schedule.endStep })
    }

    @Test func sparsityZeroIsTheDenseRunBitForBit() throws {
        var results: [[[UInt32]]] = []
        for sparsity in [nil, 0] as [Double?] {
            let recipe = recipe(sparsity)
            let (learner, _) = try make(recipe)
            var trainer = try Trainer(learner, recipe: recipe, train: train, validation: validation)
            #expect(try trainer.run() == .completed)
            #expect(trainer.state.step == 24)
            results.append(bits(learner.parameters()) + bits(learner.optimizerState()))
        }
        #expect(results[0] == results[1])
    }

    /// Before, within and after the ramp.
    @Test(arguments: [3, 12, 30]) func anInterruptedRunGoesOnBitForBit(step: Int) throws {
        let recipe = recipe(0.6) { $0.prune?.interval = 2 }
        let (whole, wholeHook) = try make(recipe)
        var trainer = try Trainer(whole, recipe: recipe, train: train, validation: validation)
        _ = try trainer.run()

        let (store, stop) = (MemoryStore(), Stop(after: step))
        let (first, _) = try make(recipe)
        var part = try Trainer(
            first, recipe: recipe, train: train, validation: validation, store: store, observers: [stop],
            interruption: stop.interruption)
        #expect(try part.run() == .interrupted)
        let saved = try #require(store.latest)
        #expect(saved.state.step == step)
        let (second, secondHook) = try make(recipe)
        try second.restore(saved.tensors, source: "memory")
        var rest = try Trainer(second, recipe: recipe, train: train, validation: validation, state: saved.state)
        #expect(try rest.run() == .completed)
        #expect(bits(second.parameters()) == bits(whole.parameters()))
        #expect(bits(second.optimizerState()) == bits(whole.optimizerState()))
        #expect(secondHook?.network.masks == wholeHook?.network.masks)
        #expect(rest.state == trainer.state)
    }

    /// Matrices of 2¹⁴ weights are multiplied by their kept ones from 75 % on, smaller ones and denser ones as a whole.
    @Test func operationsThatWereDoneAreCounted() throws {
        let recipe = recipe(0.9, steps: 10) {
            ($0.model.hiddenSize, $0.model.intermediateSize, $0.model.layers) = (128, 128, 1)
            ($0.model.heads, $0.model.keyValueHeads, $0.model.headSize) = (4, 2, 32)
            $0.prune?.interval = 2
        }
        let (learner, hook) = try make(recipe)
        let pruning = try #require(hook)
        final class Watch: TrainingObserver, @unchecked Sendable {
            let network: PrunableNetwork
            var expected = 0
            var last: TrainingResult.Pruning?
            init(_ network: PrunableNetwork) { self.network = network }
            func observe(_ event: TrainingEvent) {
                guard case .progress(let progress) = event else { return }
                for mask in network.masks where mask.count >= 1 << 14 && mask.sparsity >= 0.75 {
                    expected += 4 * 12 * mask.removedCount
                }
                last = progress.pruning
                #expect(last?.skippedProducts == Double(expected))
            }
        }
        let (watch, store) = (Watch(pruning.network), MemoryStore())
        var trainer = try Trainer(learner, recipe: recipe, train: train, store: store, observers: [watch])
        _ = try trainer.run()
        let last = try #require(watch.last)
        #expect(watch.expected > 0 && last.actualOperations == last.denseOperations - 6 * Double(watch.expected))
        #expect(last.idealOperations < last.actualOperations && last.actualOperations < last.denseOperations)
        #expect(last.weights == learner.keptCounts && last.averageCount < Double(last.prunableCount))
        // A run that goes on counts on.
        let (second, _) = try make(recipe)
        let tensors = try #require(store.latest).tensors
        try second.restore(tensors, source: "memory")
        #expect(second.skippedProducts == Double(watch.expected))
        var damaged = tensors
        damaged["skipped_products"] = nil
        #expect {
            try second.restore(damaged, source: "memory")
        } throws: { "\($0)" == "memory: skipped_products: is missing" }
    }

    @Test func checkpointsWithoutTheirMasksAreRefused() throws {
        let (learner, hook) = try make(recipe(0.6))
        let tensors = learner.parameters() + learner.optimizerState()
        let named = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.tensor) })
        let mask = "mask.model.layers.0.self_attn.q_proj.weight"
        #expect(named[mask]?.shape == [4])
        for (change, message) in [
            (nil, "is missing"), (Tensor([Int64(1)]), "expected i64 [4]"),
        ] as [(Tensor?, String)] {
            var damaged = named
            damaged[mask] = change
            #expect {
                try learner.restore(damaged, source: "state.safetensors")
            } throws: {
                ($0 as? CoppiceError)?.kind == .badData && "\($0)".contains(mask) && "\($0)".contains(message)
            }
        }
        #expect(hook?.network.removedCount == 0)
    }

    @Test func layersLoseTheSamePartWhereAsked() throws {
        let recipe = recipe(0.75) { $0.prune?.scope = .layer }
        let (learner, hook) = try make(recipe)
        var trainer = try Trainer(learner, recipe: recipe, train: train)
        _ = try trainer.run()
        for mask in try #require(hook).network.masks {
            #expect(mask.removedCount == ExactSelection.removedCount(mask.count, sparsity: 0.75))
        }
    }

    /// One threshold for all would empty a projection of small weights; its floor stays, and the sparsity is the same.
    @Test func aFloorKeepsSmallProjections() throws {
        for floor in [nil, LayerFloor.share(0.1), .count(20)] {
            let recipe = recipe(0.8, steps: 12) { $0.prune?.floor = floor }
            let (learner, hook) = try make(recipe)
            let pruning = try #require(hook)
            let small = pruning.network.weights[3]
            for (name, parameter) in learner.network.parameters where name == pruning.network.weights[3].name {
                parameter.wrappedValue = parameter.wrappedValue.detached() * 1e-4
            }
            try pruning.willStep(pruning.schedule.endStep)
            let masks = pruning.network.masks
            #expect(pruning.network.removedCount == ExactSelection.removedCount(pruning.network.count, sparsity: 0.8))
            switch floor {
            case .share(let share)?: #expect(masks[3].keptCount == Int((share * Double(small.count)).rounded(.up)))
            case .count(let count)?: #expect(masks[3].keptCount == count)
            default: #expect(masks[3].keptCount == 0)
            }
        }
        #expect {
            _ = try make(recipe(0.8) { $0.prune?.floor = .share(0.3) })
        } throws: { error in
            (error as? CoppiceError)?.kind == .badData && "\(error)".hasPrefix("prune.floor: keeps ")
        }
    }

    /// The hook in the loop of any network; a weight's gradient does not count once it is gone.
    @Test func prunesAnyNetworkInTheSupervisedLoop() throws {
        let (inputs, targets) = clusters()
        let source = TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3)
        let prunable = try PrunableNetwork(SmallMLP())
        let schedule = try ComputePhaseSchedule(denseSteps: 60, finalSparsity: 0.8)
        let hook = SparsePretraining(prunable, schedule: schedule)
        var training = shortTraining(steps: schedule.totalSteps)
        training.clipNorm = 1
        try training.run(prunable.network, on: source, hooks: [hook])
        #expect(prunable.removedCount == ExactSelection.removedCount(prunable.count, sparsity: 0.8))
        #expect(Classification(of: prunable.network, on: [source.batch(at: 0)]).accuracy > 0.9)
        var gradients = prunable.network.parameters.map { Tensor.ones($0.parameter.wrappedValue.shape).contiguous() }
        hook.willUpdate(0, gradients: &gradients)
        for (place, mask) in zip(prunable.places, prunable.masks) {
            #expect(gradients[place].floats() == mask.indicator.floats())
        }
    }

    // MARK: - From text to a compressed model

    private static let yaml = """
        name: Sparse
        seed: 5
        model: { hidden_size: 32, intermediate_size: 64, layers: 2, heads: 4, context: 32 }
        tokenizer: { train: 300 }
        data: { train: train.txt, validation: valid.txt }
        optimizer: { learning_rate: 1.0e-2 }
        schedule: { warmup_steps: 3 }
        training: { batch_size: 2, sequence_length: 16, steps: 20, validate_every: 5, log_every: 5 }
        prune: { final_sparsity: 0.7, every: 2 }
        """

    @Test func aTrainedModelIsStoredAndRunSparsely() throws {
        let folder = try TemporaryFolder()
        let lines = (0..<200).map { "The \($0 % 7) hens met the \($0 % 5) foxes at \($0 % 3).\n" }
        let text = lines.enumerated().map { $1 + ($0 % 10 == 9 ? "<|endoftext|>\n" : "") }.joined()
        for (name, content) in [("train.txt", text), ("valid.txt", String(text.prefix(1_200)))] {
            try content.write(toFile: folder.path + "/" + name, atomically: true, encoding: .utf8)
        }
        let recipe = try TrainingRecipe(yaml: Self.yaml, source: "sparse.yaml")
        let options = TrainingRun.Options(output: folder.path + "/sparse", dataFolder: folder.path)
        #expect {
            try TrainingRun(recipe: recipe, options: options).execute()
        } throws: { "\($0)".contains("prune") }
        try FileManager.default.removeItem(atPath: folder.path + "/sparse.run")
        let result = try TrainingRun(recipe: recipe, options: options, pruning: SparsePretraining.of).execute()
        let pruning = try #require(result.pruning)
        let projections = 2 * (4 * 32 * 32 + 3 * 32 * 64)
        #expect(pruning.prunableCount == projections)
        #expect(pruning.keptCount == projections - ExactSelection.removedCount(projections, sparsity: 0.7))
        #expect(pruning.averageCount == pruning.schedule.averageCount(of: projections))
        #expect(abs(pruning.idealOperations / (6 * Double(projections) * 20 * 32) - 1) < 0.1)
        #expect(result.json["pruning"]?["kept_parameters"]?.intValue == pruning.keptCount)
        #expect(result.state.step == pruning.schedule.totalSteps)
        let log = try String(contentsOfFile: folder.path + "/sparse.run/log.jsonl", encoding: .utf8)
        #expect(log.contains("\"average_density\":") && log.contains("\"density\":"))
        let line = try #require(TrainingLog.read(folder.path + "/sparse.run/log.jsonl").last { $0.event == "progress" })
        #expect(line.averageParameters == pruning.averageCount && line.idealOperations == pruning.idealOperations)
        // No matrix is large enough to be multiplied sparsely.
        #expect(line.actualOperations == pruning.denseOperations && log.contains("\"actual_flops\":"))
        let densities = Dictionary(uniqueKeysWithValues: pruning.weights.map { ($0.name, $0.density) })
        #expect(line.layerDensity == densities && densities.values.contains { $0 < 0.5 })
        let card = try String(contentsOfFile: folder.path + "/sparse/README.md", encoding: .utf8)
        #expect(card.contains("| Pruning | 70 % of the projections' 20,480 weights"))

        // The zeros are in the checkpoint; compressing by the same rule stores exactly them as bitmaps.
        let checkpoint = try Checkpoint.open(folder.path + "/sparse")
        let names = pruning.weights.map(\.name)
        let zeros = try names.reduce(0) { try $0 + checkpoint.tensor($1).floats().count { $0 == 0 } }
        #expect(zeros == projections - pruning.keptCount)
        let storing = try Recipe(
            yaml: "prefer: size\nstages: [{prune: {method: magnitude, scope: global, sparsity: 0.7}}]", source: "r")
        let report = try Compressor(checkpoint, recipe: storing).run(output: folder.path + "/stored")
        let stored = try Checkpoint.open(folder.path + "/stored")
        for name in names {
            let weight = try stored.weight(name)
            #expect(weight.dense().floats() == (try checkpoint.weight(name).dense().floats()))
        }
        #expect(report.weights.filter { names.contains($0.name) }.contains { $0.format == "sparse-bitmask-bf16" })
        #expect(report.totals.bytes < report.totals.bytesBefore)
    }
}
