/// Decoding first, then prompts in chunks: no request that is being answered waits for another one's prompt.
///
/// Every decoding sequence gets its one token; what is left of the token budget goes to prompts already begun and
/// then to the queue, in order of arrival, a prompt being cut where the budget ends. The queue is served strictly
/// in order, so that a long request cannot be overtaken for ever. Where the budget cannot take all decoding
/// sequences, those with the fewest tokens in the cache go first: they fall behind at most one another.
///
/// Source: Agrawal et al., Taming Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve, 2024, section 4
/// (stall-free batching). O(n log n) in the number of requests.
public struct ChunkedPrefillPolicy: BatchPolicy {
    public init() {}

    public func nextBatch(_ state: SchedulerState, budget: BatchBudget) -> BatchPlan {
        var plan = BatchPlan()
        var tokensLeft = budget.tokens

        var decoding = state.running.filter { $0.isDecoding && $0.pendingTokens > 0 }
        if decoding.count > tokensLeft {
            decoding = Array(
                decoding.sorted { ($0.cachedTokens, $0.sequence) < ($1.cachedTokens, $1.sequence) }
                    .prefix(max(0, tokensLeft)))
        }
        for sequence in decoding where tokensLeft > 0 {
            let count = min(sequence.pendingTokens, tokensLeft)
            plan.rows.append(Row(sequence: sequence.sequence, start: sequence.cachedTokens, count: count))
            tokensLeft -= count
        }
        for sequence in state.running where !sequence.isDecoding && sequence.pendingTokens > 0 && tokensLeft > 0 {
            let count = min(sequence.pendingTokens, tokensLeft)
            plan.rows.append(Row(sequence: sequence.sequence, start: sequence.cachedTokens, count: count))
            tokensLeft -= count
        }

        var places = budget.sequences - state.running.count
        var freeCacheTokens = state.freeCacheTokens
        for request in state.waiting {
            guard places > 0, tokensLeft > 0, request.cacheTokens <= freeCacheTokens else { break }
            let count = min(request.promptTokens, tokensLeft)
            plan.admitted.append(request.sequence)
            plan.rows.append(Row(sequence: request.sequence, start: 0, count: count))
            places -= 1
            tokensLeft -= count
            freeCacheTokens -= request.cacheTokens
        }
        return plan
    }
}
