import CKernels
import CoppiceTensors
import Testing

@Suite struct PreciseCrossEntropyTests {
    private func scores(_ rows: Int, _ classes: Int, spread: Double, seed: UInt64) -> (Tensor, Tensor) {
        var generator = RandomGenerator(seed: seed)
        let x = Tensor.normal([rows, classes], standardDeviation: spread, using: &generator)
        return (x, .randomIntegers([rows], in: 0..<classes, using: &generator))
    }

    @Test(arguments: [2, 15, 16, 17, 67, 134]) func equalsF32AtModerateConfidence(classes: Int) {
        let (x, targets) = scores(50, classes, spread: 2, seed: 1)
        let precise = x.preciseCrossEntropy(targets: targets)
        #expect(precise.dataType == .f64 && precise.shape.isEmpty)
        let single = x.crossEntropy(targets: targets).mean()
        #expect(abs(precise.doubles()[0] - single.doubles()[0]) < 1e-6)
    }

    @Test func staysAccurateWhereTheTargetHasNearlyAll() {
        // One other class e^-27.6 as likely: the loss is log(1 + e^-27.6).
        let x = Tensor([27.631021 as Float, 0, 27.631021, -100], shape: [2, 2])
        let loss = x.preciseCrossEntropy(targets: Tensor([0, 0]))
        let small = 0.5 * 1.0000000e-12
        #expect(loss.doubles()[0] > 0)
        #expect(abs(loss.doubles()[0] - small) < 1e-3 * small)
        #expect(x.crossEntropy(targets: Tensor([0, 0])).sum().scalar < 1e-7)
        let tracked = x.tracked()
        let slope = gradients(of: tracked.preciseCrossEntropy(targets: Tensor([0, 0])), withRespectTo: [tracked])[0]
        #expect(slope.dataType == .f32)
        let (own, other) = (slope.floats()[0], slope.floats()[1])
        #expect(own < 0 && own == -other)
        #expect(abs(Double(other) - small) < 1e-3 * small)
    }

    @Test(arguments: [COPPICE_CPU_PORTABLE, COPPICE_CPU_AVX2, COPPICE_CPU_AVX512])
    func kernelEqualsItsComposition(level: coppice_cpu_level) {
        let before = coppice_cpu_level_in_use()
        defer { coppice_set_cpu_level(before) }
        guard coppice_set_cpu_level(level) == level else { return }
        let (x, targets) = scores(40, 67, spread: 5, seed: 2)
        let a = x.tracked()
        let b = x.converted(to: .f64).tracked()
        let (one, two) = (a.preciseCrossEntropy(targets: targets), b.preciseCrossEntropy(targets: targets))
        #expect(abs(one.doubles()[0] - two.doubles()[0]) < 1e-13)
        let (p, q) = (gradients(of: one, withRespectTo: [a])[0], gradients(of: two, withRespectTo: [b])[0])
        for (u, v) in zip(p.doubles(), q.doubles()) { #expect(abs(u - v) <= 2.4e-7 * abs(v) + 1e-17) }
    }

    @Test func targetsThatDoNotCountHaveNoPart() {
        let (x, _) = scores(4, 7, spread: 1, seed: 3)
        let tracked = x.tracked()
        let targets = Tensor([3, -1, 6, -1])
        let loss = tracked.preciseCrossEntropy(targets: targets)
        let counted = x.take(Tensor([0, 2])).preciseCrossEntropy(targets: Tensor([3, 6]))
        #expect(loss.doubles() == counted.doubles())
        let slope = gradients(of: loss, withRespectTo: [tracked])[0].floats()
        #expect(slope[7..<14].allSatisfy { $0 == 0 } && slope[21..<28].allSatisfy { $0 == 0 })
        #expect(x.preciseCrossEntropy(targets: Tensor([-1, -1, -1, -1])).doubles() == [0])
    }

    @Test func secondDerivativesAreThoseOfTheComposition() {
        let (x, targets) = scores(5, 6, spread: 1, seed: 4)
        var generator = RandomGenerator(seed: 5)
        let direction = Tensor.normal([5, 6], using: &generator)
        let fast = hessianVectorProduct(
            of: { $0[0].preciseCrossEntropy(targets: targets) }, at: [x], direction: [direction])[0]
        let plain = hessianVectorProduct(
            of: { $0[0].crossEntropy(targets: targets).mean() }, at: [x], direction: [direction])[0]
        for (a, b) in zip(fast.doubles(), plain.doubles()) { #expect(abs(a - b) < 1e-6) }
    }
}

@Suite struct RectifiedPairSumTests {
    @Test(arguments: [COPPICE_CPU_PORTABLE, COPPICE_CPU_AVX2, COPPICE_CPU_AVX512])
    func kernelEqualsItsComposition(level: coppice_cpu_level) {
        let before = coppice_cpu_level_in_use()
        defer { coppice_set_cpu_level(before) }
        guard coppice_set_cpu_level(level) == level else { return }
        var generator = RandomGenerator(seed: 1)
        for columns in [1, 7, 64, 100] {
            let table = Tensor.normal([9, columns], using: &generator)
            let first = Tensor.randomIntegers([300], in: 0..<9, using: &generator)
            let second = Tensor.randomIntegers([300], in: 0..<9, using: &generator)
            let seed = Tensor.normal([300, columns], using: &generator)
            let (a, b) = (table.tracked(), table.tracked())
            let fast = a.rectifiedPairSum(first, second)
            let plain = (b.take(first) + b.take(second)).relu()
            #expect(fast.floats() == plain.floats())
            let p = gradients(of: fast, withRespectTo: [a], seed: seed)[0].floats()
            let q = gradients(of: plain, withRespectTo: [b], seed: seed)[0].floats()
            for (u, v) in zip(p, q) { #expect(abs(u - v) < 1e-4) }
        }
    }

    @Test func derivativeAtZeroIsZero() {
        let table = Tensor([0 as Float, 1, -1], shape: [3, 1]).tracked()
        let sum = table.rectifiedPairSum(Tensor([0, 1, 1]), Tensor([0, 2, 1])).sum()
        #expect(gradients(of: sum, withRespectTo: [table])[0].floats() == [0, 2, 0])
        let x = Tensor([-1 as Float, 0, 2]).tracked()
        #expect(x.rectified().floats() == [0, 0, 2])
        #expect(gradients(of: x.rectified().sum(), withRespectTo: [x])[0].floats() == [0, 0, 1])
    }
}
