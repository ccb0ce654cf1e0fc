import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct MaskSearchTests {
    private let source: TensorBatches = {
        let (inputs, targets) = clusters()
        return TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3)
    }()

    /// A trained network and its weights.
    private func trained(seed: UInt64 = 1) throws -> (network: PrunableNetwork, weights: [Tensor]) {
        let prunable = try PrunableNetwork(SmallMLP(hidden: 24, seed: seed))
        try shortTraining().run(prunable.network, on: source)
        return (prunable, prunable.weights.indices.map { prunable.values($0).copied() })
    }

    @Test(arguments: MaskSearch.Restriction.allCases)
    func keptWeightsAreThoseOfTheCheckpointAndCountsStay(restriction: MaskSearch.Restriction) throws {
        let (network, weights) = try trained()
        let biases = network.network.parameters.filter { $0.name.hasSuffix("bias") }
            .map { $0.parameter.wrappedValue.floats() }
        try network.prune(by: .magnitude, to: 0.8)
        let counts = network.masks.map(\.keptCount)
        let start = network.masks
        let search = MaskSearch(network, originals: weights, steps: 30, restriction: restriction)
        try search.run(on: source) { _, _ in #expect(network.masks.map(\.keptCount) == counts) }
        for index in weights.indices {
            let expected = zip(weights[index].floats(), network.masks[index].indicator.floats())
                .map { $1 == 0 ? 0 : $0 }
            #expect(network.values(index).floats() == expected)
        }
        #expect(
            network.network.parameters.filter { $0.name.hasSuffix("bias") }
                .map { $0.parameter.wrappedValue.floats() } == biases)
        #expect(network.masks != start && search.swapCounts.count == 30)
    }

    /// With nothing held back the mask is the best scores at every step.
    @Test func withoutRestrictionTheMaskIsTheTopOfTheScores() throws {
        let (network, weights) = try trained()
        try network.prune(by: .magnitude, to: 0.7)
        let search = MaskSearch(network, originals: weights, steps: 12, restriction: .none)
        try search.run(on: source) { _, _ in
            for (mask, scores) in zip(network.masks, search.scores) {
                #expect(mask == ExactSelection.mask(scores, removing: mask.removedCount))
            }
        }
    }

    /// Fewer pairs are swapped where fewer may be: at each step at most ⌈r n⌉, n being what an unrestricted step swaps.
    @Test func restrictionLimitsSwaps() throws {
        #expect(MaskSearch.Restriction.poly4.part(at: 0, of: 10) == 1)
        #expect(abs(MaskSearch.Restriction.poly4.part(at: 5, of: 10) - 1.0 / 16) < 1e-12)
        #expect(abs(MaskSearch.Restriction.cosine.part(at: 5, of: 10) - 0.5) < 1e-12)
        // The scores of a search do not depend on what is swapped within the step: the pairs that a step would swap
        // without restriction follow from the mask before it and the scores after it.
        let (network, weights) = try trained()
        try network.prune(by: .magnitude, to: 0.8)
        let search = MaskSearch(network, originals: weights, steps: 20, restriction: .poly4)
        var before = network.masks
        try search.run(on: source) { step, _ in
            let wanted = zip(before, search.scores).map { mask, scores in
                ExactSelection.mask(scores, removing: mask.removedCount).intersection(mask.complement).keptCount
            }
            let part = MaskSearch.Restriction.poly4.part(at: step, of: 20)
            let swapped = zip(network.masks, before).map { $0.intersection($1.complement).keptCount }
            #expect(swapped == wanted.map { Int((part * Double($0)).rounded(.up)) })
            #expect(search.swapCounts.last == swapped.reduce(0, +))
            // The best of those that could enter do, and the worst of those that could leave.
            for index in before.indices {
                let scores = search.scores[index].floats()
                let best = ExactSelection.mask(search.scores[index], removing: before[index].removedCount)
                func flags(_ mask: WeightMask) -> [Bool] { mask.indicator.floats().map { $0 == 1 } }
                let (was, should, now) = (flags(before[index]), flags(best), flags(network.masks[index]))
                func range(_ isChosen: (Int) -> Bool) -> (least: Float, most: Float) {
                    let own = scores.indices.filter(isChosen).map { scores[$0] }
                    return (own.min() ?? .infinity, own.max() ?? -.infinity)
                }
                let entered = range { !was[$0] && now[$0] }
                let waits = range { !was[$0] && should[$0] && !now[$0] }
                let left = range { was[$0] && !now[$0] }
                let stays = range { was[$0] && !should[$0] && now[$0] }
                #expect(entered.least >= waits.most && left.most <= stays.least, "\(step), \(index)")
            }
            before = network.masks
        }
        #expect(search.swapCounts[0] > 0)
    }

    /// Of no part of the pairs none is swapped, of the smallest part one, of all the mask becomes the best scores.
    @Test func aPartOfZeroFreezesTheMask() {
        var generator = RandomGenerator(seed: 5)
        let scores = Tensor.normal([6, 40], using: &generator)
        let mask = ExactSelection.mask(Tensor.normal([6, 40], using: &generator), removing: 180)
        let best = ExactSelection.mask(scores, removing: 180)
        let wanted = best.intersection(mask.complement).keptCount
        func swapped(_ part: Double) -> (mask: WeightMask, count: Int) {
            MaskSearch.swapped(mask, best: best, scores: scores, part: part)
        }
        #expect(swapped(0).mask == mask && swapped(0).count == 0 && wanted > 10)
        let one = swapped(1e-6)
        #expect(one.count == 1 && one.mask.intersection(mask.complement).keptCount == 1)
        #expect(swapped(1).mask == best && swapped(1).count == wanted)
    }

    /// Where the loss says nothing of any weight and scores do not decay, no score moves and no weight is swapped.
    @Test(arguments: MaskSearch.Restriction.allCases)
    func withoutGradientAndDecayNothingMoves(restriction: MaskSearch.Restriction) throws {
        // Inputs of zeros without biases: neither layer's weights matter.
        let silence = TensorBatches(
            inputs: .zeros([32, 8]), targets: Tensor((0..<32).map { $0 % 3 }), batchSize: 32)
        func moves(decay: Double) throws -> (scores: Bool, masks: Bool) {
            let network = try PrunableNetwork(SmallMLP(hidden: 24, hasBias: false))
            let weights = network.weights.indices.map { network.values($0).copied() }
            try network.prune(by: .magnitude, to: 0.8)
            let masks = network.masks
            let search = MaskSearch(
                network, originals: weights, steps: 5, restriction: restriction, weightDecay: decay)
            let scores = search.scores.map { $0.floats() }
            try search.run(on: silence)
            return (
                search.scores.map { $0.floats() } != scores,
                network.masks != masks || search.swapCounts != [0, 0, 0, 0, 0]
            )
        }
        let still = try moves(decay: 0)
        #expect(!still.scores && !still.masks)
        // Decay alone takes the same part of all scores: none overtakes another.
        let decayed = try moves(decay: 0.01)
        #expect(decayed.scores && !decayed.masks)
    }

    /// Scores' gradient is that of the mask relaxed to real numbers: ∂L(m̂ ⊙ w)/∂m̂ at m̂ = m.
    @Test func straightThroughGradientIsThatOfTheRelaxedMask() throws {
        let (network, weights) = try trained()
        try network.prune(by: .magnitude, to: 0.5)
        let batch = source.batch(at: 0)
        let masks = network.masks
        let search = MaskSearch(network, originals: weights, steps: 1, learningRate: 1, momentum: 0, weightDecay: 0)
        let before = search.scores.map { $0.doubles() }
        try search.run(on: source)
        let moved = zip(before, search.scores).map { zip($0, $1.doubles()).map { $0 - $1 } }
        let mlp = try #require(network.network as? SmallMLP)
        func loss(_ place: Int, _ step: Double) -> Double {
            for (index, layer) in [mlp.first, mlp.second].enumerated() {
                var relaxed = masks[index].indicator.doubles()
                if index == 0 { relaxed[place] += step }
                layer.weight =
                    Tensor(relaxed, shape: weights[index].shape).converted(to: .f64)
                    * weights[index].converted(to: .f64)
                if let bias = layer.bias { bias.wrappedValue = bias.wrappedValue.converted(to: .f64) }
            }
            let exact = LabeledBatch(inputs: batch.inputs.converted(to: .f64), targets: batch.targets)
            return mlp.loss(exact).doubles()[0]
        }
        for place in stride(from: 0, to: weights[0].count, by: 7) {
            let slope = (loss(place, 1e-5) - loss(place, -1e-5)) / 2e-5
            #expect(abs(slope - moved[0][place]) < 1e-5 + 1e-3 * abs(slope))
        }
    }

    /// Rates, clipping and smoothed labels are those of a training: after one step without momentum and decay, scores have
    /// moved by the rate times the gradient.
    @Test func scoresTrainAsATrainingSays() throws {
        func moved(_ change: (inout SupervisedTraining) -> Void) throws -> [Float] {
            let (network, weights) = try trained()
            try network.prune(by: .magnitude, to: 0.5)
            var training = shortTraining()
            training.rates = LearningRateSchedule(
                kind: .constant, peak: 7, warmupSteps: 0, minimumRatio: 1, totalSteps: 4)
            change(&training)
            let search = MaskSearch(
                network, originals: weights, steps: 1, learningRate: 1, momentum: 0, weightDecay: 0, training: training)
            let before = search.scores.flatMap { $0.floats() }
            try search.run(on: source)
            return zip(search.scores.flatMap { $0.floats() }, before).map { $0 - $1 }
        }
        func norm(_ values: [Float]) -> Float { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
        let plain = try moved { _ in }
        // The first of four steps of a warm-up; the peak is the search's own.
        let slow = try moved { $0.rates.warmupSteps = 4 }
        #expect(zip(plain, slow).allSatisfy { abs($0 / 4 - $1) < 1e-6 })
        let limit = norm(plain) / 3
        let clipped = try moved { $0.clipNorm = Double(limit) }
        #expect(abs(norm(clipped) / limit - 1) < 1e-3 && norm(plain) > 1e-3)
        #expect(zip(plain, clipped).allSatisfy { abs($0 / 3 - $1) < 1e-5 })
        #expect(try moved { $0.clipNorm = 1e6 } == plain)
        let smoothed = try moved { $0.labelSmoothing = 0.3 }
        #expect(norm(zip(plain, smoothed).map { $0 - $1 }) > 0.05 * norm(plain))
        let rounded = try moved { $0.precision = .bf16 }
        let difference = norm(zip(plain, rounded).map { $0 - $1 })
        #expect(difference > 0 && difference < 0.05 * norm(plain))
    }

    @Test func searchRecoversWhatPruningLost() throws {
        let (network, weights) = try trained()
        try network.prune(by: .random(seed: 4), to: 0.8)
        let batch = source.batch(at: 0)
        let pruned = Classification(of: network.network, on: [batch]).loss
        try MaskSearch(network, originals: weights, steps: 100).run(on: source)
        #expect(Classification(of: network.network, on: [batch]).loss < pruned * 0.7)
    }
}
