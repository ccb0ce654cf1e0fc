import CoppiceModels
import CoppiceTensors
import CoppiceTraining

extension SparsePretraining {
    /// Prunes the projections of a decoder's blocks as a training recipe says; embeddings, norms and output head stay
    /// dense.
    ///
    /// What `TrainingRun` takes to train recipes with a `prune` section:
    /// ```swift
    /// try TrainingRun(recipe: recipe, options: options, pruning: SparsePretraining.of).execute()
    /// ```
    ///
    /// - Throws: `.badData` for a model without projections, and for a floor that keeps more than the final sparsity leaves.
    public static func of(
        _ network: DecoderNetwork, _ pruning: TrainingRecipe.Pruning, _ schedule: ComputePhaseSchedule
    ) throws -> any StoredTrainingHook {
        let allocation: any Allocation =
            switch pruning.scope {
            case .global: GlobalAllocation(floor: pruning.floor)
            case .layer: UniformAllocation()
            }
        let prunable = try projections(of: network)
        do {
            // Before hours of training.
            try allocation.check(prunable.weights, sparsity: pruning.finalSparsity)
        } catch var error as CoppiceError {
            error.kind = .badData
            error.field = (["prune"] + (error.field.map { [$0] } ?? [])).joined(separator: ".")
            throw error
        }
        return SparsePretraining(prunable, schedule: schedule, allocation: allocation)
    }

    /// The projections of a decoder's blocks with their masks.
    ///
    /// - Throws: `.badData` for a model without them.
    public static func projections(of network: DecoderNetwork) throws -> PrunableNetwork {
        try PrunableNetwork(network, targets: [WeightPattern("model.layers.*_proj.weight")])
    }
}
