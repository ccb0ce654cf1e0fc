import CoppiceNetworks
import CoppiceTensors

extension LayerFloor {
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
            return weights.map { min($0.count, WholeShare.up(share, of: $0.count)) }
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
}
