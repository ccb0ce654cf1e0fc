import Foundation

/// Widths whose layers are as dense as given, as nearly as widths can be: least squares of the logarithms of densities.
///
/// A layer's density is the product of what is kept of its inputs and its outputs, so there are more layers than
/// widths, and layers of a residual stream share one.
struct DensityFit {
    let program: ChannelProgram
    /// By the name of a layer's weight; layers that are not named do not count.
    let densities: [String: Double]

    /// y between the programme's bounds with the least Σ_l (Σ_g y_g − log p_l)², by coordinate descent. A density of
    /// zero counts as that of one weight.
    ///
    /// - Complexity: O(layers) for each of at most a thousand sweeps.
    func point() -> [Double] {
        let structure = program.structure
        let least = zip(program.least, structure.widths).map { log(Double($0) / Double($1)) }
        let most = zip(program.most, structure.widths).map { log(Double($0) / Double($1)) }
        var point = [Double](repeating: 0, count: least.count)
        // Of each layer: how much of the logarithm each width makes, and what is wanted.
        var layers: [(parts: [(width: Int, share: Double)], target: Double)] = []
        for entry in structure.entries where entry.isWeight {
            guard let density = densities[entry.name] else { continue }
            var parts: [(width: Int, share: Double)] = []
            for axis in entry.axes where !axis.terms.isEmpty {
                let extent = Double(axis(structure.widths))
                parts += axis.terms.map { ($0.width, Double($0.multiple * structure.widths[$0.width]) / extent) }
            }
            let smallest = 1 / Double(max(1, entry.count(structure.widths)))
            if !parts.isEmpty { layers.append((parts, log(max(density, smallest)))) }
        }
        var readers = [[(layer: Int, share: Double)]](repeating: [], count: point.count)
        for (layer, own) in layers.enumerated() {
            for part in own.parts { readers[part.width].append((layer, part.share)) }
        }
        var errors = layers.map { -$0.target }
        for _ in 0..<1000 {
            var change = 0.0
            for width in point.indices where !readers[width].isEmpty {
                let curvature = readers[width].reduce(0) { $0 + $1.share * $1.share }
                let slope = readers[width].reduce(0) { $0 + $1.share * errors[$1.layer] }
                let wanted = min(most[width], max(least[width], point[width] - slope / curvature))
                let step = wanted - point[width]
                guard step != 0 else { continue }
                point[width] = wanted
                for reader in readers[width] { errors[reader.layer] += step * reader.share }
                change = max(change, abs(step))
            }
            if change < 1e-10 { break }
        }
        return point
    }
}
