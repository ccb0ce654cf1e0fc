import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// How much the channels of a network matter: the smallest scores are removed first.
public protocol ChannelCriterion: Sendable {
    /// The method's name.
    static var name: String { get }

    /// Whether scores need batches with labels.
    var needsData: Bool { get }

    /// Whether scores say what removal does to the loss, so that they compare between channels of different cost.
    var estimatesLoss: Bool { get }

    /// One score per channel of each group; infinite for channels that must stay. Leaves the network as it was.
    ///
    /// - Parameter batches: at least one where ``needsData``.
    func scores(
        of groups: ChannelGroups, in network: any SupervisedNetwork, on batches: [LabeledBatch]
    ) throws -> [[Double]]
}

extension ChannelCriterion {
    public var estimatesLoss: Bool { false }
}

/// Which of a channel's parameters a criterion looks at.
public enum ChannelParts: Sendable, Hashable, CaseIterable {
    /// The filters or neurons that make it.
    case makers
    /// All that belongs to it: makers, biases, norms, and what reads it.
    case all
}

extension ChannelGroup {
    /// Sums of a tensor's elements over each channel of the group.
    ///
    /// - Parameters:
    ///   - values: of the member's shape.
    /// - Returns: one sum per channel, added in f64.
    /// - Complexity: O(elements).
    static func sums(of values: Tensor, over member: Member) -> [Double] {
        let others = values.shape.indices.filter { $0 != member.axis }
        let perPosition = values.detached().converted(to: .f64).sum(axes: others).doubles()
        return member.positions.map { $0.reduce(0) { $0 + perPosition[$1] } }
    }

    /// Sums over the members that are chosen, channel by channel.
    ///
    /// - Parameter values: the values of a tensor by its name.
    func sums(_ isChosen: (Member) -> Bool, _ values: (String) throws -> Tensor) rethrows -> [Double] {
        var total = [Double](repeating: 0, count: count)
        for member in members where member.isParameter && isChosen(member) {
            let own = Self.sums(of: try values(member.name), over: member)
            for channel in total.indices { total[channel] += own[channel] }
        }
        return total
    }
}

/// The norm of a channel's filters: Σ|w| (Li et al., "Pruning filters for efficient ConvNets", 2017, section 3), √Σw² or
/// Σw², of what makes the channel or of all that belongs to it.
public struct ChannelNorm: ChannelCriterion {
    public static let name = "norm"

    public enum Norm: Sendable, Hashable, CaseIterable {
        /// Σ|w|
        case l1
        /// √Σw²
        case l2
        /// Σw²
        case l2Squared
    }

    public var norm: Norm
    public var parts: ChannelParts
    /// Whether scores are divided by their mean in each group, so that groups of other scales compare.
    public var isRelative: Bool

    public init(_ norm: Norm = .l2, of parts: ChannelParts = .makers, isRelative: Bool = false) {
        self.norm = norm
        self.parts = parts
        self.isRelative = isRelative
    }

    /// Σw² of all that belongs to a channel, over the group's mean (Fang et al., "DepGraph: towards any structural pruning",
    /// 2023, section 3.3). Squares spread further than norms, so that groups whose channels are alike lose fewer.
    public static let group = ChannelNorm(.l2Squared, of: .all, isRelative: true)

    public var needsData: Bool { false }

    public func scores(
        of groups: ChannelGroups, in network: any SupervisedNetwork, on batches: [LabeledBatch]
    ) -> [[Double]] {
        let values = Dictionary(
            uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) })
        return groups.groups.map { group in
            let sums = group.sums({ parts == .all || !$0.isReader && $0.shape.count >= 2 }) { name in
                let own = (values[name] ?? .zeros([])).converted(to: .f64)
                return norm == .l1 ? own.abs() : own.square()
            }
            let norms = norm == .l2 ? sums.map { $0.squareRoot() } : sums
            return isRelative ? Self.relative(norms) : norms
        }
    }

    /// Scores over their mean; as they are where that is zero.
    static func relative(_ scores: [Double]) -> [Double] {
        let mean = scores.reduce(0, +) / Double(max(1, scores.count))
        return mean > 0 ? scores.map { $0 / mean } : scores
    }
}

/// (Σ w · ∂L/∂w)², summed over the weights that read the channel and averaged over batches: the squared change of the
/// loss, to first order, as the channel goes to zero for all its readers (Molchanov et al., "Importance estimation for
/// neural network pruning", 2019, equation 8, with a gate on each channel; here without the gate).
public struct ChannelTaylor: ChannelCriterion {
    public static let name = "taylor"

    public init() {}

    public var needsData: Bool { true }
    public var estimatesLoss: Bool { true }

    /// - Complexity: one forward and backward pass of each batch.
    public func scores(
        of groups: ChannelGroups, in network: any SupervisedNetwork, on batches: [LabeledBatch]
    ) -> [[Double]] {
        let parameters = network.parameters
        var totals = groups.groups.map { [Double](repeating: 0, count: $0.count) }
        for batch in batches {
            let slopes = network.withTraining(false) {
                gradients(of: network.loss(batch), withRespectTo: parameters.map(\.parameter.wrappedValue))
            }
            let products = withoutRecording {
                zip(parameters, slopes).map { ($0.name, $0.parameter.wrappedValue.detached() * $1) }
            }
            let byName = Dictionary(uniqueKeysWithValues: products)
            for (index, group) in groups.groups.enumerated() {
                let changes = group.sums({ $0.isReader }) { byName[$0] ?? .zeros([]) }
                for (channel, change) in changes.enumerated() { totals[index][channel] += change * change }
            }
        }
        return totals.map { $0.map { $0 / Double(max(1, batches.count)) } }
    }
}

/// |γ| of the batch normalizations of a channel (Liu et al., "Learning efficient convolutional networks through network
/// slimming", 2017, section 3), for networks trained with ``ScaleSparsity``. Channels that nothing normalizes stay.
public struct NormScale: ChannelCriterion {
    public static let name = "slimming"

    public init() {}

    public var needsData: Bool { false }

    public func scores(
        of groups: ChannelGroups, in network: any SupervisedNetwork, on batches: [LabeledBatch]
    ) throws -> [[Double]] {
        let scales = ScaleSparsity.names(in: network)
        guard !scales.isEmpty else {
            throw CoppiceError(
                .badData, field: Self.name, "takes scales of batch normalizations, and the network has none")
        }
        let values = Dictionary(
            uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) })
        return groups.groups.map { group in
            guard group.members.contains(where: { scales.contains($0.name) }) else {
                return [Double](repeating: .infinity, count: group.count)
            }
            return group.sums({ scales.contains($0.name) }) { (values[$0] ?? .zeros([])).abs() }
        }
    }
}

/// Independent uniform scores: the control that every criterion must beat.
public struct RandomChannels: ChannelCriterion {
    public static let name = "random"
    public var seed: UInt64

    public init(seed: UInt64) { self.seed = seed }

    public var needsData: Bool { false }

    public func scores(
        of groups: ChannelGroups, in network: any SupervisedNetwork, on batches: [LabeledBatch]
    ) -> [[Double]] {
        var generator = RandomGenerator(seed: seed)
        return groups.groups.map { Tensor.uniform([$0.count], low: 0, high: 1, using: &generator).doubles() }
    }
}
