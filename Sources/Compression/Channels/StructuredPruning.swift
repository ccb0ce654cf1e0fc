import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Removes whole channels, so that the network that is left is a smaller dense one.
///
/// ```swift
/// let pruning = StructuredPruning(by: ChannelTaylor(), to: .multiplyAccumulates(0.5))
/// let pruned = try pruning.prune(network, on: [batch])           // half of the multiplications
/// try FineTuning(training).recover(PrunableNetwork(pruned.network), on: batches)
/// ```
public struct StructuredPruning: Sendable {
    /// How much goes, as a fraction of what is there.
    public enum Target: Sendable, Hashable {
        /// Of the channels that can be removed.
        case channels(Double)
        /// Of the trainable numbers.
        case parameters(Double)
        /// Of the multiplications of products and convolutions.
        case multiplyAccumulates(Double)

        var fraction: Double {
            switch self {
            case .channels(let part), .parameters(let part), .multiplyAccumulates(let part): part
            }
        }
    }

    /// Which groups are pruned.
    public enum Granularity: Sendable, Hashable {
        /// All channels, those of residual streams included.
        case channels
        /// Filters and neurons of one layer each: what several layers make (residual streams) stays, as in Li et al. 2017.
        case filters
        /// Hidden neurons of linear layers.
        case neurons
    }

    public var criterion: any ChannelCriterion
    public var allocation: any ChannelAllocation
    public var granularity: Granularity
    public var target: Target
    /// The fraction of each group that stays whatever its scores; at least one channel does.
    public var minimumShare: Double
    /// Patterns of layers whose channels stay.
    public var ignore: [WeightPattern]
    /// Rounds that each remove the same part of what is left, with scores (and curves) of the network without the channels
    /// of the rounds before.
    public var rounds = 1

    public init(
        by criterion: any ChannelCriterion, allocation: any ChannelAllocation = GlobalChannels(),
        granularity: Granularity = .channels, to target: Target, minimumShare: Double = 0.1,
        ignore: [WeightPattern] = []
    ) {
        self.criterion = criterion
        self.allocation = allocation
        self.granularity = granularity
        self.target = target
        self.minimumShare = minimumShare
        self.ignore = ignore
    }

    /// What pruning made.
    public struct Result {
        /// The smaller network, in the mode of the one before.
        public var network: any VisionNetwork
        public var groups: ChannelGroups
        public var kept: KeptChannels
        public var before: NetworkCost
        public var after: NetworkCost
    }

    /// Makes a smaller network; the one that is given stays as it is.
    ///
    /// - Parameter batches: an example of the inputs, and what criteria that need data see.
    /// - Throws: `.usage` for a target outside `[0, 1)` or beyond what may go, for a pattern
    ///   that matches no layer, and for no batch; `.badData` for scores
    ///   that are not numbers, and naming a layer whose channels meet an operation without a rule.
    public func prune(_ network: any VisionNetwork, on batches: [LabeledBatch]) throws -> Result {
        guard let first = batches.first, first.count > 0 else {
            throw CoppiceError(.usage, field: "batches", "are none, expected at least one example of the inputs")
        }
        let example = first.inputs.slice(axis: 0, 0..<min(2, first.count)).contiguous()
        let groups = try ChannelGroups(of: network, example: example)
        let kept = try choose(of: groups, in: network, on: batches)
        return Result(
            network: try network.removingChannels(of: groups, keeping: kept), groups: groups, kept: kept,
            before: groups.cost(), after: groups.cost(keeping: kept))
    }

    /// Chooses the channels that stay, without removing any.
    public func choose(
        of groups: ChannelGroups, in network: any SupervisedNetwork, on batches: [LabeledBatch]
    ) throws -> KeptChannels {
        guard target.fraction >= 0, target.fraction < 1 else {
            throw CoppiceError(.usage, field: "target", "\(target.fraction), expected a number from 0 to below 1")
        }
        guard minimumShare >= 0, minimumShare <= 1 else {
            throw CoppiceError(.usage, field: "minimum share", "\(minimumShare), expected a number from 0 to 1")
        }
        let names = network.parameters.map(\.name)
        for pattern in ignore where !names.contains(where: pattern.matches) {
            throw CoppiceError(
                .usage, field: "ignore", "\"\(pattern)\" matches no layer" + Spelling.hint(pattern.text, names))
        }
        let name = type(of: criterion).name
        guard !criterion.needsData || !batches.isEmpty else {
            throw CoppiceError(.usage, field: name, "needs calibration data with labels, and there is none")
        }
        precondition(rounds > 0, "\(rounds) rounds")
        let limits = groups.groups.map { group in
            allows(group) ? group.count - max(1, WholeShare.up(minimumShare, of: group.count)) : 0
        }
        let whole = rounds > 1 ? Snapshot(of: network) : nil
        defer { whole?.restore(network) }
        var kept = KeptChannels(allOf: groups)
        for round in 1...rounds {
            if round > 1 { groups.mask(network, keeping: kept) }
            let scores = try scores(of: groups, in: network, on: batches, without: kept)
            if round == 1, rounds > 1 { try check(scores, limits, of: groups) }
            let part = SparsityRamp.geometric.sparsity(
                at: Double(round) / Double(rounds), from: 0, to: target.fraction)
            kept = try allocation.keptChannels(
                of: groups, in: network, scores: scores, limits: limits,
                reaching: round == rounds ? target : target.withFraction(part))
        }
        return kept
    }

