import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Dispatch

/// The speed of training steps: forward, backward, gradient norm and optimizer, on random data.
public enum TrainingBenchmark {
    /// A model and a batch that comparisons with other systems use.
    public enum Workload: String, Sendable, Hashable, CaseIterable {
        /// Llama with 3.1 million parameters, as the built-in model: hidden 192, feed-forward 512, 6 layers, 6 heads of
        /// which 2 for keys and values, 4,096 tokens, tied; 16 windows of 256.
        case llama3M = "llama-3m"
        /// Llama with 10.0 million parameters: hidden 256, feed-forward 688, 10 layers, 8 heads, 8,192 tokens, tied; 8
        /// windows of 256.
        case llama10M = "llama-10m"
        /// ResNet-20 with padded shortcuts on 128 images of 3 × 32 × 32, ten classes; momentum 0.9, decay 10⁻⁴.
        case resNet20 = "resnet-20"
        /// LeNet-300-100 on 128 images of 1 × 28 × 28, ten classes; updates as of ``resNet20``.
        case leNet300 = "lenet-300-100"
    }

    /// The rule of a workload's updates.
    public enum Rule: Sendable, Hashable, CustomStringConvertible {
        case sgd, adamw
        /// With a window of so many gradients. A step takes as long however many of them have come.
        case mfac(gradients: Int, storage: GradientStorage = .f32)

        public var description: String {
            switch self {
            case .sgd: "sgd"
            case .adamw: "adamw"
            case .mfac(let gradients, let storage):
                "mfac with \(gradients) gradients" + (storage == .f32 ? "" : " in \(storage.rawValue)")
            }
        }

        fileprivate var optimizer: any Optimizer {
            switch self {
            case .sgd: SGD(momentum: 0.9, weightDecay: 1e-4)
            case .adamw: AdamW(weightDecay: 1e-4)
            case .mfac(let gradients, let storage):
                MFAC(window: gradients, momentum: 0.9, weightDecay: 1e-4, storage: storage)
            }
        }
    }

    /// What was measured.
    public struct Measurement: Sendable, Hashable {
        public var workload: Workload?
        public var rule: Rule?
        public var precision: OperandPrecision
        public var parameters: Int
        /// Windows or images of a step.
        public var batchSize: Int
        /// Tokens of a window; nil for images.
        public var sequenceLength: Int?
        /// Seconds of each step, the warm-up left out.
        public var stepSeconds: [Double]
        /// The same of the processors' time, all threads together.
        public var processorSeconds: [Double]

        /// Seconds of the median step.
        public var medianStep: Double {
            let sorted = stepSeconds.sorted()
            guard !sorted.isEmpty else { return 0 }
            return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
        }

        /// Tokens or images a second at the median step.
        public var itemsPerSecond: Double { Double(batchSize * (sequenceLength ?? 1)) / max(medianStep, 1e-12) }

