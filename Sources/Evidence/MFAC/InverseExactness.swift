import CoppiceNetworks
import CoppiceTensors

/// How far products with inverse Fisher matrices are from those with the matrix that is formed and inverted as such.
package struct InverseExactness: Sendable {
    /// Largest relative errors ‖a − b‖ / ‖b‖ over some sizes, in f64 unless said otherwise.
    package var product = 0.0
    /// Of a window after more gradients than it holds.
    package var window = 0.0
    /// Of one block that holds all weights.
    package var block = 0.0
    /// Of the paper's recursion, vᵢ = gᵢ/λ − Σ vⱼ (vⱼᵀgᵢ)/qⱼ.
    package var recursion = 0.0
    /// Of gradients, and sums over m of them, in f32.
    package var single = 0.0
    /// Of the quadratic's rise when one weight is removed and the others make up for it, against ρₖ.
    package var saliency = 0.0

    package init() {}

    /// - Parameter seed: of random Gaussian gradients whose norms are about one.
    package init(seed: UInt64, dampening: Double) throws {
        var generator = RandomGenerator(seed: seed)
        for (m, d) in [(8, 50), (16, 120), (32, 200)] {
            let all = Tensor.normal([m + 5, d], dataType: .f64, using: &generator) / Double(d).squareRoot()
            let gradients = all.slice(axis: 0, 5..<(m + 5)).contiguous()
            let x = Tensor.normal([d], dataType: .f64, using: &generator)
            let fisher =
                gradients.transposed().matmul(gradients) / Double(m) + Tensor.identity(d, dataType: .f64) * dampening
            let dense = try fisher.choleskyFactor().choleskySolve(.identity(d, dataType: .f64))
            let expected = dense.matmul(x.reshaped([d, 1])).doubles()

            let inverse = try InverseFisher(gradients: gradients, dampening: dampening)
            product = max(product, Self.error(try inverse.product(x).doubles(), expected))
            var sliding = try InverseFisher(window: m, count: d, dampening: dampening, dataType: .f64)
            for row in 0..<(m + 5) { try sliding.push(all[row]) }
            window = max(window, Self.error(try sliding.product(x).doubles(), expected))
            let whole = try BlockInverseFisher(gradients: gradients, dampening: dampening, blockSize: d)
            block = max(block, Self.error(try whole.product(x).doubles(), expected))
            recursion = max(recursion, Self.error(Self.recursive(gradients, dampening, x), expected))
            let rounded = try InverseFisher(gradients: gradients.converted(to: .f32), dampening: dampening)
            single = max(single, Self.error(try rounded.product(x).doubles(), expected))
            saliency = max(saliency, try Self.saliencyError(inverse, fisher, at: x, weight: d / 3))
        }
    }

    private static func error(_ found: [Double], _ expected: [Double]) -> Double {
        let distance = zip(found, expected).reduce(0.0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        return (distance / expected.reduce(0.0) { $0 + $1 * $1 }).squareRoot()
    }

    /// Algorithm 1 of the paper, one vector a gradient.
    private static func recursive(_ gradients: Tensor, _ dampening: Double, _ x: Tensor) -> [Double] {
        let m = gradients.shape[0]
        var (vectors, scales): ([Tensor], [Double]) = ([], [])
        func applied(_ vector: Tensor) -> Tensor {
            var result = vector / dampening
            for (own, scale) in zip(vectors, scales) {
                result = result - own * ((own * vector).sum().doubles()[0] / scale)
            }
            return result
        }
        for row in 0..<m {
            let next = applied(gradients[row])
            let scale = Double(m) + (gradients[row] * next).sum().doubles()[0]
            vectors.append(next)
            scales.append(scale)
        }
        return applied(x).doubles()
    }

    /// The relative distance between ½ δᵀFδ and ρₖ, where δ is how removing weight k moves the weights.
    private static func saliencyError(
        _ inverse: InverseFisher, _ fisher: Tensor, at weights: Tensor, weight k: Int
    ) throws -> Double {
        let expected = OptimalBrainSurgeon.saliencies(of: weights, inverseDiagonal: inverse.diagonal()).doubles()[k]
        let removed = (0..<weights.count).map { $0 == k }
        let moved = try OptimalBrainSurgeon.compensated(weights, removing: removed, inverse: inverse)
        let change = (moved - weights).reshaped([weights.count, 1])
        let rise = 0.5 * (change * fisher.matmul(change)).sum().doubles()[0]
        return abs(rise - expected) / expected
    }
}
