import CKernels
import CoppiceTensors
import Synchronization
import Testing

/// What is recorded and what is not.
@Suite struct DifferentiationTests {
    private let x = Tensor([0.5, -1.5, 2], shape: [3])

    @Test func gradientsOfWhatDoesNotDependAreZeros() {
        let (a, b) = (x.tracked(), x.tracked())
        let found = gradients(of: a.square().sum(), withRespectTo: [a, b])
        #expect(found[0].doubles() == [1, -3, 4] && found[1].doubles() == [0, 0, 0])
        #expect(gradients(of: x.sum(), withRespectTo: [a])[0].doubles() == [0, 0, 0])
    }

    @Test func usesAddUp() {
        let a = x.tracked()
        let y = a * a + a + 3 * a
        #expect(gradients(of: y.sum(), withRespectTo: [a])[0].doubles() == [5, 1, 8])
        // An intermediate value is an input like any other.
        let z = a.square()
        let found = gradients(of: (z * z + a).sum(), withRespectTo: [z, a])
        #expect(found[0].doubles() == [0.5, 4.5, 8])
        #expect(found[1].doubles() == [1.5, -12.5, 33])
    }

    @Test func seedsWeightOutputs() {
        let a = x.tracked()
        let found = gradients(of: a.square(), withRespectTo: [a], seed: Tensor([1.0, 0, -1]))
        #expect(found[0].doubles() == [1, 0, -4])
    }

    @Test func detachedTensorsStopGradients() {
        let a = x.tracked()
        #expect(gradients(of: (a * a.detached()).sum(), withRespectTo: [a])[0].doubles() == x.doubles())
        #expect(!a.detached().isTracked)
    }

    @Test func nothingIsRecordedWithoutNeed() {
        let a = x.tracked()
        #expect(a.exp().isTracked)
        #expect(!x.exp().isTracked)
        let quiet = withoutRecording { a.exp() * a }
        #expect(!quiet.isTracked && quiet.doubles() == (x.exp() * x).doubles())
        #expect(!gradients(of: a.square().sum(), withRespectTo: [a])[0].isTracked)
        #expect(gradients(of: a.square().sum(), withRespectTo: [a], differentiable: true)[0].isTracked)
        #expect(!a.isLess(than: 1).isTracked && !a.argmax().isTracked && !a.converted(to: .i64).isTracked)
    }

    @Test func withoutRecordingEndsWithAnError() {
        struct Stop: Error {}
        let a = x.tracked()
        #expect(throws: Stop.self) { try withoutRecording { throw Stop() } }
        #expect(a.exp().isTracked)
    }

    @Test func gradientsHaveTheTypeOfTheirInputs() {
        for type in [DataType.f32, .f64, .bf16, .f16] {
            let a = Tensor.ones([2, 3], dataType: type).tracked()
            let y = (a * Tensor.full([3], 2, dataType: .f64)).matmul(Tensor.ones([3, 2], dataType: .f32)).sum()
            let gradient = gradients(of: y, withRespectTo: [a])[0]
            #expect(gradient.dataType == type && gradient.doubles() == [4, 4, 4, 4, 4, 4])
        }
    }

    @Test func thirdDerivatives() {
        let a = x.tracked()
        var y = a.sin().sum()
        for _ in 0..<2 { y = gradients(of: y, withRespectTo: [a], differentiable: true)[0].sum() }
        let third = gradients(of: y, withRespectTo: [a])[0]
        #expect(relativeError(third, (-x.cos()).doubles()) < 1e-14)
    }

    @Test func hessianOfAQuadraticForm() {
        let matrix = GradientCheck.numbers([3, 3])
        let direction = Tensor([1.0, -2, 0.5])
        let product = hessianVectorProduct(
            of: { inputs in
                let column = inputs[0].reshaped([3, 1])
                return column.transposed().matmul(matrix).matmul(column).sum()
            }, at: [x], direction: [direction])[0]
        let expected = (matrix + matrix.transposed()).matmul(direction.reshaped([3, 1]))
        #expect(relativeError(product, expected.doubles()) < 1e-14)
    }

