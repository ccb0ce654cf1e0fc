import CoppiceInference
import CoppiceTensors
import Foundation
import Testing

@Suite("Sampling")
struct SamplerTests {
    private let logits: [Float] = [0, 1, 2, 3, -1, 2.5, -3, 0.5]

    private func draw(
        _ count: Int, _ options: SamplingOptions, _ logits: [Float]? = nil, prompt: [Int] = []
    ) -> [Int] {
        var sampler = Sampler(options, prompt: prompt)
        let scratch = SamplingScratch()
        return (0..<count).compactMap { _ in
            (logits ?? self.logits).withUnsafeBufferPointer { sampler.next($0, using: scratch) }
        }
    }

    private func softmax(_ logits: [Float], temperature: Double = 1, keep: Set<Int>? = nil) -> [Double] {
        let weights = logits.enumerated().map { index, logit in
            keep?.contains(index) ?? true ? exp(Double(logit) / temperature) : 0
        }
        let total = weights.reduce(0, +)
        return weights.map { $0 / total }
    }

    /// Frequencies within five standard deviations of what they should be.
    private func expect(
        _ tokens: [Int], follow probabilities: [Double], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let count = Double(tokens.count)
        for (token, probability) in probabilities.enumerated() {
            let found = Double(tokens.count { $0 == token }) / count
            let deviation = (probability * (1 - probability) / count).squareRoot()
            #expect(
                abs(found - probability) <= 5 * deviation + 1e-12, "token \(token): \(found), expected \(probability)",
                sourceLocation: sourceLocation)
        }
    }

    @Test("Draws follow the softmax at every temperature", arguments: [0.5, 1, 2])
    func temperature(_ temperature: Double) {
        let tokens = draw(10000, SamplingOptions(temperature: temperature, seed: 1))
        expect(tokens, follow: softmax(logits, temperature: temperature))
    }

    @Test("Greedy takes the first of the largest")
    func greedy() {
        #expect(draw(3, .greedy) == [3, 3, 3])
        #expect(draw(1, .greedy, [1, 5, 5, 2]) == [1])
        #expect(draw(5, SamplingOptions(temperature: 1e-30, seed: 4)) == [3, 3, 3, 3, 3])
        #expect(draw(5, SamplingOptions(temperature: 1e-320, seed: 4)) == [3, 3, 3, 3, 3])
    }

    @Test("Top-k keeps the k likeliest", arguments: [1, 2, 3, 7, 8, 100])
    func topK(_ k: Int) {
        let best = Set([3, 5, 2, 1, 7, 0, 4, 6].prefix(k))
        expect(draw(10000, SamplingOptions(topK: k, seed: 2)), follow: softmax(logits, keep: best))
    }

    @Test("Top-p keeps the smallest set that reaches p", arguments: [1e-9, 0.3, 0.5, 0.9, 0.99])
    func topP(_ p: Double) {
        let all = softmax(logits)
        var kept: Set<Int> = []
        for token in all.indices.sorted(by: { all[$0] > all[$1] }) {
            if kept.reduce(0, { $0 + all[$1] }) >= p { break }
            kept.insert(token)
        }
        expect(draw(10000, SamplingOptions(topP: p, seed: 3)), follow: softmax(logits, keep: kept))
    }

    @Test("Min-p keeps what is likely enough beside the likeliest", arguments: [0.02, 0.2, 0.5, 1])
    func minP(_ p: Double) {
        let kept = Set(logits.indices.filter { exp(Double(logits[$0]) - 3) >= p })
        expect(draw(10000, SamplingOptions(minP: p, seed: 4)), follow: softmax(logits, keep: kept))
    }

    @Test("Filters compose: top-p works on what top-k leaves")
    func composition() {
        // Of the four likeliest (3, 5, 2, 1) the first two have 0.76 of the weight, the first three 0.93.
        let options = SamplingOptions(topK: 4, topP: 0.8, minP: 0.05, seed: 5)
        expect(draw(10000, options), follow: softmax(logits, keep: [3, 5, 2]))
    }

    @Test("Equal logits are kept in order of their ids")
    func ties() {
        #expect(Set(draw(200, SamplingOptions(topK: 2, seed: 6), [1, 1, 1, 1])) == [0, 1])
    }

    @Test("Penalties change the logits as documented")
    func penalties() {
        // Positive logits are divided, negative ones multiplied, for prompt and generated tokens.
        let repetition = SamplingOptions(temperature: 0, repetitionPenalty: 2)
        #expect(draw(3, repetition, [3, 2, 1.8, -1], prompt: [0]) == [1, 2, 0])
        #expect(draw(2, repetition, [-1, -1.5, -9, -9], prompt: [0]) == [1, 0])
        // Presence counts once, frequency every time; neither sees the prompt.
        #expect(
            draw(4, SamplingOptions(temperature: 0, presencePenalty: 1.5), [3, 2, 0], prompt: [0]) == [0, 1, 0, 0])
        #expect(draw(4, SamplingOptions(temperature: 0, frequencyPenalty: 0.6), [3, 2, 0]) == [0, 0, 1, 0])
    }

    @Test("The seed decides, and other seeds decide otherwise")
    func seeds() {
        let options = SamplingOptions(topP: 0.95, seed: 42)
        #expect(draw(100, options) == draw(100, options))
        #expect(draw(100, options) != draw(100, SamplingOptions(topP: 0.95, seed: 43)))
        // Without a seed each sampler has its own.
        #expect(draw(200, SamplingOptions()) != draw(200, SamplingOptions()))
    }

    @Test("NaN gives no token; infinite and masked logits are lived with")
    func extremes() {
        #expect(draw(1, SamplingOptions(seed: 1), [0, .nan, 1]).isEmpty)
        #expect(draw(1, .greedy, [0, .nan, 1]).isEmpty)
        #expect(draw(4, SamplingOptions(seed: 1), [0, .infinity, 1]) == [1, 1, 1, 1])
        let masked = draw(100, SamplingOptions(topP: 0.99, seed: 1), [-.infinity, 0, -.infinity, 0.5])
        #expect(Set(masked) == [1, 3])
    }

    @Test("Large vocabularies: filters agree with a full sort")
    func large() {
        var generator = RandomGenerator(seed: 9)
        let wide = (0..<50000).map { _ in Float.random(in: -4...6, using: &generator) }
        let order = wide.indices.sorted { wide[$0] > wide[$1] }
        let top = draw(300, SamplingOptions(temperature: 3, topK: 40, seed: 1), wide)
        #expect(Set(top).isSubset(of: order.prefix(40)) && Set(top).count > 25)
        let all = softmax(wide)
        var sum = 0.0
        let nucleus = Set(
            order.prefix { token in
                defer { sum += all[token] }; return sum < 0.4
            })
        let drawn = draw(300, SamplingOptions(topP: 0.4, seed: 1), wide)
        #expect(Set(drawn).isSubset(of: nucleus))
        let unlikelier = Set(order[(nucleus.count / 2)..<nucleus.count])
        #expect(drawn.contains { unlikelier.contains($0) })
    }

    @Test("Log-probabilities are the model's own")
    func logProbabilities() {
        let expected = softmax(logits).map { log($0) }
        let found = logits.withUnsafeBufferPointer { LogProbabilities.of(1, in: $0, top: 3) }
        #expect(abs(found.logProbability - expected[1]) < 1e-6)
        #expect(found.top.map(\.token) == [3, 5, 2])
        for candidate in found.top { #expect(abs(candidate.logProbability - expected[candidate.token]) < 1e-6) }
        #expect(logits.withUnsafeBufferPointer { LogProbabilities.of(0, in: $0, top: 100).top.count } == 8)
    }
}
