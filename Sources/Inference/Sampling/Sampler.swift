import CKernels
import CoppiceTensors

/// Chooses the tokens of one text from their logits.
///
/// The random numbers are a function of the seed and of how many tokens have been chosen, so a text depends on its own
/// logits and seed, never on what else is computed beside it.
public struct Sampler: Sendable {
    public let options: SamplingOptions
    private var generator: RandomGenerator
    /// Times that each token has been generated.
    private var counts: [Int: Int] = [:]
    /// Tokens of the prompt, where the repetition penalty needs them.
    private let promptTokens: Set<Int>

    /// - Parameter prompt: the text so far, which the repetition penalty takes into account.
    public init(_ options: SamplingOptions, prompt: [Int] = []) {
        self.options = options
        generator = RandomGenerator(seed: options.seed ?? UInt64.random(in: .min ... .max))
        promptTokens = options.repetitionPenalty == 1 ? [] : Set(prompt)
    }

    /// Chooses the next token and remembers it. O(vocabulary), and O(kept · log kept) for the filters.
    ///
    /// - Returns: nil where a logit is NaN.
    public mutating func next(_ logits: UnsafeBufferPointer<Float>, using scratch: SamplingScratch) -> Int? {
        let token: Int?
        if !hasPenalties && options.temperature == 0 {
            token = logits.largestIndex
        } else {
            let penalized = scratch.copy(logits)
            penalize(penalized)
            token =
                options.temperature == 0
                ? UnsafeBufferPointer(penalized).largestIndex : draw(penalized, scratch)
        }
        if let token, hasPenalties { counts[token, default: 0] += 1 }
        return token
    }

    private var hasPenalties: Bool {
        options.repetitionPenalty != 1 || options.presencePenalty != 0 || options.frequencyPenalty != 0
    }

    private func penalize(_ logits: UnsafeMutableBufferPointer<Float>) {
        if options.repetitionPenalty != 1 {
            let factor = Float(options.repetitionPenalty)
            func discourage(_ token: Int) {
                guard logits.indices.contains(token) else { return }
                logits[token] = logits[token] > 0 ? logits[token] / factor : logits[token] * factor
            }
            promptTokens.forEach(discourage)
            for token in counts.keys where !promptTokens.contains(token) { discourage(token) }
        }
        guard options.presencePenalty != 0 || options.frequencyPenalty != 0 else { return }
        for (token, count) in counts {
            logits[token] -= Float(options.presencePenalty + options.frequencyPenalty * Double(count))
        }
    }

    private mutating func draw(
        _ logits: UnsafeMutableBufferPointer<Float>, _ scratch: SamplingScratch
    ) -> Int? {
        // One draw a token, whatever the filters keep.
        let uniform = Double(generator.next() >> 11) * 0x1p-53
        guard let best = UnsafeBufferPointer(logits).largestIndex else { return nil }
        let highest = logits[best]
        guard highest.isFinite else { return best }
        let inverse = Float(1 / options.temperature)
        // A temperature so small that its inverse overflows leaves only the likeliest token.
        guard inverse.isFinite else { return best }
        for index in logits.indices { logits[index] = (logits[index] - highest) * inverse }
        let candidates = TokenFilter(options).keep(UnsafeBufferPointer(logits), scratch)
        if let candidates { return candidates.draw(uniform) }

        let weights = scratch.weights(logits.count)
        coppice_decoder_exponentials(logits.baseAddress, 0, weights.baseAddress, logits.count)
        let target = uniform * weights.reduce(0.0) { $0 + Double($1) }
        var sum = 0.0
        for index in weights.indices {
            sum += Double(weights[index])
            if sum > target { return index }
        }
        return best
    }
}

/// Memory that samplers work in, shared by the texts of one thread.
public final class SamplingScratch {
    private var logitsBuffer = ForwardWorkspace.Buffer<Float>()
    private var weightsBuffer = ForwardWorkspace.Buffer<Float>()

    public init() {}

    func copy(_ source: UnsafeBufferPointer<Float>) -> UnsafeMutableBufferPointer<Float> {
        let target = logitsBuffer.reserve(source.count)
        if let base = source.baseAddress { target.update(from: base, count: source.count) }
        return UnsafeMutableBufferPointer(start: target, count: source.count)
    }

    func weights(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
        UnsafeMutableBufferPointer(start: weightsBuffer.reserve(count), count: count)
    }

    deinit {
        logitsBuffer.free()
        weightsBuffer.free()
    }
}

extension UnsafeBufferPointer<Float> {
    /// The first index of the largest element; nil where one is NaN or there are none.
    var largestIndex: Int? {
        let index = coppice_decoder_argmax(baseAddress, count)
        return index < 0 ? nil : index
    }
}
