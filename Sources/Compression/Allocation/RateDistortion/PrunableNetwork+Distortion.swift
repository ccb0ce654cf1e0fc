import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

extension PrunableNetwork {
    /// Measures what pruning each layer alone does to the outputs: the curves of ``RateDistortionAllocation``.
    ///
    /// Layers lose their smallest scores, from what is left of them on. The outputs are those in use (running statistics)
    /// before any softmax, and are compared with those of the network as it is. No labels are needed, and inputs may be
    /// noise (``Tensor/normal(_:using:)``, the zero-data form). Leaves the network as it was.
    ///
    /// - Parameters:
    ///   - inputs: batches of inputs, `[examples, ...]` each.
    ///   - grid: the rates to measure at.
    ///   - distortion: what becomes of the examples' errors.
    ///   - criterion: what matters inside a layer.
    ///   - batches: what criteria that need data see.
    ///   - progress: told the layers done and their number.
    /// - Throws: `.usage` without inputs; `.badData` for outputs that are not finite, naming the layer; what scores throw.
    /// - Complexity: a forward pass over all inputs for each layer and rate, O(N) memory for the scores.
    public func distortionCurves(
        on inputs: [Tensor], grid: RateGrid = RateGrid(), distortion: OutputDistortion = .worst,
        criterion: any NetworkCriterion = .magnitude, batches: [LabeledBatch] = [],
        progress: (_ done: Int, _ count: Int) -> Void = { _, _ in }
    ) throws -> [DistortionCurve] {
        guard inputs.contains(where: { $0.count > 0 }) else {
            throw CoppiceError(.usage, field: "inputs", "there are none to measure distortion on")
        }
        let scores = try scores(by: criterion, batches: batches)
        return try network.inUse {
            let references = inputs.map { network.outputs($0) }
            return try weights.indices.map { index in
                let own = parameters[index], original = own.wrappedValue
                defer { own.wrappedValue = original }
                var remaining = scores[index]
                masks[index].fillRemoved(of: &remaining, with: -.infinity)
                let points = try grid.keptCounts(of: weights[index].count, left: masks[index].keptCount).map { kept in
                    own.wrappedValue = original.detached().copied()
                    let mask = ExactSelection.mask(remaining, removing: weights[index].count - kept)
                    own.update { mask.apply(to: $0) }
                    let errors = zip(inputs, references).flatMap { input, reference in
                        OutputDistortion.squaredErrors(network.outputs(input), to: reference)
                    }
                    let value = distortion.value(of: errors)
                    guard value.isFinite else {
                        throw CoppiceError(
                            .badData, field: weights[index].name,
                            "outputs are not finite when it keeps \(kept) weights, expected finite numbers")
                    }
                    return DistortionCurve.Point(kept: kept, distortion: value)
                }
                progress(index + 1, weights.count)
                return DistortionCurve(name: weights[index].name, count: weights[index].count, points: points)
            }
        }
    }

    /// The error of the outputs against those that the network gave before, on the same inputs.
    ///
    /// - Parameter references: outputs of each batch of inputs.
    public func distortion(
        on inputs: [Tensor], from references: [Tensor], _ distortion: OutputDistortion = .worst
    ) -> Double {
        network.inUse {
            distortion.value(
                of: zip(inputs, references).flatMap {
                    OutputDistortion.squaredErrors(network.outputs($0), to: $1)
                })
        }
    }
}
