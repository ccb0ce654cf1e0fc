import CoppiceModels
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
    /// - Throws: `.badData` for a model without projections.
    public static func of(
        _ network: DecoderNetwork, _ pruning: TrainingRecipe.Pruning, _ schedule: ComputePhaseSchedule
    ) throws -> any StoredTrainingHook {
        let allocation: any Allocation =
            switch pruning.scope {
            case .global: GlobalAllocation()
            case .layer: UniformAllocation()
            }
        return SparsePretraining(
            try PrunableNetwork(network, targets: [WeightPattern("model.layers.*_proj.weight")]), schedule: schedule,
            allocation: allocation)
    }
}
