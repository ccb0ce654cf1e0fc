import CoppiceTensors

/// The coupled channels of a network, found from its own forward pass.
///
/// ```swift
/// let groups = try ChannelGroups(of: network, example: images)
/// var kept = KeptChannels(allOf: groups)
/// kept.remove(3, ofGroup: 0)
/// let cost = groups.cost(keeping: kept)                          // before anything is cut
/// let tensors = try groups.sliced(network, keeping: kept)        // the smaller network's parameters and state
/// ```
///
/// The forward pass is run once, in use, on an example batch; ``AxisCoupling`` says which positions of which parameters
/// meet. Sizes in the forward pass have to follow from the parameters' shapes, as they do in the vision networks:
/// ``sliced(_:keeping:)`` compared with ``mask(_:keeping:)`` shows it.
public struct ChannelGroups: Sendable {
    /// In the order of the network.
    public let groups: [ChannelGroup]
    /// Layers some of whose channels stay because of an operation that has no rule, with the reason.
    public let unsupported: [(layer: String, reason: String)]
    let tensors: [StructuredTensor]
    private let coupling: AxisCoupling
    /// The group and channel of each class.
    private let channels: [(group: Int, channel: Int)]
    private let exampleCount: Int

    /// A parameter or state tensor with its axes.
    struct StructuredTensor: Sendable {
        var name: String
        var shape: [Int]
        var isParameter: Bool
        var isTrainable: Bool
        /// How often each element is multiplied with data for one example; 0 where it is in no product.
        var uses: Int
    }

    /// - Parameters:
    ///   - example: inputs of the network, best two or three small ones.
    ///   - keepingUnsupported: whether channels that an unknown operation reads merely stay.
    /// - Throws: `.badData` naming the layer whose channels meet an operation that has no rule.
    /// - Complexity: one forward pass with all intermediate values.
    public init(
        of network: any SupervisedNetwork, example: Tensor, keepingUnsupported: Bool = false
    ) throws {
        let inputs = example.dataType.isFloatingPoint ? example.tracked() : example
        try self.init(
            of: network, examples: example.shape.first ?? 1, data: inputs.isTracked ? [inputs] : [],
            keepingUnsupported: keepingUnsupported
        ) { network.outputs(inputs) }
    }

    /// The groups of a network, from a labelled batch.
    public init(of network: any SupervisedNetwork, example: LabeledBatch, keepingUnsupported: Bool = false) throws {
        try self.init(of: network, example: example.inputs, keepingUnsupported: keepingUnsupported)
    }

    /// The groups of any computation with a module's parameters.
    ///
    /// - Parameters:
    ///   - examples: how many the computation takes at once, for costs of one.
    ///   - data: tracked tensors that the computation takes.
    ///   - forward: the computation.
    public init(
        of module: Module, examples: Int, data: [Tensor], keepingUnsupported: Bool = false, forward: () -> Tensor
    ) throws {
        let parameters = module.parameters
        let state = module.stateTensors.filter { $0.state.wrappedValue.dataType.isFloatingPoint }
        let before = (parameters.map(\.parameter.wrappedValue), state.map(\.state.wrappedValue))
        defer {
            for (own, value) in zip(parameters, before.0) { own.parameter.substitute(value) }
            for (own, value) in zip(state, before.1) { own.state.wrappedValue = value }
        }
        let inputs = (before.0 + before.1).map { $0.tracked() }
        for (own, input) in zip(parameters, inputs) { own.parameter.substitute(input) }
        for (own, input) in zip(state, inputs.dropFirst(parameters.count)) { own.state.wrappedValue = input }
        coupling = AxisCoupling(from: inputs, data: data) { module.withTraining(false, forward) }
        let exampleCount = max(1, examples)
        let products = coupling.products(ofInputs: inputs.count)
        tensors =
            zip(zip(parameters, before.0), products).map { own, products in
                .init(
                    name: own.0.name, shape: own.1.shape, isParameter: true, isTrainable: own.0.parameter.isTrainable,
                    uses: own.1.rank < 2 ? 0 : products / exampleCount / max(1, own.1.count))
            }
            + zip(state, before.1).map {
                .init(name: $0.name, shape: $1.shape, isParameter: false, isTrainable: false, uses: 0)
            }
        self.exampleCount = exampleCount
        let names = tensors.map(\.name)
        var reasons: [(layer: String, reason: String)] = []
        for found in coupling.unsupported {
            let layer = ChannelGroup.layer(of: names[found.place.input])
            if !reasons.contains(where: { $0 == (layer, found.reason) }) { reasons.append((layer, found.reason)) }
        }
        unsupported = reasons
        if !keepingUnsupported, let first = unsupported.first {
            throw CoppiceError(
                .badData, field: first.layer, "its channels cannot be removed: the network has \(first.reason)")
        }
        (groups, channels) = Self.grouped(coupling.classes, tensors)
    }

