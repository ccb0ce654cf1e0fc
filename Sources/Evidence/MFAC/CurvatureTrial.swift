import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A trained network of one seed, pruned in one way.
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
}
