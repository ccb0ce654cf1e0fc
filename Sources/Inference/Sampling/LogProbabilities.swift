import CKernels

/// Log-probabilities under the model's own distribution (softmax of the logits), in natural logarithms.
public enum LogProbabilities {
    /// The chosen token's, with the `top` likeliest tokens. O(vocabulary).
    public static func of(
        _ token: Int, in logits: UnsafeBufferPointer<Float>, top: Int = 0
    ) -> TokenLogProbability {
        let normalizer = logSumExp(logits)
        return TokenLogProbability(
            logProbability: Double(logits[token]) - normalizer,
            top: logits.largestIndices(Swift.min(top, logits.count)).map {
                .init(token: $0, logProbability: Double(logits[$0]) - normalizer)
            })
    }

    /// log Σ exp(logits); NaN where one is NaN.
    static func logSumExp(_ logits: UnsafeBufferPointer<Float>) -> Double {
        var result = 0.0
        coppice_decoder_log_sum_exp(logits.baseAddress, logits.count, 1, logits.count, &result)
        return result
    }
}
