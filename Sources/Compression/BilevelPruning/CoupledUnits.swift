import CoppiceNetworks
import CoppiceTensors

/// Whole channels of a network as the units of bi-level pruning: what several weights make or read together goes
/// together, so that a smaller dense network is left.
///
/// Units are the channels that some convolution makes; hidden neurons of linear layers stay, as in the paper. With
/// ``MaskUnit/filter`` the filters that make a channel (of a residual stream, those of all its layers) have its mask and
/// its scores, with ``MaskUnit/channel`` the columns that read it.
package struct CoupledUnits {
    let groups: ChannelGroups
    /// The groups that are pruned: by place, with their members that are scored.
    private let pruned: [(group: Int, members: [Member])]
    private let weights: [PrunableWeight]

    /// An axis of a prunable weight.
    private struct Member {
        /// The weight's place.
        var weight: Int
        var member: ChannelGroup.Member
    }

    /// - Throws: `.usage` where no convolution makes channels whose weights are all prunable.
    package init(_ groups: ChannelGroups, unit: MaskUnit, weights: [PrunableWeight]) throws {
        self.groups = groups
        self.weights = weights
        let places = Dictionary(uniqueKeysWithValues: weights.enumerated().map { ($1.name, $0) })
        pruned = groups.groups.enumerated().compactMap { index, group in
            guard group.count > 1, group.makers.contains(where: { $0.shape.count > 2 }) else { return nil }
            let scored =
                unit == .filter
                ? group.makers : group.members.filter { $0.isParameter && $0.isReader && $0.shape.count >= 2 }
            let members = scored.compactMap { member in
                places[member.name].map { Member(weight: $0, member: member) }
            }
            return members.count == scored.count && !members.isEmpty ? (index, members) : nil
        }
        guard !pruned.isEmpty else {
            throw CoppiceError(
                .usage, field: "granularity",
                "\(unit.rawValue), but no prunable weight is a convolution's that makes channels")
        }
    }

    /// The channels of largest ‖s‖₂: ⌈part · n⌉ of each group's n.
    ///
    /// - Parameters:
    ///   - scores: of each weight, f32 `[rows, columns]`.
    ///   - count: how many of n stay.
    func kept(_ scores: [Tensor], count: (_ of: Int) -> Int) -> KeptChannels {
        var kept = KeptChannels(allOf: groups)
        for (group, members) in pruned {
            let squares = sums(scores.map { $0.square() }, over: members)
            let least = Tensor(squares.map { Float($0.squareRoot()) }, shape: [1, squares.count])
            let best = ExactSelection.mask(least, removing: squares.count - count(squares.count))
            for channel in squares.indices where !best[0, channel] { kept.remove(channel, ofGroup: group) }
        }
        return kept
    }

    /// The gates of the groups that filters are chosen from.
    func gates(of network: Module) -> ChannelGates { ChannelGates(groups, at: pruned.map(\.group), of: network) }

    /// The masks of the scored weights of channels that are not kept.
    ///
    /// - Parameter gated: groups whose weights stay, since gates hide their channels.
    func masks(_ kept: KeptChannels, except gated: Set<Int>) -> [WeightMask] {
        var removed = weights.map { [Bool](repeating: false, count: $0.count) }
        for (group, members) in pruned where !gated.contains(group) {
            for own in members {
                for channel in own.member.positions.indices where !kept[group, channel] {
                    remove(own.member.positions[channel], of: own.member, in: &removed[own.weight])
                }
            }
        }
        return masks(removed)
    }

    /// The masks of all prunable weights' entries that belong to channels that are not kept, by whatever axis.
    func wholeMasks(_ kept: KeptChannels) -> [WeightMask] {
        let places = Dictionary(uniqueKeysWithValues: weights.enumerated().map { ($1.name, $0) })
        var removed = weights.map { [Bool](repeating: false, count: $0.count) }
        for (group, _) in pruned {
            for member in groups.groups[group].members {
                guard let place = places[member.name] else { continue }
                for channel in member.positions.indices where !kept[group, channel] {
                    remove(member.positions[channel], of: member, in: &removed[place])
                }
            }
        }
        return masks(removed)
    }

    private func masks(_ removed: [[Bool]]) -> [WeightMask] {
        zip(weights, removed).map { weight, removed in
            WeightMask(rows: weight.rows, columns: weight.columns, kept: removed.map { !$0 })
        }
    }

    private func remove(_ positions: [Int], of member: ChannelGroup.Member, in flags: inout [Bool]) {
        let inner = member.shape[(member.axis + 1)...].reduce(1, *)
        let extent = member.shape[member.axis]
        for outer in 0..<member.shape[..<member.axis].reduce(1, *) {
            for position in positions {
                let start = (outer * extent + position) * inner
                for index in start..<(start + inner) { flags[index] = true }
            }
        }
    }

    /// The gradient of each weight's scores where that of a channel's mask is applied to the norm of its scores, straight
    /// through: (Σ ∂ℓ/∂m over the channel) s / ‖s‖, as ``MaskUnit/scoreGradient(maskGradient:scores:)`` has it for one
    /// weight.
    ///
    /// - Parameters:
    ///   - maskGradients: ∂ℓ/∂m of each weight, f32 `[rows, columns]`.
    ///   - scores: of the same shapes. What belongs to no channel gets zero.
    ///   - gateGradients: ∂ℓ/∂m of each channel of the groups that have gates, in place of the sums over their weights.
    package func scoreGradients(
        maskGradients: [Tensor], scores: [Tensor], gateGradients: [Int: [Double]] = [:]
    ) -> [Tensor] {
        var result = scores.map { Tensor.zeros($0.shape) }
        let squares = scores.map { $0.square() }
        for (group, members) in pruned {
            let slopes = gateGradients[group] ?? sums(maskGradients, over: members)
            let norms = sums(squares, over: members)
            // The least positive normal number keeps 0 / 0 from becoming NaN.
            let factors = zip(slopes, norms).map {
                $0 / max($1.squareRoot(), Double(Float.leastNormalMagnitude))
            }
            for own in members {
                let (member, shape) = (own.member, own.member.shape)
                var along = [Float](repeating: 0, count: shape[member.axis])
                for (channel, positions) in member.positions.enumerated() {
                    for position in positions { along[position] = Float(factors[channel]) }
                }
                let broadcast = Tensor(along, shape: shape.indices.map { $0 == member.axis ? shape[$0] : 1 })
                let part = scores[own.weight].reshaped(shape) * broadcast
                result[own.weight] = result[own.weight] + part.reshaped(scores[own.weight].shape)
            }
        }
        return result
    }

    /// Sums over each channel of a group, over its members together.
    private func sums(_ values: [Tensor], over members: [Member]) -> [Double] {
        var total = [Double](repeating: 0, count: members.first?.member.positions.count ?? 0)
        for own in members {
            let part = ChannelGroup.sums(of: values[own.weight].reshaped(own.member.shape), over: own.member)
            for channel in total.indices { total[channel] += part[channel] }
        }
        return total
    }
}
