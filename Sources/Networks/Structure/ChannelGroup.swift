/// Channels of a network that are made and read by the same layers, each of which can be removed, and only with all that
/// belongs to it: filters of convolutions, neurons of linear layers, what normalizes them, and what reads them.
public struct ChannelGroup: Sendable, Hashable {
    /// An axis of a parameter or of a state tensor, and where the group's channels lie on it.
    public struct Member: Sendable, Hashable {
        /// The tensor's dotted name.
        public var name: String
        public var axis: Int
        /// Of the whole tensor.
        public var shape: [Int]
        /// Whether the tensor is trained, not kept as running statistics are.
        public var isParameter: Bool
        /// Whether the tensor is multiplied by the channels and summed over them: it reads them, others make them.
        public var isReader: Bool
        /// The positions of each channel on the axis, increasing: one, or several where a flattened image has one for
        /// each pixel, or shuffled halves hold a channel twice.
        public var positions: [[Int]]
    }

    /// The layer that makes the channels, the first of several.
    public var name: String
    /// In the network's order.
    public var members: [Member]

    /// Number of channels.
    public var count: Int { members.first?.positions.count ?? 0 }

    /// Matrices and convolutions that make the channels: a row of each for every channel.
    public var makers: [Member] { members.filter { $0.isParameter && !$0.isReader && $0.shape.count >= 2 } }

    /// The name of the layer that a tensor belongs to.
    static func layer(of tensor: String) -> String {
        tensor.lastIndex(of: ".").map { String(tensor[..<$0]) } ?? tensor
    }
}

/// Which channels of each group are kept.
public struct KeptChannels: Sendable, Hashable {
    /// By group, then by channel.
    public private(set) var isKept: [[Bool]]

    /// All channels of groups.
    public init(allOf groups: ChannelGroups) { isKept = groups.groups.map { [Bool](repeating: true, count: $0.count) } }

    /// Removes a channel.
    public mutating func remove(_ channel: Int, ofGroup group: Int) { isKept[group][channel] = false }

    /// Keeps or removes a channel.
    public subscript(group: Int, channel: Int) -> Bool {
        get { isKept[group][channel] }
        set { isKept[group][channel] = newValue }
    }

    /// The number of kept channels of a group.
    public func count(ofGroup group: Int) -> Int { isKept[group].reduce(0) { $0 + ($1 ? 1 : 0) } }

    /// The number of all kept channels.
    public var count: Int { isKept.indices.reduce(0) { $0 + count(ofGroup: $1) } }

    /// The number of kept channels that another choice of the same groups removes.
    public func count(notIn other: KeptChannels) -> Int {
        zip(isKept, other.isKept).reduce(0) { $0 + zip($1.0, $1.1).count { $0 && !$1 } }
    }
}
