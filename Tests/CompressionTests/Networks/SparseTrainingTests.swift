import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

/// Masked training of layers of which few weights are left is what dense masked training is.
@Suite struct SparseTrainingTests {
    private let source: TensorBatches = {
        var generator = RandomGenerator(seed: 5)
        let targets = Tensor((0..<128).map { $0 % 3 })
        let centres = Tensor.normal([3, 128], using: &generator)
        return TensorBatches(
            inputs: centres.take(targets) + Tensor.normal([128, 128], using: &generator), targets: targets,
            batchSize: 40, seed: 2)
    }()

    private func network() throws -> PrunableNetwork {
        let prunable = try PrunableNetwork(SmallMLP(inputs: 128, hidden: 128))
        try prunable.prune(by: .magnitude, allocation: UniformAllocation(), to: 0.9)
        return prunable
    }

    private func trained(
        sparseFrom: Double, clipNorm: Double? = nil, hooks: [any TrainingHook] = []
    ) throws -> [[Float]] {
        let prunable = try network()
        var training = shortTraining(steps: 12)
        training.clipNorm = clipNorm
        let masked = MaskedTraining(prunable, sparseFrom: sparseFrom)
        try training.run(prunable.network, on: source, hooks: hooks + [masked])
        return prunable.network.parameters.map { $0.parameter.wrappedValue.floats() }
    }

    @Test func sparseStepsAreDenseOnesButForRounding() throws {
        let (sparse, dense) = (try trained(sparseFrom: 0.85), try trained(sparseFrom: .infinity))
        // Other sums, so other last bits.
        #expect(sparse != dense)
        for (a, b) in zip(sparse, dense) {
            #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-4 && ($0 == 0) == ($1 == 0) })
        }
        #expect(try trained(sparseFrom: 0.85) == sparse)
    }

    /// The large layer is sparse enough and large enough; the small one is not.
    @Test func onlyLayersThatGainAreSparse() throws {
        let prunable = try network()
        let hook = MaskedTraining(prunable)
        #expect(hook.sparseProducts != nil && MaskedTraining(prunable, sparseFrom: 0.95).sparseProducts == nil)
        let small = try PrunableNetwork(SmallMLP())
        try small.prune(by: .magnitude, to: 0.95)
        #expect(MaskedTraining(small).sparseProducts == nil)
        // Masks that change are seen.
        prunable.setMasks(prunable.weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) })
        #expect(hook.sparseProducts == nil)
    }

    /// Where gradients of removed weights are asked for, they are there.
    @Test func whoReadsAllGradientsGetsThem() throws {
        final class Reader: TrainingHook {
            let readsAllGradients: Bool
            var nonzero = 0
            init(_ reads: Bool) { readsAllGradients = reads }
            func willUpdate(_ step: Int, gradients: inout [Tensor]) {
                if step == 0 { nonzero = gradients[0].floats().count { $0 != 0 } }
            }
        }
        let (all, few) = (Reader(true), Reader(false))
        let dense = try trained(sparseFrom: .infinity)
        #expect(try trained(sparseFrom: 0.85, hooks: [all]) == dense)
        _ = try trained(sparseFrom: 0.85, hooks: [few])
        #expect(few.nonzero > 0 && few.nonzero <= 128 * 128 / 10 + 1 && all.nonzero > 5 * few.nonzero)
    }

    /// Clipping measures the gradients of kept weights: one step is the masked gradient, scaled to the norm.
    @Test(arguments: [0.85, .infinity]) func clippingSeesKeptWeightsAlone(sparseFrom: Double) throws {
        let prunable = try network()
        let parameters = prunable.network.parameters
        let before = parameters.map { $0.parameter.wrappedValue.detached().copied() }
        var slopes = gradients(
            of: prunable.network.loss(source.batch(at: 0)), withRespectTo: parameters.map(\.parameter.wrappedValue))
        let whole = globalNorm(slopes)
        prunable.applyMasks(toGradients: &slopes)
        let norm = globalNorm(slopes)
        #expect(norm < 0.9 * whole)
        var training = shortTraining(steps: 1)
        training.optimizer = SGD(momentum: 0)
        training.clipNorm = norm / 2
        try training.run(prunable.network, on: source, hooks: [MaskedTraining(prunable, sparseFrom: sparseFrom)])
        let rate = training.rates.rate(at: 0)
        for ((own, slope), (_, parameter)) in zip(zip(before, slopes), parameters) {
            let expected = (own - slope * (rate / 2)).floats()
            let now = parameter.wrappedValue.floats()
            #expect(zip(now, expected).allSatisfy { abs($0 - $1) < 1e-6 })
        }
    }
}
