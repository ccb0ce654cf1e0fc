/// What a search for lottery tickets has found so far: accuracies of the dense network, of the tickets and of their
/// controls, replicate by replicate and level by level.
public struct LotteryResults: Sendable {
    /// One level of one replicate.
    public struct Level: Sendable {
        /// From 1.
        public var number: Int
        /// Prunable weights kept.
        public var kept: Int
        /// The part of each prunable weight that is kept.
        public var layerDensities: [Double]
        /// The trained ticket; nil where it was not trained yet.
        public var ticket: LotteryMeasure?
        public var branches: [LotterySettings.Branch: LotteryMeasure] = [:]
    }

    /// One search.
    public struct Replicate: Sendable {
        /// From 1.
        public var number: Int
        public var seed: UInt64
        /// The trained dense network; nil where it was not trained yet.
        public var dense: LotteryMeasure?
        public var levels: [Level] = []
    }

    public let settings: LotterySettings
    public let architecture: String
    /// What was trained on, and what the accuracy was measured on, in words.
    public let trainedOn: String
    public let measuredOn: String
    /// T and k.
    public let totalSteps: Int
    public let rewindStep: Int
    /// Names of the prunable weights.
    public let layers: [String]
    /// Prunable weights.
    public let count: Int
    public var replicates: [Replicate] = []
    /// Whether all was trained.
    public var isComplete = false

    /// What a sparse network has to reach; nil where no dense network was trained yet.
    public var verdict: MatchingVerdict? {
        let dense = replicates.compactMap(\.dense?.accuracy)
        return dense.isEmpty ? nil : MatchingVerdict(dense: dense)
    }

    /// Accuracies of a level over the replicates, of the ticket or of a branch.
    public func accuracies(at level: Int, of branch: LotterySettings.Branch? = nil) -> [Double] {
        replicates.compactMap { replicate in
            replicate.levels.first { $0.number == level }.flatMap { own in
                (branch.map { own.branches[$0] } ?? own.ticket)?.accuracy
            }
        }
    }

    /// The fraction of prunable weights kept at a level: that of the first replicate, and all are alike.
    public func density(at level: Int) -> Double? {
        replicates.lazy.compactMap { $0.levels.first { $0.number == level } }.first
            .map { Double($0.kept) / Double(count) }
    }
}
