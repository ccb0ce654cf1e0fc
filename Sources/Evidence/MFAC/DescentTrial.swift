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
    func train(_ descent: MFACMeasurement.Descent, rate: Double) throws -> Descended {
        let network = study.makeNetwork(seed: seed)
        var training = study.supervision(peakRate: rate)
        training.optimizer = descent.optimizer(window: window)
        return try Descended(training, of: network, on: study.batches(seed: seed)) { study.accuracy(of: network) }
    }
}
