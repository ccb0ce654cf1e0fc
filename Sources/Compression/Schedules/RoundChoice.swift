/// Finds the sparsest of rounds that each are sparser than the one before and whose accuracy is near the best one's,
/// while they pass: holds what belongs to the rounds that may still be it, which is one where nothing is tolerated.
package struct RoundChoice<State> {
    /// How far below the best accuracy the chosen one may be.
    package let tolerance: Double
    /// Sparser and less accurate from one to the next, all within the tolerance.
    private var candidates: [(round: Int, accuracy: Double, state: State)] = []

    package init(tolerance: Double) { self.tolerance = tolerance }

    /// Of the rounds so far; nil of none.
    package var chosen: (round: Int, state: State)? { candidates.last.map { ($0.round, $0.state) } }

    /// Rounds whose states are held.
    package var heldCount: Int { candidates.count }

    /// Takes the next round. O(rounds that are held).
    package mutating func add(_ round: Int, accuracy: Double, _ state: State) {
        // A sparser round that is as accurate takes the place of others.
        candidates.removeAll { $0.accuracy <= accuracy }
        let best = candidates.first?.accuracy ?? accuracy
        if accuracy >= best - tolerance { candidates.append((round, accuracy, state)) }
    }
}
