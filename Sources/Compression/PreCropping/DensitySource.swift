import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

/// What decides how wide layers are, one against the other.
///
/// For pruning at initialization the densities of layers matter, not which of their weights go, so the densities of any
/// method can be followed by whole channels.
public enum DensitySource: String, Sendable, Hashable, CaseIterable {
    /// The largest Σ log p over the widths themselves (``ChannelProgram``).
    case synexp
    /// The largest Σ log p over layers on their own (``WaterFilling``), followed as nearly as widths can.
    case synexpLayers = "synexp-layers"
    /// One factor for all widths: a width multiplier.
    case uniform
    /// Erdős–Rényi densities.
    case erk
    /// The densities of iterated synaptic flow, 100 rounds.
    case synflow
    /// The densities of SNIP; needs labelled images.
    case snip
    /// The densities of GraSP; needs labelled images.
    case grasp

    /// Whether densities depend on labelled images.
    public var needsData: Bool { self == .snip || self == .grasp }

    /// Rounds of SynFlow (Tanaka et al. 2020).
    static let synflowRounds = 100

    /// Prunes a network's weights one by one as the source does.
    ///
    /// - Parameters:
    ///   - sparsity: the fraction of weights that goes, in `[0, 1)`.
    ///   - batches: labelled images where ``needsData``.
    ///   - seed: of the places that ``erk`` keeps.
    /// - Throws: `.usage` where data are needed and there are none.
    /// - Precondition: a source of masks.
    public func prune(
        _ network: PrunableNetwork, to sparsity: Double, inputShape: [Int], batches: [LabeledBatch], seed: UInt64 = 0
    ) throws {
        switch self {
        case .erk: try network.prune(by: .random(seed: seed), allocation: ErdosRenyiAllocation(), to: sparsity)
        case .snip: try network.prune(by: GradientWeightCriterion(), to: sparsity, batches: batches)
        case .grasp: try network.prune(by: GradientFlowCriterion(), to: sparsity, batches: batches)
        case .synflow:
            let criterion = SynapticFlowCriterion(inputShape: inputShape)
            for round in 1...Self.synflowRounds {
                let kept = pow(1 - sparsity, Double(round) / Double(Self.synflowRounds))
                try network.prune(by: criterion, to: round == Self.synflowRounds ? sparsity : 1 - kept)
            }
        case .synexp, .synexpLayers, .uniform: preconditionFailure("\(rawValue) makes no masks")
        }
    }

    /// The densities of the weights of a new network, pruned as the source does.
    ///
    /// - Parameter kept: the fraction of weights that stays.
    /// - Returns: by parameter's name.
    public func densities(
        of architecture: VisionArchitecture, kept: Double, seed: UInt64, batches: [LabeledBatch] = []
    ) throws -> [String: Double] {
        let network = architecture.makeNetwork(seed: seed)
        let prunable = try PrunableNetwork(network)
        try prune(prunable, to: max(0, 1 - kept), inputShape: architecture.inputShape, batches: batches)
        return prunable.densities
    }
}

extension PrunableNetwork {
    /// The part that is left of each prunable weight, by name.
    public var densities: [String: Double] {
        Dictionary(
            uniqueKeysWithValues: zip(weights, masks).map { weight, mask in
                (weight.name, 1 - Double(mask.removedCount) / Double(max(1, weight.count)))
            })
    }
}
