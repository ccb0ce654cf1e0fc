import CoppiceTensors

/// One way of pruning that a sweep takes through its sparsities.
public struct SparsityVariant: Sendable {
    /// How the method is named in reports, such as `magnitude-global`.
    public var label: String
    /// Makes the masks of some matrices, of which it may ask for the values one by one.
    public typealias Masking =
        @Sendable (
            _ weights: [PrunableWeight], _ values: @escaping (_ index: Int) throws -> Tensor
        ) throws -> [WeightMask]
    /// What prunes to each of the sparsities, without the dense model.
    public var steps: [Masking]
    /// What prunes to a sparsity between these; nil where there is none between (N:M patterns).
    let composition: (@Sendable (Double) -> Masking)?

    init(label: String, steps: [Masking], composition: (@Sendable (Double) -> Masking)?) {
        (self.label, self.steps, self.composition) = (label, steps, composition)
    }

    /// Unstructured pruning at each sparsity of a grid.
    public init(
        label: String, criterion: any Criterion, granularity: any Granularity = UnstructuredGranularity(),
        allocation: any Allocation, sparsities: [Double]
    ) {
        let composition = { @Sendable (sparsity: Double) in
            Self.masking(
                PruningMethod(
                    criterion: criterion, granularity: granularity, allocation: allocation, sparsity: sparsity))
        }
        self.init(
            label: label, steps: sparsities.filter { $0 > 0 }.sorted().map(composition), composition: composition)
    }

    /// N:M pruning with groups of one length, from M−1 kept down to one.
    public init(label: String, criterion: any Criterion, groupLength: Int) {
        let steps = (1..<groupLength).reversed().map { kept in
            let pattern = SemiStructuredPattern(kept: kept, of: groupLength)
            return Self.masking(
                PruningMethod(
                    criterion: criterion, granularity: SemiStructuredGranularity(pattern),
                    allocation: UniformAllocation(), sparsity: pattern.sparsity))
        }
        self.init(label: label, steps: steps, composition: nil)
    }

    private static func masking(_ method: PruningMethod) -> Masking {
        { weights, values in try method.masks(of: weights, values: values) }
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
