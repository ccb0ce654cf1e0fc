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
    ///   - granularity: who is compared with whom inside a layer.
    ///   - batches: what criteria that need data see.
    ///   - progress: told the layers done and their number.
    /// - Throws: `.usage` without inputs; `.badData` for outputs that are not finite, naming the layer; what scores throw.
    /// - Complexity: for each layer and rate, the steps of a ``SteppedNetwork`` over all inputs from the layer's on, of other
    ///   networks the whole forward pass; O(N) memory for the scores, and what reaches one step for all inputs.
    public func distortionCurves(
        on inputs: [Tensor], grid: RateGrid = RateGrid(), distortion: OutputDistortion = .worst,
        criterion: any NetworkCriterion = .magnitude, granularity: any Granularity = UnstructuredGranularity(),
        batches: [LabeledBatch] = [],
        progress: (_ done: Int, _ count: Int) -> Void = { _, _ in }
    ) throws -> [DistortionCurve] {
        let probe = try OutputProbe(network, on: inputs)
        let scores = try scores(by: criterion, batches: batches)
        var curves = [DistortionCurve?](repeating: nil, count: weights.count)
        try probe.forEach(parameters.map { [$0] }) { index, errors in
            curves[index] = try curve(of: index, scores[index], granularity, grid, distortion, errors: errors)
            progress(curves.count { $0 != nil }, weights.count)
        }
        return curves.compactMap { $0 }
    }

    /// The curve of one weight. Leaves the weight as it was.
    ///
    /// - Parameters:
    ///   - scores: of its entries.
    ///   - errors: those of the outputs with the weight as it is in the network.
    private func curve(
        of index: Int, _ scores: Tensor, _ granularity: any Granularity, _ grid: RateGrid,
        _ distortion: OutputDistortion, errors: () -> [Double]
    ) throws -> DistortionCurve {
        let (weight, parameter) = (weights[index], parameters[index])
        let original = parameter.wrappedValue
        defer { parameter.wrappedValue = original }
        var remaining = scores
        masks[index].fillRemoved(of: &remaining, with: -.infinity)
        let points = try grid.keptCounts(of: masks[index].keptCount).map { kept in
            parameter.wrappedValue = original.detached().copied()
            let mask = granularity.mask(remaining, removing: weight.count - kept)
            parameter.update { mask.apply(to: $0) }
            return try DistortionCurve.Point(kept: kept, distortion, of: errors(), in: weight.name, unit: "weights")
        }
        return DistortionCurve(name: weight.name, count: weight.count, points: points)
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
