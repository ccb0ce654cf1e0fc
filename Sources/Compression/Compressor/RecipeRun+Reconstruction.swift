import CoppiceTensors

/// Stages whose kept weights make up for removed ones: `method: sparsegpt` and `recovery: reconstruct`.
extension RecipeRun {
    /// What a stage knows about a matrix before the walk.
    private enum Plan {
        /// Decided beforehand, by scores that need no activations.
        case mask(WeightMask)
        /// How many go.
        case count(Int)
    }

    /// Prunes block by block; each sees the inputs that the pruned and compensated blocks before it give.
    ///
    /// A block starts from what it was before anything was removed of the stage's matrices, values and inputs alike, so
    /// that what earlier stages removed is made up for too. What is zero stays zero.
    ///
    /// - Throws: as ``prune(stage:calibratedBy:through:sharedBy:progress:)``; `.usage` for a sparsity below what is zero
    ///   already; `.badData` for inputs that are not finite.
    /// - Complexity: two forward passes over the windows, O(tokens · inputs²) for each distinct input of a block, and
    ///   O(inputs³ + outputs · inputs²) for each matrix.
    mutating func reconstruct(
        stage index: Int, _ options: PruneStage, calibratedBy windows: CalibrationWindows,
        through model: any BlockwiseModel, sharedBy allocation: (any Allocation)?,
        progress: (_ blocks: Int) throws -> Void
    ) throws {
        let weights = selected[index]
        let plans = try plans(for: weights, options, sharedBy: allocation)
        let before = self
        var walk = try BlockSequentialPruning(model, windows: windows, momentsOf: Set(weights.map(\.name)))
        var whole: [String: Tensor] = [:]
        var decided: [(weight: PrunableWeight, mask: WeightMask, values: Tensor)] = []
        try walk.run(
            prepare: { block in
                whole = [:]
                for name in block.matrixNames where plans[name] != nil {
                    whole[name] = before.values[name] ?? block.matrix(name)
                }
                before.restore(block)
                for (name, values) in whole { block.setMatrix(name, to: values) }
            },
            masks: { block in
                var masks: [String: WeightMask] = [:]
                for (names, moments) in block.inputMoments {
                    let inverse = try Self.naming(names[0]) {
                        try moments.inverse(dampening: options.network.compensation.dampening)
                    }
                    for name in names {
                        guard let (weight, plan) = plans[name], let values = whole.removeValue(forKey: name) else {
                            continue
                        }
                        let (pruned, mask) = try before.prune(
                            weight, values, plan, options, inputNorms: block.inputNorms[name], inverse)
                        masks[name] = mask
                        block.block.setMatrix(name, to: pruned)
                        decided.append((weight, mask, pruned))
                    }
                }
                try progress(block.index + 1)
                return masks
            })
        for (weight, mask, pruned) in decided {
            record(mask, of: weight, options)
            values[weight.name] = pruned
        }
        try Self.check(weights, areAmong: decided.map(\.weight.name))
    }

    private func plans(
        for weights: [PrunableWeight], _ options: PruneStage, sharedBy allocation: (any Allocation)?
    ) throws -> [String: (PrunableWeight, Plan)] {
        let plans: [Plan]
        if options.method == .wanda || options.method == .sparseGPT {
            plans = try (allocation ?? options.sharing).removedCounts(weights, sparsity: options.sparsity) {
                try values(of: weights[$0])
            }.map(Plan.count)
        } else {
            var method = options.pruningMethod(seed: recipe.seed)
            if let allocation { method.allocation = allocation }
            plans = try method.masks(
                of: weights, earlier: { decisions[weights[$0].name]?.mask }, values: { try values(of: weights[$0]) }
            ).map(Plan.mask)
        }
        return Dictionary(uniqueKeysWithValues: zip(weights.map(\.name), zip(weights, plans)))
    }

    /// One matrix.
    ///
    /// - Parameter values: with what earlier stages removed.
    private func prune(
        _ weight: PrunableWeight, _ values: Tensor, _ plan: Plan, _ options: PruneStage, inputNorms: [Float]?,
        _ inverse: InverseMoments
    ) throws -> (values: Tensor, mask: WeightMask) {
        try ExactSelection.checkFinite(values, name: weight.name)
        let earlier = decisions[weight.name]?.mask
        let nonZeros = WeightMask(keepingNonZerosOf: values)
        let present = earlier.map { $0.intersection(nonZeros) } ?? nonZeros
        let choice: SparseGPT.Choice
        switch (plan, options.method, options.pattern) {
        case (.mask(let mask), _, _): choice = .mask(mask)
        case (.count, .sparseGPT, .semiStructured(let pattern)): choice = .pattern(pattern)
        // Zero asks for nothing.
        case (.count(0), .sparseGPT, _): choice = .mask(present)
        case (.count(let count), .sparseGPT, _):
            guard count >= present.removedCount else {
                throw CoppiceError(
                    .usage, source: recipe.source, field: "sparsity",
                    "removes \(count) of the \(weight.count) weights of \(weight.name), of which "
                        + "\(present.removedCount) are zero already; removed weights do not return")
            }
            choice = .count(count)
        case (.count(let count), _, _):
            // Wanda looks at what earlier stages left.
            var left = values
            earlier?.apply(to: &left)
            choice = .mask(
                try options.pruningMethod(seed: recipe.seed).mask(
                    of: weight, removing: count, values: left, earlier: earlier, inputNorms: inputNorms))
        }
        let pruned = options.network.compensation.prune(values, choice, present: present, inverse: inverse)
        try ExactSelection.checkFinite(pruned.values, name: weight.name + " (compensated)")
        return pruned
    }

    /// Says which matrix an error is about.
    private static func naming<Result>(_ name: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch var error as CoppiceError {
            error.field = error.field ?? name
            throw error
        }
    }
}
