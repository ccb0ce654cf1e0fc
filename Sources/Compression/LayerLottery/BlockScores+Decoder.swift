import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

extension BlockScores where Place == DecoderBlockPlace {
    /// Scores the blocks of a language model, which is as it was afterwards.
    ///
    /// Sums are over a block's projections; gradients, and the Hessian of ``BlockCriterion/grasp``, are by the
    /// projections of all layers. The Hessian's product with the gradient is exact.
    ///
    /// - Parameters:
    ///   - kind: what a block is.
    ///   - batches: windows of a text with the tokens that follow, where the criterion needs them.
    ///   - seed: of ``BlockCriterion/random``.
    ///   - progress: told the windows, or with ``BlockCriterion/cka`` the blocks, done of how many.
    /// - Throws: `.badData` for scores that are not finite, naming the block; `.usage` where a text is needed and there
    ///   is none.
    /// - Complexity: as for vision networks; ``BlockCriterion/kl`` takes of each window, for each block, the layers
    ///   behind it and the output head, and has two windows' logits in memory.
    public init(
        of network: DecoderNetwork, blocks kind: DecoderBlockKind, by criterion: BlockCriterion,
        aggregate: BlockCriterion.Aggregate = .sum, batches: [LabeledBatch] = [], seed: UInt64 = 0,
        progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws {
        let blocks = DecoderBlockPlace.all(kind, of: network.configuration)
        if criterion.needsData, batches.isEmpty {
            throw CoppiceError(.usage, field: criterion.rawValue, "needs a calibration text, and there is none")
        }
        let scores: [Double]
        switch criterion {
        case .random: scores = Self.random(blocks, seed: seed)
        case .snip, .grasp, .l1:
            let projections = try PrunableNetwork(network, targets: [WeightPattern("model.layers.*_proj.weight")])
            scores = try Self.sums(over: blocks, of: projections, criterion, aggregate, batches)
        case .kl: scores = withoutRecording { Self.divergences(without: blocks, of: network, batches, progress) }
        case .cka: scores = withoutRecording { Self.dissimilarities(without: blocks, of: network, batches, progress) }
        }
        try self.init(blocks: blocks, scores: Self.checked(scores, of: blocks, by: criterion))
    }

    /// Of each block, the mean over all positions of the divergence of the next token's probabilities.
    private static func divergences(
        without blocks: [DecoderBlockPlace], of network: DecoderNetwork, _ batches: [LabeledBatch],
        _ progress: (Int, Int) -> Void
    ) -> [Double] {
        let layers = network.model.layers
        let windows = batches.flatMap { batch in
            (0..<batch.inputs.shape[0]).map { batch.inputs.slice(axis: 0, $0..<($0 + 1)) }
        }
        var sums = [Double](repeating: 0, count: blocks.count)
        for (done, window) in windows.enumerated() {
            let angles = network.rotaryAngles(positions: window.shape[1])
            // What reaches each layer, computed once.
            var entering = [network.embed(window)]
            for layer in layers { entering.append(layer(entering[entering.count - 1], angles: angles)) }
            let whole = logarithms(network.logits(ofHidden: entering[layers.count]))
            for (index, block) in blocks.enumerated() {
                let first = layers[block.layer](entering[block.layer], angles: angles, without: block.kind.parts)
                let last = layers[(block.layer + 1)...].reduce(first) { $1($0, angles: angles) }
                let part = logarithms(network.logits(ofHidden: last))
                sums[index] += (whole.exp() * (whole - part)).sum().doubles()[0]
            }
            progress(done + 1, windows.count)
        }
        let positions = windows.reduce(0) { $0 + $1.shape[1] }
        return sums.map { $0 / Double(positions) }
    }

    /// Of each block, 1 − the linear CKA of what the output head reads with and without it.
    private static func dissimilarities(
        without blocks: [DecoderBlockPlace], of network: DecoderNetwork, _ batches: [LabeledBatch],
        _ progress: (Int, Int) -> Void
    ) -> [Double] {
        func read(without block: DecoderBlockPlace?) -> Tensor {
            let parts = batches.map { batch in
                let angles = network.rotaryAngles(positions: batch.inputs.shape[1])
                var hidden = network.embed(batch.inputs)
                for (index, layer) in network.model.layers.enumerated() {
                    let removed = block.flatMap { $0.layer == index ? $0.kind.parts : nil } ?? []
                    hidden = layer(hidden, angles: angles, without: removed)
                }
                return network.model.norm(hidden).reshaped([-1, network.configuration.hiddenSize])
            }
            return .concatenated(parts, axis: 0)
        }
        let whole = read(without: nil)
        return blocks.enumerated().map { index, block in
            defer { progress(index + 1, blocks.count) }
            return 1 - LinearCKA.similarity(whole, read(without: block))
        }
    }
}
