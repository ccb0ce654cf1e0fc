import CoppiceTensors

/// One-shot pruning as a composition: what matters (criterion), who is compared with whom (granularity), how the
/// sparsity is shared out (allocation).
///
/// ```swift
/// let method = PruningMethod(
///     criterion: MagnitudeCriterion(), granularity: UnstructuredGranularity(), allocation: GlobalAllocation(),
///     sparsity: 0.5)
/// let masks = try method.masks(of: weights) { index in values[index] }
/// ```
public struct PruningMethod: Sendable {
    public var criterion: any Criterion
    public var granularity: any Granularity
    public var allocation: any Allocation
    /// The fraction of entries to remove, in `[0, 1)`. An N:M granularity ignores it.
    public var sparsity: Double

    public init(
        criterion: any Criterion, granularity: any Granularity, allocation: any Allocation, sparsity: Double
    ) {
        precondition(sparsity >= 0 && sparsity < 1, "sparsity \(sparsity) is outside [0, 1)")
        self.criterion = criterion
        self.granularity = granularity
        self.allocation = allocation
        self.sparsity = sparsity
    }

    /// The masks of some matrices, in their order.
    ///
    /// Entries that an earlier stage removed stay removed and count as removed. Masks are nested: a larger sparsity
    /// keeps a subset of what a smaller one keeps.
    ///
    /// - Parameters:
    ///   - earlier: the mask of the matrix with the given index from earlier stages, if any.
    ///   - inputNorms: ‖X_j‖₂ of the matrix's inputs, for criteria that ask for them.
    ///   - values: the matrix with the given index: f32 `[rows, columns]`. Called several times for each, so that
    ///     only one needs to be in memory.
    /// - Throws: `.badData` for NaN or infinite values, naming the matrix and the entry, or for a matrix that the
    ///   granularity cannot prune; `.usage` for scores that it cannot compare.
    public func masks(
        of weights: [PrunableWeight], earlier: (_ index: Int) -> WeightMask? = { _ in nil },
        inputNorms: (_ index: Int) -> [Float]? = { _ in nil }, values: (_ index: Int) throws -> Tensor
    ) throws -> [WeightMask] {
        for weight in weights { try granularity.check(weight) }
        let counts = try allocation.removedCounts(weights, sparsity: sparsity) { index in
            granularity.comparable(
                try scores(
                    of: weights[index], values: try values(index), earlier: earlier(index),
                    inputNorms: inputNorms(index)))
        }
        return try weights.indices.map { index in
            try mask(
                of: weights[index], removing: counts[index], values: try values(index), earlier: earlier(index),
                inputNorms: inputNorms(index))
        }
    }

    /// The mask of one matrix whose share is known.
    ///
    /// - Parameter values: the matrix, f32 `[rows, columns]`.
    /// - Throws: as ``masks(of:earlier:inputNorms:values:)``.
    public func mask(
        of weight: PrunableWeight, removing count: Int, values: Tensor, earlier: WeightMask? = nil,
        inputNorms: [Float]? = nil
    ) throws -> WeightMask {
        let mask = granularity.mask(
            try scores(of: weight, values: values, earlier: earlier, inputNorms: inputNorms), removing: count)
        return earlier.map { mask.intersection($0) } ?? mask
    }

    private func scores(
        of weight: PrunableWeight, values: Tensor, earlier: WeightMask?, inputNorms: [Float]?
    ) throws -> Tensor {
        precondition(values.shape == [weight.rows, weight.columns], "\(weight.name) has another shape")
        try ExactSelection.checkFinite(values, name: weight.name)
        var scores = try criterion.scores(of: values, name: weight.name, inputNorms: inputNorms)
        try granularity.check(scores, name: weight.name)
        earlier?.fillRemoved(of: &scores, with: -.infinity)  // below every score
        return scores
    }
}

/// Counts what is removed of matrices already, while a method looks at them.
///
/// A matrix of nothing but zeros was never trained, and counts as whole.
struct EarlierZeros {
    private var counts: [String: Int] = [:]

    init() {}

    /// - Parameter values: the matrix, f32 `[rows, columns]`.
    mutating func look(at values: Tensor, name: String, earlier: WeightMask?) {
        guard counts[name] == nil else { return }
        var left = values
        earlier?.apply(to: &left)
        let zeros = left.zeroCount
        counts[name] = zeros == values.count ? 0 : zeros
    }

    /// - Throws: `.usage` when less is asked for than is removed: removed weights do not return.
    func check(_ weights: [PrunableWeight], sparsity: Double, sharedBy allocation: any Allocation) throws {
        try allocation.check(weights, sparsity: sparsity, removed: weights.map { counts[$0.name] ?? 0 })
    }
}

extension CoppiceError {
    /// Less is asked for than is removed already.
    static func sparsityBelow(_ asked: Double, _ removed: Double) -> CoppiceError {
        CoppiceError(
            .usage, field: "sparsity",
            "\(asked) is below the \(removed) that is already pruned; removed weights do not return")
    }
}
