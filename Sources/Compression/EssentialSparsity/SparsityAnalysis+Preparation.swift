import CoppiceNetworks
import CoppiceTraining

/// What happens between pruning and measuring.
extension SparsityAnalysis {
    /// What is trained.
    public struct FineTuning {
        public var training: SupervisedTraining
        public var source: any BatchSource

        public init(_ training: SupervisedTraining, on source: any BatchSource) {
            self.training = training
            self.source = source
        }

        /// The fine-tuning of Jaiswal et al. (2023): AdamW without decay, ε 1e-8, the rate falling linearly to zero,
        /// clipped to norm 1.
        public static func training(steps: Int, learningRate: Double = 2e-5) -> SupervisedTraining {
            var training = SupervisedTraining(
                optimizer: AdamW(epsilon: 1e-8, weightDecay: 0),
                rates: LearningRateSchedule(
                    kind: .linear, peak: learningRate, warmupSteps: 0, minimumRatio: 0, totalSteps: steps))
            training.clipNorm = 1
            return training
        }
    }

    /// What running statistics of batch normalizations are estimated on: the first batches of a source.
    public struct NormStatistics {
        public var source: any BatchSource
        public var batchCount: Int

        /// - Precondition: a batch at least.
        public init(of source: any BatchSource, batchCount: Int) {
            precondition(batchCount > 0, "statistics of no batch")
            self.source = source
            self.batchCount = batchCount
        }
    }
}