        /// The measurement with stable keys.
        public var json: JSON {
            let rate = sequenceLength == nil ? "train_images_s" : "train_tok_s"
            return .object([
                "workload": workload.map { .string($0.rawValue) } ?? .null,
                "optimizer": rule.map { .string("\($0)") } ?? .null, "precision": .string(precision.rawValue),
                "parameters": .integer(parameters), "batch_size": .integer(batchSize),
                "sequence_length": sequenceLength.map(JSON.integer) ?? .null, rate: .number(itemsPerSecond),
                "step_seconds": .array(stepSeconds.map(JSON.number)),
                "step_processor_seconds": .array(processorSeconds.map(JSON.number)),
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
        precondition(batchSize > 0 && sequenceLength > 0, "nothing to measure")
        let times = try time(steps: steps, warmupSteps: warmupSteps) { step in
            noise(rows: batchSize, columns: sequenceLength, vocabularySize: learner.vocabularySize, step: step)
        } run: { step, batch in
            _ = try learner.accumulate(batch, weight: 1, randomSeed: UInt64(step))
            let scale = min(1, 1 / (learner.gradientNorm() + 1e-6))
            try learner.update(learningRate: 1e-3, gradientScale: scale, step: step)
        }
        return Measurement(
            precision: .f32, parameters: learner.parameterCount, batchSize: batchSize, sequenceLength: sequenceLength,
            stepSeconds: times.clock, processorSeconds: times.processor)
    }

    /// Seconds of each step after the warm-up, by the clock and of the processors. Making the step's batch does not count.
    private static func time<Batch>(
        steps: Int, warmupSteps: Int, batch: (Int) -> Batch, run: (Int, Batch) throws -> Void
    ) rethrows -> (clock: [Double], processor: [Double]) {
        precondition(steps > 0 && warmupSteps >= 0, "nothing to measure")
        var (clock, processor): ([Double], [Double]) = ([], [])
        for step in 0..<(warmupSteps + steps) {
            let own = batch(step)
            let (start, began) = (DispatchTime.now().uptimeNanoseconds, ProcessorTime.seconds)
            try run(step, own)
            let (end, ended) = (DispatchTime.now().uptimeNanoseconds, ProcessorTime.seconds)
            guard step >= warmupSteps else { continue }
            clock.append(Double(end - start) / 1e9)
            processor.append(ended - began)
        }
        return (clock, processor)
    }

    fileprivate static func noise(rows: Int, columns: Int, vocabularySize: Int, step: Int) -> TokenBatch {
        let tokens = (0..<(rows * (columns + 1))).map { index in
            Int32(EpochOrder.mix(UInt64(step) << 40 ^ UInt64(index)) % UInt64(vocabularySize))
        }
        return TokenBatch(tokens, starts: (0..<rows).map { $0 * (columns + 1) }, length: columns)
    }
}

extension TrainingBenchmark {
    /// Measures a workload.
    ///
    /// - Parameters:
    ///   - rule: of the updates; nil for the workload's own, AdamW for language models and momentum for images.
    ///   - batchSize: windows or images of a step; nil for the workload's own number.
    /// - Throws: `.usage` for language models with momentum, and for more gradients than memory allows.
    public static func measure(
        _ workload: Workload, rule: Rule? = nil, precision: OperandPrecision = .f32, batchSize: Int? = nil,
        steps: Int = 5, warmupSteps: Int = 2
    ) throws -> Measurement {
        precondition(batchSize ?? 1 > 0, "a batch of \(batchSize ?? 0)")
        var recipe = TrainingRecipe()
        recipe.loop.precision = precision
        let isOfImages = workload == .resNet20 || workload == .leNet300
        let rule = rule ?? (isOfImages ? .sgd : .adamw)
        if case .mfac(let gradients, let storage) = rule {
            recipe.optimizer.kind = .mfac
            (recipe.optimizer.fisherWindow.gradients, recipe.optimizer.fisherWindow.storage) = (gradients, storage)
        }
        guard isOfImages || rule != .sgd else {
            throw CoppiceError(.usage, field: "optimizer", "sgd is for images, expected adamw or mfac")
        }
        var result: Measurement
        switch workload {
        case .llama3M: result = try measure(.llama3M, recipe, batchSize, steps: steps, warmupSteps: warmupSteps)
        case .llama10M: result = try measure(.llama10M, recipe, batchSize, steps: steps, warmupSteps: warmupSteps)
        case .resNet20:
            let network = ResNet(ResNet.Configuration(blocks: 3))
            result = try measure(
                network, rule, shape: [3, 32, 32], precision, images: batchSize ?? 128, steps: steps,
                warmupSteps: warmupSteps)
        case .leNet300:
            let network = try VisionArchitecture(named: "lenet-300-100").makeNetwork(seed: 1)
            result = try measure(
                network, rule, shape: network.configuration.inputShape, precision, images: batchSize ?? 128,
                steps: steps, warmupSteps: warmupSteps)
        }
        (result.workload, result.rule) = (workload, rule)
        result.precision = precision
        return result
    }

    private static func measure(
        _ model: LanguageModel, _ recipe: TrainingRecipe, _ batchSize: Int?, steps: Int, warmupSteps: Int
    ) throws -> Measurement {
        let learner = DecoderLearner(model.makeNetwork(), recipe: recipe)
        return try measure(
            learner, batchSize: batchSize ?? model.windows, sequenceLength: model.windowLength, steps: steps,
            warmupSteps: warmupSteps)
    }

    private static func measure(
        _ network: any SupervisedNetwork, _ rule: Rule, shape: [Int], _ precision: OperandPrecision, images: Int,
        steps: Int, warmupSteps: Int
    ) throws -> Measurement {
        network.setTraining(true)
        let optimizer = rule.optimizer
        let parameters = network.parameters.map(\.parameter)
        let decays = parameters.map { _ in true }
        var state = OptimizerState(optimizer, for: network)
        let times = try time(steps: steps, warmupSteps: warmupSteps) { step in
            var generator = RandomGenerator(seed: UInt64(step))
            let classes = (0..<images).map { Int(EpochOrder.mix(UInt64(step) << 40 ^ UInt64($0)) % 10) }
            return LabeledBatch(
                inputs: Tensor.normal([images] + shape, using: &generator), targets: Tensor(classes))
        } run: { _, batch in
            let loss = withOperandPrecision(precision) { network.loss(batch) }
            let slopes = gradients(of: loss, withRespectTo: parameters.map(\.wrappedValue))
            // A rate that leaves the numbers as they are: noise is not learned.
            try optimizer.update(
                parameters, gradients: slopes, decays: decays, state: &state, learningRate: 1e-4, gradientScale: 1)
            state.step += 1
        }
        return Measurement(
            precision: precision, parameters: network.parameterCount, batchSize: images,
            stepSeconds: times.clock, processorSeconds: times.processor)
    }
}

extension TrainingBenchmark {
    /// The Llama of a workload, and the tokens of a step.
    public struct LanguageModel: Sendable, Hashable {
        public var shape: TrainingRecipe.Model
        public var vocabularySize: Int
        /// Of a step.
        public var windows: Int
        /// In tokens.
        public var windowLength = 256

        /// ``Workload/llama3M``'s.
        public static let llama3M = LanguageModel(
            shape: shape { $0.keyValueHeads = 2 }, vocabularySize: 4096, windows: 16)
        /// ``Workload/llama10M``'s.
        public static let llama10M = LanguageModel(
            shape: shape {
                ($0.hiddenSize, $0.intermediateSize, $0.layers) = (256, 688, 10)
                ($0.heads, $0.keyValueHeads) = (8, 8)
            }, vocabularySize: 8192, windows: 8)

        private static func shape(_ change: (inout TrainingRecipe.Model) -> Void) -> TrainingRecipe.Model {
            var shape = TrainingRecipe.Model()
            change(&shape)
            return shape
        }

        /// Random weights.
        public func makeNetwork() -> DecoderNetwork {
            var recipe = TrainingRecipe()
            recipe.model = shape
            return DecoderNetwork(
                recipe,
                configuration: recipe.configuration(vocabularySize: vocabularySize, beginToken: nil, endToken: 0))
        }

        /// A step's tokens: noise.
        ///
        /// - Parameter windows: nil for ``windows``.
        public func batch(at step: Int, windows: Int? = nil) -> TokenBatch {
            TrainingBenchmark.noise(
                rows: windows ?? self.windows, columns: windowLength, vocabularySize: vocabularySize, step: step)
        }
    }
}
