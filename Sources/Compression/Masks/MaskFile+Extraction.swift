import CoppiceModels
import CoppiceTensors

extension MaskFile {
    /// The masks that a model's zeros make.
    ///
    /// - Parameters:
    ///   - weights: a sparse model; one without zeros gives masks that keep everything.
    ///   - selection: which matrices; the projections of a language model's blocks and all matrices of other models
    ///     where it names none.
    ///   - dense: the model that the masks are to belong to, nil for the sparse one itself. Of another model the running
    ///     statistics of norms come along.
    /// - Throws: `.badData` for patterns that match nothing, for weights that are not finite, and where `dense` has no
    ///   such matrices.
    /// - Complexity: O(weights).
    public init(
        zerosOf weights: StoredWeights, selection: WeightSelection = WeightSelection(),
        belongingTo dense: StoredWeights? = nil
    ) throws {
        let names = try weights.names(of: selection)
        self.init(
            try names.map { name in
                let values = try weights.finiteValues(of: name)
                defer { weights.releasePages(of: name) }
                return Entry(name: name, mask: WeightMask(keepingNonZerosOf: values))
            }, modelDigest: "")
        if let dense { try checkShapes(against: dense, source: weights.path) }
        if dense != nil, case .vision(let checkpoint) = weights.model {
            statistics = MaskFile.statistics(of: try checkpoint.network())
        }
        modelDigest = try (dense ?? weights).digest(of: names)
    }

    /// The masks that remove a model's smallest weights.
    ///
    /// - Parameters:
    ///   - sparsity: the fraction of all selected weights that goes, in `[0, 1)`.
    ///   - allocation: how it is shared out.
    /// - Throws: `.badData` for patterns that match nothing and for weights that are not finite; `.usage` for a sparsity
    ///   below the zeros that there are.
    /// - Complexity: O(weights), several passes.
    public init(
        smallestOf weights: StoredWeights, sparsity: Double, allocation: any Allocation = GlobalAllocation(),
        selection: WeightSelection = WeightSelection()
    ) throws {
        let names = try weights.names(of: selection)
        let chosen = Set(names)
        let matrices = weights.matrices.filter { chosen.contains($0.name) }
        let method = PruningMethod(
            criterion: MagnitudeCriterion(), granularity: UnstructuredGranularity(), allocation: allocation,
            sparsity: sparsity)
        var zeros = EarlierZeros()
        let masks = try method.masks(of: matrices) { index in
            let values = try weights.finiteValues(of: matrices[index].name)
            zeros.look(at: values, name: matrices[index].name, earlier: nil)
            return values
        }
        try zeros.check(matrices, sparsity: sparsity, sharedBy: allocation)
        self.init(
            zip(matrices, masks).map { Entry(name: $0.name, mask: $1) }, modelDigest: try weights.digest(of: names))
    }

    /// How far the masks agree with others, matrix by matrix.
    ///
    /// - Parameter source: what errors call the other masks.
    /// - Throws: `.badData` naming a matrix that only one of both has, or that has two shapes.
    public func agreement(
        with other: MaskFile, source: String? = nil
    ) throws -> [(name: String, agreement: MaskAgreement)] {
        let theirs = Dictionary(uniqueKeysWithValues: other.entries.map { ($0.name, $0.mask) })
        if let extra = other.entries.first(where: { entry in !entries.contains { $0.name == entry.name } }) {
            throw CoppiceError(
                .badData, source: source, field: extra.name, "is in this file only, expected masks of the same matrices"
            )
        }
        return try entries.map { entry in
            guard let mask = theirs[entry.name] else {
                throw CoppiceError(
                    .badData, source: source, field: entry.name, "is missing, expected masks of the same matrices")
            }
            guard mask.rows == entry.mask.rows, mask.columns == entry.mask.columns else {
                throw CoppiceError(
                    .badData, source: source, field: entry.name,
                    "is the mask of \(mask.rows) × \(mask.columns) weights, expected \(entry.mask.rows) × "
                        + "\(entry.mask.columns)")
            }
            return (entry.name, MaskAgreement(entry.mask, mask))
        }
    }
}

extension StoredWeights {
    /// The matrices that a selection names, in checkpoint order.
    func names(of selection: WeightSelection) throws -> [String] {
        try selection.select(
            from: matrices.map(\.name), aliases: storedNames, isStandard: isStandardTarget, field: "mask", source: path)
    }

    func finiteValues(of name: String) throws -> Tensor {
        let values = try values(of: name)
        try ExactSelection.checkFinite(values, name: name, source: path)
        return values
    }
}
