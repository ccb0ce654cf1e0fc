import CoppiceTensors

/// A recipe with something else in it than its file says.
extension Recipe {
    /// The same recipe with another sparsity in its prune stages.
    ///
    /// - Throws: `.usage` for a sparsity outside `[0, 1)`, and where no stage has a sparsity of its own.
    public func withSparsity(_ sparsity: Double) throws -> Recipe {
        guard sparsity >= 0, sparsity < 1 else {
            throw CoppiceError(.usage, field: "sparsity", "\(sparsity), expected a number from 0 to below 1")
        }
        var recipe = self
        var count = 0
        for (index, stage) in recipe.stages.enumerated() {
            guard case .prune(var options) = stage, options.hasFreeSparsity else { continue }
            options.sparsity = sparsity
            recipe.stages[index] = .prune(options)
            count += 1
        }
        guard count > 0 else {
            throw CoppiceError(
                .usage, source: source, field: "sparsity",
                "no stage of the recipe has a sparsity to change: patterns N:M and masks fix it, and schedule sap finds "
                    + "its own")
        }
        recipe.text = "# With --sparsity \(sparsity):\n" + text
        return recipe
    }

    /// The same recipe with another seed.
    public func withSeed(_ seed: UInt64) -> Recipe {
        var recipe = self
        recipe.seed = seed
        recipe.text = "# With seed \(seed):\n" + text
        return recipe
    }

    /// Epochs that all stages train for together, at most: what a fair comparison of recipes holds equal.
    ///
    /// - Parameter ofLanguage: whether a language model or an encoder is compressed, whose training has other defaults.
    public func trainedEpochs(ofLanguage: Bool) -> Double {
        let epochs = (ofLanguage ? languageTraining : training).loop.epochs
        return stages.reduce(0) { sum, stage in
            guard case .prune(let options) = stage else { return sum }
            return sum + options.trainedEpochs(epochs)
        }
    }
}

extension PruneStage {
    /// - Parameter epochs: of one training.
    fileprivate func trainedEpochs(_ epochs: Double) -> Double {
        func levels(_ count: Int, _ rewind: Double?) -> Double {
            Double(count) * (epochs - (rewind ?? 0)) + (rewind ?? 0)
        }
        let pruning =
            switch (method, network.schedule) {
            case (.searched, _): (network.search.epochs ?? epochs) + network.search.trainingEpochs
            case (.bip, _), (_, .gradual), (_, .dynamic): epochs
            case (_, .iterative(let count, let rewind)): levels(count + 1, rewind)
            case (_, .adaptive(let options)): levels(options.rounds + 1, options.rewind)
            case (_, .oneShot): 0.0
            }
        switch network.recovery {
        case .fineTune, .distill: return pruning + epochs
        case .none, .surgeon, .reconstruct: return pruning
        }
    }
}
