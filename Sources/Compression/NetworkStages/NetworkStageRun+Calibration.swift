import CoppiceTensors

/// Wanda, SparseGPT and what is reconstructed in a network in memory.
extension NetworkStageRun {
    /// The masks that a walk through the blocks chooses, on the network as earlier stages left it. Weights that make up
    /// for removed ones are put into the network.
    ///
    /// - Parameters:
    ///   - run: with what earlier stages decided.
    ///   - model: the network's blocks.
    ///   - allocation: instead of the stage's own.
    ///   - unit: what progress calls a block, in the plural.
    func calibratedMasks(
        _ run: RecipeRun, on windows: CalibrationWindows, through model: any BlockwiseModel,
        sharedBy allocation: (any Allocation)? = nil, unit: String = "blocks"
    ) throws -> [WeightMask] {
        var own = run
        own.values = Dictionary(
            uniqueKeysWithValues: part.weights.enumerated().map { ($1.name, part.values($0)) })
        progress.begin("calibrate", total: model.blockCount, unit: unit)
        try own.prune(stage: report.stage, calibratedBy: windows, through: model, sharedBy: allocation) {
            progress.advance(to: $0, note: "")
        }
        progress.end("\(windows.tokenCount) tokens")
        if stage.reconstructs {
            for (weight, parameter) in zip(part.weights, part.parameters) {
                if let values = own.values[weight.name] { parameter.wrappedValue = values }
            }
        }
        return zip(part.weights, part.masks).map { own.decisions[$0.name]?.mask ?? $1 }
    }
}
