/// The options of a `prune` stage.
public struct PruneStage: Sendable, Hashable {
    /// What makes a weight matter.
    public enum Method: String, Sendable, Hashable, CaseIterable {
        case magnitude, wanda, random, snip, grasp, synflow, taylor, obd, woodfisher
        case mfac = "m-fac"
        /// The zeros of another network of the same architecture.
        case mask
    }

    /// The shape in which entries are removed.
    public enum Pattern: Sendable, Hashable, CustomStringConvertible {
        /// Anywhere.
        case unstructured
        /// N of every M consecutive inputs are kept.
        case semiStructured(SemiStructuredPattern)
        /// Groups of so many consecutive inputs of a row go or stay together.
        case groups(length: Int, score: GroupGranularity.Score)

        public var description: String {
            switch self {
            case .unstructured: "unstructured"
            case .semiStructured(let pattern): pattern.description
            case .groups: "group"
            }
        }
    }

    /// Whose weights are compared with each other.
    public enum Scope: String, Sendable, Hashable, CaseIterable {
        /// All of a matrix.
        case layer
        /// All of the model.
        case global
        /// Each row (output) of a matrix by itself.
        case row
    }

    /// How the sparsity is shared out among matrices.
    public enum Sharing: String, Sendable, Hashable, CaseIterable {
        case uniform, erk, lamp
        case uniformPlus = "uniform+"
    }

    /// Lengths of groups that a recipe may name.
    public static let groupLengths = [4, 8, 16, 32, 64]

    public var method: Method
    /// The fraction of entries to remove, in `[0, 1)`.
    public var sparsity: Double
    public var pattern: Pattern
    public var scope: Scope
    public var allocation: Sharing
    /// The least that each matrix keeps; with ``Scope/global``.
    public var floor: LayerFloor?
    /// What some matrices lose instead of ``sparsity``; with ``Sharing/uniform``.
    public var budgets: [ExplicitAllocation.Budget]
    public var selection: WeightSelection
    /// What only networks in memory are pruned with.
    public var network = NetworkPruning()

    public init(
        method: Method, sparsity: Double, pattern: Pattern = .unstructured, scope: Scope? = nil,
        allocation: Sharing = .uniform, floor: LayerFloor? = nil, budgets: [ExplicitAllocation.Budget] = [],
        selection: WeightSelection = WeightSelection()
    ) {
        self.method = method
        self.sparsity = sparsity
        self.pattern = pattern
        self.scope = scope ?? Self.defaultScope(method)
        self.allocation = allocation
        self.floor = floor
        self.budgets = budgets
        self.selection = selection
    }

    /// Wanda compares within rows, as its paper does; magnitude and random within matrices; the others within the
    /// network, as theirs do.
    static func defaultScope(_ method: Method) -> Scope {
        switch method {
        case .wanda: .row
        case .magnitude, .random, .mask: .layer
        case .snip, .grasp, .synflow, .taylor, .obd, .woodfisher, .mfac: .global
        }
    }

    /// Whether the sparsity is a number that the recipe chooses.
    var hasFreeSparsity: Bool {
        if case .semiStructured = pattern { return false }
        return method != .mask
    }

    /// Who is compared with whom.
    public var granularity: any Granularity {
        switch (pattern, scope) {
        case (.semiStructured(let pattern), _): SemiStructuredGranularity(pattern)
        case (.groups(let length, let score), let scope):
            GroupGranularity(groupLength: length, score: score, isWithinRows: scope == .row)
        case (.unstructured, .row): RowGranularity()
        case (.unstructured, _): UnstructuredGranularity()
        }
    }

    /// How the sparsity is shared out.
    public var sharing: any Allocation {
        switch (scope, allocation) {
        case (.global, _): GlobalAllocation(floor: floor)
        case (_, .uniform): budgets.isEmpty ? UniformAllocation() : ExplicitAllocation(budgets)
        case (_, .erk): ErdosRenyiAllocation()
        case (_, .lamp): LAMPAllocation()
        case (_, .uniformPlus): UniformPlusAllocation()
        }
    }

    /// The stage as a composition of criterion, granularity and allocation, for matrices read one at a time.
    ///
    /// - Precondition: ``Method/prunesMatrices``.
    public func pruningMethod(seed: UInt64) -> PruningMethod {
        let criterion: any Criterion
        switch method {
        case .magnitude: criterion = MagnitudeCriterion()
        case .wanda: criterion = WandaCriterion()
        case .random: criterion = RandomCriterion(seed: seed)
        case .snip, .grasp, .synflow, .taylor, .obd, .woodfisher, .mfac, .mask:
            preconditionFailure("\(method.rawValue) prunes networks in memory")
        }
        return PruningMethod(
            criterion: criterion, granularity: granularity, allocation: sharing, sparsity: sparsity)
    }
}
