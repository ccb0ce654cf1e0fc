/// How sparse a network is while it trains.
public protocol Schedule: Sendable {
    /// The sparsity to prune to before a step, in `[0, 1)`; nil where nothing is pruned at that step.
    ///
    /// - Complexity: O(1).
    func sparsity(at step: Int) -> Double?
}
