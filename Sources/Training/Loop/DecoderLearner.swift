import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// A decoder language model and AdamW, as the training loop drives them.
public final class DecoderLearner: LanguageModelLearner {
    public let network: DecoderNetwork
    private let optimizer: AdamW
    private let decay: TrainingRecipe.Optimizer.Decay
    private let dropoutRate: Double
    private let precision: OperandPrecision
    /// By parameter, in the network's order.
    private var moments: [AdamW.Moments]
    private var gradient: [Tensor]?

    public init(_ network: DecoderNetwork, recipe: TrainingRecipe) {
        self.network = network
        optimizer = AdamW(
            beta1: recipe.optimizer.beta1, beta2: recipe.optimizer.beta2, epsilon: recipe.optimizer.epsilon,
            weightDecay: recipe.optimizer.weightDecay)
        decay = recipe.optimizer.decay
        dropoutRate = recipe.model.dropout
        precision = recipe.loop.precision
        moments = network.parameters.map { AdamW.Moments(like: $0.parameter.wrappedValue) }
    }

    public var vocabularySize: Int { network.configuration.vocabularySize }
    public var parameterCount: Int { network.parameterCount }

    public func accumulate(_ batch: TokenBatch, weight: Double, randomSeed: UInt64) throws -> Double {
        let dropout = dropoutRate > 0 ? Dropout(rate: dropoutRate, seed: randomSeed) : nil
        let batch = batch.labeled
        let loss = withOperandPrecision(precision) {
            network.loss(batch.inputs, targets: batch.targets, dropout: dropout)
        }
        let seed = Tensor(weight, dataType: loss.dataType)
        let parts = gradients(
            of: loss, withRespectTo: network.parameters.map(\.parameter.wrappedValue), seed: seed)
        gradient = gradient.map { sum in withoutRecording { zip(sum, parts).map { $0 + $1 } } } ?? parts
        return Double(loss.scalar)
    }

    public func gradientNorm() -> Double { globalNorm(gradient ?? []) }

    public func update(learningRate: Double, gradientScale: Double, step: Int) {
        guard let gradient else { return }
        for (index, (name, parameter)) in network.parameters.enumerated() {
            optimizer.update(
                parameter, gradient: gradient[index], moments: &moments[index], learningRate: learningRate,
                step: step, gradientScale: gradientScale, decays: decays(name, parameter.wrappedValue))
        }
        self.gradient = nil
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
        zip(network.parameters, moments).flatMap { own, moments in
            [
                NamedTensor(Self.firstMoment + own.name, moments.first.copied()),
                NamedTensor(Self.secondMoment + own.name, moments.second.copied()),
            ]
        }
    }

    public func restore(_ tensors: [String: Tensor], source: String) throws {
        // All are checked before any is taken.
        let restored = try network.parameters.map { name, parameter in
            let own = parameter.wrappedValue
            let tensor = { try tensors.tensor($0, like: own, source: source) }
            return (
                try tensor(name),
                AdamW.Moments(first: try tensor(Self.firstMoment + name), second: try tensor(Self.secondMoment + name))
            )
        }
        for ((_, parameter), value) in zip(network.parameters, restored) { parameter.wrappedValue = value.0 }
        moments = restored.map(\.1)
        gradient = nil
    }

    private static let firstMoment = "optimizer.first_moment."
    private static let secondMoment = "optimizer.second_moment."
}
