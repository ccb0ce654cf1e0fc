import CoppiceNetworks
import CoppiceTensors

/// How what is to go is shared out among groups of channels.
public protocol ChannelAllocation: Sendable {
    static var name: String { get }

    /// The channels that stay when as little as can be has gone to meet a target.
    ///
    /// - Parameters:
    ///   - groups: of the network.
    ///   - network: is left as it was.
    ///   - scores: by group, then by channel; +∞ for channels that must stay, −∞ for those that have gone already, which
    ///     are zero in the network.
    ///   - limits: how many channels of each group may go, those that have gone among them.
    /// - Throws: `.usage` for a target beyond what may go.
    func keptChannels(
        of groups: ChannelGroups, in network: any SupervisedNetwork, scores: [[Double]], limits: [Int],
        reaching target: StructuredPruning.Target
    ) throws -> KeptChannels
}

/// In which order channels go, so that any target is met by removing the first so many.
public protocol ChannelOrder: ChannelAllocation {
    /// - Parameters:
    ///   - scores: by group, then by channel.
    ///   - limits: how many channels of each group may go.
    /// - Returns: channels that may go, the first to go first. Ties go by group and position.
    func order(of scores: [[Double]], limits: [Int]) -> [ChannelPlace]
}

extension ChannelOrder {
    /// The fewest channels of the order that meet the target. Costs fall with each channel, so bisection finds them.
    ///
    /// - Complexity: O(log channels) costs.
    public func keptChannels(
        of groups: ChannelGroups, in network: any SupervisedNetwork, scores: [[Double]], limits: [Int],
        reaching target: StructuredPruning.Target
    ) throws -> KeptChannels {
        let order = order(of: scores, limits: limits)
        func kept(_ count: Int) -> KeptChannels {
            var result = KeptChannels(allOf: groups)
            for place in order.prefix(count) { result.remove(place.channel, ofGroup: place.group) }
            return result
        }
        func size(_ count: Int) -> Int { target.size(of: groups, keeping: kept(count)) }
        let most = try target.mostKept(of: size(0), least: size(order.count))
        var (low, high) = (0, order.count)
        while low < high {
            let middle = (low + high) / 2
            if size(middle) <= most { high = middle } else { low = middle + 1 }
        }
        return kept(low)
    }
}

/// One channel of one group.
public struct ChannelPlace: Sendable, Hashable {
    public var group: Int
    public var channel: Int

    public init(group: Int, channel: Int) {
        self.group = group
        self.channel = channel
    }
}

/// Every group loses the same fraction of its channels.
public struct UniformChannels: ChannelOrder {
    public static let name = "uniform"

    public init() {}

    public func order(of scores: [[Double]], limits: [Int]) -> [ChannelPlace] {
        let ranked = scores.indices.flatMap { group in
            leastFirst(scores[group]).prefix(limits[group]).enumerated().map { rank, channel in
                (
                    part: Double(rank + 1) / Double(scores[group].count),
                    place: ChannelPlace(group: group, channel: channel)
                )
            }
        }
        return ranked.enumerated().sorted { ($0.element.part, $0.offset) < ($1.element.part, $1.offset) }
            .map(\.element.place)
    }
}

/// One threshold for the whole network decides what each group loses.
public struct GlobalChannels: ChannelOrder {
    public static let name = "global"

    public init() {}

    public func order(of scores: [[Double]], limits: [Int]) -> [ChannelPlace] {
        let ranked = scores.indices.flatMap { group in
            leastFirst(scores[group]).prefix(limits[group]).map { ChannelPlace(group: group, channel: $0) }
        }
        return ranked.enumerated().sorted { a, b in
            let (x, y) = (a.element, b.element)
            return (scores[x.group][x.channel], a.offset) < (scores[y.group][y.channel], b.offset)
        }.map(\.element)
    }
}

/// Channels of finite scores, the least first; equal ones by position.
func leastFirst(_ scores: [Double]) -> [Int] {
    scores.indices.filter { scores[$0] < .infinity }.sorted { (scores[$0], $0) < (scores[$1], $1) }
}
