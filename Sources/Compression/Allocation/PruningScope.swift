/// Whose weights are compared with each other when the smallest go.
public enum PruningScope: String, Sendable, Hashable, Codable, CaseIterable {
    /// One threshold for all.
    case global
    /// Each matrix loses the same fraction.
    case layer

    /// How a sparsity is shared out so.
    public var allocation: any Allocation {
        switch self {
        case .global: GlobalAllocation()
        case .layer: UniformAllocation()
        }
    }
}
