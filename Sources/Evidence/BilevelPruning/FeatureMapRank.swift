import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// The mean rank of a channel's feature maps, those of low rank tell least (Lin et al., "HRank: filter pruning using
/// high-rank feature map", 2020, equation 5): of what each convolution's step of the forward pass gives, rectified.
///
/// The paper prunes one layer after the other and trains between them; this is its criterion alone.
package struct FeatureMapRank: ChannelCriterion {
    package static let name = "feature map rank"

    package init() {}

    package var needsData: Bool { true }

    /// - Throws: `.badData` naming a group whose channels are not what a step with one convolution gives.
    /// - Complexity: a forward pass of each batch and a singular value decomposition of each map.
    package func scores(
        of groups: ChannelGroups, in network: any SupervisedNetwork, on batches: [LabeledBatch]
    ) throws -> [[Double]] {
        var ranks: [String: [Double]] = [:]
        try network.inUse {
            for batch in batches {
                var maps = batch.inputs
                for step in (network as? any SteppedNetwork)?.steps ?? [] {
                    maps = step(maps)
                    let own = step.modules.flatMap { $0.parameters.map(\.parameter) }
                    let filters = network.parameters.filter { parameter in
                        parameter.parameter.wrappedValue.rank == 4 && own.contains { $0 === parameter.parameter }
                    }
                    guard filters.count == 1, maps.rank == 4 else { continue }
                    let sums = try maps.contiguous().matrixRank().converted(to: .f64).sum(axes: [0]).doubles()
                    ranks[filters[0].name] = ranks[filters[0].name].map { zip($0, sums).map(+) } ?? sums
                }
            }
        }
        let images = batches.reduce(0) { $0 + $1.count }
        return try groups.groups.map { group in
            guard group.makers.count == 1, let sums = ranks[group.makers[0].name], sums.count == group.count else {
                throw CoppiceError(.badData, field: group.name, "is not what one step with one convolution gives")
            }
            return sums.map { $0 / Double(images) }
        }
    }
}
