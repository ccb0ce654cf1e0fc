import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// An encoder that fills gaps in texts, measured under masks by its loss on hidden tokens: at once, or after it has been
/// trained on with the masks held.
///
/// What is pruned are the matrices of its layers, attention and feed-forward; embeddings and the head stay. The same
/// tokens are hidden in every measurement.
public final class PrunedEncoder: MaskedModel {
    private let network: MaskedLanguageEncoder
    private let prunable: PrunableNetwork
    private let dense: Snapshot
    private let matrices: [Tensor]
    private let shards: [LabeledBatch]
    private let tuning: SparsityAnalysis.FineTuning?

    /// - Parameters:
    ///   - windows: evaluation windows, all of one length, without the tokens that begin and end texts.
    ///   - shardCount: the windows are dealt into this many groups whose losses are reported apart, or fewer.
    ///   - tuning: nil to measure at once.
    ///   - seed: of the tokens that are hidden.
    /// - Throws: `.badData` when there is no window, or none of a window's tokens is hidden.
    public init(
        _ network: MaskedLanguageEncoder, windows: [[Int]], frame: EncoderCheckpoint.TextFrame, shardCount: Int = 8,
        tuning: SparsityAnalysis.FineTuning? = nil, seed: UInt64
    ) throws {
        guard let length = windows.first?.count, length > 0, windows.allSatisfy({ $0.count == length }) else {
            throw CoppiceError(.badData, "the evaluation text has no window")
        }
        let count = max(1, min(shardCount, windows.count))
        let source = MaskedWindows(
            windows[0], length: length + 2, batchSize: 1, frame: frame,
            vocabularySize: network.configuration.vocabularySize, seed: seed)
        var generator = RandomGenerator(seed: seed)
        shards = (0..<count).map { shard in
            let members = stride(from: shard, to: windows.count, by: count).map { windows[$0] }
            return source.batch(of: members, using: &generator)
        }
        guard shards.allSatisfy({ $0.targets.integers().contains { $0 >= 0 } }) else {
            throw CoppiceError(.badData, "the evaluation text is too short: no token of a part of it is hidden")
        }
        self.network = network
        self.tuning = tuning
        let prunable = try PrunableNetwork(network, targets: [WeightPattern("encoder.layer")])
        self.prunable = prunable
        dense = Snapshot(of: network)
        matrices = prunable.weights.indices.map { prunable.values($0).copied() }
    }

    public var weights: [PrunableWeight] { prunable.weights }
    public var heads: AttentionHeads { AttentionHeads(network.configuration) }
    public var chanceLoss: Double { log(Double(network.configuration.vocabularySize)) }
    public func values(_ index: Int) -> Tensor { matrices[index] }

    /// The mean loss of each shard in nats a hidden token.
    ///
    /// - Throws: `.badData` naming the step where training's loss is no longer finite.
    public func losses(_ masks: [WeightMask]?) throws -> [Double] {
        restore()
        if let masks { prunable.setMasks(masks) }
        if let tuning { try FineTuning(tuning.training).recover(prunable, on: tuning.source) }
        return network.inUse { shards.map { Double(network.loss($0).scalar) } }
    }

    public func restore() {
        dense.restore(network)
        prunable.setMasks(weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) })
    }
}
