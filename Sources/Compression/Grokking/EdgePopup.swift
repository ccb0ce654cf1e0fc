import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Learns which weights to keep without changing any: scores of weights are trained, the weights with the largest
/// |scores| of each tensor are used (Ramanujan et al., "What's hidden in a randomly weighted neural network?", 2020,
/// algorithm 1; the gradient passes the selection straight through).
///
/// From a network that has memorized, this asks whether structure alone makes it generalize.
public struct EdgePopup: Sendable, Hashable {
    /// κ: the fraction of each tensor's weights that is used.
    public var kept: Double
    public var steps: Int
    public var learningRate = 3e-2
    /// Decay of the scores, which lets choices be changed late: without it structures stay as they were first found.
    public var weightDecay = 3.0
    public var interval = 10
    public var stopAccuracy: Double?

    public init(kept: Double, steps: Int) {
        self.kept = kept
        self.steps = steps
    }

    /// Finds masks for a network's weights and leaves it with the masked ones.
    ///
    /// - Returns: how accuracy went, and the masks at the end.
    /// - Throws: `.usage` for κ outside (0, 1]; `.badData` where scores stop being finite.
    public func run(
        _ network: any SupervisedNetwork, on task: GrokkingTask, seed: UInt64
    ) throws -> (curve: GrokkingCurve, masks: [WeightMask]) {
        try GrokkingTicket.checkKept(kept)
        let prunable = try PrunableNetwork(network, includesEmbeddings: true)
        let weights = prunable.weights.indices.map { prunable.values($0).copied() }
        var generator = RandomGenerator(seed: seed, stream: 5)
        // Uniform by fan-in, as the paper's code draws scores.
        let scores = prunable.weights.map { weight in
            let bound = 1 / Double(weight.columns).squareRoot()
            return Parameter(
                weight.name, .uniform([weight.rows, weight.columns], low: -bound, high: bound, using: &generator))
        }
        let optimizer = AdamW(beta1: 0.9, beta2: 0.98, weightDecay: weightDecay)
        var slots = scores.map { score in (0..<2).map { _ in Tensor.zeros(score.wrappedValue.shape) } }
        var curve = GrokkingCurve()
        for step in 0...steps {
            let masks = try select(scores, of: prunable)
            for (index, place) in prunable.places.enumerated() {
                let own = network.parameters[place].parameter
                var value = weights[index].copied()
                masks[index].apply(to: &value)
                own.wrappedValue = value.reshaped(own.wrappedValue.shape)
            }
            if step.isMultiple(of: interval) || step == steps {
                let point = GrokkingTraining.measure(network, on: task, step: step)
                curve.points.append(point)
                if step == steps || stopAccuracy.map({ point.testAccuracy >= $0 }) == true { return (curve, masks) }
            }
            let slopes = try prunable.gradients(on: [task.train])
            for (index, score) in scores.enumerated() {
                let slope = withoutRecording { slopes[index] * weights[index] * score.wrappedValue.detached().sign() }
                optimizer.update(
                    score, gradient: slope, slots: &slots[index], learningRate: learningRate, step: step,
                    gradientScale: 1, decays: true)
            }
        }
        return (curve, try select(scores, of: prunable))
    }

    private func select(_ scores: [Parameter], of network: PrunableNetwork) throws -> [WeightMask] {
        try zip(scores, network.weights).map { score, weight in
            let ranked = score.wrappedValue.detached().abs()
            try ExactSelection.checkFinite(ranked, name: "\(weight.name) (edge-popup score)")
            return try PruningMethod(
                criterion: GivenScores(weights: [weight], scores: [ranked]), granularity: UnstructuredGranularity(),
                allocation: UniformAllocation(), sparsity: 1 - kept
            ).masks(of: [weight], earlier: { _ in nil }, values: { _ in ranked })[0]
        }
    }
}
