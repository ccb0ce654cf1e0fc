import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

/// A decoder in memory whose loss is measured under masks, for a ``SparsitySweep`` without fine-tuning.
///
/// The network's weights are masked while a loss is measured and restored by ``restore()``.
///
/// ```swift
/// let decoder = try MaskedDecoder(network, windows: windows)
/// let report = try sweep.run(decoder.weights, values: decoder.values, evaluate: decoder.losses)
/// ```
public final class MaskedDecoder {
    /// The projections of the decoder blocks, in the order of computation.
    public let weights: [PrunableWeight]

    private let network: DecoderNetwork
    private let parameters: [Parameter]
    private let dense: [Tensor]
    private let shards: [(tokens: Tensor, targets: Tensor)]

    /// - Parameters:
    ///   - windows: evaluation windows, all of one length of at least two tokens.
    ///   - shardCount: the windows are dealt into this many groups whose losses are reported apart, or fewer.
    /// - Throws: `.badData` when there is no window.
    public init(_ network: DecoderNetwork, windows: [[Int]], shardCount: Int = 8) throws {
        guard let length = windows.first?.count, length > 1, windows.allSatisfy({ $0.count == length }) else {
            throw CoppiceError(.badData, "the evaluation text has no window of two or more tokens")
        }
        self.network = network
        let chosen = network.parameters.filter { WeightSelection.isBlockProjection($0.name) }
        parameters = chosen.map(\.parameter)
        dense = chosen.map { $0.parameter.wrappedValue.detached().converted(to: .f32) }
        weights = zip(chosen, dense).map {
            PrunableWeight(name: $0.name, rows: $1.shape[0], columns: $1.shape[1])
        }
        let count = max(1, min(shardCount, windows.count))
        shards = (0..<count).map { shard in
            let members = stride(from: shard, to: windows.count, by: count).map { windows[$0] }
            let shape = [members.count, length - 1]
            return (
                Tensor(members.flatMap { $0.dropLast() }, shape: shape),
                Tensor(members.flatMap { $0.dropFirst() }, shape: shape)
            )
        }
    }

    /// The loss of a model that knows nothing: ln(vocabulary size).
    public var chanceLoss: Double { log(Double(network.configuration.vocabularySize)) }

    /// The heads of its attention.
    public var heads: AttentionHeads { AttentionHeads(network.configuration) }

    /// A matrix as it was, f32.
    public func values(_ index: Int) -> Tensor { dense[index] }

    /// The mean loss of each shard in nats per token, under masks or dense.
    public func losses(_ masks: [WeightMask]?) -> [Double] {
        apply(masks)
        return lossesAsItIs()
    }

    /// The mean loss of each shard in nats per token, of the network as it is now.
    func lossesAsItIs() -> [Double] {
        withoutRecording { shards.map { Double(network.loss($0.tokens, targets: $0.targets).scalar) } }
    }

    /// Gives the network its weights back.
    public func restore() { apply(nil) }

    private func apply(_ masks: [WeightMask]?) {
        for (index, parameter) in parameters.enumerated() {
            var values = dense[index]
            masks?[index].apply(to: &values)
            parameter.wrappedValue = values.converted(to: parameter.wrappedValue.dataType)
        }
    }
}

extension SparsitySweep {
    /// Sweeps a decoder in memory; its weights are the same afterwards.
    ///
    /// - Parameter windows: evaluation windows of one length.
    public static func run(
        on network: DecoderNetwork, windows: [[Int]], variants: [SparsityVariant], tolerance: Double = 0.01,
        seed: UInt64 = 42, progress: (Progress) -> Void = { _ in }
    ) throws -> SparsityReport {
        let decoder = try MaskedDecoder(network, windows: windows)
        defer { decoder.restore() }
        var sweep = SparsitySweep(variants: variants, chanceLoss: decoder.chanceLoss)
        sweep.tolerance = tolerance
        sweep.seed = seed
        return try sweep.run(
            decoder.weights, values: decoder.values, evaluate: decoder.losses, progress: progress)
    }
}
