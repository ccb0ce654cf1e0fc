import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A trained network of one seed, and what is done with it.
struct JackpotTrial: Sendable {
    enum Kind: String, Sendable {
        case restricted, unrestricted, randomStart, fineTuned
        /// Other masks, and sparsity that rises while weights train.
        case baselines
    }

    struct Outcome: Sendable, CustomStringConvertible {
        var accuracies: [(arm: LotteryJackpotsMeasurement.Arm, accuracy: Double)] = []
        var overlaps: [(reference: LotteryJackpotsMeasurement.Reference, overlap: Double)] = []
        var changedWeights = 0
        var risingEpochs = 0
        var swaps = 0
        var wholeSparsity = 0.0
        /// Of what was trained: scores, or weights.
        var losses: LossCurve?

        var description: String {
            accuracies.map { "\($0.arm.name) \(MarkupText.percent($0.accuracy, places: 2))" }.joined(separator: ", ")
                + (swaps > 0 ? ", \(swaps) pairs swapped" : "")
        }
    }

    var study: ImageStudy
    var size: LotteryJackpots.Size
    var seed: UInt64
    var weights: Snapshot
    var accuracy: Double

    func run(_ kind: Kind, sparsity: Double) throws -> Outcome {
        let network = try makeNetwork()
        let originals = network.weights.indices.map { network.values($0).copied() }
        try network.prune(by: .magnitude, to: sparsity)
        var outcome = Outcome()
        let total = network.network.parameters.reduce(0) {
            $0 + ($1.parameter.wrappedValue.rank > 1 ? $1.parameter.wrappedValue.count : 0)
        }
        outcome.wholeSparsity = Double(network.removedCount) / Double(total)
        switch kind {
        case .fineTuned:
            outcome.accuracies.append((.magnitude, study.accuracy(of: network.network)))
            if network.network.modules.contains(where: { $0.module is BatchNorm }) {
                outcome.accuracies.append((.recalibrated, settledAccuracy(network)))
            }
            let training = study.supervision(epochs: Double(size.searchEpochs))
            var losses = LossCurve(LotteryJackpotsMeasurement.Arm.fineTuned.name, steps: training.rates.totalSteps)
            try training.run(network.network, on: study.batches(seed: seed), hooks: [MaskedTraining(network)]) {
                losses.add($1, at: $0)
            }
            outcome.losses = losses
            outcome.accuracies.append((.fineTuned, study.accuracy(of: network.network)))
        case .restricted:
            let early = try search(network, originals, epochs: size.searchEpochs, &outcome)
            outcome.accuracies += [(.firstEpoch, early), (.jackpot, settledAccuracy(network))]
            outcome.changedWeights = changes(of: network, from: originals)
            outcome.overlaps = try overlaps(of: network.masks)
        case .unrestricted:
            _ = try search(network, originals, epochs: size.searchEpochs, restriction: .none, &outcome)
            outcome.accuracies.append((.unrestricted, settledAccuracy(network)))
        case .randomStart:
            let early = try search(
                network, originals, epochs: size.randomSearchEpochs, scores: .random(seed: seed), &outcome)
            outcome.accuracies += [(.randomFirstEpoch, early), (.randomStart, settledAccuracy(network))]
        case .baselines:
            outcome.accuracies = try baselines(like: network.masks, sparsity: sparsity)
        }
        return outcome
    }

    /// The accuracy with statistics of norms that follow the masks: running averages would lag behind them. Trained ones
    /// are back afterwards.
    private func settledAccuracy(_ network: PrunableNetwork) -> Double {
        let before = network.network.stateTensors.map { ($0.state, $0.state.wrappedValue) }
        defer { for (state, value) in before { state.wrappedValue = value } }
        let source = study.batches(seed: seed)
        network.network.reestimateNormStatistics(on: 0..<min(source.batchesPerEpoch, 100)) { step in
            _ = network.network.outputs(source.batch(at: step).inputs)
        }
        return study.accuracy(of: network.network)
    }

    /// The trained network; its last layer is not pruned.
    private func makeNetwork() throws -> PrunableNetwork {
        let network = study.makeNetwork(seed: seed)
        weights.restore(network)
        let last = network.parameters.last { $0.parameter.wrappedValue.rank > 1 }
        return try PrunableNetwork(network, ignore: last.map { [WeightPattern($0.name)] } ?? [])
    }

