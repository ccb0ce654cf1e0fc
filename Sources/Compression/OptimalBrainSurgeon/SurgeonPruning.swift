import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Prunes single weights by a curvature and lets the kept ones make up for what goes, without training; a
/// ``GradualPruning`` does it at each of its removals.
///
/// Frantar, Kurtic and Alistarh, "M-FAC" (2021), section 3.2 and the one-shot experiments: the sparsity is reached in
/// sub-steps of equal ratio of kept weights; each takes gradients anew, ranks the saliencies, removes an exact number
/// of weights and adds F⁻¹t to the others. The update, and several recomputations, are what the method lives on.
///
/// ```swift
/// let surgeon = SurgeonPruning(MFACCriterion(sampling: GradientSampling(count: 256, batchSize: 16)), recomputations: 8)
/// try surgeon.prune(network, to: 0.9, batches: batches)
/// ```
public struct SurgeonPruning: Sendable {
    public var criterion: any CurvatureCriterion
    public var allocation: any Allocation
    /// Sub-steps R in which the sparsity is reached.
    public var recomputations: Int
    /// Whether kept weights make up for removed ones.
    public var updatesWeights: Bool

    public init(
        _ criterion: any CurvatureCriterion, allocation: any Allocation = GlobalAllocation(), recomputations: Int = 16,
        updatesWeights: Bool = true
    ) {
        precondition(recomputations > 0, "\(recomputations) recomputations")
        self.criterion = criterion
        self.allocation = allocation
        self.recomputations = recomputations
        self.updatesWeights = updatesWeights
    }

    /// Removes weights so that a fraction of all is gone, those removed earlier included.
    ///
    /// - Parameters:
    ///   - sparsity: in `[0, 1)`.
    ///   - batches: labelled batches that gradients are taken of.
    ///   - progress: told each sub-step that is done, from 1, and the sparsity reached.
    /// - Returns: the saliencies of the last sub-step.
    /// - Throws: `.usage` for a sparsity outside `[0, 1)` or below what is already gone, without batches, and for more
    ///   memory than the sampling allows; `.badData` for weights or gradients that are not finite.
    /// - Complexity: R times the gradients, a diagonal of F⁻¹ and one product with it.
    @discardableResult
    public func prune(
        _ network: PrunableNetwork, to sparsity: Double, batches: [LabeledBatch],
        progress: (_ step: Int, _ sparsity: Double) throws -> Void = { _, _ in }
    ) throws -> SaliencyHistogram? {
        guard sparsity >= 0, sparsity < 1 else {
            throw CoppiceError(.usage, field: "sparsity", "\(sparsity), expected a number from 0 to below 1")
        }
        let removed = network.masks.map(\.removedCount)
        try allocation.check(network.weights, sparsity: sparsity, removed: removed)
        guard batches.contains(where: { $0.count > 0 }) else {
            throw CoppiceError(
                .usage, field: type(of: criterion).name, "needs calibration data with labels, and there is none")
        }
        let path = try allocation.path(
            to: sparsity, of: network.weights, from: removed, along: SparsityRamp.geometric)
        let start = network.sparsity
        var saliencies: SaliencyHistogram?
        for step in 1...recomputations {
            let goal = SparsityRamp.geometric.sparsity(
                at: Double(step) / Double(recomputations), from: start, to: path.sparsity)
            saliencies = try remove(
                from: network, to: max(goal, network.sparsity), sharedBy: path.allocation, batches)
            try progress(step, network.sparsity)
        }
        return saliencies
    }

    /// Says before a long training whether the Fisher matrix of its first removal fits; later ones are smaller.
    ///
    /// - Throws: `.usage` for more memory than the sampling allows.
    public func checkMemory(of network: PrunableNetwork, batches: [LabeledBatch]) throws {
        try criterion.checkMemory(
            gradients: criterion.sampling.gradientCount(of: batches), weights: network.count - network.removedCount)
    }

    private func remove(
        from network: PrunableNetwork, to sparsity: Double, sharedBy allocation: any Allocation,
        _ batches: [LabeledBatch]
    ) throws -> SaliencyHistogram {
        let (before, masks) = (KeptWeights(of: network), network.masks)
        let inverse = try criterion.curvature(of: network, on: batches)
        let scores = try before.scores(inverse)
        try network.prune(by: NetworkScores(values: scores), allocation: allocation, to: sparsity)
        let saliencies = SaliencyHistogram(scores, before: masks, after: network.masks)
        guard updatesWeights else { return saliencies }
        let kept = before.layout.row(network.masks.map(\.indicator)).floats()
        let moved = try OptimalBrainSurgeon.compensated(
            before.values, removing: kept.map { $0 == 0 }, inverse: inverse)
        network.setValues(try network.matrices(before.layout.parts(of: moved), what: "compensated"))
        return saliencies
    }
}

/// Scores computed beforehand.
private struct NetworkScores: NetworkCriterion {
    static let name = "saliency"
    var values: [Tensor]
    var needsData: Bool { false }
    func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) -> [Tensor] { values }
}

extension PrunableNetwork {
    /// Replaces the values of the prunable weights and sets removed ones to zero.
    ///
    /// - Precondition: f32 of each weight's size, in order.
    func setValues(_ values: [Tensor]) {
        precondition(values.map(\.count) == weights.map(\.count), "values of other weights")
        for (parameter, value) in zip(parameters, values) {
            value.withElements(Float.self) { source in
                parameter.update { weights in for k in weights.indices { weights[k] = source[k] } }
            }
        }
        applyMasks()
    }
}
