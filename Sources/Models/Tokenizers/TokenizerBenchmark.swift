/// How fast a tokenizer encodes, on one thread.
public struct TokenizerBenchmark: Sendable {
    public struct Result: Sendable, Hashable {
        /// Bytes of the text, in UTF-8.
        public var byteCount: Int
        public var tokenCount: Int
        /// Of each pass. The first one meets every word for the first time.
        public var seconds: [Double]

        /// Bytes a second of the fastest pass.
        public var bytesPerSecond: Double { Double(byteCount) / (seconds.min() ?? .infinity) }
        public var bytesPerToken: Double { Double(byteCount) / Double(max(1, tokenCount)) }
    }

    public var passes: Int

    public init(passes: Int = 3) {
        self.passes = passes
    }

    /// Encodes `text` as often as there are passes.
    public func run(_ tokenizer: any Tokenizer, on text: String) -> Result {
        var result = Result(byteCount: text.utf8.count, tokenCount: 0, seconds: [])
        for _ in 0..<passes {
            let start = ContinuousClock.now
            result.tokenCount = tokenizer.encode(text, addingSpecialTokens: false).count
            result.seconds.append((ContinuousClock.now - start) / .seconds(1))
        }
        return result
    }
}
