import CoppiceCompression
import CoppiceTensors

/// What SAP says of trained dense weights in one setting: their index, and how much a first round would remove.
package struct FirstRound: Sendable, Hashable {
    /// The choices of SAP that make it more or less bold.
    package struct Setting: Sendable, Hashable {
        package var p: Double
        package var q: Double
        /// η.
        package var tail: Double
        /// γ.
        package var aggressiveness: Double

        package init(p: Double, q: Double, tail: Double = 0, aggressiveness: Double = 1) {
            (self.p, self.q) = (p, q)
            (self.tail, self.aggressiveness) = (tail, aggressiveness)
        }
    }

    package var setting: Setting
    package var index: Double
    /// Of all weights, by one index.
    package var removedPart: Double

    package init(_ setting: Setting, index: Double, removedPart: Double) {
        self.setting = setting
        self.index = index
        self.removedPart = removedPart
    }

    /// - Complexity: one pass over the weights.
    init(_ setting: Setting, of weights: Tensor) throws {
        let own = try AdaptiveSparsity(
            PQIndex(p: setting.p, q: setting.q), scope: .global, tail: setting.tail,
            aggressiveness: setting.aggressiveness)
        self.setting = setting
        index = try own.index.value(of: weights)
        removedPart = Double(own.removedCount(of: weights.count, index: index)) / Double(weights.count)
    }

    /// The norms that are tabulated, all pairs with p < q.
    static let firstNorms = (1...10).map { Double($0) / 10 }
    static let secondNorms: [Double] = [1, 1.25, 1.5, 1.75, 2]
    /// The setting that η and γ are raised from.
    static let base = Setting(p: 1, q: 2)
    static let withTail = Setting(p: 1, q: 2, tail: 0.1)
    static let withAggressiveness = Setting(p: 1, q: 2, aggressiveness: 1.5)

    /// The table's settings, and bolder ones.
    static let settings: [Setting] =
        secondNorms.flatMap { q in firstNorms.filter { $0 < q }.map { Setting(p: $0, q: q) } }
        + [withTail, withAggressiveness]
}
