import CoppiceTensors
import Testing

/// A classifier with its loss, in groups of rows.
@Suite struct LinearCrossEntropyTests {
    /// So many classes that the rows go through in three groups.
    @Test func groupsOfRowsAddUp() {
        let (rows, size, classes) = (300, 4, 20_000)
        let x = GradientCheck.numbers([rows, size], seed: 1)
        let w = GradientCheck.numbers([classes, size], seed: 2)
        let targets = Tensor((0..<rows).map { $0 % 41 == 5 ? -1 : $0 * 7919 % classes })
        let scale = 0.7
        func run(_ type: DataType) -> [Tensor] {
            let inputs = [x, w].map { $0.converted(to: type).tracked() }
            let loss = inputs[0].linearCrossEntropy(weight: inputs[1], targets: targets)
            #expect(loss.shape == [] && loss.dataType == type)
            // Twice from one graph.
            let first = gradients(of: loss * scale, withRespectTo: inputs)
            let again = gradients(of: loss * scale, withRespectTo: inputs)
            for (a, b) in zip(first, again) { #expect(a.doubles() == b.doubles()) }
            return [loss] + first
        }
        let exact = run(.f64)
        // Primitives only.
        let points = [x.tracked(), w.tracked()]
        let plain = points[0].matmul(points[1].transposed()).crossEntropy(targets: targets).sum()
        let slopes = gradients(of: plain * scale, withRespectTo: points)
        for (a, b) in zip(exact, [plain] + slopes) { #expect(relativeError(a, b.doubles()) < 1e-12) }
        for (a, b) in zip(run(.f32), exact) {
            // Relative to the largest slope.
            let top = b.abs().maximum().doubles()[0]
            #expect(relativeError(a.converted(to: .f64) / top, (b / top).doubles()) < 1e-5)
        }
    }

    @Test func inputsThatAreNotTracked() {
        let (x, w) = (Tensor.ones([3, 2]), Tensor([1, 0, 0, 1] as [Float], shape: [2, 2]))
        let targets = Tensor([0, 1, -1])
        let plain = x.linearCrossEntropy(weight: w, targets: targets)
        #expect(!plain.isTracked && abs(plain.scalar - 1.3862944) < 1e-6)
        let weight = w.tracked()
        let slope = gradients(
            of: x.linearCrossEntropy(weight: weight, targets: targets), withRespectTo: [weight])[0]
        #expect(slope.floats() == [0, 0, 0, 0])
        let silent = withoutRecording { x.linearCrossEntropy(weight: weight, targets: targets) }
        #expect(!silent.isTracked && silent.scalar == plain.scalar)
        #expect(Tensor.zeros([0, 2]).linearCrossEntropy(weight: w, targets: Tensor([Int]())).scalar == 0)
    }

    @Test func scoresNeverExistAsAWhole() {
        // They would take 1 GB.
        let count = 16_384
        var generator = RandomGenerator(seed: 1)
        let x = Tensor.normal([count, 4], using: &generator).tracked()
        let w = Tensor.normal([count, 4], using: &generator).tracked()
        let before = CachingAllocator.shared.liveBytes
        CachingAllocator.shared.resetPeak()
        let loss = x.linearCrossEntropy(weight: w, targets: .range(count))
        let slopes = gradients(of: loss, withRespectTo: [x, w])
        #expect(slopes.allSatisfy { $0.floats().allSatisfy(\.isFinite) })
        #expect(CachingAllocator.shared.peakBytes - before < 512 << 20)
    }
}
