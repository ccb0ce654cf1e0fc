import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// Cuts out what a gated network's images agree to leave out: a smaller plain network without gates.
///
/// A gate that is open for at least half of the images stays open for all; blocks and channels of the others go, and so
/// do all gates. A block keeps at least its most open channel, and a stage at least what its architecture needs.
///
/// Source: Zhi et al., "Learning a consensus sub-network with polarization regularization and one pass training" (2023).
public struct ConsensusExtraction {
    /// The largest disagreement ḡ(1 − ḡ) that is cut through without being forced: 0.05.
    public static let standardLimit = 0.05

    /// In use mode, its norms' statistics those of training.
    public let network: any VisionNetwork
    /// What the gates said.
    public let report: GateReport
    /// What stays, by block and gate.
    public let decisions: [[Bool]]
    /// The largest difference between the scores of the gated network with these decisions and of the smaller network,
    /// in units of the largest score, at least 1.
    public let difference: Double
    public let before: NetworkCost
    public let after: NetworkCost

    /// - Parameters:
    ///   - gated: is left as it was, its gates deciding.
    ///   - batches: held-out examples, whose labels are not looked at.
    ///   - limit: the largest disagreement that is cut through.
    ///   - isForced: whether gates beyond the limit are cut through as well.
    /// - Throws: `.badData` naming the gates beyond the limit; `.usage` without examples.
    public init(
        of gated: GatedNetwork, on batches: [LabeledBatch], limit: Double = standardLimit, isForced: Bool = false
    ) throws {
        let report = try gated.measuredReport(on: batches)
        if !isForced { try Self.check(report, limit: limit) }
        try self.init(of: gated, report: report, on: batches)
    }

    /// Cuts by a report that was measured already, whatever its disagreement.
    ///
    /// - Precondition: at least one batch.
    public init(of gated: GatedNetwork, report: GateReport, on batches: [LabeledBatch]) throws {
        let decisions = Self.possible(report, gated)
        let small = try gated.withoutGates { try Self.cut($0, gated, decisions, example: batches[0]) }
        small.setTraining(false)
        gated.decide(decisions)
        defer { gated.decide(nil) }
        var (difference, scale) = (0.0, 1.0)
        for batch in batches.prefix(4) {
            let (whole, cut) = gated.inUse { (gated.outputs(batch.inputs), small.outputs(batch.inputs)) }
            difference = max(difference, Double((whole - cut).abs().maximum().scalar))
            scale = max(scale, Double(whole.abs().maximum().scalar))
        }
        network = small
        self.report = report
        self.decisions = decisions
        self.difference = difference / scale
        before = try Self.cost(gated.network)
        after = try Self.cost(small)
    }

    static func cost(_ network: any VisionNetwork) throws -> NetworkCost {
        let structure = try ChannelStructure(VisionArchitecture(network.configuration))
        return structure.cost(structure.widths)
    }

    /// Gates that stay.
    public var keptCount: Int { decisions.reduce(0) { $0 + $1.count { $0 } } }

    /// Replaces the statistics of the smaller network's norms by those of batches: where blocks are closed, later norms
    /// see something else than the average over training did.
    public func reestimateStatistics(on batches: some Sequence<LabeledBatch>) {
        network.reestimateNormStatistics(on: batches) { [network] in _ = network.outputs($0.inputs) }
    }

    // MARK: - Decisions

    /// - Throws: `.badData` naming the gates that disagree by more than a limit, the worst first.
    static func check(_ report: GateReport, limit: Double) throws {
        let beyond = report.blocks.filter { $0.disagreement > limit }.sorted { $0.disagreement > $1.disagreement }
        guard !beyond.isEmpty else { return }
        func digits(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
        let names = beyond.prefix(8).map { "\($0.name) (\(digits($0.disagreement)))" }.joined(separator: ", ")
        throw CoppiceError(
            .badData, field: "gates",
            "do not agree over the images: \(names)\(beyond.count > 8 ? "…" : "") beyond \(digits(limit)); a longer "
                + "training or a larger lambda_polar makes them, a larger limit cuts through them")
    }

    /// The decisions of the means, changed where nothing would be left of a block's channels or of a stage.
    static func possible(_ report: GateReport, _ gated: GatedNetwork) -> [[Bool]] {
        var decisions = report.blocks.map(\.decisions)
        func mostOpen(_ means: [Double]) -> Int { means.indices.max { (means[$0], -$0) < (means[$1], -$1) } ?? 0 }
        switch gated.mode {
        case .channel:
            for (index, own) in report.blocks.enumerated() where !decisions[index].contains(true) {
                decisions[index][mostOpen(own.means)] = true
            }
        case .layer:
            let configuration = gated.network.configuration
            for stage in Set(gated.blocks.map(\.place.stage)) {
                let own = gated.blocks.indices.filter { gated.blocks[$0].place.stage == stage }
                let closed = own.filter { !decisions[$0][0] }
                guard configuration.removing(blocks: Set(closed.map { gated.blocks[$0].place.name })) == nil else {
                    continue
                }
                decisions[closed[mostOpen(closed.map { report.blocks[$0].means[0] })]][0] = true
            }
        }
        return decisions
    }

    // MARK: - Cutting

    private static func cut(
        _ network: any VisionNetwork, _ gated: GatedNetwork, _ decisions: [[Bool]], example: LabeledBatch
    ) throws -> any VisionNetwork {
        let architecture = try VisionArchitecture(network.configuration)
        switch gated.mode {
        case .layer:
            let closed = gated.blocks.indices.filter { !decisions[$0][0] }.map { gated.blocks[$0].place.name }
            return try BlockRemoval(of: closed, from: architecture)(network)
        case .channel:
            let count = min(2, example.count)
            let groups = try ChannelGroups(
                of: network, example: example.inputs.slice(axis: 0, 0..<count).contiguous())
            var kept = KeptChannels(allOf: groups)
            for (own, decisions) in zip(gated.blocks, decisions) {
                let group = try groups.group(madeBy: "\(own.place.name).conv1")
                let maker = groups.groups[group].members.first { $0.name == "\(own.place.name).conv1.weight" }
                for channel in 0..<groups.groups[group].count {
                    guard let place = maker?.positions[channel].first else { continue }
                    if !decisions[place] { kept.remove(channel, ofGroup: group) }
                }
            }
            return try network.removingChannels(of: groups, keeping: kept)
        }
    }
}
