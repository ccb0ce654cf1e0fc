import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A trained network of one seed, pruned in one way; and the training of another from the same initial weights.
struct CurvatureTrial: Sendable {
    var study: ImageStudy
    var size: MFACExperiment.Size
    var seed: UInt64
    var weights: Snapshot
    var accuracy: Double

    /// - Returns: the test accuracy after pruning, nothing trained.
    func prune(_ arm: MFACMeasurement.Arm, to sparsity: Double) throws -> Double {
        let network = try PrunableNetwork(study.makeNetwork(seed: seed))
        weights.restore(network.network)
        func sampling(_ count: Int) -> GradientSampling {
            GradientSampling(count: count, batchSize: size.gradientBatch)
        }
        let whole = MFACCriterion(sampling: sampling(size.gradients))
        let surgeon: SurgeonPruning? =
            switch arm {
            case .magnitude: nil
            case .diagonal:
                SurgeonPruning(
                    FisherDiagonalCriterion(sampling: sampling(size.gradients)), recomputations: size.recomputations)
            case .blocks:
                SurgeonPruning(
                    WoodFisherCriterion(sampling: sampling(size.gradients)), recomputations: size.recomputations)
            case .whole: SurgeonPruning(whole, recomputations: size.recomputations)
            case .fewGradients:
                SurgeonPruning(
                    MFACCriterion(sampling: sampling(size.fewGradients)), recomputations: size.recomputations)
            case .withoutUpdate:
                SurgeonPruning(whole, recomputations: size.recomputations, updatesWeights: false)
            case .once: SurgeonPruning(whole, recomputations: 1)
            }
        if let surgeon {
            let source = study.batches(seed: seed)
            let count = (size.gradients * size.gradientBatch + study.batchSize - 1) / study.batchSize
            try surgeon.prune(network, to: sparsity, batches: (0..<count).map { source.batch(at: $0) })
        } else {
            try network.prune(by: .magnitude, to: sparsity)
        }
        return study.accuracy(of: network.network)
    }

    /// Trains one epoch from the seed's initial weights at a constant rate.
    ///
    /// - Returns: the mean loss of the last tenth of its steps in nats; NaN where training diverged.
    func train(_ descent: MFACMeasurement.Descent, rate: Double) throws -> Double {
        let network = study.makeNetwork(seed: seed)
        let steps = study.stepsPerEpoch
        let optimizer: any Optimizer =
            switch descent {
            case .sgd: SGD(momentum: 0.9)
            case .adamW: AdamW(weightDecay: 0)
            case .mfac: MFAC(window: size.window, momentum: 0.9)
            }
        let training = SupervisedTraining(
            optimizer: optimizer,
            rates: LearningRateSchedule(
                kind: .constant, peak: rate, warmupSteps: 0, minimumRatio: 1, totalSteps: steps))
        var losses: [Double] = []
        do {
            try training.run(network, on: study.batches(seed: seed)) { losses.append($1) }
        } catch let error as CoppiceError where error.kind == .badData {
            return .nan
        }
        let last = losses.suffix(max(1, steps / 10))
        return last.reduce(0, +) / Double(last.count)
    }
}