    /// Neither differentiating nor releasing a long computation nests calls.
    @Test func longComputations() {
        let a = Tensor([1.0]).tracked()
        var y = a
        for _ in 0..<100_000 { y = y + a }
        #expect(gradients(of: y.sum(), withRespectTo: [a])[0].doubles() == [100_001])
    }

    // MARK: Recomputation

    @Test func recomputedGradientsEqualKeptOnes() {
        let runs = Atomic<Int>(0)
        let a = GradientCheck.numbers([4, 3]).tracked()
        let b = GradientCheck.numbers([3, 2], seed: 2).tracked()
        @Sendable func function(_ inputs: [Tensor]) -> Tensor { inputs[0].matmul(inputs[1]).tanh().square() }
        let plain = function([a, b])
        let lean = checkpointed([a, b]) { inputs in
            runs.add(1, ordering: .relaxed)
            return function(inputs)
        }
        #expect(lean.doubles() == plain.doubles())
        #expect(runs.load(ordering: .relaxed) == 1)
        let kept = gradients(of: plain.exp().sum(), withRespectTo: [a, b])
        let again = gradients(of: lean.exp().sum(), withRespectTo: [a, b])
        #expect(runs.load(ordering: .relaxed) == 2)
        #expect(kept.map { $0.doubles() } == again.map { $0.doubles() })
    }

    @Test func recomputationCanBeDifferentiatedTwice() {
        let inputs = [GradientCheck.numbers([4, 3]), GradientCheck.numbers([3, 2], seed: 2)]
        GradientCheck("checkpointed", inputs) { inputs in
            checkpointed(inputs) { $0[0].matmul($0[1]).tanh().square() }.exp()
        }.check()
        GradientCheck("nested", inputs) { inputs in
            checkpointed(inputs) { inner in checkpointed(inner) { $0[0].square().matmul($0[1]) }.tanh() }
        }.check()
    }

    @Test func recomputationLeavesUntrackedInputsAlone() {
        let a = x.tracked()
        let y = checkpointed([a, x]) { ($0[0] * $0[1]).square() }
        let gradient = gradients(of: y.sum(), withRespectTo: [a])[0]
        let expected: Tensor = x * x.square() * 2.0
        #expect(relativeError(gradient, expected.doubles()) < 1e-14)
        #expect(!checkpointed([x]) { $0[0].exp() }.isTracked)
    }
}

extension SerializedByVariant {
    @Suite struct ThreadIndependenceTests {
        /// A forward and backward pass over most kinds of kernel: the same bits for every number of threads.
        @Test func aTrainingStepIsTheSameForAllThreads() {
            var generator = RandomGenerator(seed: 3)
            let image = Tensor.normal([6, 3, 20, 20], using: &generator)
            let kernel = Tensor.normal([8, 3, 3, 3], using: &generator)
            let weight = Tensor.normal([800, 300], standardDeviation: 0.05, using: &generator)
            let targets = Tensor.randomIntegers([6], in: 0..<300, using: &generator)
            let scale = Tensor.ones([800])
            func step() -> [[Float]] {
                let inputs = [image, kernel, weight, scale].map { $0.tracked() }
                let features = inputs[0].convolved(with: inputs[1], windows: Windows(kernel: 3, padding: 1)).silu()
                    .maxPooled(Windows(kernel: 2, stride: 2)).reshaped([6, 800])
                    .rmsNormalized(weight: inputs[3], epsilon: 1e-5)
                let loss = features.matmul(inputs[2]).crossEntropy(targets: targets).mean()
                return ([loss] + gradients(of: loss, withRespectTo: inputs)).map { $0.floats() }
            }
            let before = coppice_thread_count()
            defer { coppice_set_thread_count(before) }
            var results: Set<[[Float]]> = []
            for threads: Int32 in [1, 2, 3, 7] {
                coppice_set_thread_count(threads)
                results.insert(step())
            }
            #expect(results.count == 1)
        }
    }
}
