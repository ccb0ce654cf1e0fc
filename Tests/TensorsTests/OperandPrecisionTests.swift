import CKernels
import CoppiceTensors
import Testing

/// Products whose operands are rounded to bf16.
extension SerializedByVariant {
    @Suite struct OperandPrecisionTests {
        private func numbers(_ shape: [Int], seed: UInt64) -> Tensor {
            GradientCheck.numbers(shape, seed: seed).converted(to: .f32)
        }

        /// In f64.
        private func rounded(_ x: Tensor) -> Tensor { x.converted(to: .bf16).converted(to: .f64) }

        @Test(arguments: [[1, 1, 1], [7, 33, 5], [32, 4, 32], [33, 130, 17], [300, 64, 210], [5, 0, 3]])
        func productsOfRoundedOperands(sizes: [Int]) {
            let (m, k, n) = (sizes[0], sizes[1], sizes[2])
            let (a, b) = (numbers([m, k], seed: 1), numbers([k, n], seed: 2))
            let exact = rounded(a).matmul(rounded(b)).doubles()
            for (left, right) in [
                (a, b), (a.transposed().contiguous().transposed(), b), (a, b.transposed().contiguous().transposed()),
            ] {
                let product = withOperandPrecision(.bf16) { left.matmul(right) }
                #expect(product.dataType == .f32 && product.shape == [m, n])
                #expect(relativeError(product, exact) < 2e-6)
            }
            // Only then.
            #expect(relativeError(a.matmul(b), a.converted(to: .f64).matmul(b.converted(to: .f64)).doubles()) < 2e-6)
        }

        @Test func batchesAndViews() {
            let (a, b) = (numbers([3, 2, 40, 24], seed: 1), numbers([2, 40, 24], seed: 2))
            let view = b.transposed()
            let exact = rounded(a).matmul(rounded(b).transposed()).doubles()
            let product = withOperandPrecision(.bf16) { a.matmul(view) }
            #expect(relativeError(product, exact) < 2e-6)
            // Gaps between rows.
            let cut = a.slice(axis: 3, 3..<20)
            let short = withOperandPrecision(.bf16) { cut.matmul(b.slice(axis: 2, 3..<20).transposed()) }
            let expected = rounded(a).slice(axis: 3, 3..<20).matmul(rounded(b).slice(axis: 2, 3..<20).transposed())
            #expect(relativeError(short, expected.doubles()) < 2e-6)
        }

        @Test func otherTypesAreAsTheyWere() {
            let a = GradientCheck.numbers([5, 6], seed: 1)
            let plain = a.matmul(a.transposed()).doubles()
            #expect(withOperandPrecision(.bf16) { a.matmul(a.transposed()) }.doubles() == plain)
            let half = a.converted(to: .f16)
            let one = withOperandPrecision(.bf16) { half.matmul(half.transposed()) }
            #expect(one.dataType == .f16 && one.doubles() == half.matmul(half.transposed()).doubles())
        }

        /// A backward pass takes the precision of the forward pass, wherever it runs.
        @Test func derivativesRoundTheirOperands() {
            let (a, b) = (numbers([19, 30], seed: 1), numbers([30, 23], seed: 2))
            let g = numbers([19, 23], seed: 3)
            let inputs = [a.tracked(), b.tracked()]
            let product = withOperandPrecision(.bf16) { inputs[0].matmul(inputs[1]) }
            let slopes = gradients(of: product, withRespectTo: inputs, seed: g)
            #expect(relativeError(slopes[0], rounded(g).matmul(rounded(b).transposed()).doubles()) < 2e-6)
            #expect(relativeError(slopes[1], rounded(a).transposed().matmul(rounded(g)).doubles()) < 2e-6)
            // And not that of where it runs.
            let exact = inputs[0].matmul(inputs[1])
            let other = withOperandPrecision(.bf16) { gradients(of: exact, withRespectTo: inputs, seed: g) }
            let expected = g.converted(to: .f64).matmul(b.converted(to: .f64).transposed()).doubles()
            #expect(relativeError(other[0], expected) < 2e-6)
        }

