import CoppiceTensors

/// A recipe on its way through a model: which matrices each stage works on, and what has been decided so far.
///
/// Everything that can be known to be wrong beforehand is found by the initializer, before any work.
/// In memory are the masks (one bit a weight), the weights that were compensated (four bytes each), and one matrix at a
/// time.
public struct RecipeRun {
    public let recipe: Recipe
    /// The matrices of each stage, in checkpoint order.
    public let selected: [[PrunableWeight]]
    /// What was decided about each matrix that some stage works on.
    public internal(set) var decisions: [String: WeightDecision] = [:]
    /// Matrices whose kept weights made up for removed ones, f32; the others keep their values.
    public internal(set) var values: [String: Tensor] = [:]

    private let source: any WeightSource

    /// Matches a recipe with a model.
    ///
    /// - Parameter zeroed: the matrices in which stages of whole heads and neurons leave zeros, by stage; those stages are
    ///   not run here.
    /// - Throws: `.badData` when a pattern matches nothing, a matrix does not fit a pattern, two stages
    ///   quantize one matrix, or Wanda is to prune what calibration does not reach.
    public init(_ recipe: Recipe, on source: any WeightSource, zeroed: [Int: [PrunableWeight]] = [:]) throws {
        self.recipe = recipe
        self.source = source
        let matrices = source.matrices
        let byName = Dictionary(uniqueKeysWithValues: matrices.map { ($0.name, $0) })
        let names = matrices.map(\.name)
        selected = try recipe.stages.enumerated().map { index, stage in
            if case .prune(let options) = stage, options.unit.goesFirst { return zeroed[index] ?? [] }
            let field = "stages[\(index)].\(stage.name)"
            let selected = try stage.selection.select(
                from: names, aliases: source.aliases, isStandard: source.isStandardTarget, field: field,
                source: recipe.source)
            let weights = selected.compactMap { byName[$0] }
            try Self.check(stage, weights, field: field, recipe: recipe, isOfBlock: source.isStandardTarget)
            return weights
        }
        try factor()
        var quantizedBy: [String: Int] = [:]
        for (index, stage) in recipe.stages.enumerated() {
            guard case .quantize(let options) = stage else { continue }
            for weight in selected[index] {
                if let earlier = quantizedBy.updateValue(index, forKey: weight.name) {
                    throw CoppiceError(
                        .badData, source: recipe.source, field: "stages[\(index)].quantize",
                        "\(weight.name) is already quantized by stages[\(earlier)]; exclude it from one of them")
                }
                decisions[weight.name, default: .unchanged].quantization = options
                if decisions[weight.name]?.lowRank != nil, !options.isPacked {
                    throw CoppiceError(
                        .badData, source: recipe.source, field: "stages[\(index)].quantize.bits",
                        "the factors of a low-rank weight, as \(weight.name) is one, take 4 or 8 uniform bits")
                }
                if options.levels == .bipolar,
                    let pruning = recipe.stages.indices.first(where: {
                        recipe.stages[$0].name == "prune" && selected[$0].contains { $0.name == weight.name }
                    })
                {
                    throw CoppiceError(
                        .badData, source: recipe.source, field: "stages[\(index)].quantize.scheme",
                        "bipolar codes have none for zero, and \(weight.name) is pruned by stages[\(pruning)]; "
                            + "exclude it from one of them")
                }
            }
        }
    }

    /// Decides what the low-rank stages do, which needs no data.
    private mutating func factor() throws {
        var workedOn: [String: Int] = [:]
        for (index, stage) in recipe.stages.enumerated() {
            guard stage.name != "quantize" else { continue }
            for weight in selected[index] {
                let earlier = workedOn[weight.name]
                workedOn[weight.name] = index
                guard let earlier else { continue }
                for number in [earlier, index] {
                    guard case .lowRank = recipe.stages[number] else { continue }
                    throw CoppiceError(
                        .badData, source: recipe.source, field: "stages[\(index)].\(stage.name)",
                        "\(weight.name) is already worked on by stages[\(earlier)], and a product of two matrices is "
                            + "neither pruned nor factored again; exclude it from one of them")
                }
            }
            guard case .lowRank(let options) = stage else { continue }
            for weight in selected[index] { decisions[weight.name, default: .unchanged].lowRank = options.target }
        }
    }

