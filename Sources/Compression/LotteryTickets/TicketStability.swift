import CoppiceNetworks
import CoppiceTraining

/// How stable a sparse network's training is: where it ends, against the dense network's end and against a second
/// training with its data in another order.
///
/// Frankle, Dziugaite, Roy and Carbin, "Stabilizing the lottery ticket hypothesis" (2019), section 3.
public struct TicketStability: Sendable, Hashable, Codable {
    /// From the dense network's trained weights to those of the sparse one trained in the same order.
    public var toPruning: SubnetworkDistance
    /// Between two trainings in different orders.
    public var toDataOrder: SubnetworkDistance
    /// From the one training in the first order to the one in the second.
    public var path: LinearPath

    /// What was measured elsewhere.
    package init(toPruning: SubnetworkDistance, toDataOrder: SubnetworkDistance, path: LinearPath) {
        self.toPruning = toPruning
        self.toDataOrder = toDataOrder
        self.path = path
    }

    /// Compares two trainings of a sparse network with each other and with the dense network.
    ///
    /// - Parameters:
    ///   - first: the network trained in the order of `dense`.
    ///   - second: in another order.
    ///   - dense: the trained dense network.
    ///   - masks: those of both sparse networks.
    ///   - network: what the snapshots are of.
    ///   - points: networks measured on the line between both.
    ///   - error: the error of the network as it is, such as 1 − accuracy.
    /// - Complexity: `points` measurements.
    public init(
        first: Snapshot, second: Snapshot, dense: Snapshot, masks: [WeightMask], in network: PrunableNetwork,
        points: Int = 11, error: (any SupervisedNetwork) throws -> Double
    ) rethrows {
        let trained = network.values(in: first)
        toPruning = SubnetworkDistance(network.values(in: dense), trained, masks: masks)
        toDataOrder = SubnetworkDistance(trained, network.values(in: second), masks: masks)
        path = try LinearPath(of: network.network, from: first, to: second, points: points, error: error)
    }

    /// The mean error of both trainings.
    public var meanError: Double { (path.errors[0] + path.errors[path.errors.count - 1]) / 2 }
}

extension IterativePruning {
    /// Measures the stability of a ticket's training.
    ///
    /// - Parameters:
    ///   - branch: `.rewound` for the ticket itself, or a control.
    ///   - dense: the trained dense network, in the first order.
    ///   - network: that of the search; has the masks and weights of the second training afterwards.
    ///   - points: networks measured on the line between both.
    ///   - error: the error of the network as it is, such as 1 − accuracy.
    /// - Complexity: two trainings, `points` measurements.
    public func stability(
        of ticket: LotteryTicket, branch: TicketBranch = .rewound, dense: Snapshot, in network: PrunableNetwork,
        on first: any BatchSource, and second: any BatchSource, points: Int = 11,
        error: (any SupervisedNetwork) throws -> Double
    ) throws -> TicketStability {
        try train(branch, of: ticket, in: network, on: first)
        let (one, masks) = (Snapshot(of: network.network), network.masks)
        try train(branch, of: ticket, in: network, on: second)
        return try TicketStability(
            first: one, second: Snapshot(of: network.network), dense: dense, masks: masks, in: network, points: points,
            error: error)
    }
}
