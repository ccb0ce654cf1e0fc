import CoppiceModels

/// What a `prune` stage that removes whole layers says beyond its method.
public struct LayerOptions: Sendable, Hashable {
    /// Blocks that go; nil: the stage's sparsity of those that may.
    public var count: Int?
    /// What goes of a language model; nil for whole layers.
    public var kind: DecoderBlockKind?
    /// Which blocks of a vision network may go; nil for ``RemovableBlocks/strict``.
    public var removable: RemovableBlocks?
    /// How the scores of a block's weights become the block's.
    public var aggregate = BlockCriterion.Aggregate.sum

    public init() {}

    /// As a recipe would have them.
    var options: [String] {
        var options: [String] = []
        if let count { options.append("count: \(count)") }
        if let kind { options.append("blocks: \(kind.rawValue)") }
        if let removable { options.append("removable: \(removable.rawValue)") }
        if aggregate != .sum { options.append("aggregate: \(aggregate.rawValue)") }
        return options
    }
}

extension PruneStage.Method {
    /// What scores whole layers; nil for methods that score none.
    var blockCriterion: BlockCriterion? { BlockCriterion(rawValue: rawValue) }

    /// Whether it scores whole layers and nothing else.
    var scoresLayersAlone: Bool { self == .cka || self == .kl }
}

extension PruneStage.Unit {
    /// Whether it goes before stages of weights, since it changes what there is to work on: heads and neurons, and whole
    /// layers before these.
    var goesFirst: Bool { self == .layer || transformerUnits != nil }
}

extension Recipe {
    /// Keys of `prune` stages of whole layers.
    static let layerKeys = ["count", "blocks", "removable", "aggregate"]

    /// Reads how whole layers are chosen.
    static func layerOptions(_ fields: [String: RecipeNode], _ unit: PruneStage.Unit) throws -> LayerOptions {
        guard unit == .layer else {
            if let field = layerKeys.lazy.compactMap({ fields[$0] }).first {
                throw field.error("goes with granularity layer alone; leave it out")
            }
            return LayerOptions()
        }
        if let field = fields["temperature"] { throw field.error("is of single weights; leave it out") }
        if let field = fields["recovery"] {
            throw field.error("comes in a stage of its own behind whole layers: sparsity: 0 and a recovery")
        }
        var options = LayerOptions()
        options.count = try fields["count"]?.integer(in: 1...10_000)
        if options.count != nil, let field = fields["sparsity"] {
            throw field.error("does not go with count, which says how many go; leave one of them out")
        }
        options.kind = try fields["blocks"]?.word(DecoderBlockKind.self)
        options.removable = try fields["removable"]?.word(RemovableBlocks.self)
        if let aggregate = try fields["aggregate"]?.word(BlockCriterion.Aggregate.self) {
            options.aggregate = aggregate
        }
        return options
    }
}
