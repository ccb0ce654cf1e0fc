import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct NetworkCriterionTests {
    private let batch: LabeledBatch = {
        let (inputs, targets) = clusters(24)
        return LabeledBatch(inputs: inputs, targets: targets)
    }()

    private func gradient(_ network: SmallMLP, _ batch: LabeledBatch, temperature: Double = 1) -> [[Double]] {
        let weights = [network.first.weight, network.second.weight]
        let loss = (network.outputs(batch.inputs) / temperature).meanCrossEntropy(targets: batch.targets)
        return gradients(of: loss, withRespectTo: weights).map { $0.doubles() }
    }

    @Test func snipAndTaylorAreProductsOfWeightsAndGradients() throws {
        let network = SmallMLP()
        let prunable = try PrunableNetwork(network)
        let slopes = gradient(network, batch)
        let weights = [network.first.weight.doubles(), network.second.weight.doubles()]
        let snip = try prunable.scores(by: GradientWeightCriterion(), batches: [batch])
        let taylor = try prunable.scores(by: TaylorCriterion(), batches: [batch])
        for layer in 0..<2 {
            for (index, score) in snip[layer].doubles().enumerated() {
                let product = weights[layer][index] * slopes[layer][index]
                #expect(abs(score - abs(product)) < 1e-6)
                #expect(abs(taylor[layer].doubles()[index] - product * product) < 1e-6)
            }
        }
    }

    /// Batches whose gradients cancel have no SNIP score; Taylor's does not cancel.
    @Test func taylorDoesNotCancelBetweenBatches() throws {
        let network = SmallMLP(hidden: 4, classes: 2)
        network.second.weight = network.second.weight * 0
        network.second.bias?.wrappedValue = .zeros([2])
        let inputs = batch.inputs
        let opposed = [0, 1].map { LabeledBatch(inputs: inputs, targets: Tensor([Int](repeating: $0, count: 24))) }
        network.second.weight = Tensor.ones([2, 4])  // equal scores: opposite targets have opposite gradients
        let prunable = try PrunableNetwork(network, targets: [WeightPattern("second")])
        let snip = try prunable.scores(by: GradientWeightCriterion(), batches: opposed)[0].doubles()
        let taylor = try prunable.scores(by: TaylorCriterion(), batches: opposed)[0].doubles()
        #expect(snip.allSatisfy { $0 < 1e-6 })
        #expect(taylor.max() ?? 0 > 1e-3)
    }

    /// w · (H g) against a difference of gradients along g, in f64.
    @Test func gradientFlowIsTheHessiansProductWithTheGradient() throws {
        let network = SmallMLP()
        for (_, parameter) in network.parameters { parameter.wrappedValue = parameter.wrappedValue.converted(to: .f64) }
        let exact = LabeledBatch(inputs: batch.inputs.converted(to: .f64), targets: batch.targets)
        let criterion = GradientFlowCriterion(temperature: 2)
        let prunable = try PrunableNetwork(network)
        let scores = try prunable.scores(by: criterion, batches: [exact]).map { $0.doubles() }
        let start = [network.first.weight.detached(), network.second.weight.detached()]
        let slope = gradient(network, exact, temperature: 2)
        func moved(_ step: Double) -> [[Double]] {
            let ahead = SmallMLP()
            for (_, parameter) in ahead.parameters {
                parameter.wrappedValue = parameter.wrappedValue.converted(to: .f64)
            }
            ahead.first.weight = start[0] + Tensor(slope[0], shape: start[0].shape) * step
            ahead.second.weight = start[1] + Tensor(slope[1], shape: start[1].shape) * step
            return gradient(ahead, exact, temperature: 2)
        }
        let (high, low) = (moved(1e-5), moved(-1e-5))
        for layer in 0..<2 {
            let weights = start[layer].doubles()
            for index in weights.indices {
                let product = (high[layer][index] - low[layer][index]) / 2e-5
                #expect(abs(scores[layer][index] - weights[index] * product) < 1e-5)
            }
        }
    }

    /// On ½ θᵀAθ the gradient is Aθ and its product with the Hessian A²θ: w ⊙ (H g) is θ ⊙ A²θ, whose sum is θᵀHg, in
    /// whichever blocks and order θ comes, and over the mean of several such losses.
    @Test func gradientFlowIsExactOnQuadratics() throws {
        var generator = RandomGenerator(seed: 8)
        let halves = (0..<2).map { _ in Tensor.normal([7, 7], dataType: .f64, using: &generator) }
        let matrices = halves.map { ($0 + $0.transposed()) / 2 }
        let theta = Tensor.normal([7, 1], dataType: .f64, using: &generator)
        func scores(_ ranges: [Range<Int>]) -> [Double] {
            // Blocks in the order given, put together again as θ lies.
            let blocks = ranges.map { theta.slice(axis: 0, $0).contiguous().tracked() }
            let order = ranges.indices.sorted { ranges[$0].lowerBound < ranges[$1].lowerBound }
            let losses = matrices.map { matrix in
                {
                    let whole = Tensor.concatenated(order.map { blocks[$0] }, axis: 0)
                    return (whole * matrix.matmul(whole)).sum() / 2
                }
            }
            let parts = GradientFlowCriterion.flow(through: blocks, losses: losses)
            return order.flatMap { parts[$0].doubles() }
        }
        let mean = (matrices[0] + matrices[1]) / 2
        let product = mean.matmul(mean.matmul(theta)).doubles()
        let expected = zip(theta.doubles(), product).map { $0 * $1 }
        for ranges in [[0..<7], [0..<3, 3..<7], [3..<7, 0..<3], [5..<7, 0..<1, 1..<5]] {
            let found = scores(ranges)
            #expect(zip(found, expected).allSatisfy { abs($0 - $1) < 1e-10 }, "\(ranges)")
            #expect(abs(found.reduce(0, +) - expected.reduce(0, +)) < 1e-10)
        }
    }

    /// A loss alone is evaluated once, and its scores are those of the gradient and the Hessian's product taken apart; of
    /// several, those of their mean loss.
    @Test func gradientFlowOfOneLossTakesOnePass() {
        var generator = RandomGenerator(seed: 21)
        let inputs = (0..<2).map { _ in Tensor.normal([12, 5], dataType: .f64, using: &generator) }
        let targets = Tensor((0..<12).map { $0 % 3 })
        let weights = [[4, 5], [3, 4]].map { Tensor.normal($0, dataType: .f64, using: &generator).tracked() }
        var evaluations = 0
        func loss(_ x: Tensor, _ weights: [Tensor]) -> Tensor {
            evaluations += 1
            return x.matmul(weights[0].transposed()).tanh().matmul(weights[1].transposed())
                .meanCrossEntropy(targets: targets)
        }
        func mean(_ count: Int, _ weights: [Tensor]) -> Tensor {
            inputs.prefix(count).map { loss($0, weights) }.reduce(Tensor.zeros([], dataType: .f64), +) / Double(count)
        }
        for count in [1, 2] {
            let direction = gradients(of: mean(count, weights), withRespectTo: weights)
            let product = hessianVectorProduct(of: { mean(count, $0) }, at: weights, direction: direction)
            evaluations = 0
            let scores = GradientFlowCriterion.flow(
                through: weights, losses: inputs.prefix(count).map { x in { loss(x, weights) } })
            #expect(evaluations == (count == 1 ? 1 : 2 * count))
            for (score, (weight, own)) in zip(scores, zip(weights, product)) {
                let expected = zip(weight.doubles(), own.doubles()).map { $0 * $1 }
                #expect(zip(score.doubles(), expected).allSatisfy { abs($0 - $1) < 1e-12 })
                #expect(expected.contains { abs($0) > 1e-6 })
            }
        }
    }

    /// The mean over many sign vectors against differences of gradients along each coordinate, in f64.
    @Test func theHessiansDiagonalIsEstimatedWithoutBias() throws {
        func network(moving index: Int? = nil, by step: Double = 0) -> SmallMLP {
            let network = SmallMLP(hidden: 3)
            for (_, parameter) in network.parameters {
                parameter.wrappedValue = parameter.wrappedValue.converted(to: .f64)
            }
            if let index {
                var moved = network.second.weight.doubles()
                moved[index] += step
                network.second.weight = Tensor(moved, shape: network.second.weight.shape)
            }
            return network
        }
        let exact = LabeledBatch(inputs: batch.inputs.converted(to: .f64), targets: batch.targets)
        // Both layers: the Hessian of the last alone takes a vector of ones to zero, so that biased signs would do there.
        let prunable = try PrunableNetwork(network())
        let criterion = HessianDiagonalCriterion(probes: 4000, seed: 3)
        let estimate = criterion.diagonal(of: prunable, on: [exact])[1].doubles()
        let truth = estimate.indices.map { index in
            let (high, low) = (
                gradient(network(moving: index, by: 1e-5), exact), gradient(network(moving: index, by: -1e-5), exact)
            )
            return (high[1][index] - low[1][index]) / 2e-5
        }
        let largest = truth.max() ?? 0
        #expect(largest > 1e-3)
        for (own, other) in zip(estimate, truth) { #expect(abs(own - other) < 0.05 * largest) }
        let scores = try prunable.scores(by: criterion, batches: [exact])[1].doubles()
        for (score, (weight, own)) in zip(scores, zip(network().second.weight.doubles(), estimate)) {
            #expect(abs(score - weight * weight * abs(own) / 2) < 1e-6)  // scores are f32
        }
    }

    /// The flow into a layer is the flow out of it (Tanaka et al. 2020, theorem 1).
    @Test func synapticFlowIsConserved() throws {
        let prunable = try PrunableNetwork(SmallMLP(hasBias: false))
        let before = numbers(of: prunable.network)
        let scores = try prunable.scores(by: SynapticFlowCriterion(inputShape: [8]))
        let totals = scores.map { $0.doubles().reduce(0, +) }
        #expect(abs(totals[0] - totals[1]) < 1e-5 * totals[0])
        #expect(numbers(of: prunable.network) == before)
    }

    @Test func criteriaLeaveRunningStatisticsAlone() throws {
        let prunable = try PrunableNetwork(SmallConvolutionNetwork())
        let before = numbers(of: prunable.network)
        for criterion in [
            GradientWeightCriterion(), TaylorCriterion(), GradientFlowCriterion(), HessianDiagonalCriterion(probes: 1),
        ] as [any NetworkCriterion] {
            _ = try prunable.scores(by: criterion, batches: [images()])
        }
        _ = try prunable.scores(by: SynapticFlowCriterion(inputShape: [2, 5, 5]))
        #expect(numbers(of: prunable.network) == before)
    }

    @Test func whatIsMissingIsNamed() throws {
        let prunable = try PrunableNetwork(SmallMLP())
        let error = #expect(throws: CoppiceError.self) { try prunable.scores(by: GradientWeightCriterion()) }
        #expect(error?.kind == .usage && error?.description.contains("snip") == true)
        let hopeless = SmallMLP()
        hopeless.second.weight = hopeless.second.weight * Double.nan
        let bad = #expect(throws: CoppiceError.self) {
            try PrunableNetwork(hopeless).scores(by: GradientWeightCriterion(), batches: [batch])
        }
        #expect(bad?.kind == .badData && bad?.description.contains("first.weight") == true)
        let unknown = #expect(throws: CoppiceError.self) {
            try PrunableNetwork(SmallMLP(), ignore: [WeightPattern("secnd.weight")])
        }
        #expect(unknown?.description.contains("did you mean \"second.weight\"?") == true)
    }
}