        /// Derivatives of first and second order within what eight bits of a factor allow.
        @Test func derivativesOfANetwork() {
            let inputs = [numbers([8, 6], seed: 1), numbers([6, 9], seed: 2), numbers([9, 4], seed: 3)]
            let directions = inputs.map { numbers($0.shape, seed: 9) }
            func loss(_ x: [Tensor]) -> Tensor { (x[0].matmul(x[1]) * 0.2).tanh().matmul(x[2]).square().mean() }
            let doubles = inputs.map { $0.converted(to: .f64) }
            let (exact, own) = (doubles.map { $0.tracked() }, inputs.map { $0.tracked() })
            let first = gradients(of: loss(exact), withRespectTo: exact)
            let found = gradients(of: withOperandPrecision(.bf16) { loss(own) }, withRespectTo: own)
            for (a, b) in zip(found, first) { #expect(relativeError(a, b.doubles()) < 0.01) }
            let second = hessianVectorProduct(
                of: loss, at: doubles, direction: directions.map { $0.converted(to: .f64) })
            let products = hessianVectorProduct(
                of: { x in withOperandPrecision(.bf16) { loss(x) } }, at: inputs, direction: directions)
            for (a, b) in zip(products, second) { #expect(relativeError(a, b.doubles()) < 0.03) }
        }

        @Test(arguments: [false, true]) func convolutions(isChannelsLast: Bool) {
            let windows = Windows(kernel: 3, stride: 2, padding: 1)
            let (x, w) = (numbers([5, 16, 9, 9], seed: 1), numbers([32, 16, 3, 3], seed: 2))
            let inputs = [isChannelsLast ? x.channelsLast().tracked() : x.tracked(), w.tracked()]
            let y = withOperandPrecision(.bf16) { inputs[0].convolved(with: inputs[1], windows: windows) }
            let g = numbers(y.shape, seed: 3)
            let exact = rounded(x).convolved(with: rounded(w), windows: windows)
            #expect(y.dataType == .f32 && relativeError(y, exact.doubles()) < 2e-6)
            let slopes = gradients(of: y, withRespectTo: inputs, seed: g)
            let points = [rounded(x).tracked(), rounded(w).tracked()]
            let expected = gradients(
                of: points[0].convolved(with: points[1], windows: windows), withRespectTo: points, seed: rounded(g))
            for (a, b) in zip(slopes, expected) { #expect(relativeError(a, b.doubles()) < 2e-6) }
        }

        @Test func classifiers() {
            let (x, w) = (numbers([50, 24], seed: 1), numbers([70, 24], seed: 2))
            let targets = Tensor((0..<50).map { $0 * 7 % 70 - ($0 == 3 ? 100 : 0) })
            let inputs = [x.tracked(), w.tracked()]
            let loss = withOperandPrecision(.bf16) { inputs[0].linearCrossEntropy(weight: inputs[1], targets: targets) }
            let points = [rounded(x).tracked(), rounded(w).tracked()]
            let exact = points[0].linearCrossEntropy(weight: points[1], targets: targets)
            #expect(relativeError(loss, exact.doubles()) < 1e-5)
            let own = gradients(of: loss, withRespectTo: inputs)
            let expected = gradients(of: exact, withRespectTo: points)
            for (a, b) in zip(own, expected) { #expect(relativeError(a, b.doubles()) < 0.01) }
        }

        @Test func sameBitsForAnyNumberOfThreads() {
            let (a, b) = (numbers([700, 90], seed: 1), numbers([90, 800], seed: 2))
            let x = numbers([9, 16, 12, 12], seed: 3).channelsLast()
            let w = numbers([16, 16, 3, 3], seed: 4)
            var found: Set<[Float]> = []
            let count = coppice_thread_count()
            defer { coppice_set_thread_count(count) }
            for threads in [1, 2, 5] as [Int32] {
                coppice_set_thread_count(threads)
                let results = withOperandPrecision(.bf16) {
                    [a.matmul(b), x.convolved(with: w, windows: Windows(kernel: 3, padding: 1))]
                }
                found.insert(results.flatMap { $0.floats() })
            }
            #expect(found.count == 1)
        }
    }
}
