import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

/// How well an encoder fills gaps in a text: 15 % of its tokens are asked for as in pre-training, the same ones for
/// every model of one tokenizer and seed.
///
/// ```swift
/// let evaluation = MaskedEvaluation(frame: frame, length: 128)
/// let result = try evaluation.run(network, on: tokens, source: "text.txt")
/// ```
public struct MaskedEvaluation: Sendable {
    public struct Result: Sendable, Hashable {
        /// The mean cross-entropy in nats a hidden token.
        public var loss: Double
        /// Tokens that were asked for.
        public var hiddenTokens: Int
        /// Tokens of the text.
        public var tokens: Int
        public var seconds: Double

        /// exp(``loss``).
        public var perplexity: Double { exp(loss) }
        public var tokensPerSecond: Double { seconds > 0 ? Double(tokens) / seconds : 0 }
    }

    public var frame: EncoderCheckpoint.TextFrame
    /// Tokens of a window, of which two begin and end it.
    public var length: Int
    public var batchSize: Int
    public var seed: UInt64

    /// - Precondition: a length of three at least.
    public init(frame: EncoderCheckpoint.TextFrame, length: Int, batchSize: Int = 16, seed: UInt64 = 42) {
        precondition(length > 2, "windows of \(length)")
        (self.frame, self.length, self.batchSize, self.seed) = (frame, length, batchSize, seed)
    }

    /// Measures on the windows of a text, one behind the other; what is left at its end is not looked at.
    ///
    /// - Throws: `.badData` for a text that is shorter than a window or none of whose tokens is hidden, and where the
    ///   loss is not finite.
    public func run(
        _ network: MaskedLanguageEncoder, on tokens: [Int], source: String? = nil,
        progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) throws -> Result {
        let size = length - 2
        guard tokens.count >= size else {
            throw CoppiceError(
                .badData, source: source, "has \(tokens.count) tokens, expected at least \(size), a window")
        }
        let windows = stride(from: 0, through: tokens.count - size, by: size).map { Array(tokens[$0..<($0 + size)]) }
        let batches = MaskedWindows(
            tokens, length: length, batchSize: batchSize, frame: frame,
            vocabularySize: network.configuration.vocabularySize, seed: seed)
        var generator = RandomGenerator(seed: seed)
        let start = ContinuousClock.now
        var (sum, count) = (0.0, 0)
        for first in stride(from: 0, to: windows.count, by: batchSize) {
            let own = Array(windows[first..<min(first + batchSize, windows.count)])
            let batch = batches.batch(of: own, using: &generator)
            let asked = batch.targets.integers().count { $0 >= 0 }
            if asked > 0 { sum += network.inUse { Double(network.loss(batch).scalar) } * Double(asked) }
            count += asked
            progress(min(first + batchSize, windows.count), windows.count)
        }
        guard count > 0 else {
            throw CoppiceError(.badData, source: source, "is too short: none of its tokens is hidden")
        }
        guard sum.isFinite else { throw CoppiceError(.badData, source: source, "the loss on it is not finite") }
        return Result(
            loss: sum / Double(count), hiddenTokens: count, tokens: windows.count * size,
            seconds: (ContinuousClock.now - start) / .seconds(1))
    }
}