    /// - Returns: the accuracy after the first epoch.
    private func search(
        _ network: PrunableNetwork, _ originals: [Tensor], epochs: Int,
        scores: MaskSearch.InitialScores = .masks, restriction: MaskSearch.Restriction = .poly4,
        _ outcome: inout Outcome
    ) throws -> Double {
        let epoch = study.stepsPerEpoch
        let search = MaskSearch(
            network, originals: originals, steps: epochs * epoch, initialScores: scores, restriction: restriction)
        var early = Double.nan
        var (sum, before, rising) = (0.0, Double.infinity, 0)
        let arm: LotteryJackpotsMeasurement.Arm =
            restriction == .none ? .unrestricted : scores == .masks ? .jackpot : .randomStart
        var losses = LossCurve(arm.name, steps: epochs * epoch)
        try search.run(on: study.batches(seed: seed)) { step, loss in
            losses.add(loss, at: step)
            sum += loss
            guard (step + 1) % epoch == 0 else { return }
            if step + 1 == epoch { early = settledAccuracy(network) }
            if sum > before { rising += 1 }
            (before, sum) = (sum, 0)
        }
        outcome.losses = losses
        outcome.risingEpochs = rising
        outcome.swaps = search.swapCounts.reduce(0, +)
        return early
    }

    /// Kept weights whose bits are not those of the trained network.
    private func changes(of network: PrunableNetwork, from originals: [Tensor]) -> Int {
        originals.indices.reduce(0) { count, index in
            let (now, then) = (network.values(index).floats(), originals[index].floats())
            let kept = network.masks[index].indicator.floats()
            return count + now.indices.count { kept[$0] > 0 && now[$0].bitPattern != then[$0].bitPattern }
        }
    }

    /// Masks of other criteria that keep as many weights of each layer, nothing trained, and the weights trained for as
    /// many epochs as a search while sparsity rises on a cubic ramp through the first half.
    private func baselines(
        like masks: [WeightMask], sparsity: Double
    ) throws -> [(arm: LotteryJackpotsMeasurement.Arm, accuracy: Double)] {
        var found: [(arm: LotteryJackpotsMeasurement.Arm, accuracy: Double)] = []
        let others: [(LotteryJackpotsMeasurement.Arm, LotteryJackpotsMeasurement.Reference)] = [
            (.snip, .snip), (.random, .random),
        ]
        for (arm, reference) in others {
            let network = try makeNetwork()
            network.setMasks(try best(by: reference, like: masks))
            found.append((arm, study.accuracy(of: network.network)))
        }
        let training = study.supervision(epochs: Double(size.searchEpochs))
        let steps = training.rates.totalSteps
        let ramp = try RampSchedule(
            to: sparsity, begin: 0, end: max(1, steps / 2), interval: max(1, steps / 50))
        func train(_ arm: LotteryJackpotsMeasurement.Arm, _ hook: (PrunableNetwork) -> any TrainingHook) throws {
            let network = try makeNetwork()
            try training.run(network.network, on: study.batches(seed: seed), hooks: [hook(network)])
            found.append((arm, study.accuracy(of: network.network)))
        }
        try train(.gradual) { GradualPruning($0, schedule: ramp) }
        try train(.movement) { MovementPruning($0, schedule: ramp) }
        return found
    }

    /// The part of some masks' weights that other criteria's masks of as many weights in each layer keep too.
    private func overlaps(
        of masks: [WeightMask]
    ) throws -> [(reference: LotteryJackpotsMeasurement.Reference, overlap: Double)] {
        try LotteryJackpotsMeasurement.Reference.allCases.map { reference in
            let agreement = zip(masks, try best(by: reference, like: masks)).reduce(MaskAgreement.zero) {
                $0 + MaskAgreement($1.0, $1.1)
            }
            return (reference, Double(agreement.keptByBoth) / Double(agreement.keptByFirst))
        }
    }

    /// Masks of the trained network by a criterion that keep as many weights of each layer as others.
    private func best(
        by reference: LotteryJackpotsMeasurement.Reference, like masks: [WeightMask]
    ) throws -> [WeightMask] {
        let criterion: any NetworkCriterion
        switch reference {
        case .magnitude: criterion = EachMatrix.magnitude
        case .random: criterion = EachMatrix.random(seed: seed &+ 1)
        case .snip: criterion = GradientWeightCriterion()
        case .grasp: criterion = GradientFlowCriterion()
        case .taylor: criterion = TaylorCriterion()
        case .obd: criterion = FisherDiagonalCriterion()
        }
        let source = study.batches(seed: seed)
        let batches = criterion.needsData ? (0..<8).map { source.batch(at: $0) } : []
        let scores = try makeNetwork().scores(by: criterion, batches: batches)
        return zip(scores, masks).map { ExactSelection.mask($0, removing: $1.removedCount) }
    }
}
