import CoppiceNetworks
import CoppiceTensors

/// Batches as a pure function of a step's number: the same batch whoever asks, in whichever order, so that training can
/// be stopped, resumed and rewound.
public protocol BatchSource: Sendable {
    /// Steps that see every example once (the last examples of an epoch may wait for the next).
    var batchesPerEpoch: Int { get }

    /// The batch of a step, counted from 0 through all epochs.
    func batch(at step: Int) -> LabeledBatch
}

/// Examples in memory, shuffled anew each epoch.
public struct TensorBatches: BatchSource {
    public let inputs: Tensor
    public let targets: Tensor
    public let batchSize: Int
    private let order: EpochOrder

    /// - Parameters:
    ///   - inputs: `[examples, ...]`.
    ///   - targets: `[examples, ...]`, integers.
    ///   - batchSize: examples of a step; all of them in their own order (full-batch training) where it is at least
    ///     their number.
    /// - Precondition: at least one example, as many inputs as targets.
    public init(inputs: Tensor, targets: Tensor, batchSize: Int, seed: UInt64 = 0) {
        precondition(inputs.shape.first == targets.shape.first, "\(inputs.shape) inputs for \(targets.shape) targets")
        precondition(batchSize > 0, "batches of \(batchSize)")
        self.inputs = inputs.detached()
        self.targets = targets.detached()
        self.batchSize = batchSize
        order = EpochOrder(count: inputs.shape[0], seed: seed)
    }

    public var batchesPerEpoch: Int { max(1, order.count / batchSize) }

    public func batch(at step: Int) -> LabeledBatch {
        guard batchSize < order.count else { return LabeledBatch(inputs: inputs, targets: targets) }
        let first = step * batchSize
        let chosen = Tensor((first..<(first + batchSize)).map(order.index(ofSample:)))
        return LabeledBatch(inputs: inputs.take(chosen), targets: targets.take(chosen))
    }

    /// All examples once, in their own order, in batches of at most `size`.
    public static func covering(inputs: Tensor, targets: Tensor, size: Int) -> [LabeledBatch] {
        stride(from: 0, to: inputs.shape[0], by: size).map { start in
            let range = start..<min(start + size, inputs.shape[0])
            return LabeledBatch(
                inputs: inputs.slice(axis: 0, range).contiguous(), targets: targets.slice(axis: 0, range).contiguous())
        }
    }
}

/// Windows of a token stream, predicting the next token of each position.
public struct TokenWindows: BatchSource {
    public let stream: TokenStream
    public let batchSize: Int
    private let order: WindowOrder

    /// - Precondition: the stream holds more than `length` tokens.
    public init(_ stream: TokenStream, length: Int, batchSize: Int, seed: UInt64) {
        precondition(batchSize > 0, "batches of \(batchSize)")
        self.stream = stream
        self.batchSize = batchSize
        order = WindowOrder(tokenCount: stream.tokens.count, length: length, seed: seed)
    }

    public var batchesPerEpoch: Int { max(1, order.windowsPerEpoch / batchSize) }

    public func batch(at step: Int) -> LabeledBatch {
        let starts = (step * batchSize..<((step + 1) * batchSize)).map(order.start(ofSample:))
        return TokenBatch(stream.tokens, starts: starts, length: order.length).labeled
    }

    /// All of a stream in order, every token but the first predicted exactly once.
    public static func covering(_ stream: TokenStream, length: Int, batchSize: Int) -> [LabeledBatch] {
        TokenBatch.covering(stream, batchSize: batchSize, length: length).map(\.labeled)
    }
}

extension TokenBatch {
    /// The batch as tensors `[rows, columns]`.
    public var labeled: LabeledBatch {
        LabeledBatch(
            inputs: Tensor(inputs, shape: [rows, columns]), targets: Tensor(targets, shape: [rows, columns]))
    }
}
