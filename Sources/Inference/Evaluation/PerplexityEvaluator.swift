import CKernels
import CoppiceModels
import CoppiceTensors
import Foundation

/// Measures how well a model predicts a text, by windows that slide over it.
///
/// As in the loop that the documentation of `transformers` gives for models of fixed length: a window of `context`
/// tokens begins every `stride` tokens; in each, only the tokens that no earlier window has predicted count, and
/// every one of them counts the same. (That loop weighs each window's mean by one token less than it predicted; the
/// sum here is over the tokens themselves, which differs where windows overlap, by less than 1 / stride.)
///
/// ```swift
/// let evaluator = PerplexityEvaluator(model, context: 512, stride: 256)
/// let result = try evaluator.evaluate(text, tokenizer: tokenizer)
/// print(result.perplexity, result.bitsPerByte)
/// ```
public struct PerplexityEvaluator: Sendable {
    public let model: LanguageModel
    /// Tokens of one window.
    public let context: Int
    /// Tokens between the beginnings of neighbouring windows.
    public let stride: Int
    /// How keys and values are stored.
    public let cacheElement: KeyValueCache.Element
    /// What tokens see within a window of the text; with it a window may be longer than the model's context.
    public let visible: StreamingWindow?

    /// What an evaluation found.
    public struct Result: Sendable, Hashable {
        /// Mean negative log-likelihood of a predicted token, in nats.
        public var meanLoss: Double
        /// exp(``meanLoss``).
        public var perplexity: Double
        /// Bits that the model needs for one byte of the text: the mean loss in bits times tokens per byte. Comparable
        /// between tokenizers. Nil where no text was given.
        public var bitsPerByte: Double?
        /// Tokens predicted.
        public var predictedTokens: Int
        /// Tokens of the text.
        public var tokens: Int
        /// Tokens computed, those that windows share counted each time.
        public var computedTokens: Int
        public var seconds: Double
        /// Computed tokens per second.
        public var tokensPerSecond: Double { seconds > 0 ? Double(computedTokens) / seconds : 0 }
    }

    /// - Parameters:
    ///   - context: nil for the model's own, 2048 at most.
    ///   - stride: nil for the context: windows that do not overlap.
    ///   - visible: what tokens see; with it the context may be longer than the model's.
    /// - Throws: `usage` for a context beyond the model's or a stride that is not in 1 ... context.
    public init(
        _ model: LanguageModel, context: Int? = nil, stride: Int? = nil, cacheElement: KeyValueCache.Element = .f32,
        visible: StreamingWindow? = nil
    ) throws {
        let context = context ?? min(2048, model.maximumContext)
        let most = visible == nil ? max(2, model.maximumContext) : Int(Int32.max)
        guard (2...most).contains(context) else {
            throw CoppiceError(.usage, field: "context", "expected 2 to \(most) tokens, found \(context)")
        }
        let stride = stride ?? context
        guard (1...context).contains(stride) else {
            throw CoppiceError(
                .usage, field: "stride", "expected 1 to \(context) (the context), found \(stride)")
        }
        self.model = model
        self.context = context
        self.stride = stride
        self.cacheElement = cacheElement
        self.visible = visible
    }

    /// Evaluates a text, with the tokenizer's begin token in front where it has one.
    ///
    /// - Parameters:
    ///   - source: what errors call the text: its file.
    ///   - progress: called with the predicted and all tokens after every forward pass.
    /// - Throws: `badData` for a text that is empty or too short to predict a token of.
    public func evaluate(
        _ text: String, tokenizer: any Tokenizer, source: String? = nil, progress: (Int, Int) -> Void = { _, _ in }
    ) throws -> Result {
        guard !text.isEmpty else { throw CoppiceError(.badData, source: source, "the text is empty") }
        let bytes = text.utf8.count
        let textTokens = tokenizer.encode(text, addingSpecialTokens: false).count
        let tokens = tokenizer.encode(text, addingSpecialTokens: true)
        var result = try evaluate(tokens, source: source, progress: progress)
        result.bitsPerByte = result.meanLoss / M_LN2 * Double(textTokens) / Double(bytes)
        return result
    }

    /// Evaluates tokens.
    ///
    /// - Throws: `badData` for fewer than two tokens, for one outside the vocabulary, and for weights that are not
    ///   numbers.
    public func evaluate(
        _ tokens: [Int], source: String? = nil, progress: (Int, Int) -> Void = { _, _ in }
    ) throws -> Result {
        guard tokens.count >= 2 else {
            throw CoppiceError(
                .badData, source: source, "expected a text of at least 2 tokens, found \(tokens.count)")
        }
        let clock = ContinuousClock()
        let start = clock.now
        let capacity = min(context, visible.map { KeyValueCache.positions(for: $0) } ?? .max)
        let cache = model.makeCache(capacity: capacity, element: cacheElement, window: visible)
        var losses = LossSum()
        var computed = 0
        for window in windows(tokens.count) {
            let sequence = SequenceID(0)
            try cache.add(sequence, reserving: window.range.count)
            defer { cache.remove(sequence) }
            cache.plan(sequence, length: window.range.count)
            try evaluate(window, tokens, sequence, cache, &losses) { progress($0, tokens.count - 1) }
            computed += window.range.count
        }
        let seconds = (clock.now - start) / .seconds(1)
        let mean = losses.total / Double(losses.count)
        return Result(
            meanLoss: mean, perplexity: exp(mean), bitsPerByte: nil, predictedTokens: losses.count,
            tokens: tokens.count, computedTokens: computed, seconds: seconds)
    }

    /// A part of the text and how many of its last tokens are targets.
    package struct Window: Hashable {
        package var range: Range<Int>
        package var firstTarget: Int
    }

    /// The windows of a text of `count` tokens. A window's first token is never a target: nothing predicts it.
    package func windows(_ count: Int) -> [Window] {
        var windows: [Window] = []
        var previousEnd = 0
        for begin in Swift.stride(from: 0, to: count, by: stride) {
            let end = min(begin + context, count)
            windows.append(Window(range: begin..<end, firstTarget: max(previousEnd, begin + 1)))
            previousEnd = end
            if end == count { break }
        }
        return windows
    }

    private struct LossSum {
        var total = 0.0
        var count = 0
    }

    private func evaluate(
        _ window: Window, _ tokens: [Int], _ sequence: SequenceID, _ cache: KeyValueCache, _ losses: inout LossSum,
        _ report: (Int) -> Void
    ) throws {
        // Bounds the memory for logits to a few megabytes whatever the vocabulary, and the pass to what caches hold.
        let chunk = max(16, min(512, (64 << 20) / (4 * max(1, model.vocabularySize))))
        for begin in Swift.stride(from: window.range.lowerBound, to: window.range.upperBound, by: chunk) {
            let end = min(begin + chunk, window.range.upperBound)
            // The token at i predicts the one at i + 1.
            let predictors =
                max(
                    begin, window.firstTarget - 1)..<max(
                    max(begin, window.firstTarget - 1), min(end, window.range.upperBound - 1))
            let row = Row(sequence: sequence, start: begin - window.range.lowerBound, count: end - begin)
            let logits = try model.forward(
                [row], tokens: Array(tokens[begin..<end]), cache: cache,
                logits: .tokens(predictors.map { $0 - begin }))
            for (index, predictor) in predictors.enumerated() {
                let loss = LogProbabilities.logSumExp(logits[index]) - Double(logits[index][tokens[predictor + 1]])
                guard loss.isFinite else { throw model.nonFiniteLogits() }
                losses.total += loss
                losses.count += 1
            }
            report(losses.count)
        }
    }
}
