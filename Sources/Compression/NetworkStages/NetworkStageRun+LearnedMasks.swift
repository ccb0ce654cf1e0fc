import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// Masks that are learned from images: lottery jackpots and bi-level pruning.
extension NetworkStageRun {
    /// Searches masks of weights that stay as they are; norms follow the network that is left.
    func searchMasks() throws {
        try refuseRemoved()
        let options = stage.network.search
        let originals = part.weights.indices.map { part.values($0).copied() }
        try part.prune(by: .magnitude, allocation: options.rates.allocation, to: stage.sparsity)
        let counts = part.masks.map(\.removedCount)
        if let empty = zip(part.weights, part.masks).first(where: { $1.keptCount == 0 }) {
            throw CoppiceError(
                .usage, field: "rates",
                "\(options.rates.rawValue) empties \(empty.0.name) at a sparsity of \(stage.sparsity), expected a lower "
                    + "sparsity or other rates")
        }
        if case .criterion(let method) = options.start, method != .magnitude {
            part.setMasks(part.weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) })
            part.setValues(originals)
            let scores = try part.scores(by: criterion(method), batches: batches(for: method))
            part.setMasks(zip(scores, counts).map { ExactSelection.mask($0, removing: $1) })
        }
        let (training, source) = try loop(epochs: options.epochs)
        let steps = training.rates.totalSteps
        let search = MaskSearch(
            part, originals: originals, steps: steps,
            initialScores: options.start == .random ? .random(seed: recipe.seed) : .masks,
            restriction: options.restriction, learningRate: options.learningRate, training: training)
        let dropout = DropoutSteps(network)
        dropout.willStep(0)
        progress.begin("search", total: steps, unit: "steps")
        try search.run(on: source) { step, loss in
            dropout.willStep(step + 1)
            progress.advance(to: step + 1, note: String(format: "loss %.4f", loss))
        }
        progress.end("\(search.swapCounts.reduce(0, +)) swaps")
        report.swaps = StageReport.tenths(search.swapCounts)
        whole.adoptMasks(of: part)
        settleStatistics(source)
        guard options.trainingEpochs > 0 else { return }
        let (after, batches) = try loop(epochs: options.trainingEpochs)
        try train("train", after, batches, hooks: [])
    }

    /// Takes the statistics of norms anew with the masks as they are now: running averages of the search lag behind.
    private func settleStatistics(_ source: any BatchSource) {
        guard network.modules.contains(where: { $0.module is BatchNorm }) else { return }
        network.reestimateNormStatistics(on: 0..<min(source.batchesPerEpoch, 100)) { step in
            _ = network.outputs(source.batch(at: step).inputs)
        }
    }

    /// Learns masks while the weights train; whole channels are cut out.
    func learnMasks() throws {
        try refuseRemoved()
        let own = stage.network.bilevel
        let (training, lower) = try loop()
        let (_, upper) = try loop(seed: recipe.seed &+ 0x9E37_79B9)
        let kept = part.count - ExactSelection.removedCount(part.count, sparsity: stage.sparsity)
        var options = BilevelPruning.Options(
            kept: stage.unit == .weight ? Double(kept) / Double(part.count) : 1 - stage.sparsity,
            steps: max(1, training.rates.totalSteps / max(1, own.lowerSteps)))
        options.training = training
        options.momentum = recipe.training.optimizer.momentum
        options.weightDecay = recipe.training.optimizer.weightDecay
        options.maskRate = own.maskRate
        options.regularization = own.regularization
        options.lowerSteps = own.lowerSteps
        options.implicitGradient = own.implicitGradient
        options.scoreScale = own.scoreScale
        var groups: ChannelGroups?
        switch stage.unit {
        case .weight: options.unit = .weight
        case .filter: options.unit = .filter
        case .channel: options.unit = .channel
        case .head, .neuron, .layer: break  // refused before
        }
        if stage.unit != .weight { groups = try ChannelGroups(of: network, example: example()) }
        let pruning = try BilevelPruning(part, options: options, channels: groups)
        let hooks: [any TrainingHook] = [DropoutSteps(network)] + (try others().map { [MaskedTraining($0)] } ?? [])
        progress.begin("prune", total: options.steps, unit: "steps")
        try pruning.run(lower: lower, upper: upper, hooks: hooks) { step, loss in
            progress.advance(to: step + 1, note: String(format: "loss %.4f", loss))
        }
        progress.end("\(pruning.swapCounts.reduce(0, +)) swaps")
        report.swaps = StageReport.tenths(pruning.swapCounts)
        let (levels, steps) = (try ConstantFraction().levels(keeping: kept, of: part.count), training.rates.totalSteps)
        report.work = .init(
            weightSteps: options.lowerSteps * options.steps, maskSteps: options.maskSteps,
            epochs: recipe.training.loop.epochs, iterativeLevels: levels, iterativeSteps: levels * steps)
        whole.adoptMasks(of: part)
        if let groups, let kept = pruning.keptChannels { try cut(groups, kept) }
    }
}
