import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What a training step costs under methods that prune while a network trains, in dense steps of the same network.
///
/// Methods take turns with dense training, so that a machine whose speed drifts is fair to all, and time is the
/// processor's (of all threads), so that other work on the machine hardly counts.
public struct PruningStepBenchmark: Sendable {
    /// A network and its batches: images of ten classes with momentum 0.9 and decay 10⁻⁴, or tokens with AdamW.
    public enum Workload: String, Sendable, Hashable, CaseIterable {
        /// 784-300-100-10 rectified neurons.
        case leNet300 = "lenet-300-100"
        /// With padded shortcuts, 3 × 32 × 32.
        case resNet20 = "resnet-20"
        /// `TrainingBenchmark`'s, whose projections are pruned: what sparse pre-training does.
        case llama10M = "llama-10m"
    }

    /// A method and how much it removes.
    public enum Method: Sendable, Hashable, CustomStringConvertible {
        /// ``MaskedTraining`` of a mask by magnitude, one threshold for all.
        case masked(percent: Int)
        /// The same, with dense products whatever the sparsity.
        case maskedDense(percent: Int)
        /// The same, with products of kept weights alone in every linear layer of some size.
        case maskedSparse(percent: Int)
        /// ``BilevelPruning`` of single weights.
        case bilevel(percent: Int)
        /// ``MaskSearch`` from a mask by magnitude.
        case search(percent: Int)
        /// ``GateRegularization`` of a network with gates in its residual blocks, half of them to stay.
        case gates(GateMode)

        /// Such as `masked-90`.
        public var description: String {
            switch self {
            case .masked(let percent): "masked-\(percent)"
            case .maskedDense(let percent): "masked-\(percent)-dense"
            case .maskedSparse(let percent): "masked-\(percent)-sparse"
            case .bilevel(let percent): "bip-\(percent)"
            case .search(let percent): "mask-search-\(percent)"
            case .gates(let mode): "gates-\(mode.rawValue)"
            }
        }
    }

    /// What was measured.
    public struct Measurement: Sendable, Hashable {
        /// Processor seconds of the median dense step.
        public var denseStep: Double
        /// The median step of each method in dense steps.
        public var denseSteps: [Method: Double]
    }

    public var workload: Workload
    /// Images of a step, or windows of 256 tokens.
    public var batchSize = 128
    /// Turns, and the steps of each side in a turn.
    public var turns: Int
    public var steps: Int
    public var methods: [Method]

    public init(_ workload: Workload) {
        self.workload = workload
        methods = [.masked(percent: 50), .masked(percent: 90), .bilevel(percent: 95), .search(percent: 90)]
        switch workload {
        case .leNet300:
            (turns, steps) = (3, 60)
            methods += [.masked(percent: 95), .masked(percent: 98)]
            methods += [50, 70, 80, 90].flatMap { [.maskedDense(percent: $0), .maskedSparse(percent: $0)] }
        // It has no linear layer of any size.
        case .resNet20:
            (turns, steps) = (2, 3)
            methods += GateMode.allCases.map { .gates($0) }
        case .llama10M:
            (turns, steps, batchSize) = (2, 2, TrainingBenchmark.LanguageModel.llama10M.windows)
            methods = [.maskedDense(percent: 80)] + [70, 80, 90, 95].map { .maskedSparse(percent: $0) }
        }
    }

    /// Measures.
    ///
    /// - Throws: `.badData` where a loss is not finite.
    public func measure() throws -> Measurement {
        precondition(turns > 0 && steps > 0 && batchSize > 0, "nothing to measure")
        let source =
            switch workload {
            case .leNet300: FixedBatches(images: batchSize, shape: [1, 28, 28])
            case .resNet20: FixedBatches(images: batchSize, shape: [3, 32, 32])
            case .llama10M: FixedBatches(windows: batchSize, of: .llama10M)
            }
        var dense: [Double] = []
        var others = [[Double]](repeating: [], count: methods.count)
        for _ in 0..<turns {
            dense += try times { try train(network(), source, hooks: [], $0) }
            for (index, method) in methods.enumerated() { others[index] += try times { try run(method, source, $0) } }
        }
        let step = Self.median(dense)
        let ratios = zip(methods, others).map { ($0, Self.median($1) / step) }
        return Measurement(denseStep: step, denseSteps: Dictionary(ratios) { $1 })
    }

    // MARK: - Sides

