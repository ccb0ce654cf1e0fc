import CoppiceTensors
import CoppiceTraining

/// What a search for lottery tickets does beside its training recipe.
public struct LotterySettings: Sendable, Hashable {
    /// A control that is trained at each level beside the ticket.
    public enum Branch: String, Sendable, Hashable, CaseIterable {
        /// The mask with other initial weights.
        case reinit
        /// Masks of equal size in each layer at random places.
        case shuffle
        /// The trained weights go on at the last learning rate.
        case finetune
        /// The trained weights take the schedule again.
        case learningRateRewind = "lr-rewind"
        /// A mask of equal size from one pruning of the dense network, shared out among layers as the ticket's is.
        case oneShot = "one-shot"

        /// Whether its network takes more steps than a dense one, so that it cannot match: its weights were trained before.
        public var takesMoreSteps: Bool { self == .finetune || self == .learningRateRewind }
    }

    /// Levels after the dense network.
    public var levels = 10
    /// p: the part of what is left that a level removes.
    public var pruneFraction = 0.2
    /// k.
    public var rewind = LotteryRewind.step(0)
    public var scope = PruningScope.global
    /// Patterns of weights that are not pruned.
    public var ignore: [String] = []
    /// Searches from other seeds.
    public var replicates = 1
    public var branches: [Branch] = []

    public init() {}

    /// What tells searches apart, by the names of the program's options.
    var fields: [(key: String, value: String)] {
        [
            ("levels", "\(levels)"), ("prune-fraction", "\(pruneFraction)"), ("rewind", "\(rewind)"),
            ("pruning-strategy", scope.rawValue), ("ignore", ignore.joined(separator: ",")),
            ("replicates", "\(replicates)"), ("branches", branches.map(\.rawValue).joined(separator: ",")),
        ]
    }

    /// - Throws: `.usage` naming the option that is out of range.
    func check() throws {
        for (field, value) in [("levels", levels), ("replicates", replicates)] where !(1...1_000).contains(value) {
            throw CoppiceError(.usage, field: field, "\(value), expected 1 to 1000")
        }
        _ = try removing
    }

    /// What goes between two levels.
    var removing: any LevelPruning {
        get throws {
            switch scope {
            case .global: try ConstantFraction(pruneFraction)
            case .layer: try LayerFraction(pruneFraction)
            }
        }
    }
}
