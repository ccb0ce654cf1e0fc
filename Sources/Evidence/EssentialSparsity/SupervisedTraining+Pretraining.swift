import CoppiceCompression
import CoppiceNetworks
import CoppiceTraining
import Foundation

/// A moment of a pre-training.
package struct PretrainingCheckpoint: Sendable {
    /// Steps taken.
    package var step: Int
    package var nearZero: NearZeroShares
    /// s_τ without fine-tuning; nil where it was not measured, or nothing was learned yet that can be lost.
    package var tolerancePoint: Double?

    package init(step: Int, nearZero: NearZeroShares, tolerancePoint: Double? = nil) {
        (self.step, self.nearZero, self.tolerancePoint) = (step, nearZero, tolerancePoint)
    }
}

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

    /// Moments of a training of so many steps, from the first step to the last, as equally spaced on a logarithmic
    /// scale as different whole numbers can be: weights move most at the beginning.
    ///
    /// - Precondition: no more moments than steps, at least one.
    package static func checkpointSteps(of total: Int, count: Int) -> [Int] {
        precondition(count > 0 && count <= total, "\(count) checkpoints of \(total) steps")
        return (0..<count).reduce(into: []) { steps, number in
            let even = count == 1 ? Double(total) : pow(Double(total), Double(number) / Double(count - 1))
            steps.append(max(Int(even.rounded()), (steps.last ?? 0) + 1))
        }
    }

    /// Trains from a fresh optimizer, and counts weights near zero at the start and at ``checkpointSteps(of:count:)``.
    ///
    /// - Parameters:
    ///   - targets: the weights that are counted.
    ///   - count: checkpoints behind the start.
    ///   - tolerancePoint: measures s_τ of the network as it is; asked at every second checkpoint, the last one
    ///     included.
    ///   - progress: told of each checkpoint behind the start.
    func run(
        _ network: any SupervisedNetwork, on source: any BatchSource, counting targets: [WeightPattern],
        checkpoints count: Int, tolerancePoint: () throws -> Double? = { nil }, progress: () -> Void
    ) throws -> [PretrainingCheckpoint] {
        let counted = try PrunableNetwork(network, targets: targets)
        let counter = NearZeroCounter(counted.matrices)
        var state = OptimizerState(optimizer, for: network)
        var checkpoints = [PretrainingCheckpoint(step: 0, nearZero: counter.shares(of: counted.matrices))]
        for (number, step) in Self.checkpointSteps(of: rates.totalSteps, count: count).enumerated() {
            try run(network, on: source, steps: (checkpoints.last?.step ?? 0)..<step, state: &state)
            var checkpoint = PretrainingCheckpoint(step: step, nearZero: counter.shares(of: counted.matrices))
            if (count - 1 - number).isMultiple(of: 2) { checkpoint.tolerancePoint = try tolerancePoint() }
            checkpoints.append(checkpoint)
            progress()
        }
        return checkpoints
    }
}