    private func run(_ method: Method, _ source: FixedBatches, _ finished: () -> Void) throws {
        if case .gates(let mode) = method { return try trainGates(mode, source, finished) }
        let targets = workload == .llama10M ? [WeightPattern("model.layers.*_proj.weight")] : nil
        let prunable = try PrunableNetwork(network(), targets: targets)
        switch method {
        case .masked(let percent): try mask(prunable, percent, source, finished)
        case .maskedDense(let percent): try mask(prunable, percent, sparseFrom: .infinity, source, finished)
        case .maskedSparse(let percent): try mask(prunable, percent, sparseFrom: 0, source, finished)
        case .bilevel(let percent):
            let options = BilevelPruning.Options(kept: 1 - Double(percent) / 100, steps: steps + 1)
            try BilevelPruning(prunable, options: options).run(lower: source, upper: source) { _, _ in finished() }
        case .search(let percent):
            let originals = prunable.weights.indices.map { prunable.values($0).copied() }
            try prunable.prune(by: .magnitude, to: Double(percent) / 100)
            try MaskSearch(prunable, originals: originals, steps: steps + 1).run(on: source) { _, _ in finished() }
        case .gates: break
        }
    }

    private func trainGates(_ mode: GateMode, _ source: FixedBatches, _ finished: () -> Void) throws {
        guard let network = network() as? any VisionNetwork else { return }
        let gated = try GatedNetwork(network, GateSettings(mode: mode), seed: 1)
        try train(gated, source, hooks: [GateRegularization(gated, target: 0.5, steps: steps + 1)], finished)
    }

    private func mask(
        _ prunable: PrunableNetwork, _ percent: Int, sparseFrom: Double = SparseProducts.linearSparsityThatPays,
        _ source: FixedBatches, _ finished: () -> Void
    ) throws {
        try prunable.prune(by: .magnitude, to: Double(percent) / 100)
        try train(prunable.network, source, hooks: [MaskedTraining(prunable, sparseFrom: sparseFrom)], finished)
    }

    private func train(
        _ network: any SupervisedNetwork, _ source: FixedBatches, hooks: [any TrainingHook], _ finished: () -> Void
    ) throws {
        let (optimizer, rate): (any Optimizer, Double) =
            workload == .llama10M ? (AdamW(weightDecay: 1e-4), 1e-4) : (SGD(momentum: 0.9, weightDecay: 1e-4), 0.05)
        let rates = LearningRateSchedule(
            kind: .constant, peak: rate, warmupSteps: 0, minimumRatio: 1, totalSteps: steps + 1)
        try SupervisedTraining(optimizer: optimizer, rates: rates)
            .run(network, on: source, hooks: hooks) { _, _ in finished() }
    }

    private func network() -> any SupervisedNetwork {
        switch workload {
        case .leNet300: LeNet300()
        case .resNet20: ResNet(ResNet.Configuration(blocks: 3))
        case .llama10M: TrainingBenchmark.LanguageModel.llama10M.makeNetwork()
        }
    }

    // MARK: - Time

    /// Seconds between the ends of neighbouring steps: the first step, which makes plans and fills caches, does not
    /// count.
    private func times(_ body: (_ finished: () -> Void) throws -> Void) rethrows -> [Double] {
        var ends: [Double] = []
        try body { ends.append(ProcessorTime.seconds) }
        return zip(ends.dropFirst(), ends).map { $0 - $1 }
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return .nan }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }

    /// Some batches in turn, made beforehand: noise around a pattern of each class, or of tokens.
    private struct FixedBatches: BatchSource {
        let all: [LabeledBatch]
        var batchesPerEpoch: Int { all.count }

        init(images: Int, shape: [Int]) {
            var generator = RandomGenerator(seed: 1)
            let patterns = Tensor.normal([10] + shape, using: &generator)
            all = (0..<4).map { number in
                let classes = Tensor((0..<images).map { ($0 * 7 + number) % 10 })
                let noise = Tensor.normal([images] + shape, using: &generator)
                return LabeledBatch(inputs: (patterns.take(classes) + noise).contiguous(), targets: classes)
            }
        }

        init(windows: Int, of model: TrainingBenchmark.LanguageModel) {
            all = (0..<4).map { model.batch(at: $0, windows: windows).labeled }
        }

        func batch(at step: Int) -> LabeledBatch { all[step % all.count] }
    }
}
