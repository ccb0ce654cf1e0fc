import CKernels

/// Removes unlikely tokens before the draw: top-k, then top-p among what is left, then min-p.
///
/// Each keeps a prefix of the tokens in order of falling probability (equal ones in order of their ids), so they
/// compose to the shortest of their prefixes. Sources: Fan et al. 2018 (top-k); Holtzman et al., The Curious Case of
/// Neural Text Degeneration, 2019 (top-p); Nguyen et al., Turning Up the Heat, 2024 (min-p).
struct TokenFilter {
    /// The tokens kept, likeliest first, with weights proportional to their probabilities.
    struct Candidates {
        var tokens: [Int]
        var weights: [Double]

        /// The token at a point in 0 ..< 1 of the cumulative distribution.
        func draw(_ uniform: Double) -> Int? {
            let target = uniform * weights.reduce(0, +)
            var sum = 0.0
            for (token, weight) in zip(tokens, weights) {
                sum += weight
                if sum > target { return token }
            }
            return tokens.first
        }
    }

    private let topK: Int
    private let topP: Double
    private let minP: Double

    init(_ options: SamplingOptions) {
        topK = options.topK
        topP = options.topP
        minP = options.minP
    }

    /// What is kept of logits whose largest is 0; nil where no filter removes anything.
    func keep(_ logits: UnsafeBufferPointer<Float>, _ scratch: SamplingScratch) -> Candidates? {
        let limitsCount = topK > 0 && topK < logits.count
        guard limitsCount || topP < 1 || minP > 0 else { return nil }
        var kept: Candidates
        var total = 0.0
        if limitsCount {
            let tokens = logits.largestIndices(topK)
            kept = Candidates(tokens: tokens, weights: exponentials(tokens.map { logits[$0] }))
            total = kept.weights.reduce(0, +)
        } else {
            let weights = scratch.weights(logits.count)
            coppice_decoder_exponentials(logits.baseAddress, 0, weights.baseAddress, logits.count)
            for weight in weights { total += Double(weight) }
            // Tokens below this cannot be part of either prefix: all of them together weigh less than 1 - topP.
            let floor = Float(min(1, max(minP, (1 - topP) * total / Double(max(1, logits.count - 1)))))
            var tokens: [Int] = []
            for index in weights.indices where weights[index] >= floor { tokens.append(index) }
            tokens.sort { (weights[$1], $0) < (weights[$0], $1) }
            kept = Candidates(tokens: tokens, weights: tokens.map { Double(weights[$0]) })
        }
        truncate(&kept, total)
        return kept
    }

    private func truncate(_ kept: inout Candidates, _ total: Double) {
        var count = 0
        var sum = 0.0
        for weight in kept.weights {
            // The likeliest has weight 1, up to the rounding of the exponential.
            if count > 0 && (sum >= topP * total || weight < minP) { break }
            sum += weight
            count += 1
        }
        kept.tokens.removeLast(kept.tokens.count - count)
        kept.weights.removeLast(kept.weights.count - count)
    }

    private func exponentials(_ logits: [Float]) -> [Double] {
        var weights = logits
        coppice_decoder_exponentials(logits, 0, &weights, logits.count)
        return weights.map(Double.init)
    }
}

extension UnsafeBufferPointer<Float> {
    /// The indices of the `count` largest elements, largest first, the lower index first among equal ones. NaN is below
    /// everything. O(n log count).
    func largestIndices(_ count: Int) -> [Int] {
        guard count > 0 else { return [] }
        // A heap with the worst of the best at its root.
        var heap: [Int] = []
        heap.reserveCapacity(Swift.min(count, self.count))
        func isBetter(_ a: Int, _ b: Int) -> Bool {
            let (x, y) = (self[a].isNaN ? -Float.infinity : self[a], self[b].isNaN ? -Float.infinity : self[b])
            return x > y || (x == y && a < b)
        }
        func siftDown(_ start: Int) {
            var parent = start
            while true {
                var worst = parent
                for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                    if isBetter(heap[worst], heap[child]) { worst = child }
                }
                if worst == parent { return }
                heap.swapAt(parent, worst)
                parent = worst
            }
        }
        for index in indices {
            if heap.count < count {
                heap.append(index)
                if heap.count == count {
                    for parent in stride(from: count / 2 - 1, through: 0, by: -1) { siftDown(parent) }
                }
            } else if self[index] >= self[heap[0]] || self[heap[0]].isNaN {
                if isBetter(index, heap[0]) {
                    heap[0] = index
                    siftDown(0)
                }
            }
        }
        return heap.sorted(by: isBetter)
    }
}
