import CKernels
import CoppiceTensors
import Testing

extension SerializedByVariant {
    /// Convolutions that skip zeros are those with the whole weight.
    @Suite(.serialized) struct SparseKernelTests {
        /// Of every stride, padding, dilation and grouping, with rows wider than a band of outputs, of a vector, of a pixel.
        static let cases =
            ConvolutionTests.cases + [
                .init(
                    input: [1, 2, 3, 2500], weight: [2, 2, 3, 3], windows: Windows(kernel: 3, padding: 1), groups: 1),
                .init(
                    input: [2, 3, 70, 60], weight: [4, 3, 3, 3], windows: Windows(kernel: 3, padding: 1), groups: 1),
                .init(input: [9, 4, 16, 16], weight: [5, 4, 1, 1], windows: Windows(kernel: 1), groups: 1),
                .init(input: [3, 4, 5, 1], weight: [5, 4, 3, 1], windows: Windows(kernel: [3, 1]), groups: 1),
                .init(
                    input: [2, 3, 11, 11], weight: [4, 3, 5, 5], windows: Windows(kernel: 5, stride: 3, padding: 2),
                    groups: 1),
            ]

        /// About a part of the entries of `shape`, the others zero.
        private func weight(_ shape: [Int], _ part: Double, _ generator: inout RandomGenerator) -> Tensor {
            let kept = Tensor.bernoulli(shape, probability: part, using: &generator)
            return Tensor.normal(shape, using: &generator) * kept
        }

        @Test(arguments: cases, [0, 0.3, 1])
        func equalsTheWholeConvolution(convolution: PlainConvolution, part: Double) {
            var generator = RandomGenerator(seed: 1)
            let x = Tensor.normal(convolution.input, using: &generator)
            let w = weight(convolution.weight, part, &generator)
            let (windows, groups) = (convolution.windows, convolution.groups)
            let expected = x.convolved(with: w, windows: windows, groups: groups).doubles()
            let kernel = SparseKernel(w)
            #expect(kernel.keptCount == w.floats().count { $0 != 0 })
            var first: [Float]?
            underEveryVariant { variant in
                let y = x.convolved(with: kernel, windows: windows, groups: groups)
                #expect(y.shape == convolution.output && y.isContiguous)
                #expect(relativeError(y, expected) < 1e-5, "\(variant)")
                let last = x.channelsLast().convolved(with: kernel, windows: windows, groups: groups)
                #expect(last.floats() == y.floats(), "\(variant): channels last changes the result")
                if variant.hasSuffix("1 threads") {
                    first = y.floats()
                } else {
                    #expect(y.floats() == first, "\(variant): threads change the result")
                }
            }
        }

        /// Rows that are vectors, parts of them and several, with and without a residual.
        @Test(arguments: [4, 9, 16, 33], [false, true])
        func outputsAreFinishedInPassing(size: Int, addsAndRectifies: Bool) {
            var generator = RandomGenerator(seed: 4)
            let w = weight([5, 3, 3, 3], 0.4, &generator)
            let x = Tensor.normal([6, 3, size, size], using: &generator)
            let (scales, shifts) = (Tensor.normal([5], using: &generator), Tensor.normal([5], using: &generator))
            let residual = Tensor.normal([6, 5, size, size], using: &generator)
            let windows = Windows(kernel: 3, padding: 1)
            func each(_ values: Tensor) -> Tensor { values.reshaped([1, 5, 1, 1]) }
            var expected = x.convolved(with: w, windows: windows) * each(scales) + each(shifts)
            if addsAndRectifies { expected = Tensor.maximum(expected + residual, Tensor(0)) }
            underEveryVariant { variant in
                let y = x.convolved(
                    with: SparseKernel(w), windows: windows,
                    epilogue: .init(
                        scales: scales, shifts: shifts, residual: addsAndRectifies ? residual.channelsLast() : nil,
                        rectifies: addsAndRectifies))
                #expect(relativeError(y, expected.doubles()) < 1e-5, "\(variant)")
            }
        }

        /// A number that is none is not rectified away.
        @Test func notANumberStaysNone() {
            let kernel = SparseKernel(.ones([1, 1, 1, 1]))
            let x = Tensor([.nan, -1, 2] as [Float], shape: [1, 1, 1, 3])
            let y = x.convolved(
                with: kernel, windows: Windows(kernel: 1),
                epilogue: .init(scales: .ones([1]), shifts: .zeros([1]), rectifies: true))
            #expect(y.floats()[0].isNaN && y.floats().dropFirst() == [0, 2])
        }

        /// What is known of one size of images is not used for another.
        @Test func oneKernelMeetsImagesOfSeveralSizes() {
            var generator = RandomGenerator(seed: 2)
            let w = weight([4, 3, 3, 3], 0.4, &generator)
            let kernel = SparseKernel(w)
            for (size, windows) in [
                (9, Windows(kernel: 3, padding: 1)), (12, Windows(kernel: 3, padding: 1)),
                (9, Windows(kernel: 3, stride: 2)),
            ] {
                let x = Tensor.normal([2, 3, size, size], using: &generator)
                let expected = x.convolved(with: w, windows: windows).doubles()
                #expect(relativeError(x.convolved(with: kernel, windows: windows), expected) < 1e-5)
            }
        }

        /// More images than are padded at a time, and a thread for each of few.
        @Test func manyImagesAreThoseOfEach() {
            var generator = RandomGenerator(seed: 3)
            let kernel = SparseKernel(weight([3, 8, 3, 3], 0.3, &generator))
            let x = Tensor.normal([40, 8, 64, 64], using: &generator)
            let windows = Windows(kernel: 3, padding: 1)
            let all = x.convolved(with: kernel, windows: windows)
            for image in [0, 17, 39] {
                let own = x.slice(axis: 0, image..<image + 1).convolved(with: kernel, windows: windows)
                #expect(own.floats() == all.slice(axis: 0, image..<image + 1).floats())
            }
        }

        /// Only entries that are not zero meet the images.
        @Test func zerosAreNotMultiplied() {
            let kernel = SparseKernel(Tensor([0, 2] as [Float], shape: [1, 2, 1, 1]))
            let x = Tensor([.infinity, .nan, 3, 4] as [Float], shape: [1, 2, 1, 2])
            #expect(x.convolved(with: kernel, windows: Windows(kernel: 1)).floats() == [6, 8])
        }
    }
}
