import CKernels
import CoppiceTensors
import Testing

/// Convolution by its definition, in f64: the independent reference.
struct PlainConvolution {
    var input: [Int]
    var weight: [Int]
    var windows: Windows
    var groups: Int

    var output: [Int] {
        let w = windows
        func extent(_ n: Int, _ k: Int, _ s: Int, _ p: Int, _ q: Int, _ d: Int) -> Int {
            (n + p + q - d * (k - 1) - 1) / s + 1
        }
        return [
            input[0], weight[0],
            extent(input[2], weight[2], w.stride.rows, w.lowPadding.rows, w.highPadding.rows, w.dilation.rows),
            extent(
                input[3], weight[3], w.stride.columns, w.lowPadding.columns, w.highPadding.columns, w.dilation.columns),
        ]
    }

    /// Calls `body` with the flat places of x, w and y of each product in the sum.
    func forEachProduct(_ body: (_ x: Int, _ w: Int, _ y: Int) -> Void) {
        let y = output
        let (inputs, outputs) = (weight[1], weight[0] / groups)
        for n in 0..<input[0] {
            for o in 0..<weight[0] {
                for r in 0..<y[2] {
                    for c in 0..<y[3] {
                        for i in 0..<inputs {
                            for a in 0..<weight[2] {
                                for b in 0..<weight[3] {
                                    let row =
                                        r * windows.stride.rows - windows.lowPadding.rows + a * windows.dilation.rows
                                    let column =
                                        c * windows.stride.columns - windows.lowPadding.columns
                                        + b * windows.dilation.columns
                                    guard (0..<input[2]).contains(row), (0..<input[3]).contains(column) else {
                                        continue
                                    }
                                    let channel = o / outputs * inputs + i
                                    body(
                                        ((n * input[1] + channel) * input[2] + row) * input[3] + column,
                                        ((o * inputs + i) * weight[2] + a) * weight[3] + b,
                                        ((n * weight[0] + o) * y[2] + r) * y[3] + c)
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

extension PlainConvolution: CustomTestStringConvertible {
    var testDescription: String { "\(input) * \(weight), groups \(groups), \(windows)" }
}

/// The largest difference relative to the largest reference element (or 1).
func relativeError(_ tensor: Tensor, _ reference: [Double]) -> Double {
    let values = tensor.doubles()
    guard values.count == reference.count else { return .infinity }
    let scale = max(1, reference.lazy.map { abs($0) }.max() ?? 1)
    return zip(values, reference).reduce(0) { worst, pair in
        let difference = abs(pair.0 - pair.1) / scale
        return difference.isNaN ? .infinity : max(worst, difference)
    }
}

extension SerializedByVariant {
    @Suite struct ConvolutionTests {
        static let cases: [PlainConvolution] = [
            .init(input: [1, 1, 1, 1], weight: [1, 1, 1, 1], windows: Windows(kernel: 1), groups: 1),
            .init(input: [2, 3, 8, 8], weight: [4, 3, 3, 3], windows: Windows(kernel: 3, padding: 1), groups: 1),
            .init(
                input: [1, 64, 7, 9], weight: [130, 64, 3, 3], windows: Windows(kernel: 3, stride: 2, padding: 1),
                groups: 1),
            .init(input: [2, 70, 5, 6], weight: [64, 70, 1, 1], windows: Windows(kernel: 1, stride: 2), groups: 1),
            .init(
                input: [3, 5, 9, 7], weight: [6, 5, 2, 3],
                windows: Windows(kernel: [2, 3], stride: [2, 1], padding: [0, 2], dilation: [3, 2]), groups: 1),
            .init(input: [17, 16, 6, 6], weight: [16, 16, 3, 3], windows: Windows(kernel: 3, padding: 1), groups: 1),
            .init(input: [2, 6, 5, 5], weight: [4, 3, 3, 3], windows: Windows(kernel: 3, padding: 1), groups: 2),
            .init(
                input: [1, 32, 6, 6], weight: [32, 1, 3, 3], windows: Windows(kernel: 3, stride: 2, padding: 1),
                groups: 32),
            .init(input: [2, 4, 5, 5], weight: [12, 1, 3, 3], windows: Windows(kernel: 3), groups: 4),
            .init(input: [5, 48, 4, 4], weight: [32, 24, 3, 3], windows: Windows(kernel: 3, padding: 2), groups: 2),
            .init(
                input: [2, 3, 1, 11], weight: [5, 3, 1, 4], windows: Windows(kernel: [1, 4], stride: [1, 3]), groups: 1),
            .init(
                input: [2, 2, 6, 6], weight: [3, 2, 3, 3],
                windows: Windows(kernel: 3, stride: 2, lowPadding: [0, 1], highPadding: [2, 0]), groups: 1),
            .init(input: [2, 3, 10, 10], weight: [4, 3, 3, 3], windows: Windows(kernel: 3, stride: 4), groups: 1),
            .init(input: [0, 3, 4, 4], weight: [2, 3, 3, 3], windows: Windows(kernel: 3), groups: 1),
            .init(input: [2, 0, 4, 4], weight: [2, 0, 3, 3], windows: Windows(kernel: 3), groups: 1),
        ]

        @Test(arguments: cases, [DataType.f32, .f64])
        func equalsItsDefinition(convolution: PlainConvolution, type: DataType) {
            var generator = RandomGenerator(seed: 1)
            let x = Tensor.normal(convolution.input, dataType: type, using: &generator)
            let w = Tensor.normal(convolution.weight, dataType: type, using: &generator)
            let g = Tensor.normal(convolution.output, dataType: type, using: &generator)
            let (xs, ws, gs) = (x.doubles(), w.doubles(), g.doubles())
            var y = [Double](repeating: 0, count: gs.count)
            var dx = [Double](repeating: 0, count: xs.count)
            var dw = [Double](repeating: 0, count: ws.count)
            convolution.forEachProduct { i, j, k in
                y[k] += xs[i] * ws[j]
                dx[i] += gs[k] * ws[j]
                dw[j] += gs[k] * xs[i]
            }
            let (windows, groups) = (convolution.windows, convolution.groups)
            let size = Windows.Axes(rows: x.shape[2], columns: x.shape[3])
            let bound = type == .f64 ? 1e-13 : 1e-5
            let result = x.convolved(with: w, windows: windows, groups: groups)
            #expect(result.shape == convolution.output && result.dataType == type)
            #expect(relativeError(result, y) < bound)
            let inputGradient = g.convolutionInputGradient(
                weight: w, inputSize: size, windows: windows, groups: groups)
            #expect(inputGradient.shape == x.shape)
            #expect(relativeError(inputGradient, dx) < bound)
            let weightGradient = g.convolutionWeightGradient(input: x, windows: windows, groups: groups)
            #expect(weightGradient.shape == w.shape)
            #expect(relativeError(weightGradient, dw) < bound)
        }

        @Test(arguments: cases)
        func resultsDoNotDependOnThreads(convolution: PlainConvolution) {
            var generator = RandomGenerator(seed: 2)
            let x = Tensor.normal(convolution.input, using: &generator)
            let w = Tensor.normal(convolution.weight, using: &generator)
            let g = Tensor.normal(convolution.output, using: &generator)
            let size = Windows.Axes(rows: x.shape[2], columns: x.shape[3])
            let before = coppice_thread_count()
            defer { coppice_set_thread_count(before) }
            var results: Set<[[Float]]> = []
            for threads: Int32 in [1, 2, 5] {
                coppice_set_thread_count(threads)
                results.insert([
                    x.convolved(with: w, windows: convolution.windows, groups: convolution.groups).floats(),
                    g.convolutionInputGradient(
                        weight: w, inputSize: size, windows: convolution.windows, groups: convolution.groups
                    ).floats(),
                    g.convolutionWeightGradient(input: x, windows: convolution.windows, groups: convolution.groups)
                        .floats(),
                ])
            }
            #expect(results.count == 1)
        }
    }
}
