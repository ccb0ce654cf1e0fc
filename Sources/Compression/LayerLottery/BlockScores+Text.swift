import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

extension BlockScores where Place: TextBlockPlace {
    /// Scores the blocks of a language model or an encoder, which is as it was afterwards.
    ///
    /// Sums are over a block's matrices; gradients, and the Hessian of ``BlockCriterion/grasp``, are by the matrices of
    /// all layers. The Hessian's product with the gradient is exact.
    ///
    /// - Parameters:
    ///   - batches: texts with what the network is to make of them, where the criterion needs them.
    ///   - seed: of ``BlockCriterion/random``.
    ///   - progress: told the texts, or with ``BlockCriterion/cka`` the blocks, done of how many.
    /// - Throws: `.badData` for scores that are not finite, naming the block; `.usage` where a text is needed and there
    ///   is none.
    /// - Complexity: as for vision networks; ``BlockCriterion/kl`` takes of each text, for each block, the layers
    ///   behind it and the head, and has two texts' outputs in memory.
    public init<Network: LayeredTextNetwork>(
        of network: Network, blocks: [Place], by criterion: BlockCriterion,
        aggregate: BlockCriterion.Aggregate = .sum, batches: [LabeledBatch] = [], seed: UInt64 = 0,
        progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws where Network.Block == Place {
        if criterion.needsData, batches.isEmpty {
            throw CoppiceError(.usage, field: criterion.rawValue, "needs a calibration text, and there is none")
        }
        let scores: [Double]
        switch criterion {
        case .random: scores = Self.random(blocks, seed: seed)
        case .snip, .grasp, .l1:
            let names = network.parameters.map(\.name).filter { name in
                network.layerIndex(ofMatrix: name).map { $0 < network.layerCount } ?? false
            }
            scores = try Self.sums(
                over: blocks, of: PrunableNetwork(network, named: Set(names)), criterion, aggregate, batches)
        case .kl: scores = withoutRecording { Self.divergences(without: blocks, of: network, batches, progress) }
        case .cka: scores = withoutRecording { Self.dissimilarities(without: blocks, of: network, batches, progress) }
        }
        try self.init(blocks: blocks, scores: Self.checked(scores, of: blocks, by: criterion))
    }

    /// Of each block, the mean over all outputs of the divergence of the probabilities.
    private static func divergences<Network: LayeredTextNetwork>(
        without blocks: [Place], of network: Network, _ batches: [LabeledBatch], _ progress: (Int, Int) -> Void
    ) -> [Double] where Network.Block == Place {
        let texts = batches.flatMap { batch in
            (0..<batch.inputs.shape[0]).map { batch.inputs.slice(axis: 0, $0..<($0 + 1)) }
        }
        var sums = [Double](repeating: 0, count: blocks.count)
        var rows = 0
        for (done, text) in texts.enumerated() {
            let context = network.context(of: text)
            // What reaches each layer, computed once.
            var entering = [network.embedded(text, context)]
            for index in 0..<network.layerCount { entering.append(network.layer(index, entering[index], context)) }
            let whole = logarithms(network.outputs(ofHidden: entering[network.layerCount]))
            for (index, block) in blocks.enumerated() {
                let first = network.layer(block.layer, entering[block.layer], context, without: block)
                let part = logarithms(network.outputs(ofHidden: first, before: block.layer + 1, context))
                sums[index] += (whole.exp() * (whole - part)).sum().doubles()[0]
            }
            rows += whole.count / whole.shape[whole.rank - 1]
            progress(done + 1, texts.count)
        }
        return sums.map { $0 / Double(rows) }
    }

    /// Of each block, 1 − the linear CKA of what the head reads with and without it.
    private static func dissimilarities<Network: LayeredTextNetwork>(
        without blocks: [Place], of network: Network, _ batches: [LabeledBatch], _ progress: (Int, Int) -> Void
    ) -> [Double] where Network.Block == Place {
        func read(without block: Place?) -> Tensor {
            let parts = batches.map { batch in
                let context = network.context(of: batch.inputs)
                var hidden = network.embedded(batch.inputs, context)
                for index in 0..<network.layerCount {
                    hidden = network.layer(index, hidden, context, without: block?.layer == index ? block : nil)
                }
                return network.headInput(ofHidden: hidden)
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

extension BlockScores where Place == DecoderBlockPlace {
    /// Scores the blocks of a language model.
    ///
    /// - Parameters:
    ///   - kind: what a block is.
    ///   - batches: windows of a text with the tokens that follow.
    /// - Throws: as ``init(of:blocks:by:aggregate:batches:seed:progress:)``.
    public init(
        of network: DecoderNetwork, blocks kind: DecoderBlockKind, by criterion: BlockCriterion,
        aggregate: BlockCriterion.Aggregate = .sum, batches: [LabeledBatch] = [], seed: UInt64 = 0,
        progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws {
        try self.init(
            of: network, blocks: DecoderBlockPlace.all(kind, of: network.configuration), by: criterion,
            aggregate: aggregate, batches: batches, seed: seed, progress: progress)
    }
}
