import CoppiceNetworks
import CoppiceTraining

extension SupervisedTraining {
    /// AdamW, the rate rising over a twentieth of the steps and then falling to zero, clipped to norm 1.
    static func pretraining(steps: Int, peakRate: Double, weightDecay: Double = 0) -> SupervisedTraining {
        var training = SupervisedTraining(
            optimizer: AdamW(beta2: 0.98, weightDecay: weightDecay),
            rates: LearningRateSchedule(
                kind: .linear, peak: peakRate, warmupSteps: steps / 20, minimumRatio: 0, totalSteps: steps))
        training.clipNorm = 1
        training.decay = .matrices
        return training
    }

    /// Trains from a fresh optimizer and stops at the start and at equally spaced steps, the last one included.
    ///
    /// - Parameters:
    ///   - count: checkpoints behind the start.
    ///   - visit: told the steps that were taken.
    func run(
        _ network: any SupervisedNetwork, on source: any BatchSource, checkpoints count: Int,
        visit: (_ step: Int) throws -> Void
    ) throws {
        var state = OptimizerState(optimizer, for: network)
        try visit(0)
        for number in 1...count {
            let bounds = [number - 1, number].map { rates.totalSteps * $0 / count }
            try run(network, on: source, steps: bounds[0]..<bounds[1], state: &state)
            try visit(bounds[1])
        }
    }
}
