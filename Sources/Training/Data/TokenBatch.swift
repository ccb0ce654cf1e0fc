/// Windows of equal length: what a model reads and what it should predict.
public struct TokenBatch: Sendable, Equatable {
    /// Windows.
    public let rows: Int
    /// Tokens of each.
    public let columns: Int
    /// Tokens that the model reads, `[rows, columns]` in row-major order.
    public let inputs: [Int32]
    /// The token that follows each of them, `[rows, columns]`.
    public let targets: [Int32]

    /// Windows that start at the given tokens of a stream.
    ///
    /// - Precondition: every window and its successor lie within the stream.
    public init(_ tokens: [Int32], starts: [Int], length: Int) {
        rows = starts.count
        columns = length
        var inputs: [Int32] = []
        var targets: [Int32] = []
        inputs.reserveCapacity(starts.count * length)
        targets.reserveCapacity(starts.count * length)
        for start in starts {
            inputs.append(contentsOf: tokens[start..<(start + length)])
            targets.append(contentsOf: tokens[(start + 1)...(start + length)])
        }
        self.inputs = inputs
        self.targets = targets
    }

    /// Tokens that are predicted.
    public var count: Int { rows * columns }
}

extension TokenBatch {
    /// The batches of one optimizer step: a pure function of the step's number.
    public static func training(
        _ stream: TokenStream, order: WindowOrder, step: Int, batchSize: Int, accumulation: Int
    ) -> [TokenBatch] {
        (0..<accumulation).map { part in
            let first = (step * accumulation + part) * batchSize
            return TokenBatch(
                stream.tokens, starts: (first..<(first + batchSize)).map(order.start(ofSample:)),
                length: order.length)
        }
    }

    /// All of a stream in order, every token but the first predicted exactly once. The last windows may be shorter,
    /// and then come in a batch of their own.
    public static func covering(_ stream: TokenStream, batchSize: Int, length: Int) -> [TokenBatch] {
        let predicted = stream.tokens.count - 1
        let starts = Array(stride(from: 0, through: predicted - length, by: length))
        var batches = stride(from: 0, to: starts.count, by: batchSize).map { first in
            TokenBatch(
                stream.tokens, starts: Array(starts[first..<min(first + batchSize, starts.count)]), length: length)
        }
        let rest = max(0, predicted) % length
        if rest > 0 { batches.append(TokenBatch(stream.tokens, starts: [predicted - rest], length: rest)) }
        return batches
    }
}
