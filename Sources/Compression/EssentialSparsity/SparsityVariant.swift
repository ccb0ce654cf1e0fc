/// One way of pruning that a sweep takes through its sparsities.
public struct SparsityVariant: Sendable {
    /// How the method is named in reports, such as `magnitude-global`.
    public var label: String
    /// The sparsities of this variant and what prunes to them, without the dense model.
    public var steps: [PruningMethod]
    /// Whether steps between these make sense (they do not for N:M patterns).
    let composition: (@Sendable (Double) -> PruningMethod)?

    /// Unstructured pruning at each sparsity of a grid.
    public init(
        label: String, criterion: any Criterion, granularity: any Granularity = UnstructuredGranularity(),
        allocation: any Allocation, sparsities: [Double]
    ) {
        self.label = label
        let composition = { @Sendable (sparsity: Double) in
            PruningMethod(
                criterion: criterion, granularity: granularity, allocation: allocation, sparsity: sparsity)
        }
        self.composition = composition
        steps = sparsities.filter { $0 > 0 }.sorted().map(composition)
    }

    /// N:M pruning with groups of one length, from M−1 kept down to one.
    public init(label: String, criterion: any Criterion, groupLength: Int) {
        self.label = label
        composition = nil
        steps = (1..<groupLength).reversed().map { kept in
            let pattern = SemiStructuredPattern(kept: kept, of: groupLength)
            return PruningMethod(
                criterion: criterion, granularity: SemiStructuredGranularity(pattern), allocation: UniformAllocation(),
                sparsity: pattern.sparsity)
        }
    }

    /// What the paper compares: global and layer-wise magnitude, random at the same global ratio and with
    /// Erdős–Rényi densities, and N:M magnitude with groups of four.
    public static func standard(sparsities: [Double], seed: UInt64) -> [SparsityVariant] {
        let magnitude = MagnitudeCriterion()
        let random = RandomCriterion(seed: seed)
        return [
            SparsityVariant(
                label: "magnitude-global", criterion: magnitude, allocation: GlobalAllocation(),
                sparsities: sparsities),
            SparsityVariant(
                label: "magnitude-layer", criterion: magnitude, allocation: UniformAllocation(),
                sparsities: sparsities),
            SparsityVariant(
                label: "random-global", criterion: random, allocation: GlobalAllocation(), sparsities: sparsities),
            SparsityVariant(
                label: "random-erk", criterion: random, allocation: ErdosRenyiAllocation(), sparsities: sparsities),
            SparsityVariant(label: "magnitude-n:4", criterion: magnitude, groupLength: 4),
        ]
    }
}
