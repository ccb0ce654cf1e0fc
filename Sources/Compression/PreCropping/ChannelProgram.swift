import CoppiceNetworks
import CoppiceTensors
import Foundation

/// The widths of a network as a geometric programme: y_g = log of the part of width g that is kept.
///
/// Layer l has the density Π exp(y) over the widths of its inputs and outputs, so Σ_l log p_l is linear in y, and
/// parameters and multiplications are posynomials of exp(y), norms and biases included. Where a layer reads channels of
/// several widths side by side, log Σ_g c_g exp(y_g) is replaced by its tangent at the full widths, which never exceeds
/// it.
public struct ChannelProgram: Sendable {
    public let structure: any WidthStructure
    /// The fewest and the most channels of each width.
    public let least: [Int]
    public let most: [Int]
    /// What the logarithm of each layer's density counts; nil: 1. Layers are the weights in the structure's order.
    var layerWeights: [Double]?

    /// - Parameters:
    ///   - rounding: widths are multiples of it, or the largest there may be.
    ///   - growth: the largest width for one of the architecture's, at least 1.
    public init(_ structure: any WidthStructure, rounding: Int = 1, growth: Double = 1) {
        precondition(rounding >= 1 && growth >= 1, "widths rounded to \(rounding), up to \(growth) times as large")
        self.structure = structure
        most = structure.widths.map { max($0, Int((Double($0) * growth).rounded(.down))) }
        least = structure.widths.map { min($0, rounding) }
    }

    /// Σ_l log p_l as Σ_g weight_g y_g: of each width, the layers that it makes outputs or inputs of.
    public var weights: [Double] {
        var weights = [Double](repeating: 0, count: structure.widths.count)
        for (layer, entry) in structure.entries.filter(\.isWeight).enumerated() {
            // The least positive normal number keeps a width that hardly counts in the programme.
            let own = max(layerWeights?[layer] ?? 1, .leastNormalMagnitude)
            forEachTerm(of: entry) { weights[$0] += own * $1 }
        }
        return weights
    }

    /// log p of each layer at a point.
    func logDensities(_ point: [Double]) -> [Double] {
        structure.entries.filter(\.isWeight).map { entry in
            var sum = 0.0
            forEachTerm(of: entry) { sum += $1 * point[$0] }
            return sum
        }
    }

    /// The widths that a layer's density is a product of powers of, with their exponents.
    private func forEachTerm(of entry: StructuredEntry, _ body: (_ width: Int, _ exponent: Double) -> Void) {
        for axis in entry.axes where !axis.terms.isEmpty {
            let extent = Double(axis(structure.widths))
            for term in axis.terms {
                body(term.width, Double(term.multiple * structure.widths[term.width]) / extent)
            }
        }
    }

    /// Trained numbers as a posynomial.
    public var parameters: [GeometricProgram.Monomial] { monomials { $0.isTrainable ? 1 : 0 } }

    /// Multiplications for one input as a posynomial.
    public var multiplications: [GeometricProgram.Monomial] { monomials { $0.uses } }

    private func monomials(_ factor: (StructuredEntry) -> Int) -> [GeometricProgram.Monomial] {
        var sums: [[Int]: Double] = [:]
        for entry in structure.entries {
            let scale = Double(factor(entry))
            guard scale > 0 else { continue }
            var products = [(coefficient: scale, widths: [Int]())]
            for axis in entry.axes {
                let parts =
                    (axis.fixed > 0 || axis.terms.isEmpty ? [(Double(axis.fixed), [Int]())] : [])
                    + axis.terms.map { (Double($0.multiple * structure.widths[$0.width]), [$0.width]) }
                products = products.flatMap { own in
                    parts.map { (own.coefficient * $0.0, own.widths + $0.1) }
                }
            }
            for product in products { sums[product.widths.sorted(), default: 0] += product.coefficient }
        }
        // In an order of their own, so that sums do not depend on hashes.
        return sums.sorted { $0.key.lexicographicallyPrecedes($1.key) }
            .map { GeometricProgram.Monomial($0.value, $0.key) }
    }

    /// The programme under budgets.
    public func program(parameters: Double?, multiplications: Double?) -> GeometricProgram {
        func logs(_ widths: [Int]) -> [Double] {
            zip(widths, structure.widths).map { log(Double($0) / Double($1)) }
        }
        var budgets: [GeometricProgram.Posynomial] = []
        if let parameters { budgets.append(.init(self.parameters, limit: parameters)) }
        if let multiplications { budgets.append(.init(self.multiplications, limit: multiplications)) }
        let widths = structure.widths
        return GeometricProgram(
            weights: weights, lower: logs(least), upper: logs(most), posynomials: budgets,
            differences: structure.ascents.map { lower, upper in
                .init(lower: lower, upper: upper, bound: log(Double(widths[upper]) / Double(widths[lower])))
            })
    }

    /// Widths, not rounded, of a point.
    public func widths(_ point: [Double]) -> [Double] { zip(structure.widths, point).map { Double($0) * exp($1) } }
}
