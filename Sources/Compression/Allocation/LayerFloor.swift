import CoppiceTensors

/// The least that every matrix keeps, against layer collapse: one threshold for all may take a matrix of small weights
/// whole, and then no signal and no gradient passes it.
///
/// Gupta et al., "Is Complexity Required for Neural Network Pruning?" (2022), call it the minimum threshold. A matrix
/// that is smaller than its floor stays dense.
public enum LayerFloor: Sendable, Hashable {
    /// So many weights of each matrix.
    case count(Int)
    /// At least this share of each matrix's own weights, in `(0, 1)`: ⌈share · N_l⌉.
    case share(Double)
    /// As many weights as this share of all matrices together, in `(0, 1)`: ⌊share · N⌋, the paper's form.
    case shareOfAll(Double)

    /// The paper's default: 0.05 % of all weights.
    public static let standard = shareOfAll(0.0005)

    /// The least that each matrix keeps.
    ///
    /// - Throws: `.usage` for a count below one, or a share outside (0, 1).
    public func counts(_ weights: [PrunableWeight]) throws -> [Int] {
        switch self {
        case .count(let count):
            guard count > 0 else {
                throw CoppiceError(.usage, field: "floor", "\(count), expected a count from 1, or a share below 1")
            }
            return weights.map { min($0.count, count) }
        case .share(let share):
            try Self.check(share)
            return weights.map { min($0.count, Self.roundedUp(share * Double($0.count))) }
        case .shareOfAll(let share):
            try Self.check(share)
            let total = weights.reduce(0) { $0 + $1.count }
            return weights.map { min($0.count, ExactSelection.removedCount(total, sparsity: share)) }
        }
    }

    private static func check(_ share: Double) throws {
        guard share > 0, share < 1 else {
            throw CoppiceError(.usage, field: "floor", "\(share), expected a share between 0 and 1, or a count")
        }
    }

    /// ⌈x⌉, where a hair above an integer means that integer.
    private static func roundedUp(_ x: Double) -> Int {
        abs(x - x.rounded()) <= x.ulp * 2 ? Int(x.rounded()) : Int(x.rounded(.up))
    }
}
