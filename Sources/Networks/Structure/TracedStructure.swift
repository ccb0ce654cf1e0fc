import CoppiceTensors

/// The widths of any network, from the channels that its forward pass couples.
///
/// ```swift
/// let structure = try TracedStructure(ChannelGroups(of: network, example: images))
/// structure.parameterCount(structure.widths.map { $0 / 2 })      // of the network with half of all channels
/// ```
///
/// A width is a ``ChannelGroup``, or those of its channels that lie at equally many places where channels differ in that.
/// What a narrower network keeps are the first channels of each width.
public struct TracedStructure: WidthStructure {
    public let groups: ChannelGroups
    public let description: String
    public let names: [String]
    public let widths: [Int]
    public let entries: [StructuredEntry]
    /// The channels of each width.
    private let channels: [(group: Int, channels: [Int])]

    /// - Parameter name: of the network, for messages.
    /// - Throws: `.badData` for a network none of whose channels can be removed.
    public init(_ groups: ChannelGroups, named name: String = "the network") throws {
        self.groups = groups
        description = name
        var names: [String] = []
        var channels: [(group: Int, channels: [Int])] = []
        for (index, group) in groups.groups.enumerated() {
            let kinds = Dictionary(grouping: 0..<group.count) { channel in
                group.members.map { $0.positions[channel].count }
            }
            for (kind, own) in kinds.values.sorted(by: { $0[0] < $1[0] }).enumerated() {
                names.append(kind == 0 ? group.name : "\(group.name).\(kind + 1)")
                channels.append((index, own))
            }
        }
        guard !channels.isEmpty else {
            let reason = groups.unsupported.first.map { ": \($0.layer) has \($0.reason)" } ?? ""
            throw CoppiceError(
                .badData, field: name,
                "has no channels to choose, expected a layer whose outputs another reads\(reason)")
        }
        self.names = names
        self.channels = channels
        widths = channels.map(\.channels.count)
        // Of each axis, the widths on it and how often each of their channels lies there.
        var terms: [ChannelGroups.Axis: [ChannelExtent.Term]] = [:]
        for (width, own) in channels.enumerated() {
            for member in groups.groups[own.group].members {
                terms[.init(name: member.name, axis: member.axis), default: []]
                    .append(.init(width: width, multiple: member.positions[own.channels[0]].count))
            }
        }
        entries = groups.tensors.map { [widths] tensor in
            let axes = tensor.shape.enumerated().map { axis, extent in
                let own = terms[.init(name: tensor.name, axis: axis)] ?? []
                return ChannelExtent(fixed: extent - own.reduce(0) { $0 + $1.multiple * widths[$1.width] }, terms: own)
            }
            return StructuredEntry(name: tensor.name, axes: axes, isTrainable: tensor.isTrainable, uses: tensor.uses)
        }
    }

    public var ascents: [(lower: Int, upper: Int)] { [] }

    /// The first channels of each width: what ``ChannelGroups/sliced(_:keeping:)`` cuts a network to.
    ///
    /// - Throws: `.badData` naming a width that is not from 1 to the present one.
    public func resized(_ widths: [Int]) throws -> KeptChannels {
        precondition(widths.count == names.count, "\(widths.count) widths for \(names.count)")
        var kept = KeptChannels(allOf: groups)
        for (index, width) in widths.enumerated() {
            let own = channels[index]
            guard (1...own.channels.count).contains(width) else {
                throw CoppiceError(
                    .badData, field: "widths.\(names[index])",
                    "\(width), expected 1 to \(own.channels.count), which there are")
            }
            for channel in own.channels.dropFirst(width) { kept.remove(channel, ofGroup: own.group) }
        }
        return kept
    }
}
