import CoppiceModels
import CoppiceTensors

/// How far a network can be pruned by magnitude in one shot, where the cliff is, and which weights are gone there.
///
/// ```swift
/// let analysis = try SparsityAnalysis().run(network, windows: windows)
/// analysis.sweep.series[0].tolerancePoint     // removed for free
/// ```
///
/// Source: Jaiswal et al., "The Emergence of Essential Sparsity in Large Pre-trained Models: The Weights that Matter"
/// (2023).
public struct SparsityAnalysis {
    /// The shape in which entries are removed.
    public enum Pattern: Sendable, Hashable {
        /// Anywhere.
        case unstructured
        /// So many of each run of this length, from all but one kept down to one: N:M.
        case groups(length: Int)
        /// Whole attention heads; sparsities are those of the attention's matrices.
        case heads
    }

    /// Whose weights are compared with each other.
    public typealias Scope = PruningScope

    public var pattern = Pattern.unstructured
    public var scope = Scope.global
    public var sparsities = (1...9).map { Double($0) / 10 }
    /// Whether to halve the grid's steps around the knee.
    public var refinesKnee = true
    /// Whether random masks of the same sizes are measured as well.
    public var comparesRandom = false
    public var tolerance = 0.01
    public var seed: UInt64 = 42
    /// Which weights are pruned. Without targets the projections of a decoder's blocks, the matrices of an encoder's
    /// layers, and of a vision network all weights but those of the layer that gives the classes' scores.
    public var selection = WeightSelection()
    /// nil: the zero-shot protocol.
    public var fineTuning: FineTuning?
    /// nil: running statistics of batch normalizations stay as they are in the dense network, or as training leaves them.
    public var normStatistics: NormStatistics?

    public init() {}

    /// Thresholds in units of a matrix's root mean square.
    public static let nearZeroThresholds = [1e-3, 1e-2, 1e-1]

    /// Prunes, measures and puts the weights back.
    ///
    /// - Throws: `.badData` for weights and losses that are not finite, a pattern that does not divide a matrix's columns,
    ///   and heads of a network that has none.
    public func run(
        _ model: MaskedNetwork, progress: (SparsitySweep.Progress) -> Void = { _ in }
    ) throws -> Result {
        try checkPattern(model.weights)
        let places = pattern == .heads ? model.heads?.names ?? [] : nil
        let chosen = model.weights.indices.filter { places?.contains(model.weights[$0].name) ?? true }
        let weights = chosen.map { model.weights[$0] }
        guard !weights.isEmpty else { throw Self.noHeads }
        for (index, weight) in zip(chosen, weights) {
            try ExactSelection.checkFinite(model.values(index), name: weight.name)
        }
        var sweep = SparsitySweep(variants: try variants(model.heads), evaluation: model.evaluation)
        (sweep.tolerance, sweep.refinesKnee, sweep.seed) = (tolerance, refinesKnee, seed)
        sweep.kneesEndAtChance = model.evaluation.measure == .accuracy
        /// Masks of all weights.
        func whole(_ masks: [WeightMask]) -> [WeightMask] {
            var all = model.weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) }
            for (place, mask) in zip(chosen, masks) { all[place] = mask }
            return all
        }
        // Of each number of removed weights the first masks, which are those by magnitude.
        var masksBySize: [Int: [WeightMask]] = [:]
        func losses(_ masks: [WeightMask]?) throws -> [Double] {
            if let masks {
                let removed = masks.reduce(0) { $0 + $1.removedCount }
                if masksBySize[removed] == nil { masksBySize[removed] = masks }
            }
            return try model.losses(masks.map(whole))
        }
        defer { model.restore() }
        let report = try sweep.run(
            weights, values: { model.values(chosen[$0]) }, evaluate: losses, progress: progress)
        let nearZero = chosen.map {
            NearZeroCounts(model.values($0), relativeThresholds: Self.nearZeroThresholds)
        }
        var hash = SHA256()
        for index in chosen {
            model.values(index).withElements(Float.self) { hash.update(UnsafeRawBufferPointer($0)) }
        }
        var result = Result(sweep: report, nearZero: nearZero, knee: nil, modelDigest: hash.finish())
        let points = report.series[0].points.filter { $0.sparsity > 0 }
        if let place = report.series[0].knee?.breakpoint,
            let point = points.min(by: { abs($0.sparsity - place) < abs($1.sparsity - place) })
        {
            let total = weights.reduce(0) { $0 + $1.count }
            result.knee = masksBySize[Int((point.sparsity * Double(total)).rounded())].map { (point, $0) }
        }
        // Statistics of networks that were trained on belong to other weights than the dense ones.
        if let knee = result.knee, normStatistics != nil, fineTuning == nil {
            try model.prepare(whole(knee.masks))
            result.statistics = MaskFile.statistics(of: model.prunable.network)
        }
        return result
    }

    private static let noHeads = CoppiceError(.badData, field: "pattern", "the model has no attention heads")

    /// - Throws: `.badData` for groups that do not divide the rows of a matrix, saying what divides all.
    private func checkPattern(_ weights: [PrunableWeight]) throws {
        guard case .groups(let length) = pattern else { return }
        guard let first = weights.first(where: { $0.columns % length != 0 }) else { return }
        let fitting = (2...32).filter { length in weights.allSatisfy { $0.columns % length == 0 } }
        throw CoppiceError(
            .badData, field: first.name,
            "pattern n:\(length) needs rows whose length is a multiple of \(length), this weight's is \(first.columns); "
                + (fitting.isEmpty
                    ? "no group length up to 32 divides those of all weights"
                    : "expected one of " + fitting.map { "n:\($0)" }.joined(separator: ", "))
                + ", or other weights (targets, ignore)")
    }

    private func variants(_ heads: AttentionHeads?) throws -> [SparsityVariant] {
        func variant(_ name: String, _ criterion: any Criterion) throws -> SparsityVariant {
            switch pattern {
            case .unstructured:
                return SparsityVariant(
                    label: "\(name)-\(scope.rawValue)", criterion: criterion, allocation: scope.allocation,
                    sparsities: sparsities)
            case .groups(let length):
                return SparsityVariant(label: "\(name)-n:\(length)", criterion: criterion, groupLength: length)
            case .heads:
                guard let heads else { throw Self.noHeads }
                return SparsityVariant(
                    label: "\(name)-heads-\(scope.rawValue)", criterion: criterion, heads: heads, scope: scope,
                    sparsities: sparsities)
            }
        }
        let magnitude = try variant("magnitude", MagnitudeCriterion())
        return comparesRandom ? [magnitude, try variant("random", RandomCriterion(seed: seed))] : [magnitude]
    }
}
