import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What pruning all layers of a trained network together does to its outputs, beside the sum of what its curves say that
/// each does alone.
package struct JointDistortion: Sendable {
    /// Of random splits, with rates from 0.1 to 0.9 in each layer, on the inputs of the curves.
    package var splits: [(sum: Double, joint: Double)]
    /// Of the network's outputs on other inputs, by arm and sparsity.
    package var errors: [String: [Double: Double]]
    /// The sum of the curves at what an arm keeps, by arm and sparsity; of meaning where it keeps the largest weights.
    package var predicted: [String: [Double: Double]] = [:]

    package init(splits: [(sum: Double, joint: Double)], errors: [String: [Double: Double]]) {
        self.splits = splits
        self.errors = errors
    }

    /// - Parameters:
    ///   - network: with the trained weights, which it is left with.
    ///   - curves: of its layers, by the mean over calibration inputs.
    ///   - arms: pruned at once to each sparsity.
    init(
        of network: any SupervisedNetwork, curves: [DistortionCurve], calibration: [Tensor], test: [Tensor],
        splits count: Int, arms: [PruningComparison.Arm], at sparsities: [Double], seed: UInt64
    ) throws {
        let trained = Snapshot(of: network)
        defer { trained.restore(network) }
        func outputs(_ inputs: [Tensor]) -> [Tensor] { network.inUse { inputs.map { network.outputs($0) } } }
        let (known, other) = (outputs(calibration), outputs(test))
        splits = try Self.randomSplits(count, curves: curves, seed: seed).map { places in
            trained.restore(network)
            let pruned = try PrunableNetwork(network)
            let budgets = zip(curves, places).map {
                ExplicitAllocation.Budget($0.name, kept: $0.points[$1].kept)
            }
            try pruned.prune(by: .magnitude, allocation: ExplicitAllocation(budgets), to: 0)
            let sum = zip(curves, places).reduce(0.0) { $0 + $1.0.points[$1.1].distortion }
            return (sum, pruned.distortion(on: calibration, from: known, .mean))
        }
        (errors, predicted) = ([:], [:])
        for arm in arms {
            for sparsity in sparsities {
                trained.restore(network)
                let pruned = try PrunableNetwork(network)
                try pruned.prune(by: arm.criterion, allocation: arm.allocation, to: sparsity)
                errors[arm.name, default: [:]][sparsity] = pruned.distortion(on: test, from: other, .mean)
                predicted[arm.name, default: [:]][sparsity] = zip(curves, pruned.masks).reduce(0) {
                    $0 + $1.0.distortion(keeping: $1.1.keptCount)
                }
            }
        }
    }

    /// Pearson's correlation of sum and joint error over the random splits, and the median of their ratio.
    var additivity: (correlation: Double, ratio: Double) {
        (
            Correlation.pearson(splits.map { ($0.sum, $0.joint) }),
            Correlation.median(splits.map { $0.joint / $0.sum })
        )
    }

    /// For each split a point of each curve, with rates from 0.1 to 0.9.
    private static func randomSplits(_ count: Int, curves: [DistortionCurve], seed: UInt64) throws -> [[Int]] {
        var generator = RandomGenerator(seed: seed, stream: 1)
        let draws = Tensor.uniform([count, curves.count], using: &generator).doubles()
        return (0..<count).map { split in
            curves.enumerated().map { index, curve in
                let open = curve.points.indices.filter {
                    (0.1...0.9).contains(1 - Double(curve.points[$0].kept) / Double(curve.count))
                }
                return open[Int(draws[split * curves.count + index] * Double(open.count))]
            }
        }
    }
}
