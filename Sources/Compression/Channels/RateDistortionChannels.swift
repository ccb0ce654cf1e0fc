import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// The split over groups of channels that costs the network's outputs least, by curves that are measured first.
///
/// A channel is the input of all that reads it, so a curve says what becomes of the outputs when a group's channels go from
/// all its readers, the least scores first. Distortions of groups nearly add up, as those of layers do in
/// ``RateDistortionAllocation``; how many channels each group keeps follows from a dynamic programme over the curves under a
/// budget that the smaller network really meets (``ChannelBudget``). Xu et al., "Efficient joint optimization of
/// layer-adaptive weight pruning in deep neural networks" (2023), for input channels. No labels are needed, and inputs may
/// be noise (``Tensor/normal(_:using:)``).
///
/// ```swift
/// let allocation = RateDistortionChannels(on: inputs)
/// let pruning = StructuredPruning(by: ChannelNorm.group, allocation: allocation, to: .multiplyAccumulates(0.5))
/// ```
public struct RateDistortionChannels: ChannelAllocation {
    public static let name = "rate-distortion"

    /// What runs through the network: batches of inputs, `[examples, ...]` each.
    public var inputs: [Tensor]
    /// The rates to measure at, as parts of what is left of a group; between them distortion is taken on a line.
    public var grid: RateGrid
    /// What becomes of the examples' errors.
    public var distortion: OutputDistortion
    public var solver: RateDistortionProblem.Solver
    /// Told the groups that are measured.
    public var progress: any ProgressReporter

    public init(
        on inputs: [Tensor], grid: RateGrid = RateGrid(steps: RateDistortionOptions.steps, refinements: 2),
        distortion: OutputDistortion = .mean,
        solver: RateDistortionProblem.Solver = .buckets(RateDistortionOptions.buckets),
        progress: any ProgressReporter = SilentProgress()
    ) {
        self.inputs = inputs
        self.grid = grid
        self.distortion = distortion
        self.solver = solver
        self.progress = progress
    }

    /// - Throws: `.usage` for a target beyond what may go, before anything is measured, and without inputs; `.badData` for
    ///   outputs that are not finite, naming the group; what the solver throws.
    /// - Complexity: that of the curves, ``ChannelGroups/distortionCurves(of:removing:gone:on:grid:distortion:progress:)``,
    ///   and some tens of answers of the solver.
    public func keptChannels(
        of groups: ChannelGroups, in network: any SupervisedNetwork, scores: [[Double]], limits: [Int],
        reaching target: StructuredPruning.Target
    ) throws -> KeptChannels {
        let candidates = zip(scores, limits).map { Array(leastFirst($0).prefix($1)) }
        let counts = groups.groups.map(\.count)
        func kept(_ left: [Int]) -> KeptChannels {
            KeptChannels(of: groups, without: candidates.indices.map { candidates[$0].prefix(counts[$0] - left[$0]) })
        }
        func size(_ left: [Int]) -> Int { target.size(of: groups, keeping: kept(left)) }
        let budget = try target.mostKept(of: size(counts), least: size(zip(counts, candidates).map { $0 - $1.count }))
        progress.begin("measure", total: counts.count, unit: "groups of channels")
        defer { progress.end("") }
        let curves = try groups.distortionCurves(
            of: network, removing: candidates, gone: scores.map { own in own.count { $0 == -.infinity } }, on: inputs,
            grid: grid, distortion: distortion
        ) { done, _ in progress.advance(to: done, note: "") }
        return kept(try ChannelBudget(curves, budget: budget, solver: solver, cost: size).solved())
    }
}
