import CoppiceNetworks
import CoppiceTensors

/// In which order channels go, so that any target is met by removing the first so many.
public protocol ChannelAllocation: Sendable {
    static var name: String { get }

    /// - Parameters:
    ///   - scores: by group, then by channel.
    ///   - limits: how many channels of each group may go.
    /// - Returns: channels that may go, the first to go first. Ties go by group and position.
    func order(of scores: [[Double]], limits: [Int]) -> [ChannelPlace]
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
public struct UniformChannels: ChannelAllocation {
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
public struct GlobalChannels: ChannelAllocation {
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
private func leastFirst(_ scores: [Double]) -> [Int] {
    scores.indices.filter { scores[$0] < .infinity }.sorted { (scores[$0], $0) < (scores[$1], $1) }
}
