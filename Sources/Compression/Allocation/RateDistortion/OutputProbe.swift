import CoppiceNetworks
import CoppiceTensors

/// Runs a network again with some of its parameters changed, from the first step that uses one of them on.
struct OutputProbe {
    private let network: any SupervisedNetwork
    private let inputs: [Tensor]

    /// - Parameter inputs: batches of inputs, `[examples, ...]` each.
    /// - Throws: `.usage` without inputs.
    init(_ network: any SupervisedNetwork, on inputs: [Tensor]) throws {
        guard inputs.contains(where: { $0.count > 0 }) else {
            throw CoppiceError(.usage, field: "inputs", "there are none to measure distortion on")
        }
        self.network = network
        self.inputs = inputs
    }

    /// Goes through changes, those that begin at earlier steps first.
    ///
    /// - Parameters:
    ///   - parameters: those of each change.
    ///   - body: sees the place of a change, and what gives each example's error of the outputs, with the parameters as
    ///     they are then, against the outputs before. Has to put the parameters back.
    /// - Complexity: for each call of errors, the steps of a ``SteppedNetwork`` from the change's first on, of other
    ///   networks the whole forward pass.
    func forEach(
        _ parameters: [[Parameter]], _ body: (_ index: Int, _ errors: () -> [Double]) throws -> Void
    ) rethrows {
        try network.inUse {
            let references = inputs.map { network.outputs($0) }
            let steps =
                (network as? any SteppedNetwork)?.steps ?? [ForwardStep(network) { [network] in network.outputs($0) }]
            let places = places(of: parameters, in: steps)
            var reached = inputs
            for (step, own) in steps.enumerated() {
                for index in parameters.indices where places[index] == step {
                    try body(index) {
                        zip(reached, references).flatMap { x, reference in
                            let outputs = steps[step...].reduce(x) { $1($0) }
                            return OutputDistortion.squaredErrors(outputs, to: reference)
                        }
                    }
                }
                if step < places.max() ?? 0 { reached = reached.map { own($0) } }
            }
        }
    }

    /// The step of each change: the first that uses one of its parameters, and the first of all for one that none names.
    private func places(of parameters: [[Parameter]], in steps: [ForwardStep]) -> [Int] {
        var first: [ObjectIdentifier: Int] = [:]
        for (step, own) in steps.enumerated() {
            for (_, parameter) in own.modules.flatMap(\.parameters) where first[ObjectIdentifier(parameter)] == nil {
                first[ObjectIdentifier(parameter)] = step
            }
        }
        return parameters.map { own in own.map { first[ObjectIdentifier($0)] ?? 0 }.min() ?? 0 }
    }
}

extension DistortionCurve.Point {
    /// A point as it was measured.
    ///
    /// - Parameters:
    ///   - kept: what is left of a layer, in a unit.
    ///   - errors: each example's.
    /// - Throws: `.badData` for errors that are not finite, naming the layer.
    init(kept: Int, _ distortion: OutputDistortion, of errors: [Double], in layer: String, unit: String) throws {
        let value = distortion.value(of: errors)
        guard value.isFinite else {
            throw CoppiceError(
                .badData, field: layer,
                "outputs are not finite when it keeps \(kept) \(unit), expected finite numbers")
        }
        self.init(kept: kept, distortion: value)
    }
}