    /// Classes that lie on the same axes are one group.
    private static func grouped(
        _ classes: [[AxisCoupling.Place]], _ tensors: [StructuredTensor]
    ) -> (groups: [ChannelGroup], channels: [(group: Int, channel: Int)]) {
        struct Axis: Hashable {
            var input: Int
            var axis: Int
            var isContracted: Bool
        }
        var known: [[Axis]: Int] = [:]
        var groups: [ChannelGroup] = []
        var channels: [(group: Int, channel: Int)] = []
        for places in classes {
            var axes: [Axis] = []
            var positions: [[Int]] = []
            // Places are in the order of inputs, axes and positions.
            for place in places {
                let axis = Axis(input: place.input, axis: place.axis, isContracted: place.isContracted)
                if axes.last == axis {
                    positions[positions.count - 1].append(place.position)
                } else {
                    axes.append(axis)
                    positions.append([place.position])
                }
            }
            let index = known[axes] ?? groups.count
            if index == groups.count {
                known[axes] = index
                let members = axes.map { axis in
                    let tensor = tensors[axis.input]
                    return ChannelGroup.Member(
                        name: tensor.name, axis: axis.axis, shape: tensor.shape, isParameter: tensor.isParameter,
                        isReader: axis.isContracted, positions: [])
                }
                var group = ChannelGroup(name: "", members: members)
                group.name = ChannelGroup.layer(of: (group.makers.first ?? group.members[0]).name)
                groups.append(group)
            }
            channels.append((index, groups[index].count))
            for (member, own) in positions.enumerated() { groups[index].members[member].positions.append(own) }
        }
        return (groups, channels)
    }

    /// The group whose channels a layer makes; the first of several.
    ///
    /// - Throws: `.usage` when no channel that the layer makes can be removed, with the reason where there is one.
    public func group(madeBy layer: String) throws -> Int {
        let index = groups.firstIndex { group in
            group.members.contains { !$0.isReader && ChannelGroup.layer(of: $0.name) == layer }
        }
        if let index { return index }
        let reason = unsupported.first { $0.layer == layer }?.reason
        throw CoppiceError(
            .usage, field: layer,
            "makes no channel that can be removed" + (reason.map { ": the network has \($0)" } ?? ""))
    }

    // MARK: Cost

    /// What the network costs with some of its channels.
    ///
    /// - Complexity: O(positions of all channels).
    public func cost(keeping kept: KeptChannels? = nil) -> NetworkCost {
        let removed = kept.map { removedCounts($0) } ?? [:]
        let parameters = tensors.filter(\.isParameter).reduce(0) { total, tensor in
            total
                + tensor.shape.enumerated().reduce(1) { count, axis in
                    count * (axis.element - (removed[Axis(name: tensor.name, axis: axis.offset)] ?? 0))
                }
        }
        let products = coupling.multiplyAccumulates { index in
            kept.map { $0[channels[index].group, channels[index].channel] } ?? true
        }
        return NetworkCost(parameters: parameters, multiplyAccumulates: products / exampleCount)
    }

    /// An axis of a tensor.
    struct Axis: Hashable {
        var name: String
        var axis: Int
    }

    /// The channels that go, by group.
    private func removedChannels(_ kept: KeptChannels) -> [[Int]] {
        precondition(
            kept.isKept.map(\.count) == groups.map(\.count), "a choice of channels of another network's groups")
        return kept.isKept.map { flags in flags.indices.filter { !flags[$0] } }
    }

    /// How much goes of each axis. A position belongs to one channel.
    private func removedCounts(_ kept: KeptChannels) -> [Axis: Int] {
        var removed: [Axis: Int] = [:]
        for (group, gone) in zip(groups, removedChannels(kept)) where !gone.isEmpty {
            for member in group.members {
                removed[Axis(name: member.name, axis: member.axis), default: 0] += gone.reduce(0) {
                    $0 + member.positions[$1].count
                }
            }
        }
        return removed
    }

    /// What goes of each axis.
    func removedPositions(_ kept: KeptChannels) -> [Axis: Set<Int>] {
        var removed: [Axis: Set<Int>] = [:]
        for (group, gone) in zip(groups, removedChannels(kept)) where !gone.isEmpty {
            for member in group.members {
                removed[Axis(name: member.name, axis: member.axis), default: []]
                    .formUnion(gone.flatMap { member.positions[$0] })
            }
        }
        return removed
    }
}

/// What a network takes to store and to run.
public struct NetworkCost: Sendable, Hashable, Codable {
    /// Trainable numbers.
    public var parameters: Int
    /// Multiplications of matrix products and convolutions for one example; half of what others count as operations
    /// (FLOPs).
    public var multiplyAccumulates: Int

    public init(parameters: Int, multiplyAccumulates: Int) {
        self.parameters = parameters
        self.multiplyAccumulates = multiplyAccumulates
    }

    /// The cost of any network, counted from its forward pass.
    ///
    /// - Parameter example: inputs of the network; at least one.
    public init(of network: any SupervisedNetwork, example: Tensor) throws {
        self = try ChannelGroups(of: network, example: example, keepingUnsupported: true).cost()
    }
}
