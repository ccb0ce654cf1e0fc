import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors

/// A way to prune a trained network at once.
package enum OneShotContestant: String, Sendable, CaseIterable {
    case random
    case magnitude
    case wanda = "Wanda"
    case wandaThreshold = "Wanda, one threshold"
    case snip = "SNIP"
    case grasp = "GraSP"
    case synflow = "SynFlow"
    case synflowRounds = "SynFlow, many rounds"
    case taylor = "Taylor"
    case diagonal = "Fisher diagonal (OBD)"
    case diagonalSteps = "Fisher diagonal (OBD), in sub-steps"
    case hessian = "Hessian diagonal"
    case woodFisher = "WoodFisher"
    case woodFisherUpdate = "WoodFisher, with update"
    case mfac = "M-FAC"
    case mfacUpdate = "M-FAC, with update"

    /// Prunes copies of a trained network to each sparsity.
    ///
    /// - Parameters:
    ///   - network: has the trained weights whenever `restore` was called.
    ///   - body: sees the network pruned to a sparsity.
    func prune(
        _ network: PrunableNetwork, to sparsities: [Double], batches: [LabeledBatch], size: OneShotCriteria.Size,
        seed: UInt64, restore: () -> Void, body: (_ sparsity: Double) -> Void
    ) throws {
        restore()
        if let criterion = criterion(network, size: size, seed: seed) {
            let scores = GivenScores(values: try network.scores(by: criterion, batches: batches))
            for sparsity in sparsities {
                restore()
                if self == .wanda {
                    // The paper's comparison group.
                    try network.prune(
                        by: scores, granularity: RowGranularity(), allocation: UniformAllocation(), to: sparsity)
                } else {
                    try network.prune(by: scores, to: sparsity)
                }
                body(sparsity)
            }
            return
        }
        for sparsity in sparsities {
            restore()
            switch self {
            case .synflowRounds:
                let criterion = SynapticFlowCriterion(inputShape: [batches[0].inputs.count / batches[0].count])
                try network.prune(by: criterion, to: sparsity, rounds: size.rounds)
            default:
                try SurgeonPruning(curvature(size), recomputations: size.recomputations)
                    .prune(network, to: sparsity, batches: batches)
            }
            body(sparsity)
        }
    }

    /// The criterion whose scores are taken once; nil for what is more than that.
    private func criterion(
        _ network: PrunableNetwork, size: OneShotCriteria.Size, seed: UInt64
    ) -> (any NetworkCriterion)? {
        switch self {
        case .random: EachMatrix.random(seed: seed)
        case .magnitude: EachMatrix.magnitude
        case .wanda, .wandaThreshold: InputNormCriterion()
        case .snip: GradientWeightCriterion()
        case .grasp: GradientFlowCriterion()
        case .synflow: SynapticFlowCriterion(inputShape: [network.weights[0].columns])
        case .taylor: TaylorCriterion()
        case .hessian: HessianDiagonalCriterion(seed: seed)
        case .diagonal, .woodFisher, .mfac: curvature(size)
        case .synflowRounds, .diagonalSteps, .woodFisherUpdate, .mfacUpdate: nil
        }
    }

    private func curvature(_ size: OneShotCriteria.Size) -> any CurvatureCriterion {
        let sampling = GradientSampling(count: size.gradients, batchSize: size.gradientBatch)
        return switch self {
        case .diagonal, .diagonalSteps: FisherDiagonalCriterion(sampling: sampling)
        case .woodFisher, .woodFisherUpdate: WoodFisherCriterion(sampling: sampling)
        default: MFACCriterion(sampling: sampling)
        }
    }
}

/// Scores computed beforehand.
private struct GivenScores: NetworkCriterion {
    static let name = "given scores"
    var values: [Tensor]
    var needsData: Bool { false }
    func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) -> [Tensor] { values }
}