    private static func check(
        _ stage: Recipe.Stage, _ weights: [PrunableWeight], field: String, recipe: Recipe,
        isOfBlock: (_ name: String) -> Bool
    ) throws {
        guard case .prune(let options) = stage else { return }
        for weight in weights {
            do {
                try options.granularity.check(weight)
            } catch let error as CoppiceError {
                throw CoppiceError(
                    error.kind, source: recipe.source,
                    field: "\(field).pattern" + (error.field.map { ": \($0)" } ?? ""),
                    error.message)
            }
        }
        do {
            // Of rate and distortion there is nothing to check before curves are measured.
            if options.allocation != .rateDistortion {
                try options.sharing.check(weights, sparsity: options.sparsity)
            }
        } catch let error as CoppiceError {
            throw CoppiceError(
                .badData, source: recipe.source,
                field: ([field] + [error.field].compactMap { $0 }).joined(separator: "."),
                error.message)
        }
        guard options.needsActivations else { return }
        if let other = weights.first(where: { !isOfBlock($0.name) }) {
            let subject = options.network.recovery == .reconstruct ? "reconstruct" : options.method.rawValue
            throw CoppiceError(
                .badData, source: recipe.source, field: field,
                "\(subject) prunes the matrices of blocks, and \(other.name) is none; add it to ignore")
        }
    }

    /// A matrix's values as the stages so far left them, removed ones included.
    func values(of weight: PrunableWeight) throws -> Tensor {
        try values[weight.name] ?? source.values(of: weight.name)
    }

    /// Decides the masks of a prune stage that needs no calibration.
    ///
    /// - Parameter allocation: instead of the stage's own, where that follows from what was measured.
    public mutating func prune(stage index: Int, sharedBy allocation: (any Allocation)? = nil) throws {
        guard case .prune(let options) = recipe.stages[index] else { return }
        let weights = selected[index]
        var method = options.pruningMethod(seed: recipe.seed)
        if let allocation { method.allocation = allocation }
        var zeros = EarlierZeros()
        let masks = try method.masks(
            of: weights, earlier: { decisions[weights[$0].name]?.mask },
            values: { index in
                let name = weights[index].name
                let values = try self.values(of: weights[index])
                zeros.look(at: values, name: name, earlier: decisions[name]?.mask)
                return values
            })
        try check(zeros, stage: index)
        for (weight, mask) in zip(weights, masks) { record(mask, of: weight, options) }
    }

    /// Throws where a prune stage asks for less than is removed.
    private func check(_ zeros: EarlierZeros, stage index: Int) throws {
        guard case .prune(let options) = recipe.stages[index], !options.isSemiStructured else { return }
        do {
            try zeros.check(selected[index], sparsity: options.sparsity, sharedBy: options.sharing)
        } catch var error as CoppiceError {
            error.source = recipe.source
            error.field = "stages[\(index)].prune" + (error.field.map { ": \($0)" } ?? "")
            throw error
        }
    }

