import CoppiceModels

extension TrainingResult {
    /// What pruning during training came to.
    public struct Pruning: Sendable, Hashable {
        public var schedule: ComputePhaseSchedule
        /// Optimizer steps taken.
        public var steps: Int
        /// Tokens trained on.
        public var tokens: Int
        /// How many entries of each prunable weight are kept.
        public var weights: [KeptCount]

        public init(schedule: ComputePhaseSchedule, steps: Int, tokens: Int, weights: [KeptCount]) {
            self.schedule = schedule
            self.steps = steps
            self.tokens = tokens
            self.weights = weights
        }

        /// N₀: prunable parameters.
        public var prunableCount: Int { weights.reduce(0) { $0 + $1.count } }
        /// Those that are kept.
        public var keptCount: Int { weights.reduce(0) { $0 + $1.kept } }
        /// The part of the prunable parameters that is removed.
        public var sparsity: Double { prunableCount == 0 ? 0 : 1 - Double(keptCount) / Double(prunableCount) }
        /// N̄: the mean over the steps taken of the prunable parameters in use.
        public var averageCount: Double {
            steps == 0 ? Double(prunableCount) : Double(prunableCount) * schedule.compute(before: steps) / Double(steps)
        }
        /// 6 N̄ D: floating-point operations of the prunable weights where zeros cost nothing.
        public var idealOperations: Double { 6 * averageCount * Double(tokens) }
        /// 6 N₀ D: those that were done, since training multiplies dense matrices.
        public var denseOperations: Double { 6 * Double(prunableCount) * Double(tokens) }

        /// With stable keys.
        public var json: JSON {
            .object([
                "final_sparsity": .number(schedule.finalSparsity), "sparsity": .number(sparsity),
                "prunable_parameters": .integer(prunableCount), "kept_parameters": .integer(keptCount),
                "average_parameters": .number(averageCount), "dense_steps": .integer(schedule.denseSteps),
                "start_step": .integer(schedule.startStep), "end_step": .integer(schedule.endStep),
                "prune_every": .integer(schedule.interval), "ideal_flops": .number(idealOperations),
                "dense_flops": .number(denseOperations),
                "weights": .array(
                    weights.map { weight in
                        .object([
                            "name": .string(weight.name), "kept": .integer(weight.kept),
                            "count": .integer(weight.count),
                        ])
                    }),
            ])
        }
    }
}
