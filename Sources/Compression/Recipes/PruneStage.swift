import CoppiceNetworks

/// The options of a `prune` stage.
public struct PruneStage: Sendable, Hashable {
    /// What makes a weight matter.
    public enum Method: String, Sendable, Hashable, CaseIterable {
        case magnitude, wanda, random, snip, grasp, synflow, taylor, obd, hessian, woodfisher
        case mfac = "m-fac"
        /// The zeros of another network of the same architecture.
        case mask
        /// Masks that are searched while the weights stay (``MaskSearch``).
        case searched
        /// Masks that are learned while the weights train (``BilevelPruning``).
        case bip
        /// Weights that training moves away from zero stay (``MovementPruning``).
        case movement
        /// Weights go where the others of a row make up for them best (``SparseGPT``).
        case sparseGPT = "sparsegpt"
        /// Norms of a channel's filters, of all that belongs to it, and the scale of its batch normalization.
        case l1, l2
        case groupL2 = "group-l2"
        case bnScale = "bn-scale"
        /// What becomes of the outputs without a block: their similarity, the divergence of their probabilities
        /// (``BlockCriterion``).
        case cka, kl

        /// What `prune-channels` calls methods of channels.
        static let aliases: [String: Method] = ["group": .groupL2, "slimming": .bnScale]
    }

    /// What goes at once where it is more than a pattern in a matrix.
    public enum Unit: String, Sendable, Hashable, CaseIterable {
        /// Single weights, or what ``Pattern`` says.
        case weight
        /// Channels that one layer makes, with all that belongs to them; what several layers make stays. With the method
        /// `bip`: all channels that convolutions make, by the weights that make them.
        case filter
        /// Channels, those of residual streams included. With the method `bip`: by the weights that read them.
        case channel
        /// Attention heads, of a decoder a group of queries with its keys and values; see ``TransformerUnits/Kind``.
        case head
        /// Neurons of feed-forward layers.
        case neuron
        /// Residual blocks of a vision network; layers of a language model, or their attention or feed-forward layers.
        case layer

        /// Whether channels of vision networks go.
        var isOfChannels: Bool { self == .filter || self == .channel }
    }

    /// The shape in which entries are removed.
    public enum Pattern: Sendable, Hashable, CustomStringConvertible {
        /// Anywhere.
        case unstructured
        /// N of every M consecutive inputs are kept.
        case semiStructured(SemiStructuredPattern)
        /// Groups of so many consecutive inputs of a row go or stay together.
        case groups(length: Int, score: GroupGranularity.Score)
        /// Blocks of so many consecutive rows and columns go or stay together.
        case blocks(rows: Int, columns: Int, score: GroupGranularity.Score)

        public var description: String {
            switch self {
            case .unstructured: "unstructured"
            case .semiStructured(let pattern): pattern.description
            case .groups: "group"
            case .blocks: "block"
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
        /// By curves of output distortion that are measured first; with ``Unit/channel`` and ``Unit/filter`` too.
        case rateDistortion = "rate-distortion"
        /// By the part of each matrix that the PQ index of its magnitudes says must stay.
        case pqIndex = "pq-index"
    }

    /// Lengths of groups that a recipe may name.
    public static let groupLengths = [4, 8, 16, 32, 64]

    public var method: Method
    /// The fraction of entries to remove, in `[0, 1)`.
    public var sparsity: Double
    public var pattern: Pattern
    /// Whether whole channels, heads or neurons go, so that a smaller dense network is left.
    public var unit = Unit.weight
    public var scope: Scope
    public var allocation: Sharing
    /// The least that each matrix keeps; with ``Scope/global``.
    public var floor: LayerFloor?
    /// What some matrices lose instead of ``sparsity``; with ``Sharing/uniform``.
    public var budgets: [ExplicitAllocation.Budget]
    public var selection: WeightSelection
    /// With ``Sharing/pqIndex``.
    public var index = PQIndex.gentle
    /// How distortion is measured; with ``Sharing/rateDistortion``.
    public var rateDistortion = RateDistortionOptions()
    /// How whole layers are chosen; with ``Unit/layer``.
    public var layers = LayerOptions()
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
        case .magnitude, .random, .mask, .l1, .l2, .sparseGPT, .cka, .kl: .layer
        case .snip, .grasp, .synflow, .taylor, .obd, .hessian, .woodfisher, .mfac: .global
        case .searched, .bip, .movement, .groupL2, .bnScale: .global
        }
    }

    /// Whether an N:M pattern says how many weights go.
    var isSemiStructured: Bool {
        if case .semiStructured = pattern { return true }
        return false
    }

    /// Whether the sparsity is a number that the recipe chooses.
    var hasFreeSparsity: Bool {
        if isSemiStructured { return false }
        if case .adaptive = network.schedule { return false }
        return method != .mask && layers.count == nil
    }

    /// Who is compared with whom.
    public var granularity: any Granularity {
        switch (pattern, scope) {
        case (.semiStructured(let pattern), _): SemiStructuredGranularity(pattern)
        case (.groups(let length, let score), let scope):
            GroupGranularity(groupLength: length, score: score, isWithinRows: scope == .row)
        case (.blocks(let rows, let columns, let score), _):
            BlockGranularity(rows: rows, columns: columns, score: score)
        case (.unstructured, .row): RowGranularity()
        case (.unstructured, _): UnstructuredGranularity()
        }
    }

    /// Who is compared with whom where curves of distortion are measured: as the stage says by methods that score
    /// matrices one at a time, all entries of a weight by the others.
    var curveGranularity: any Granularity { method.prunesMatrices ? granularity : UnstructuredGranularity() }

    /// How the sparsity is shared out.
    public var sharing: any Allocation {
        switch (scope, allocation) {
        case (.global, _): GlobalAllocation(floor: floor)
        case (_, .uniform): budgets.isEmpty ? UniformAllocation() : ExplicitAllocation(budgets)
        case (_, .erk): ErdosRenyiAllocation()
        case (_, .lamp): LAMPAllocation()
        case (_, .uniformPlus): UniformPlusAllocation()
        case (_, .pqIndex): PQIndexAllocation(index)
        // Until there are curves: they are measured on the network that is pruned.
        case (_, .rateDistortion): RateDistortionAllocation([], solver: rateDistortion.solver)
        }
    }

    /// Whether the sparsity is of multiplications with weights instead of weights.
    var countsMultiplications: Bool { allocation == .rateDistortion && rateDistortion.countsMultiplications }

    /// The stage as a composition of criterion, granularity and allocation, for matrices read one at a time.
    ///
    /// - Precondition: ``Method/prunesMatrices``, and not `sparsegpt`, which chooses as it goes.
    public func pruningMethod(seed: UInt64) -> PruningMethod {
        let criterion: any Criterion
        switch method {
        case .magnitude: criterion = MagnitudeCriterion()
        case .wanda: criterion = WandaCriterion()
        case .random: criterion = RandomCriterion(seed: seed)
        default:
            preconditionFailure("\(method.rawValue) prunes networks in memory")
        }
        return PruningMethod(
            criterion: criterion, granularity: granularity, allocation: sharing, sparsity: sparsity)
    }
}
