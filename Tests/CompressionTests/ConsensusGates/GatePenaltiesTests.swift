import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct GatePenaltiesTests {
    private func slope(_ means: [Double], _ loss: (Tensor) -> Tensor) -> [Double] {
        let x = Tensor(means).tracked()
        return gradients(of: loss(x), withRespectTo: [x])[0].doubles()
    }

    @Test func polarizationIsZeroOnlyWhereGatesAreUnanimous() {
        var generator = RandomGenerator(seed: 1)
        for _ in 0..<20 {
            let means = Tensor.uniform([7], low: 0, high: 1, dataType: .f64, using: &generator)
            let value = GatePenalties.polarization(means).doubles()[0]
            #expect(value > 0 && value <= 0.25)
        }
        #expect(GatePenalties.polarization(Tensor([0.0, 1, 1, 0])).doubles()[0] == 0)
        #expect(GatePenalties.polarization(Tensor([0.0, 1, 0.999])).doubles()[0] > 0)
        #expect(GatePenalties.polarization(Tensor([0.5, 0.5])).doubles()[0] == 0.25)
    }

    @Test func theSlopeOfPolarizationIsOneMinusTwiceTheMean() {
        let means = [0.0, 0.2, 0.5, 0.7, 1]
        let slopes = slope(means, GatePenalties.polarization)
        for (index, mean) in means.enumerated() {
            #expect(abs(slopes[index] - (1 - 2 * mean) / 5) < 1e-12)
            var (high, low) = (means, means)
            high[index] += 1e-5
            low[index] -= 1e-5
            let values = [high, low].map { GatePenalties.polarization(Tensor($0)).doubles()[0] }
            #expect(abs((values[0] - values[1]) / 2e-5 - slopes[index]) < 1e-8)
        }
    }

    @Test func theTargetPullsFromBothSides() {
        let loss = { (means: Tensor) in GatePenalties.activation(means, target: 0.5) }
        #expect(slope([0.9, 0.7], loss).allSatisfy { abs($0 - 0.3) < 1e-12 })
        #expect(slope([0.3, 0.1], loss).allSatisfy { abs($0 + 0.3) < 1e-12 })
        #expect(slope([0.8, 0.2], loss) == [0, 0])
        // Weighted by what gates cost, the open part is ¾ · 1.
        let weights = Tensor([0.75, 0.25])
        let weighted = GatePenalties.activation(Tensor([1.0, 0]), weights: weights, target: 0.5)
        #expect(abs(weighted.doubles()[0] - 0.0625) < 1e-12)
        let slopes = slope([1, 0]) { GatePenalties.activation($0, weights: weights, target: 0.5) }
        #expect(abs(slopes[0] - 0.375) < 1e-12 && abs(slopes[1] - 0.125) < 1e-12)
    }
}

@Suite struct GateEstimatorTests {
    private let logits: [Double] = [-3, -0.5, 0, 0.2, 4]

    private func sigmoid(_ z: Double) -> Double { Tensor([z]).sigmoid().doubles()[0] }

    @Test(arguments: GateEstimator.allCases)
    func gatesAreStepsAndTheirGradientIsTheEstimators(estimator: GateEstimator) {
        let z = Tensor(logits).tracked()
        let upstream = Tensor([1.0, -2, 3, 0.5, 1])
        let noise = Tensor([5.0, 0.1, -1, -0.3, 0])
        let gates = estimator.gates(z, noise: estimator == .gumbel ? noise : nil)
        let shifted = zip(logits, noise.doubles()).map { $0 + (estimator == .gumbel ? $1 : 0) }
        #expect(gates.doubles() == shifted.map { $0 > 0 ? 1 : 0 })
        let slopes = gradients(of: (gates * upstream).sum(), withRespectTo: [z])[0].doubles()
        for (index, slope) in slopes.enumerated() {
            let s = sigmoid(shifted[index])
            let expected = upstream.doubles()[index] * (estimator == .identity ? 1 : s * (1 - s))
            #expect(abs(slope - expected) < 1e-12)
        }
    }

    @Test func gumbelGatesAreDrawnAnewAtEachStepAndAreStepsInUse() {
        let gate = ConsensusGate(mode: .layer, inputs: 3, count: 1, hidden: 2, estimator: .gumbel, bias: 1, seed: 4)
        let x = Tensor.ones([400, 3, 2, 2])
        func mean(step: Int) -> Double {
            gate.begin(step: step)
            _ = gate.factors(x)
            return gate.means!.doubles()[0]
        }
        let (first, second) = (mean(step: 1), mean(step: 2))
        #expect(first != second && mean(step: 1) == first)
        // Open with the probability σ(1) = 0.731.
        #expect(abs(first - 0.731) < 0.07 && abs(second - 0.731) < 0.07)
        gate.isTraining = false
        #expect(mean(step: 3) == 1)
    }

    @Test func hardConcreteGatesFollowTheirDistribution() {
        let gate = HardConcreteGate(mode: .channel, count: 2000, logAlpha: 0.3, seed: 5)
        let probability = gate.openProbabilities.doubles()[0]
        guard case .channels(let drawn) = gate.factors(Tensor.ones([2, 1, 1, 1])) else { return }
        let values = drawn.doubles()
        #expect(values.allSatisfy { (0...1).contains($0) } && values.contains(0) && values.contains(1))
        #expect(abs(Double(values.count { $0 > 0 }) / 2000 - probability) < 0.04)
        gate.isTraining = false
        guard case .channels(let used) = gate.factors(Tensor.ones([2, 1, 1, 1])) else { return }
        #expect(abs(used.doubles()[0] - min(1, max(0, sigmoid(0.3) * 1.2 - 0.1))) < 1e-6)
    }
}
