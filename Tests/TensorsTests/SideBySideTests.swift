import CoppiceTensors
import Dispatch
import Synchronization
import Testing

/// Computations of several threads share one allocator: what a kernel reads or writes must live until it is done, or
/// another thread's tensor comes to lie there.
@Suite struct SideBySideTests {
    /// Runs `body` on four threads many times and counts how often it says no.
    private func failures(_ repetitions: Int, _ body: @Sendable (_ thread: Int) -> Bool) -> Int {
        let failed = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            for _ in 0..<repetitions where !body(thread) { failed.withLock { $0 += 1 } }
        }
        return failed.withLock { $0 }
    }

    @Test func constantsAreTheirOwn() {
        #expect(
            failures(100_000) { thread in
                Tensor.full([256], Double(thread)).withElements(Float.self) { $0.allSatisfy { $0 == Float(thread) } }
            } == 0)
    }

    @Test func lossesOfClassifiersAreTheirOwn() {
        let (x, targets) = (Tensor.ones([16, 8]), Tensor((0..<16).map { $0 % 32 }))
        let weights = (0..<4).map { GradientCheck.numbers([32, 8], seed: UInt64($0)).converted(to: .f32) }
        let expected = weights.map { x.linearCrossEntropy(weight: $0, targets: targets).scalar }
        #expect(
            failures(10_000) { thread in
                x.linearCrossEntropy(weight: weights[thread], targets: targets).scalar == expected[thread]
            } == 0)
    }

    @Test func batchNormalizationsAreTheirOwn() {
        let images = (0..<4).map { GradientCheck.numbers([4, 3, 5, 5], seed: UInt64($0)).converted(to: .f32) }
        let (weight, bias) = (Tensor.ones([3]), Tensor.zeros([3]))
        @Sendable func slopes(_ x: Tensor) -> [[Float]] {
            let inputs = [x, weight, bias].map { $0.tracked() }
            let y = inputs[0].batchNormalized(weight: inputs[1], bias: inputs[2], epsilon: 1e-5).output
            return [y.floats()] + gradients(of: (y * y * y).sum(), withRespectTo: inputs).map { $0.floats() }
        }
        let expected = images.map(slopes)
        #expect(failures(3_000) { slopes(images[$0]) == expected[$0] } == 0)
    }
}
