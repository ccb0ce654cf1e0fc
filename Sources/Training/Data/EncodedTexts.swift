import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// Labelled texts in the tokens of an encoder, framed, and padded where they go together.
public struct EncodedTexts: Sendable {
    /// Of each example, with what begins, separates and ends texts.
    public let sequences: [[Int]]
    /// The class of each, from 0.
    public let labels: [Int]
    /// Examples that lost tokens.
    public let truncatedCount: Int
    /// The most tokens of a sequence.
    public let length: Int
    private let padToken: Int

    /// - Parameters:
    ///   - length: the most tokens of a sequence; nil: as many as the encoder reads.
    /// - Throws: `.badData` where not even what surrounds texts fits, and for no example; what reading the tokenizer
    ///   throws.
    public init(_ texts: LabelledTexts, for checkpoint: EncoderCheckpoint, length: Int? = nil) throws {
        let configuration = checkpoint.configuration
        let tokenizer = try checkpoint.tokenizer()
        let frame = try checkpoint.textFrame(tokenizer)
        let length = min(length ?? configuration.longestText, configuration.longestText)
        guard length >= 5 else {
            throw CoppiceError(
                .badData, source: checkpoint.path,
                "\(length) tokens of a text, expected at least 5: a token and what surrounds two texts")
        }
        guard !texts.examples.isEmpty else {
            throw CoppiceError(.badData, source: texts.source, "has no example")
        }
        var (sequences, truncated): ([[Int]], Int) = ([], 0)
        for example in texts.examples {
            let own = configuration.sequence(
                example.texts.map { tokenizer.encode($0, addingSpecialTokens: false) }, frame: frame, length: length)
            sequences.append(own.tokens)
            if own.isTruncated { truncated += 1 }
        }
        (self.sequences, truncatedCount, self.length) = (sequences, truncated, length)
        labels = texts.examples.map(\.label)
        padToken = configuration.padToken
    }

    public var count: Int { sequences.count }
    public var tokenCount: Int { sequences.reduce(0) { $0 + $1.count } }

    /// What is to be said of texts that are too long; nil where there are none.
    public var note: String? {
        truncatedCount == 0
            ? nil : "\(truncatedCount) of \(count) examples are longer than \(length) tokens and were cut"
    }

    /// Some examples, filled up to the longest of them.
    public func batch(_ indices: some Collection<Int>) -> LabeledBatch {
        let longest = indices.map { sequences[$0].count }.max() ?? 0
        let tokens = indices.flatMap { index in
            sequences[index] + [Int](repeating: padToken, count: longest - sequences[index].count)
        }
        return LabeledBatch(
            inputs: Tensor(tokens, shape: [indices.count, longest]), targets: Tensor(indices.map { labels[$0] }))
    }

    /// All examples once, those of like length together.
    public func batches(of size: Int) -> [LabeledBatch] { batches(of: size, among: sequences.indices) }

    /// Some examples, those of like length together.
    public func batches(of size: Int, among indices: some Sequence<Int>) -> [LabeledBatch] {
        let order = indices.sorted { (sequences[$0].count, $0) < (sequences[$1].count, $1) }
        return stride(from: 0, to: order.count, by: size).map { batch(order[$0..<min($0 + size, order.count)]) }
    }

    /// Examples in an order that a seed gives, each once before any comes again.
    public func sample(_ count: Int, seed: UInt64) -> [Int] {
        let order = EpochOrder(count: self.count, seed: seed)
        return (0..<count).map(order.index(ofSample:))
    }
}

/// Labelled texts, shuffled anew each epoch.
public struct EncodedTextBatches: BatchSource {
    public let texts: EncodedTexts
    public let batchSize: Int
    private let order: EpochOrder

    /// - Precondition: a batch of one at least.
    public init(_ texts: EncodedTexts, batchSize: Int, seed: UInt64) {
        precondition(batchSize > 0, "batches of \(batchSize)")
        self.texts = texts
        self.batchSize = batchSize
        order = EpochOrder(count: texts.count, seed: seed)
    }

    public var batchesPerEpoch: Int { max(1, texts.count / batchSize) }

    public func batch(at step: Int) -> LabeledBatch {
        texts.batch((step * batchSize..<((step + 1) * batchSize)).map(order.index(ofSample:)))
    }
}
