import CoppiceModels
import Dispatch

/// The speed of training steps: forward, backward, gradient norm and optimizer, on random tokens.
public enum TrainingBenchmark {
    /// What was measured.
    public struct Measurement: Sendable, Hashable {
        public var parameters: Int
        public var batchSize: Int
        public var sequenceLength: Int
        /// Seconds of each step, the warm-up left out.
        public var stepSeconds: [Double]

        /// Tokens a second at the median step.
        public var tokensPerSecond: Double {
            let sorted = stepSeconds.sorted()
            guard !sorted.isEmpty else { return 0 }
            let median = (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
            return Double(batchSize * sequenceLength) / max(median, 1e-12)
        }

        /// The measurement with stable keys.
        public var json: JSON {
            .object([
                "parameters": .integer(parameters), "batch_size": .integer(batchSize),
                "sequence_length": .integer(sequenceLength), "train_tok_s": .number(tokensPerSecond),
                "step_seconds": .array(stepSeconds.map(JSON.number)),
            ])
        }
    }

    /// Measures steps of a learner, which is trained on noise by it.
    ///
    /// - Parameters:
    ///   - steps: steps measured.
    ///   - warmupSteps: steps before them that are not.
    public static func measure(
        _ learner: any LanguageModelLearner, batchSize: Int = 16, sequenceLength: Int = 256, steps: Int = 5,
        warmupSteps: Int = 2
    ) throws -> Measurement {
        precondition(batchSize > 0 && sequenceLength > 0 && steps > 0 && warmupSteps >= 0, "nothing to measure")
        var seconds: [Double] = []
        for step in 0..<(warmupSteps + steps) {
            let batch = noise(
                rows: batchSize, columns: sequenceLength, vocabularySize: learner.vocabularySize, step: step)
            let start = DispatchTime.now().uptimeNanoseconds
            _ = try learner.accumulate(batch, weight: 1, randomSeed: UInt64(step))
            let scale = min(1, 1 / (learner.gradientNorm() + 1e-6))
            learner.update(learningRate: 1e-3, gradientScale: scale, step: step)
            let end = DispatchTime.now().uptimeNanoseconds
            if step >= warmupSteps { seconds.append(Double(end - start) / 1e9) }
        }
        return Measurement(
            parameters: learner.parameterCount, batchSize: batchSize, sequenceLength: sequenceLength,
            stepSeconds: seconds)
    }

    private static func noise(rows: Int, columns: Int, vocabularySize: Int, step: Int) -> TokenBatch {
        let tokens = (0..<(rows * (columns + 1))).map { index in
            Int32(WindowOrder.mix(UInt64(step) << 40 ^ UInt64(index)) % UInt64(vocabularySize))
        }
        return TokenBatch(tokens, starts: (0..<rows).map { $0 * (columns + 1) }, length: columns)
    }
}

extension TrainingBenchmark {
    /// Measures the model that comparisons with other systems use: Llama with 3.1 million parameters (hidden 192,
    /// feed-forward 512, 6 layers, 6 heads of which 2 for keys and values, 4,096 tokens, tied), 16 windows of 256.
    public static func measureReferenceModel(steps: Int = 5, warmupSteps: Int = 2) throws -> Measurement {
        var recipe = TrainingRecipe()
        recipe.model.keyValueHeads = 2
        let learner = DecoderLearner(
            recipe, configuration: recipe.configuration(vocabularySize: 4096, beginToken: nil, endToken: 0))
        return try measure(learner, batchSize: 16, sequenceLength: 256, steps: steps, warmupSteps: warmupSteps)
    }
}
