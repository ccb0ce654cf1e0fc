import CoppiceModels
import CoppiceTensors

/// The attention heads of a model in memory, as what they are in its matrices: rows of queries, keys and values, and
/// columns of the matrix that reads them.
///
/// Under grouped-query attention a head is one of keys and values with all the queries that it serves.
public struct AttentionHeads: Sendable {
    /// Heads in a block.
    public let count: Int
    /// Where each block has its heads: names of matrices, and their positions there.
    let blocks: [[(name: String, part: TransformerUnits.Part)]]

    /// The heads of a decoder; those of blocks that have attention.
    public init(_ configuration: DecoderConfiguration) { self.init(TransformerUnits(.head, of: configuration)) }

    /// The heads of an encoder.
    public init(_ configuration: EncoderConfiguration) { self.init(TransformerUnits(.head, of: configuration)) }

    /// The heads of a vision transformer; nil where blocks have lost some, so that they are not alike.
    public init?(_ configuration: VisionTransformer.Configuration) {
        guard configuration.heads == nil else { return nil }
        count = configuration.headCount
        let parts = [("qkv", 0), ("proj", 1)].map { name, axis in
            TransformerUnits.Part(name: "attn.\(name).weight", axis: axis, extent: configuration.headSize)
        }
        blocks = (0..<configuration.depth).map { block in parts.map { ("blocks.\(block).\($0.name)", $0) } }
    }

    private init(_ units: TransformerUnits) {
        count = units.count
        blocks = (0..<units.blockCount).map { block in
            units.matrices.map { (units.name($0, block: block), $0) }
        }
    }

    /// Heads of all blocks.
    public var total: Int { blocks.count * count }
    /// The matrices that have heads.
    var names: Set<String> { Set(blocks.joined().map(\.name)) }

    /// How many heads a sparsity takes, ⌊s · heads⌋ of all or of each block.
    func removedCount(_ sparsity: Double, _ scope: PruningScope) -> Int {
        switch scope {
        case .global: ExactSelection.removedCount(total, sparsity: sparsity)
        case .layer: blocks.count * ExactSelection.removedCount(count, sparsity: sparsity)
        }
    }

    /// The sum of the scores of all weights of each head, by block: of |w| for magnitude (the L1 norm of Li et al. 2017
    /// over all that is coupled).
    func scores(
        by criterion: any Criterion, of weights: [PrunableWeight], values: (_ index: Int) throws -> Tensor
    ) throws -> [[Double]] {
        let places = Dictionary(uniqueKeysWithValues: weights.enumerated().map { ($1.name, $0) })
        return try blocks.map { parts in
            var sums = [Double](repeating: 0, count: count)
            for (name, part) in parts {
                guard let index = places[name] else { continue }
                let values = try values(index)
                try ExactSelection.checkFinite(values, name: name)
                let scores = try criterion.scores(of: values, name: name, inputNorms: nil)
                for (place, sum) in TransformerUnits.sums(of: scores, over: part).enumerated() {
                    sums[place % count] += sum
                }
            }
            return sums
        }
    }

    /// Masks without the heads of the lowest scores, of equal ones the first; all of other matrices stays.
    func masks(
        of weights: [PrunableWeight], scores: [[Double]], sparsity: Double, scope: PruningScope
    ) -> [WeightMask] {
        var gone = blocks.map { _ in Set<Int>() }
        func remove(_ number: Int, from places: [(block: Int, head: Int)]) {
            let order = places.indices.sorted { first, second in
                let (a, b) = (places[first], places[second])
                return (scores[a.block][a.head], first) < (scores[b.block][b.head], second)
            }
            for place in order.prefix(number).map({ places[$0] }) { gone[place.block].insert(place.head) }
        }
        let places = blocks.indices.map { block in (0..<count).map { (block: block, head: $0) } }
        switch scope {
        case .global: remove(removedCount(sparsity, scope), from: Array(places.joined()))
        case .layer:
            for own in places { remove(removedCount(sparsity, scope) / blocks.count, from: own) }
        }
        var kept: [String: (part: TransformerUnits.Part, heads: [Int])] = [:]
        for (block, parts) in blocks.enumerated() {
            for (name, part) in parts { kept[name] = (part, (0..<count).filter { !gone[block].contains($0) }) }
        }
        return weights.map { weight in
            guard let (part, heads) = kept[weight.name] else {
                return WeightMask(keepingAllOf: weight.rows, weight.columns)
            }
            // Queries, keys and values of one matrix follow each other.
            let times = (part.axis == 0 ? weight.rows : weight.columns) / (part.extent * count)
            let units = (0..<times).flatMap { time in heads.map { time * count + $0 } }
            return part.mask(rows: weight.rows, columns: weight.columns, keeping: units)
        }
    }
}

extension SparsityVariant {
    /// Whole attention heads at each sparsity of a grid that takes another number of them.
    ///
    /// - Parameter label: how the method is named in reports.
    public init(
        label: String, criterion: any Criterion, heads: AttentionHeads, scope: PruningScope, sparsities: [Double]
    ) {
        let masking = { @Sendable (sparsity: Double) -> Masking in
            { weights, values in
                heads.masks(
                    of: weights, scores: try heads.scores(by: criterion, of: weights, values: values),
                    sparsity: sparsity, scope: scope)
            }
        }
        var counts: Set<Int> = [0]
        let distinct = sparsities.sorted().filter { counts.insert(heads.removedCount($0, scope)).inserted }
        self.init(label: label, steps: distinct.map(masking), composition: masking)
    }
}
