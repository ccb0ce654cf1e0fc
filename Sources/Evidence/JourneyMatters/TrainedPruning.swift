import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// A way to prune a model after its training, without more of it. Every projection loses the same part.
enum TrainedPruning: String, Sendable, Hashable, CaseIterable {
    /// The smallest |W| · ‖X‖₂ of each output go (Sun et al., "A Simple and Effective Pruning Approach for Large
    /// Language Models", 2023).
    case wanda = "Wanda"
    /// What is kept makes up for what goes (Frantar and Alistarh, "SparseGPT", 2023).
    case sparseGPT = "SparseGPT"

    /// Windows of the training text that inputs are looked at on, as many as both papers have.
    static let windowCount = 128

    /// What it left of a model.
    struct Outcome: Sendable {
        var way: TrainedPruning
        var sparsity: Double
        /// Prunable weights that are left.
        var keptCount: Int
        /// On held-out text, in nats a token.
        var loss: Double
    }

    /// Prunes the projections of a network, block by block behind the pruned ones before.
    ///
    /// - Returns: the number of weights that are left of the projections.
    /// - Throws: `.badData` for weights or inputs that are not finite.
    func prune(
        _ network: DecoderNetwork, to sparsity: Double, calibratedBy windows: CalibrationWindows
    ) throws -> Int {
        let weights = try SparsePretraining.projections(of: network).weights
        let parameters = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        var walk = try BlockSequentialPruning(
            DecoderBlocks(network), windows: windows, momentsOf: self == .sparseGPT ? Set(weights.map(\.name)) : [])
        var keptCount = 0
        try walk.run(masks: { block in
            var masks: [String: WeightMask] = [:]
            for weight in weights where block.block.matrixNames.contains(weight.name) {
                let (values, mask) = try pruned(weight, to: sparsity, in: block)
                block.block.setMatrix(weight.name, to: values)
                parameters[weight.name]?.wrappedValue = values
                masks[weight.name] = mask
                keptCount += mask.keptCount
            }
            return masks
        })
        return keptCount
    }

    private func pruned(
        _ weight: PrunableWeight, to sparsity: Double, in block: BlockSequentialPruning.Block
    ) throws -> (values: Tensor, mask: WeightMask) {
        let count = ExactSelection.removedCount(weight.count, sparsity: sparsity)
        var values = block.block.matrix(weight.name)
        switch self {
        case .wanda:
            let method = PruningMethod(
                criterion: WandaCriterion(), granularity: RowGranularity(), allocation: UniformAllocation(),
                sparsity: sparsity)
            let mask = try method.mask(
                of: weight, removing: count, values: values, inputNorms: block.inputNorms[weight.name])
            mask.apply(to: &values)
            return (values, mask)
        case .sparseGPT:
            guard let group = block.inputMoments.first(where: { $0.names.contains(weight.name) }) else {
                throw CoppiceError(.internal, field: weight.name, "its inputs were not seen")
            }
            let method = SparseGPT()
            let inverse = try group.moments.inverse(dampening: method.dampening)
            return method.prune(values, .count(count), inverse: inverse)
        }
    }
}
