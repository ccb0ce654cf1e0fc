import CoppiceModels
import CoppiceTensors

/// A prune stage that removes whole heads or neurons of a decoder or an encoder: which blocks it works on and how many units go.
struct UnitPruning {
    /// The place of the stage in the recipe.
    let stage: Int
    let options: PruneStage
    let units: TransformerUnits
    /// The blocks all of whose matrices are among the stage's targets.
    let blocks: [Int]
    /// Units that go: of each of these blocks, or of all together with one threshold.
    let removed: Int
    /// The most that may go of a block.
    private let limit: Int

    /// The stages of a recipe that remove units.
    ///
    /// - Parameters:
    ///   - matrices: of the model.
    ///   - isStandard: whether stages without targets work on a matrix.
    ///   - units: those of a kind that the model has.
    /// - Throws: `.badData`, naming the stage, where they do not come first, or twice, or do not fit the model.
    static func stages(
        of recipe: Recipe, matrices: [String],
        isStandard: (_ name: String) -> Bool = WeightSelection.isBlockProjection,
        units: (TransformerUnits.Kind) -> TransformerUnits
    ) throws -> [UnitPruning] {
        var found: [UnitPruning] = []
        for (index, stage) in recipe.stages.enumerated() {
            guard case .prune(let options) = stage, let kind = options.unit.transformerUnits else { continue }
            let field = "stages[\(index)].prune"
            if let earlier = found.first(where: { $0.units.kind == kind }) {
                throw CoppiceError(
                    .badData, source: recipe.source, field: field,
                    "\(kind.rawValue)s are already pruned by stages[\(earlier.stage)]; leave one of them out")
            }
            let layers = recipe.stages.filter(\.removesLayers).count
            if found.count + layers < index {
                throw CoppiceError(
                    .badData, source: recipe.source, field: field,
                    "whole \(kind.rawValue)s change the shapes of matrices; put this stage before "
                        + "stages[\(found.count + layers)]"
                )
            }
            let selected = try options.selection.select(
                from: matrices, isStandard: isStandard, field: field, source: recipe.source)
            do {
                found.append(
                    try UnitPruning(options, stage: index, units: units(kind), selected: Set(selected)))
            } catch var error as CoppiceError {
                error.source = recipe.source
                error.field = ([field] + [error.field].compactMap { $0 }).joined(separator: ".")
                throw error
            }
        }
        return found
    }

    private init(_ options: PruneStage, stage: Int, units: TransformerUnits, selected: Set<String>) throws {
        self.options = options
        self.stage = stage
        self.units = units
        blocks = (0..<units.blockCount).filter { block in
            units.matrices.allSatisfy { selected.contains(units.name($0, block: block)) }
        }
        guard !blocks.isEmpty else {
            // Without "weight".
            let names = units.matrices.compactMap { $0.name.split(separator: ".").dropLast().last }
                .joined(separator: ", ")
            throw CoppiceError(
                .badData, field: "targets",
                "a \(units.kind.rawValue) goes with \(names) of its block, and no block has them all among the targets")
        }
        let isGlobal = options.scope == .global
        let total = isGlobal ? units.count * blocks.count : units.count
        removed = ExactSelection.removedCount(total, sparsity: options.sparsity)
        var least = 1
        if isGlobal {
            // As of channels: a tenth of each block, unless the recipe says otherwise.
            let floor = options.floor ?? .share(0.1)
            let block = PrunableWeight(name: units.kind.rawValue, rows: 1, columns: units.count)
            least = max(1, try floor.counts([block])[0])
        }
        limit = units.count - least
        try check(total)
    }

    /// - Throws: `.badData` where nothing would go, or nothing would be left.
    private func check(_ total: Int) throws {
        let place = options.scope == .global ? "\(blocks.count) blocks have \(units) each" : "a block has \(units)"
        guard options.sparsity == 0 || removed > 0 else {
            let one = (1e4 / Double(total)).rounded(.up) / 1e4
            throw CoppiceError(
                .badData, field: "sparsity",
                "\(options.sparsity) removes none, since \(place)"
                    + (limit > 0 ? "; expected 0 or at least \(one)" : ", and one must stay"))
        }
        let most = options.scope == .global ? limit * blocks.count : limit
        guard removed <= most else {
            throw CoppiceError(
                .badData, field: "sparsity",
                "\(options.sparsity) removes \(removed) of \(total), but \(place), of which \(units.count - limit) must "
                    + "stay in each; expected at most \((1e4 * Double(most) / Double(total)).rounded(.down) / 1e4)")
        }
    }

    /// Whether every block keeps as many, so that matrices become smaller; else what is removed stays as zeros.
    var narrows: Bool { options.scope == .layer && blocks.count == units.blockCount }

    /// The units that each block keeps, in their order: of equal scores the earlier ones go first.
    ///
    /// - Parameter scores: by block of the model, then by unit.
    func kept(by scores: [[Double]]) -> [[Int]] {
        let own = Set(blocks)
        func limits(_ count: Int) -> [Int] { scores.indices.map { own.contains($0) ? count : 0 } }
        let gone =
            options.scope == .global
            ? GlobalChannels().order(of: scores, limits: limits(limit)).prefix(removed)
            : UniformChannels().order(of: scores, limits: limits(removed))[...]
        var isKept = scores.map { [Bool](repeating: true, count: $0.count) }
        for place in gone { isKept[place.group][place.channel] = false }
        return isKept.map { flags in flags.indices.filter { flags[$0] } }
    }

    /// The first units of each block: as many as are going to be kept, where that is known before any is scored.
    var firstUnits: [[Int]] { [[Int]](repeating: Array(0..<(units.count - removed)), count: units.blockCount) }

    /// The matrices that keep zeros; none where the model becomes narrower.
    func zeroed(_ matrices: [PrunableWeight]) -> [PrunableWeight] {
        let names = Set(blocks.flatMap { block in units.matrices.map { units.name($0, block: block) } })
        return narrows ? [] : matrices.filter { names.contains($0.name) }
    }
}

extension PruneStage.Unit {
    /// What goes of a decoder; nil for units of other networks.
    var transformerUnits: TransformerUnits.Kind? {
        switch self {
        case .head: .head
        case .neuron: .neuron
        case .weight, .filter, .channel, .layer: nil
        }
    }
}
