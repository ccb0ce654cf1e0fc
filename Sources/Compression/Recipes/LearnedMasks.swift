/// How the method `searched` looks for masks: see ``MaskSearch``.
public struct SearchOptions: Sendable, Hashable {
    /// Where masks and scores start.
    public enum Start: Sendable, Hashable {
        /// Masks of a criterion's scores; 1 and 0.99 as the scores of what they keep and remove.
        case criterion(PruneStage.Method)
        /// Scores at random.
        case random
    }

    /// How many weights each matrix loses, for good.
    public enum Rates: String, Sendable, Hashable, CaseIterable {
        /// As many as one threshold on magnitudes takes from it.
        case global
        case uniform, erk

        var allocation: any Allocation {
            switch self {
            case .global: GlobalAllocation()
            case .uniform: UniformAllocation()
            case .erk: ErdosRenyiAllocation()
            }
        }
    }

    public var start = Start.criterion(.magnitude)
    public var rates = Rates.global
    public var restriction = MaskSearch.Restriction.poly4
    /// Epochs of the search; nil: those of the recipe's training.
    public var epochs: Double?
    /// Of scores, at the start.
    public var learningRate = 0.1
    /// Epochs in which kept weights train afterwards.
    public var trainingEpochs = 0.0

    public init() {}

    /// As a recipe would have them.
    var options: [String] {
        var options: [String]
        switch start {
        case .criterion(let method): options = ["init: \(method.rawValue)"]
        case .random: options = ["init: random"]
        }
        options += ["rates: \(rates)", "restrict: \(restriction)", "mask_learning_rate: \(learningRate)"]
        if let epochs { options.append("epochs: \(epochs)") }
        if trainingEpochs > 0 { options.append("then_train: \(trainingEpochs)") }
        return options
    }
}

/// How the method `bip` learns masks: see ``BilevelPruning``.
public struct BilevelOptions: Sendable, Hashable {
    /// β: of scores, at the start.
    public var maskRate = 0.1
    /// γ.
    public var regularization = 1.0
    /// Steps of the weights before each of the masks.
    public var lowerSteps = 1
    public var implicitGradient = BilevelPruning.ImplicitGradient.formula
    /// What scores of different layers are compared by; of single weights.
    public var scoreScale = BilevelPruning.ScoreScale.raw

    public init() {}

    /// As a recipe would have them.
    var options: [String] {
        [
            "mask_learning_rate: \(maskRate)", "gamma: \(regularization)", "lower_steps: \(lowerSteps)",
            "implicit: \(implicitGradient)",
        ] + (scoreScale == .raw ? [] : ["score_scale: \(scoreScale)"])
    }
}

/// What a sparsity is of where whole channels go.
public enum ChannelMeasure: String, Sendable, Hashable, CaseIterable {
    case channels, parameters, multiplications

    func target(_ part: Double) -> StructuredPruning.Target {
        switch self {
        case .channels: .channels(part)
        case .parameters: .parameters(part)
        case .multiplications: .multiplyAccumulates(part)
        }
    }
}
