import CoppiceNetworks
import CoppiceTensors

/// A criterion of single weights, summed over the filters that make a channel: SNIP or GraSP of filters.
public struct SummedWeights: ChannelCriterion {
    public static let name = "summed"

    public var criterion: any NetworkCriterion

    public init(_ criterion: any NetworkCriterion) { self.criterion = criterion }

    public var needsData: Bool { criterion.needsData }

    public func scores(
        of groups: ChannelGroups, in network: any SupervisedNetwork, on batches: [LabeledBatch]
    ) throws -> [[Double]] {
        let prunable = try PrunableNetwork(network)
        let scores = Dictionary(
            uniqueKeysWithValues: zip(prunable.weights, try prunable.scores(by: criterion, batches: batches)).map {
                ($0.name, $1)
            })
        return groups.groups.map { group in
            group.sums({ !$0.isReader && scores[$0.name] != nil }) { name in
                let shape = group.members.first { $0.name == name }?.shape ?? []
                return (scores[name] ?? .zeros([])).reshaped(shape)
            }
        }
    }
}