    /// Decides the masks of a prune stage block by block on calibration windows.
    ///
    /// Kept weights make up for removed ones where the stage says so; ``values`` has them then.
    ///
    /// - Parameters:
    ///   - allocation: instead of the stage's own, where that follows from what was measured.
    ///   - progress: called with the number of blocks done.
    public mutating func prune(
        stage index: Int, calibratedBy windows: CalibrationWindows, through model: any BlockwiseModel,
        sharedBy allocation: (any Allocation)? = nil,
        progress: (_ blocks: Int) throws -> Void = { _ in }
    ) throws {
        guard case .prune(let options) = recipe.stages[index] else { return }
        if options.reconstructs {
            return try reconstruct(
                stage: index, options, calibratedBy: windows, through: model, sharedBy: allocation, progress: progress)
        }
        var method = options.pruningMethod(seed: recipe.seed)
        if let allocation { method.allocation = allocation }
        precondition(!method.allocation.needsScores, "an allocation that needs all scores cannot go block by block")
        let weights = selected[index]
        let counts = try method.allocation.removedCounts(weights, sparsity: method.sparsity) {
            try values(of: weights[$0])
        }
        let shares = Dictionary(uniqueKeysWithValues: zip(weights.map(\.name), zip(weights, counts)))
        var walk = try BlockSequentialPruning(model, windows: windows)
        // Read before they change, so that a block sees only what earlier stages decided.
        let (before, earlier) = (self, decisions.compactMapValues(\.mask))
        var decided: [(PrunableWeight, WeightMask)] = []
        var zeros = EarlierZeros()
        try walk.run(
            prepare: before.restore,
            masks: { block in
                var masks: [String: WeightMask] = [:]
                for name in block.block.matrixNames {
                    guard let (weight, count) = shares[name] else { continue }
                    let values = block.block.matrix(name)
                    zeros.look(at: values, name: name, earlier: earlier[name])
                    let mask = try method.mask(
                        of: weight, removing: count, values: values, earlier: earlier[name],
                        inputNorms: block.inputNorms[name])
                    masks[name] = mask
                    decided.append((weight, mask))
                }
                try progress(block.index + 1)
                return masks
            })
        try check(zeros, stage: index)
        for (weight, mask) in decided { record(mask, of: weight, options) }
        try Self.check(weights, areAmong: decided.map(\.0.name))
    }

    /// Brings a block to where earlier stages left it.
    func restore(_ block: any ModelBlock) {
        for name in block.matrixNames {
            let mask = decisions[name]?.mask
            guard mask != nil || values[name] != nil else { continue }
            var matrix = values[name] ?? block.matrix(name)
            mask?.apply(to: &matrix)
            block.setMatrix(name, to: matrix)
        }
    }

    /// - Throws: `.badData` naming a weight that no block had.
    static func check(_ weights: [PrunableWeight], areAmong calibrated: [String]) throws {
        let calibrated = Set(calibrated)
        guard let missed = weights.first(where: { !calibrated.contains($0.name) }) else { return }
        throw CoppiceError(.badData, field: missed.name, "the model's blocks have no such matrix to calibrate")
    }

    /// Takes over what a stage of whole heads or neurons removed of a matrix, in runs of a row of some length.
    mutating func adopt(_ mask: WeightMask, inRunsOf length: Int, of name: String) {
        decisions[name, default: .unchanged].mask = mask
        decisions[name, default: .unchanged].groupLength = length
    }

    /// Takes over what a stage removed of some of a network's matrices.
    mutating func record(masksOf network: PrunableNetwork, of names: Set<String>, _ options: PruneStage) {
        for (weight, mask) in zip(network.weights, network.masks) where names.contains(weight.name) {
            if mask.removedCount > 0 { record(mask, of: weight, options) }
        }
    }

    /// Decides what is kept of a matrix, in the structure that a stage gave it.
    mutating func record(_ mask: WeightMask, of weight: PrunableWeight, _ options: PruneStage) {
        decisions[weight.name, default: .unchanged].mask = mask
        switch options.pattern {
        case .unstructured: break
        case .semiStructured(let pattern): decisions[weight.name, default: .unchanged].pattern = pattern
        case .groups(let length, _): decisions[weight.name, default: .unchanged].groupLength = length
        case .blocks(_, let columns, _): decisions[weight.name, default: .unchanged].groupLength = columns
        }
    }
}
