import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A network of one seed that optimizers train from the same initial weights on the same batches.
struct DescentTrial: Sendable {
    var study: ImageStudy
    /// m of M-FAC.
    var window: Int
    var seed: UInt64

    /// Trains the study's epochs, with its schedule of rates.
    ///
    /// - Parameter rate: where the schedule starts.
    /// - Returns: the loss of each step in nats; empty where training diverged.
    func train(_ descent: MFACMeasurement.Descent, rate: Double) throws -> [Double] {
        let network = study.makeNetwork(seed: seed)
        var training = study.supervision(peakRate: rate)
        training.optimizer =
            switch descent {
            case .sgd: SGD(momentum: 0.9)
            case .adamW: AdamW(weightDecay: 0)
            case .mfac: MFAC(window: window, momentum: 0.9)
            }
        var losses: [Double] = []
        do {
            try training.run(network, on: study.batches(seed: seed)) { losses.append($1) }
        } catch let error as CoppiceError where error.kind == .badData {
            return []
        }
        return losses
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
