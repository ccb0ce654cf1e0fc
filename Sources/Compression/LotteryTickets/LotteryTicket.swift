import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What a level of ``IterativePruning`` found: a mask, the early weights that it trains from, and the trained weights
/// that it was cut from.
///
/// Frankle, Dziugaite, Roy and Carbin, "Stabilizing the lottery ticket hypothesis" (2019).
public struct LotteryTicket: Sendable {
    /// The mask of each prunable weight.
    public var masks: [WeightMask]
    /// W_k with the running statistics of step k.
    public var rewound: Snapshot
    /// W_T of the network whose smallest weights were removed last.
    public var source: Snapshot

    public init(masks: [WeightMask], rewound: Snapshot, source: Snapshot) {
        self.masks = masks
        self.rewound = rewound
        self.source = source
    }

    /// Weights kept.
    public var keptCount: Int { masks.reduce(0) { $0 + $1.keptCount } }

    /// The fraction of prunable weights kept.
    public var density: Double { Double(keptCount) / Double(masks.reduce(0) { $0 + $1.count }) }
}

/// How a ticket's sparse network is trained: by rewinding, or as a control that leaves out one part of it.
public enum TicketBranch: Sendable {
    /// The ticket itself: W_k under the mask, steps k to T.
    case rewound
    /// The mask with other initial weights, which train densely to step k first.
    ///
    /// The snapshot is of a network of the same distribution of weights, layer by layer.
    case reinitialized(Snapshot)
    /// W_k under masks of equal size in each layer, at random places.
    case shuffled(seed: UInt64)
    /// A mask of equal size from one pruning of a dense network's trained weights, its snapshot, by one threshold or with
    /// as many weights in each layer as the ticket has; W_k, steps k to T.
    case oneShot(dense: Snapshot, perLayer: Bool = false)
    /// The source's weights under the mask go on at the last learning rate for as many steps (Han et al. 2015): not at
    /// all where the schedule ends at a rate of zero.
    case fineTuned
    /// The source's weights under the mask take steps k to T again (Renda, Frankle and Carbin, 2020).
    case learningRateRewound

    /// A short stable name.
    public var name: String {
        switch self {
        case .rewound: "rewound"
        case .reinitialized: "reinitialized"
        case .shuffled: "shuffled"
        case .oneShot: "one-shot"
        case .fineTuned: "fine-tuned"
        case .learningRateRewound: "learning-rate-rewound"
        }
    }
}

extension IterativePruning {
    /// Searches tickets: level n has (1 − p)ⁿ of the weights, rounded down at each level.
    ///
    /// - Parameters:
    ///   - network: without masks.
    ///   - levels: tickets to find, at least 1.
    ///   - rewound: W_k; see ``trainToRewindStep(_:on:)``.
    ///   - progress: told a level, a step that was taken in its training, and its loss in nats.
    ///   - body: sees the trained network of a level, 0 the dense one.
    /// - Returns: a ticket for each level from 1, and the trained weights of the dense network.
    /// - Complexity: `levels` trainings from step k on; the last ticket is found, not trained.
    public func tickets(
        _ network: PrunableNetwork, levels: Int, removing: (any LevelPruning)? = nil, rewound: Snapshot,
        on source: any BatchSource,
        progress: (_ level: Int, _ step: Int, _ loss: Double) throws -> Void = { _, _, _ in },
        level body: (_ level: Int) throws -> Void = { _ in }
    ) throws -> (tickets: [LotteryTicket], dense: Snapshot) {
        let removing = try removing ?? ConstantFraction(pruneFraction)
        var tickets: [LotteryTicket] = []
        var dense: Snapshot?
        for level in 0..<levels {
            try trainFromRewindStep(network, rewound: rewound, on: source) { try progress(level, $0, $1) }
            let trained = Snapshot(of: network.network)
            if dense == nil { dense = trained }
            try body(level)
            guard try removing.removeNext(from: network) > 0 else { break }
            tickets.append(LotteryTicket(masks: network.masks, rewound: rewound, source: trained))
        }
        return (tickets, dense ?? rewound)
    }
}

extension PrunableNetwork {
    /// Masks that keep everything.
    var unpruned: [WeightMask] { weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) } }

    /// The prunable weights of a snapshot of the network, as f32 matrices.
    ///
    /// - Precondition: a snapshot of this network.
    public func values(in snapshot: Snapshot) -> [Tensor] {
        zip(places, weights).map { place, weight in
            snapshot.parameters[place].converted(to: .f32).contiguous().reshaped([weight.rows, weight.columns])
        }
    }
}
