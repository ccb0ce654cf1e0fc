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

    /// The same recipe with shorter or longer trainings, for trials: the training is so many epochs long, and what stages
    /// say in epochs (where schedules begin and end, what they go back to, how long masks are searched) is scaled alike.
    ///
    /// - Throws: `.usage` for epochs that are not above 0, at most 1e6, and where no stage trains.
    public func withEpochs(_ epochs: Double) throws -> Recipe {
        guard epochs > 0, epochs <= 1e6 else {
            throw CoppiceError(.usage, field: "epochs", "\(epochs), expected a number above 0, at most 1000000")
        }
        guard trains else {
            throw CoppiceError(.usage, source: source, field: "epochs", "no stage of the recipe trains; leave it out")
        }
        var recipe = self
        let factor = epochs / training.loop.epochs
        (recipe.training.loop.epochs, recipe.languageTraining.loop.epochs) = (epochs, epochs)
        recipe.training.schedule.warmupEpochs *= factor
        recipe.languageTraining.schedule.warmupEpochs *= factor
        for (index, stage) in recipe.stages.enumerated() {
            guard case .prune(var options) = stage else { continue }
            options.network.scaleEpochs(by: factor)
            recipe.stages[index] = .prune(options)
        }
        recipe.text = "# With --epochs \(epochs):\n" + text
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

extension NetworkPruning {
    /// Multiplies all times in epochs.
    fileprivate mutating func scaleEpochs(by factor: Double) {
        switch schedule {
        case .oneShot: break
        case .gradual(let begin, let end, let every, let ramp):
            schedule = .gradual(begin: begin * factor, end: end * factor, every: every, ramp: ramp)
        case .iterative(let levels, let rewind):
            schedule = .iterative(levels: levels, rewind: rewind.map { $0 * factor })
        case .dynamic(var options):
            options.end *= factor
            schedule = .dynamic(options)
        case .adaptive(var options):
            options.rewind = options.rewind.map { $0 * factor }
            schedule = .adaptive(options)
        }
        search.epochs = search.epochs.map { $0 * factor }
        search.trainingEpochs *= factor
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
