import CoppiceNetworks
import CoppiceTensors

/// Replaces gradients by the directions of ``MFAC``, so that `SGD(momentum: 0)` moves along them: M-FAC in the
/// supervised loop. Momentum and weight decay are M-FAC's own.
///
/// ```swift
/// let training = SupervisedTraining(optimizer: SGD(momentum: 0), rates: rates)
/// let hook = try FisherPreconditioning(MFAC(window: 64), for: network)
/// try training.run(network, on: batches, hooks: [hook])
/// ```
public final class FisherPreconditioning: TrainingHook {
    public let optimizer: MFAC
    /// The window and the momentum, to store and to go on from.
    public var state: MFAC.State
    private let places: [Int]
    private let parameters: [Parameter]

    /// - Throws: `.usage` where the window takes more memory than ``FlatParameters/memoryLimit``.
    public init(_ optimizer: MFAC, for network: Module) throws {
        self.optimizer = optimizer
        let all = network.parameters.map(\.parameter)
        places = all.indices.filter { all[$0].isTrainable }
        parameters = places.map { all[$0] }
        state = try optimizer.state(for: parameters.map { $0.wrappedValue.detached() })
    }

    public var readsAllGradients: Bool { true }

    public func willUpdate(_ step: Int, gradients: inout [Tensor]) throws {
        let moves = try optimizer.direction(
            places.map { gradients[$0] }, at: parameters.map { $0.wrappedValue.detached() }, state: &state)
        for (place, move) in zip(places, moves) { gradients[place] = move }
    }
}
