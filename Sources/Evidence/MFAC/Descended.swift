import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What a training by an optimizer came to.
package struct Descended: Sendable {
    /// Of each step, in nats; empty where training diverged.
    package var losses: [Double] = []
    /// Of test examples, after training; NaN where it diverged.
    package var accuracy = Double.nan

    /// - Parameter accuracy: measures the trained network.
    init(
        _ training: SupervisedTraining, of network: any SupervisedNetwork, on batches: any BatchSource,
        accuracy: () -> Double
    ) throws {
        do {
            try training.run(network, on: batches) { losses.append($1) }
            self.accuracy = accuracy()
        } catch let error as CoppiceError where error.kind == .badData {
            losses = []
        }
    }

    /// The mean loss of the last tenth of a training's steps; NaN of none.
    static func endLoss(_ losses: [Double]) -> Double {
        meanLoss(losses.suffix(max(1, losses.count / 10)))
    }

    /// The mean loss of some steps; NaN of none.
    static func meanLoss(_ losses: some Collection<Double>) -> Double {
        losses.reduce(0, +) / Double(losses.count)
    }
}
