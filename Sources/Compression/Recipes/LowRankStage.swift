import CoppiceFormats

/// The options of a `low-rank` stage: a matrix becomes a product of two thin ones by truncated singular value
/// decomposition.
public struct LowRankStage: Sendable, Hashable {
    /// The rank, or what it follows from.
    public var target: LowRankWeight.Target
    public var selection: WeightSelection

    public init(_ target: LowRankWeight.Target, selection: WeightSelection = WeightSelection()) {
        self.target = target
        self.selection = selection
    }
}

extension LowRankWeight.Target: CustomStringConvertible {
    /// As a recipe has it.
    public var description: String {
        switch self {
        case .rank(let rank): "rank: \(rank)"
        case .ratio(let ratio): "ratio: \(ratio)"
        case .energy(let energy): "energy: \(energy)"
        }
    }
}
