import CoppiceNetworks
import CoppiceTraining

extension SupervisedTraining {
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
