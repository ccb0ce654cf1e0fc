import Foundation

/// What a model is measured by under masks.
///
/// Curves hold what is lower the better: the loss, or the share of errors. A tolerance of τ then is the same for both:
/// the share of errors is at most e(0) + τ (e_chance − e(0)) where accuracy is at least P(0) − τ (P(0) − P_chance).
public enum SparsityMeasure: String, Sendable, Hashable, Codable, CaseIterable {
    /// The loss in nats.
    case loss
    /// The share of examples that are classified right; curves hold the share of the others.
    case accuracy

    /// The number that is shown for what a curve holds: the loss, or the accuracy.
    public func value(_ loss: Double) -> Double { self == .loss ? loss : 1 - loss }

    /// The slope that is shown for a curve's: an accuracy falls where errors rise.
    public func slope(_ slope: Double) -> Double { self == .loss ? slope : -slope }

    /// What curves hold of a model that knows how frequent classes are and nothing else: it always gives the commonest
    /// class (accuracy), or their frequencies (loss, whose mean is their entropy in nats). Of n classes alike that is
    /// 1 − 1 / n, or ln n.
    ///
    /// - Parameter labels: of the examples; at least one.
    public func chance(_ labels: [Int]) -> Double {
        // In order, so that rounding is the same each time.
        let shares = labels.reduce(into: [Int: Int]()) { $0[$1, default: 0] += 1 }.values.sorted()
            .map { Double($0) / Double(labels.count) }
        return switch self {
        case .loss: -shares.reduce(0) { $0 + $1 * log($1) }
        case .accuracy: 1 - (shares.last ?? 0)
        }
    }
}
