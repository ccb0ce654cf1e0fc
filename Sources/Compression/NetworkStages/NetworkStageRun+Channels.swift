import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Whole channels, and what allocations by rate and distortion measure.
extension NetworkStageRun {
    /// Inputs that channels are traced with.
    ///
    /// - Throws: `.internal` for a network that is not of images.
    func example() throws -> Tensor { try VisionArchitecture(vision().configuration).tracingInputs }

    private func vision() throws -> any VisionNetwork {
        guard let vision = network as? any VisionNetwork else {
            throw CoppiceError(.internal, field: "granularity", "has no channels of images")
        }
        return vision
    }

    /// Chooses channels by a criterion and cuts the others out.
    func pruneChannels() throws {
        guard let criterion = stage.channelCriterion(seed: recipe.seed) else {
            throw CoppiceError(.internal, field: stage.method.rawValue, "scores no channels")
        }
        let own = Set(part.weights.map(\.name))
        var pruning = StructuredPruning(
            by: criterion, granularity: stage.unit == .filter ? .filters : .channels,
            to: stage.network.measure.target(stage.sparsity))
        if stage.allocation == .rateDistortion {
            let options = stage.rateDistortion
            pruning.allocation = RateDistortionChannels(
                on: try calibrationInputs(), grid: rateGrid, distortion: options.distortion, solver: options.solver,
                progress: progress)
            if case .oneShot(let rounds) = stage.network.schedule { pruning.rounds = rounds }
        } else if stage.scope != .global {
            pruning.allocation = UniformChannels()
        }
        if case .share(let share) = stage.floor { pruning.minimumShare = share }
        pruning.ignore = whole.weights.map(\.name).filter { !own.contains($0) }.map { WeightPattern($0) }
        let groups = try ChannelGroups(of: network, example: example())
        var samples: [LabeledBatch] = []
        if criterion.needsData, let data { samples = try data.samples(for: recipe) }
        try cut(groups, pruning.choose(of: groups, in: network, on: samples))
    }

    /// Makes the network narrower: what is removed of its masks goes, what was zero stays so.
    func cut(_ groups: ChannelGroups, _ kept: KeptChannels) throws {
        let (before, after) = (groups.cost(), groups.cost(keeping: kept))
        network = try vision().removingChannels(of: groups, keeping: kept)
        network.setTraining(false)
        let names = Set(part.weights.map(\.name))
        whole = try PrunableNetwork(network)
        whole.adoptZeros()
        part = try PrunableNetwork(network, named: names)
        part.adoptMasks(of: whole)
        cut = (groups, kept)
        report.channels = groups.groups.enumerated().map { index, group in
            .init(layer: group.name, channels: group.count, kept: kept.count(ofGroup: index))
        }
        (report.multiplicationsBefore, report.multiplicationsAfter) =
            (before.multiplyAccumulates, after.multiplyAccumulates)
    }

    // MARK: - Rate and distortion

    /// Curves of the network as it is.
    func distortionCurves(_ criterion: any NetworkCriterion, _ samples: [LabeledBatch]) throws -> [DistortionCurve] {
        if let matrixCurves { return try matrixCurves() }
        let inputs = try calibrationInputs()
        progress.begin("measure", total: part.weights.count, unit: "layers")
        defer { progress.end("") }
        return try part.distortionCurves(
            on: inputs, grid: rateGrid, distortion: stage.rateDistortion.distortion, criterion: criterion,
            granularity: stage.curveGranularity, batches: samples
        ) { done, _ in progress.advance(to: done, note: "") }
    }

    /// The rates that distortion is measured at.
    private var rateGrid: RateGrid {
        stage.rateDistortion.grid(
            standard: network is any VisionNetwork ? RateDistortionOptions.steps : RateDistortionOptions.coarseSteps,
            sparsity: stage.sparsity)
    }

    /// What runs through the network while distortion is measured.
    private func calibrationInputs() throws -> [Tensor] {
        let options = stage.rateDistortion
        let isVision = network is any VisionNetwork
        let count = options.samples ?? (isVision ? RateDistortionOptions.images : RateDistortionOptions.windows)
        let size = min(count, isVision ? recipe.images.batchSize : recipe.calibration.batchSize)
        switch options.calibration {
        case .data:
            return try data?.samples(count, of: size, seed: recipe.seed).map(\.inputs) ?? []
        case .gaussian:
            let inputShape = try vision().configuration.inputShape
            var generator = RandomGenerator(seed: recipe.seed)
            return stride(from: 0, to: count, by: size).map {
                .normal([min(size, count - $0)] + inputShape, using: &generator)
            }
        }
    }

    // MARK: - Multiplications

    /// Multiplications with an entry of each of the stage's weights, for one input.
    private func multiplications() throws -> [Int] {
        let uses = try VisionArchitecture(vision().configuration).weightUses
        return try part.weights.map { weight in
            guard let count = uses[weight.name], count > 0 else {
                throw CoppiceError(
                    .usage, field: "of",
                    "multiplications are those of convolutions and linear layers, and \(weight.name) is neither's")
            }
            return count
        }
    }

    /// The part of the multiplications with the stage's weights that is gone.
    func removedMultiplications() throws -> Double {
        let costs = try multiplications()
        let all = zip(part.weights, costs).reduce(0) { $0 + $1.0.count * $1.1 }
        let gone = zip(part.masks, costs).reduce(0) { $0 + $1.0.removedCount * $1.1 }
        return Double(gone) / Double(max(1, all))
    }

    /// Prunes until a part of the multiplications is gone, shared out by what it costs the outputs.
    func pruneMultiplications(to sparsity: Double, _ samples: [LabeledBatch]) throws {
        let costs = try multiplications()
        let before = zip(part.masks, costs).reduce(0) { $0 + $1.0.keptCount * $1.1 }
        let all = zip(part.weights, costs).reduce(0) { $0 + $1.0.count * $1.1 }
        defer {
            let after = zip(part.masks, costs).reduce(0) { $0 + $1.0.keptCount * $1.1 }
            (report.multiplicationsBefore, report.multiplicationsAfter) =
                (report.multiplicationsBefore ?? before, after)
        }
        guard ExactSelection.removedCount(all, sparsity: sparsity) > all - before else { return }
        let own = try criterion(stage.method)
        curves = try stage.storedCurves(of: part.weights) ?? distortionCurves(own, samples)
        let byName = zip(part.weights, costs).map { ($0.name, $1) }
        let allocation = RateDistortionAllocation(
            curves.map { $0.interpolated() }, solver: stage.rateDistortion.solver,
            costs: Dictionary(uniqueKeysWithValues: byName))
        let scores = try part.scores(by: own, batches: samples)
        let counts = try allocation.removedCounts(part.weights, sparsity: sparsity) { scores[$0] }
        part.setMasks(
            zip(zip(scores, part.masks), counts).map { pair, count in
                let earlier = pair.1
                var scores = pair.0
                // What is gone stays gone: below every score.
                earlier.fillRemoved(of: &scores, with: -.infinity)
                return stage.curveGranularity.mask(scores, removing: count).intersection(earlier)
            })
    }

    /// What the last curves say about what each weight lost.
    func reportRates() {
        guard !curves.isEmpty else { return }
        let byName = Dictionary(uniqueKeysWithValues: curves.map { ($0.name, $0) })
        report.rates = zip(part.weights, part.masks).compactMap { weight, mask in
            byName[weight.name].map {
                .init(name: weight.name, rate: mask.sparsity, distortion: $0.distortion(keeping: mask.keptCount))
            }
        }
    }
}