    /// Refuses what the last of several rounds would.
    private func check(_ scores: [[Double]], _ limits: [Int], of groups: ChannelGroups) throws {
        let least = KeptChannels(of: groups, without: zip(scores, limits).map { leastFirst($0).prefix($1) })
        _ = try target.mostKept(
            of: target.size(of: groups, keeping: KeptChannels(allOf: groups)),
            least: target.size(of: groups, keeping: least))
    }

    /// Scores that compare between groups; −∞ for channels that have gone.
    private func scores(
        of groups: ChannelGroups, in network: any SupervisedNetwork, on batches: [LabeledBatch],
        without kept: KeptChannels
    ) throws -> [[Double]] {
        let scores = try criterion.scores(of: groups, in: network, on: batches)
        for (group, own) in zip(groups.groups, scores) where own.contains(where: \.isNaN) {
            throw CoppiceError(
                .badData, field: group.name, "has a \(type(of: criterion).name) score that is not a number")
        }
        return zip(criterion.estimatesLoss ? perCost(scores, of: groups) : scores, kept.isKept).map { own, isKept in
            zip(own, isKept).map { $1 ? $0 : -.infinity }
        }
    }

    /// Scores over what one channel of the group takes of what the target limits, while nothing is removed: the least
    /// loss for each multiplication that is saved goes first (Theis et al., "Faster gaze prediction with dense networks
    /// and Fisher pruning", 2018, section 2.3).
    ///
    /// - Complexity: O(groups) costs.
    private func perCost(_ scores: [[Double]], of groups: ChannelGroups) -> [[Double]] {
        let whole = target.size(of: groups, keeping: KeptChannels(allOf: groups))
        return scores.enumerated().map { index, own in
            var kept = KeptChannels(allOf: groups)
            kept.remove(0, ofGroup: index)
            let cost = whole - target.size(of: groups, keeping: kept)
            return own.map { $0 / Double(max(1, cost)) }
        }
    }

    private func allows(_ group: ChannelGroup) -> Bool {
        let makers = group.makers
        guard !ignore.contains(where: { pattern in makers.contains { pattern.matches($0.name) } }) else { return false }
        return switch granularity {
        case .channels: true
        // A convolution of each channel alone follows its channels and makes none.
        case .filters: makers.filter { $0.shape.count == 2 || $0.shape[1] > 1 }.count <= 1
        case .neurons: makers.count == 1 && makers[0].shape.count == 2
        }
    }
}

extension KeptChannels {
    /// All channels but some of each group.
    init(of groups: ChannelGroups, without removed: [some Sequence<Int>]) {
        self.init(allOf: groups)
        for (group, channels) in removed.enumerated() {
            for channel in channels { remove(channel, ofGroup: group) }
        }
    }
}

extension StructuredPruning.Target {
    var unit: String {
        switch self {
        case .channels: "channels"
        case .parameters: "parameters"
        case .multiplyAccumulates: "multiplications"
        }
    }

    func withFraction(_ part: Double) -> Self {
        switch self {
        case .channels: .channels(part)
        case .parameters: .parameters(part)
        case .multiplyAccumulates: .multiplyAccumulates(part)
        }
    }

    /// What is counted, of a network with some of its channels.
    func size(of groups: ChannelGroups, keeping kept: KeptChannels) -> Int {
        switch self {
        case .channels: kept.count
        case .parameters: groups.cost(keeping: kept).parameters
        case .multiplyAccumulates: groups.cost(keeping: kept).multiplyAccumulates
        }
    }

    /// The most that may be left.
    ///
    /// - Parameter least: what is left where all has gone that may go.
    /// - Throws: `.usage` where that is more.
    func mostKept(of whole: Int, least: Int) throws -> Int {
        func part(_ removed: Int) -> Double { Double(removed) / Double(max(1, whole)) }
        let near = Int((fraction * Double(whole)).rounded(.down))
        let most = whole - (part(near) >= fraction ? near : near + 1)
        guard least <= most else {
            let limit = (part(whole - least) * 1000).rounded(.down) / 1000
            throw CoppiceError(.usage, field: "target", "\(fraction) of \(unit), but at most \(limit) may go")
        }
        return most
    }
}
