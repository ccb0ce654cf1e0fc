import CoppiceModels
import CoppiceTensors

/// Curves that were measured before and come from a file.
extension PruneStage {
    /// The curves of the stage's weights, in their order; nil where the stage measures its own.
    ///
    /// - Throws: what reading the file throws; `.badData` where it has none of a weight, or of another size.
    func storedCurves(of weights: [PrunableWeight]) throws -> [DistortionCurve]? {
        guard let path = rateDistortion.curves else { return nil }
        do {
            return try RateDistortionAllocation(CurveFile.read(path).curves).own(weights)
        } catch var error as CoppiceError {
            error.source = error.source ?? path
            throw error
        }
    }
}

extension Recipe {
    /// Whether some stage's curves come from a file.
    var readsCurves: Bool {
        stages.contains { stage in
            if case .prune(let options) = stage { return options.rateDistortion.curves != nil }
            return false
        }
    }

    /// Refuses files of curves that are not those of the model, or do not serve their stages.
    ///
    /// - Parameters:
    ///   - weights: the model's.
    ///   - selected: those that each stage works on.
    /// - Throws: `.noInput`, `.badData` naming the file and the field; `.usage` for a sparsity beyond the curves' ends.
    /// - Complexity: O(weights) where there is such a stage, nothing else.
    func checkCurves(of checkpoint: AnyCheckpoint, _ selected: [[PrunableWeight]]) throws {
        for (index, stage) in stages.enumerated() {
            guard case .prune(let options) = stage, let path = options.rateDistortion.curves else { continue }
            let file = try CurveFile.read(path)
            try file.check(options, source: path)
            try file.check(against: StoredWeights(checkpoint), source: path)
            let curves = try options.storedCurves(of: selected[index]) ?? []
            do {
                try RateDistortionAllocation(curves, solver: options.rateDistortion.solver)
                    .check(selected[index], sparsity: options.sparsity)
            } catch let error as CoppiceError {
                throw CoppiceError(
                    error.kind, source: source, field: "stages[\(index)].prune.sparsity",
                    "\(options.sparsity) is beyond the curves of \(path): \(error.message)")
            }
        }
    }
}
