import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct OptimalBrainSurgeonTests {
    let base = InverseFisherTests()

    /// ½ (w − w*)ᵀF(w − w*).
    func loss(_ fisher: [[Double]], _ w: [Double], _ minimum: [Double]) -> Double {
        let step = zip(w, minimum).map { $0 - $1 }
        return 0.5 * Oracle.dot(step, fisher.map { Oracle.dot($0, step) })
    }

    @Test func oneRemovalCostsItsSaliencyOnAQuadratic() throws {
        let (m, d) = (8, 15)
        let g = base.gradients(m, d)
        let weights = base.vector(d)
        let inverse = try InverseFisher(gradients: g, dampening: 1e-2)
        let fisher = Oracle.fisher(rows(g), 1e-2)
        let scores = OptimalBrainSurgeon.saliencies(of: weights, inverseDiagonal: inverse.diagonal()).doubles()
        for k in 0..<d {
            let moved = try OptimalBrainSurgeon.compensated(
                weights, removing: (0..<d).map { $0 == k }, inverse: inverse
            ).doubles()
            #expect(moved[k] == 0)
            let cost = loss(fisher, moved, weights.doubles())
            #expect(abs(cost - scores[k]) < 1e-10 * scores[k])
            // No other change of the remaining weights is better: the gradient by them is zero.
            let step = zip(moved, weights.doubles()).map { $0 - $1 }
            let slope = fisher.map { Oracle.dot($0, step) }
            for l in 0..<d where l != k { #expect(abs(slope[l]) < 1e-10) }
            // Brute force: simply zeroing costs at least as much.
            var zeroed = weights.doubles()
            zeroed[k] = 0
            #expect(loss(fisher, zeroed, weights.doubles()) >= cost * (1 - 1e-12))
        }
    }

    @Test func removalsInDifferentBlocksAddUpExactly() throws {
        let (d, size) = (12, 4)
        let g = base.gradients(20, d)
        let weights = base.vector(d)
        let inverse = try BlockInverseFisher(gradients: g, dampening: 1e-2, blockSize: size)
        var fisher = Oracle.fisher(rows(g), 1e-2)
        for k in 0..<d { for l in 0..<d where k / size != l / size { fisher[k][l] = 0 } }
        let scores = OptimalBrainSurgeon.saliencies(of: weights, inverseDiagonal: inverse.diagonal()).doubles()
        let moved = try OptimalBrainSurgeon.compensated(
            weights, removing: (0..<d).map { [1, 6, 11].contains($0) }, inverse: inverse
        ).doubles()
        #expect([1, 6, 11].allSatisfy { moved[$0] == 0 })
        let total = scores[1] + scores[6] + scores[11]
        #expect(abs(loss(fisher, moved, weights.doubles()) - total) < 1e-10 * total)
    }

    @Test func withoutGradientsItIsMagnitude() throws {
        let weights = base.vector(9, .f32)
        let inverse = try InverseFisher(gradients: .zeros([4, 9]), dampening: 0.5)
        let scores = OptimalBrainSurgeon.saliencies(of: weights, inverseDiagonal: inverse.diagonal()).doubles()
        #expect(distance(scores, weights.doubles().map { $0 * $0 / 4 }) < 1e-12)
        let removed = (0..<9).map { $0 % 2 == 0 }
        let moved = try OptimalBrainSurgeon.compensated(weights, removing: removed, inverse: inverse)
        #expect(moved.floats() == zip(weights.floats(), removed).map { $1 ? 0 : $0 })
    }

    @Test func wrongLengthsAreNamed() throws {
        let inverse = try InverseFisher(gradients: .zeros([4, 9]), dampening: 0.5)
        for (weights, flags) in [(8, 9), (9, 8)] {
            #expect(throws: CoppiceError.self) {
                try OptimalBrainSurgeon.compensated(
                    .zeros([weights]), removing: .init(repeating: true, count: flags), inverse: inverse)
            }
        }
    }
}
