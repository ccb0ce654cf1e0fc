import CoppiceModels
import CoppiceTensors

/// Measures how fast a model reads prompts and writes answers, and how close the writing comes to what the machine's
/// memory allows.
public struct ThroughputBenchmark: Sendable {
    /// Tokens of the prompt.
    public var promptTokens: Int
    /// Tokens generated after it.
    public var generatedTokens: Int
    /// Runs, of which the median counts.
    public var repetitions: Int
    /// Tokens of one forward pass of the prompt.
    public var chunk: Int
    /// Bytes that are read to measure the bandwidth.
    public var bandwidthBytes = 512 << 20

    public init(promptTokens: Int = 512, generatedTokens: Int = 64, repetitions: Int = 3, chunk: Int = 512) {
        self.promptTokens = promptTokens
        self.generatedTokens = generatedTokens
        self.repetitions = repetitions
        self.chunk = chunk
    }

    /// What a benchmark found.
    public struct Result: Sendable, Hashable {
        public var prefillTokensPerSecond: Double
        public var decodeTokensPerSecond: Double
        /// Bytes that one decoding step reads: weights, and the cache at the mean length of the run.
        public var bytesPerToken: Int
        /// Bytes per second of memory read by all threads.
        public var readBandwidth: Double
        /// Bytes read per second while decoding, as a share of ``readBandwidth``. Above 1 where weights stay in the
        /// processor's caches.
        public var rooflineFraction: Double
        public var promptTokens: Int
        public var generatedTokens: Int
    }

    /// Measures a model; takes seconds. Prompt tokens are drawn at random with a fixed seed: speed does not depend on
    /// them.
    ///
    /// - Parameter progress: called with the steps done and all steps.
    /// - Throws: `usage` where prompt and answer do not fit the model's context.
    public func run(
        _ model: LanguageModel, cacheElement: KeyValueCache.Element = .f32, progress: (Int, Int) -> Void = { _, _ in }
    ) throws -> Result {
        guard promptTokens >= 1, generatedTokens >= 1, repetitions >= 1, chunk >= 1 else {
            throw CoppiceError(
                .usage, field: "bench", "expected at least one token of each kind and one repetition")
        }
        let total = promptTokens + generatedTokens
        guard total <= model.maximumContext else {
            throw CoppiceError(
                .usage, field: "bench",
                "\(promptTokens) prompt and \(generatedTokens) generated tokens do not fit the model's context "
                    + "of \(model.maximumContext)"
            )
        }
        var generator = RandomGenerator(seed: 1)
        let tokens = (0..<total).map { _ in Int.random(in: 0..<model.vocabularySize, using: &generator) }
        let cache = model.makeCache(capacity: total, element: cacheElement)
        var prefill: [Double] = [], decode: [Double] = []
        // The first run warms caches and pages and is not counted.
        for repetition in 0...repetitions {
            let times = try time(model, tokens, cache)
            if repetition > 0 {
                prefill.append(times.prefill)
                decode.append(times.decode)
            }
            progress(repetition + 1, repetitions + 2)
        }
        let bandwidth = ReadBandwidth.measure(byteCount: bandwidthBytes)
        progress(repetitions + 2, repetitions + 2)
        let cacheBytes = cache.bytesPerPosition * (promptTokens + generatedTokens / 2)
        let bytes = model.weightBytesPerToken + cacheBytes
        let decodeRate = Double(generatedTokens) / decode.median
        return Result(
            prefillTokensPerSecond: Double(promptTokens) / prefill.median, decodeTokensPerSecond: decodeRate,
            bytesPerToken: bytes, readBandwidth: bandwidth,
            rooflineFraction: decodeRate * Double(bytes) / bandwidth, promptTokens: promptTokens,
            generatedTokens: generatedTokens)
    }

    private func time(
        _ model: LanguageModel, _ tokens: [Int], _ cache: KeyValueCache
    ) throws -> (prefill: Double, decode: Double) {
        let sequence = SequenceID(0)
        try cache.add(sequence, reserving: tokens.count)
        defer { cache.remove(sequence) }
        let clock = ContinuousClock()
        let begin = clock.now
        for start in stride(from: 0, to: promptTokens, by: chunk) {
            let end = min(start + chunk, promptTokens)
            _ = try model.forward(
                [Row(sequence: sequence, start: start, count: end - start)], tokens: Array(tokens[start..<end]),
                cache: cache, logits: end == promptTokens ? .lastOfEachRow : .none)
        }
        let middle = clock.now
        for position in promptTokens..<tokens.count {
            let logits = try model.forward(
                [Row(sequence: sequence, start: position, count: 1)], tokens: [tokens[position]], cache: cache)
            guard logits[0].largestIndex != nil else { throw model.nonFiniteLogits() }
        }
        return ((middle - begin) / .seconds(1), (clock.now - middle) / .seconds(1))
    }
}

extension [Double] {
    /// The middle element in order of size.
    fileprivate var median: Double {
        let sorted = sorted()
        return sorted.count.isMultiple(of: 2)
            ? (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2 : sorted[sorted.count / 2]
    }
}
