import CoppiceNetworks
import CoppiceTensors

extension PrunableNetwork {
    /// Removes weights so that a fraction of all is gone, those removed earlier included.
    ///
    /// - Parameters:
    ///   - criterion: what matters.
    ///   - granularity: who is compared with whom.
    ///   - allocation: how the sparsity is shared out.
    ///   - sparsity: the fraction of prunable weights that is to be gone, in `[0, 1)`; 0 asks for nothing.
    ///   - batches: what criteria that need data see.
    ///   - allowsReturn: whether removed weights compete again (by their scores) instead of staying removed.
    /// - Throws: `.usage` for a sparsity outside `[0, 1)` or below what is already gone, and for a criterion that needs
    ///   data and has none; `.badData` for weights or scores that are not finite.
    public func prune(
        by criterion: any NetworkCriterion, granularity: any Granularity = UnstructuredGranularity(),
        allocation: any Allocation = GlobalAllocation(), to sparsity: Double, batches: [LabeledBatch] = [],
        allowsReturn: Bool = false
    ) throws {
        guard sparsity >= 0, sparsity < 1 else {
            throw CoppiceError(.usage, field: "sparsity", "\(sparsity), expected a number from 0 to below 1")
        }
        if !allowsReturn {
            try allocation.check(weights, sparsity: sparsity, removed: masks.map(\.removedCount))
        }
        let scores = try scores(by: criterion, batches: batches)
        let method = PruningMethod(
            criterion: GivenScores(weights: weights, scores: scores), granularity: granularity, allocation: allocation,
            sparsity: sparsity)
        setMasks(
            try method.masks(
                of: weights, earlier: { allowsReturn ? nil : self.masks[$0] }, values: { self.values($0) }))
    }

    /// A criterion's scores of the prunable weights.
    ///
    /// - Throws: `.usage` where the criterion needs data and has none; `.badData` for scores that are not finite.
    public func scores(by criterion: any NetworkCriterion, batches: [LabeledBatch] = []) throws -> [Tensor] {
        if criterion.needsData, batches.isEmpty {
            throw CoppiceError(
                .usage, field: type(of: criterion).name, "needs calibration data with labels, and there is none")
        }
        let scores = try criterion.scores(of: self, on: batches)
        return try matrices(scores, what: "\(type(of: criterion).name) score")
    }
}

/// Scores computed beforehand, as a criterion of matrices.
struct GivenScores: Criterion {
    static let name = "given"
    private let scores: [String: Tensor]

    init(weights: [PrunableWeight], scores: [Tensor]) {
        self.scores = Dictionary(uniqueKeysWithValues: zip(weights.map(\.name), scores))
    }

    func scores(of weight: Tensor, name: String, inputNorms: [Float]?) throws -> Tensor {
        guard let own = scores[name] else { throw CoppiceError(.internal, field: name, "has no scores") }
        return own
    }
}
