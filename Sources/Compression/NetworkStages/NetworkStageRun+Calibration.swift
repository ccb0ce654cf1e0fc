import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// What a Fisher matrix is made of, and Wanda, SparseGPT and what is reconstructed in a network in memory.
extension NetworkStageRun {
    /// The examples that the gradients of a Fisher matrix are taken of. How many gradients they give is in the report, and
    /// told where it is less than asked for.
    func gradientBatches(of data: any StageData) throws -> [LabeledBatch] {
        let sampling = stage.network.sampling
        let wanted = sampling.count * sampling.batchSize
        let batches = try data.samples(wanted, of: sampling.batchSize, seed: recipe.seed)
        let count = sampling.gradientCount(of: batches)
        let isFirst = report.gradients == nil
        report.gradients = count
        guard isFirst else { return batches }
        if count < sampling.count {
            let examples = batches.reduce(0) { $0 + $1.count }
            progress.report(
                "stages[\(report.stage)].prune.gradients: \(count) instead of \(sampling.count), of the \(examples) "
                    + "examples that there are; \(wanted) would do, or a smaller gradient_batch")
        }
        if let curvature = stage.curvature {
            let weights = part.count - part.removedCount
            progress.report(
                "stages[\(report.stage)].prune: \(count) gradients of \(weights) weights take "
                    + "\(curvature.byteCount(gradients: count, weights: weights) >> 20) MB")
        }
        return batches
    }

    /// The masks that a walk through the blocks chooses, on the network as earlier stages left it. Weights that make up
    /// for removed ones are put into the network.
    ///
    /// - Parameters:
    ///   - run: with what earlier stages decided.
    ///   - model: the network's blocks.
    ///   - allocation: instead of the stage's own.
    ///   - unit: what progress calls a block, in the plural.
    func calibratedMasks(
        _ run: RecipeRun, on windows: CalibrationWindows, through model: any BlockwiseModel,
        sharedBy allocation: (any Allocation)? = nil, unit: String = "blocks"
    ) throws -> [WeightMask] {
        var own = run
        own.values = Dictionary(
            uniqueKeysWithValues: part.weights.enumerated().map { ($1.name, part.values($0)) })
        progress.begin("calibrate", total: model.blockCount, unit: unit)
        try own.prune(stage: report.stage, calibratedBy: windows, through: model, sharedBy: allocation) {
            progress.advance(to: $0, note: "")
        }
        progress.end("\(windows.tokenCount) tokens")
        if stage.reconstructs {
            for (weight, parameter) in zip(part.weights, part.parameters) {
                if let values = own.values[weight.name] { parameter.wrappedValue = values }
            }
        }
        return zip(part.weights, part.masks).map { own.decisions[$0.name]?.mask ?? $1 }
    }

    /// The sharing of a walk through the blocks by what pruning each matrix does to the outputs; nil where the stage
    /// shares in another way.
    func matrixAllocation() throws -> RateDistortionAllocation? {
        guard stage.allocation == .rateDistortion, let matrixCurves else { return nil }
        curves = try stage.storedCurves(of: part.weights) ?? matrixCurves()
        return RateDistortionAllocation(interpolating: curves, for: stage)
    }

    /// Curves of matrices whose scores are their own, through the layers of the network as it is.
    func layerwiseCurves(of network: some LayeredTextNetwork) throws -> [DistortionCurve] {
        guard let data else { return [] }
        let count = stage.rateDistortion.samples ?? RateDistortionOptions.windows
        let texts = try data.samples(count, of: 1, seed: recipe.seed).map { $0.inputs.integers() }
        let masks = Dictionary(uniqueKeysWithValues: zip(part.weights.map(\.name), part.masks))
        return try LayerwiseDistortion(network, weights: part.weights).curves(
            on: texts, for: stage, seed: recipe.seed, earlier: { masks[$0] }, progress)
    }
}
