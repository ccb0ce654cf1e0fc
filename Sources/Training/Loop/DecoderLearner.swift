import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// A decoder language model and its optimizer, as the training loop drives them.
public final class DecoderLearner: LanguageModelLearner {
    public let network: DecoderNetwork
    private let optimizer: any Optimizer
    private let slotNames: [String]
    private let source: String
    private let decay: TrainingRecipe.Optimizer.Decay
    private let dropoutRate: Double
    private let precision: OperandPrecision
    private let hooks: [any StoredTrainingHook]
    private var state: OptimizerState
    private var gradient: [Tensor]?
    /// Part of checkpoints where there are masks.
    public private(set) var skippedProducts = 0.0

    /// - Parameter hooks: what acts between the parts of a step. Their penalties are not asked for.
    public init(_ network: DecoderNetwork, recipe: TrainingRecipe, hooks: [any StoredTrainingHook] = []) {
        self.network = network
        self.hooks = hooks
        optimizer = recipe.optimizer.rule
        source = recipe.source
        slotNames = recipe.optimizer.kind.slotNames
        decay = recipe.optimizer.decay
        dropoutRate = recipe.model.dropout
        precision = recipe.loop.precision
        state = OptimizerState(optimizer, for: network)
    }

    public var vocabularySize: Int { network.configuration.vocabularySize }
    public var parameterCount: Int { network.parameterCount }

    public func windowSummary() throws -> String? { try optimizer.windowSummary(for: network, source: source) }

    public var keptCounts: [KeptCount] { hooks.flatMap(\.keptCounts) }

    public func willStep(_ step: Int) throws { for hook in hooks { try hook.willStep(step) } }

    public func accumulate(_ batch: TokenBatch, weight: Double, randomSeed: UInt64) throws -> Double {
        let dropout = dropoutRate > 0 ? Dropout(rate: dropoutRate, seed: randomSeed) : nil
        let batch = batch.labeled
        let products = SparseProducts(sharedBy: hooks)
        skippedProducts += Double(products?.skippedCount(rows: batch.inputs.count) ?? 0)
        let loss = withSparseProducts(products) {
            withOperandPrecision(precision) {
                network.loss(batch.inputs, targets: batch.targets, dropout: dropout)
            }
        }
        let seed = Tensor(weight, dataType: loss.dataType)
        let parts = gradients(
            of: loss, withRespectTo: network.parameters.map(\.parameter.wrappedValue), seed: seed)
        gradient = gradient.map { sum in withoutRecording { zip(sum, parts).map { $0 + $1 } } } ?? parts
        return Double(loss.scalar)
    }

    public func willUpdate(_ step: Int) throws {
        guard var own = gradient else { return }
        gradient = nil  // the only reference: changed in place, not in copies
        for hook in hooks { try hook.willUpdate(step, gradients: &own) }
        gradient = own
    }

    public func gradientNorm() -> Double { globalNorm(gradient ?? []) }

    public func update(learningRate: Double, gradientScale: Double, step: Int) throws {
        guard let gradient else { return }
        let all = network.parameters
        state.step = step
        for hook in hooks { try hook.willMove(step, state: &state) }
        try optimizer.update(
            all.map(\.parameter), gradients: gradient, decays: all.map { decays($0.name, $0.parameter.wrappedValue) },
            state: &state, learningRate: learningRate, gradientScale: gradientScale)
        state.step = step + 1
        self.gradient = nil
        for hook in hooks { try hook.didStep(step, state: &state) }
    }

    /// Whether weight decay applies to a parameter.
    private func decays(_ name: String, _ value: Tensor) -> Bool {
        switch decay {
        case .all: true
        case .matrices: value.rank >= 2
        case .projections: value.rank >= 2 && name.hasSuffix("_proj.weight")
        }
    }

    public func loss(_ batch: TokenBatch) throws -> Double {
        let batch = batch.labeled
        return withoutRecording {
            withOperandPrecision(precision) { Double(network.loss(batch).scalar) }
        }
    }

    public func parameters() -> [NamedTensor] {
        network.parameters.map { NamedTensor($0.name, $0.parameter.wrappedValue.copied()) }
    }

    public func optimizerState() -> [NamedTensor] {
        var tensors = zip(network.parameters, state.slots).flatMap { own, slots in
            zip(slotNames, slots).map { NamedTensor($0 + own.name, $1.copied()) }
        }
        tensors += state.window?.tensors.map { NamedTensor($0.name, $0.tensor) } ?? []
        tensors += hooks.flatMap { $0.tensors() }
        if !keptCounts.isEmpty { tensors.append(NamedTensor(Self.skippedName, Tensor([skippedProducts]))) }
        return tensors
    }

    private static let skippedName = "skipped_products"

    public func restore(_ tensors: [String: Tensor], source: String) throws {
        // All are checked before any is taken.
        let restored = try network.parameters.map { name, parameter in
            try ([""] + slotNames).map {
                try tensors.tensor($0 + name, like: parameter.wrappedValue, source: source)
            }
        }
        let window = try optimizer.window(
            from: tensors, for: network.parameters.map(\.parameter), source: source)
        let isFresh = restored.allSatisfy { $0.dropFirst().allSatisfy { $0.square().sum().scalar == 0 } }
        if window == nil, !isFresh, try windowSummary() != nil {
            throw CoppiceError(.badData, source: source, field: "optimizer.window", "is missing")
        }
        let skipped =
            keptCounts.isEmpty
            ? 0 : try tensors.tensor(Self.skippedName, like: Tensor([skippedProducts]), source: source).doubles()[0]
        for hook in hooks { try hook.restore(tensors, source: source) }
        skippedProducts = skipped
        for ((_, parameter), values) in zip(network.parameters, restored) { parameter.wrappedValue = values[0] }
        state.slots = restored.map { Array($0.dropFirst()) }
        state.window = window
        gradient = nil
    }
}

extension TrainingRecipe.Optimizer.Kind {
    /// Slots in checkpoints: what stands before a parameter's name.
    fileprivate var slotNames: [String] {
        switch self {
        case .adamw: ["optimizer.first_moment.", "optimizer.second_moment."]
        case .mfac: ["optimizer.velocity."]
        }
    }
}
