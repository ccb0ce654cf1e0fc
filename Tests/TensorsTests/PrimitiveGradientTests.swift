import CoppiceTensors
import Testing

/// The derivatives of every primitive, of first and second order.
@Suite struct PrimitiveGradientTests {
    typealias Check = GradientCheck

    @Test(arguments: [[], [3], [2, 3], [0, 2]]) func unaryFunctions(shape: [Int]) {
        let x = Check.numbers(shape)
        let positive = Check.numbers(shape, signed: false)
        let functions: [(String, Tensor, (Tensor) -> Tensor)] = [
            ("negate", x, { -$0 }), ("abs", x, { $0.abs() }), ("square", x, { $0.square() }), ("exp", x, { $0.exp() }),
            ("log", positive, { $0.log() }), ("squareRoot", positive, { $0.squareRoot() }),
            ("reciprocalSquareRoot", positive, { $0.reciprocalSquareRoot() }),
            ("reciprocal", x, { $0.reciprocal() }), ("tanh", x, { $0.tanh() }), ("sigmoid", x, { $0.sigmoid() }),
            ("sin", x, { $0.sin() }), ("cos", x, { $0.cos() }), ("erf", x, { $0.erf() }), ("relu", x, { $0.relu() }),
            ("silu", x, { $0.silu() }), ("gelu", x, { $0.gelu() }), ("softplus", x, { $0.softplus() }),
            ("clamped", x, { $0.clamped(-1.01, 0.99) }), ("power 3", x, { $0.power(3) }),
            ("power 0.7", positive, { $0.power(0.7) }), ("power -2", x, { $0.power(-2) }),
            ("sign", x, { $0.sign() * $0 }), ("floor", x, { $0.floor() * $0 }), ("ceil", x, { $0.ceil() * $0 }),
            ("rounded", x, { $0.rounded() * $0 }), ("one plus", x, { 1 + $0 }), ("one minus", x, { 1 - $0 }),
            ("times", x, { 3 * $0 }), ("over", x, { 2 / $0 }),
        ]
        for (name, input, function) in functions { Check("\(name) of \(shape)", [input], { function($0[0]) }).check() }
    }

    @Test(
        arguments: [
            ([], []), ([3], [3]), ([2, 3], [3]), ([2, 1], [1, 3]), ([], [2, 2]), ([2, 3, 1], [3, 4]),
            ([0, 3], [1, 3]),
        ] as [([Int], [Int])])
    func binaryFunctions(first: [Int], second: [Int]) {
        let (a, b) = (Check.numbers(first), Check.numbers(second, seed: 2))
        let positive = Check.numbers(first, signed: false, seed: 3)
        Check("add", [a, b], { $0[0] + $0[1] }).check()
        Check("subtract", [a, b], { $0[0] - $0[1] }).check()
        Check("multiply", [a, b], { $0[0] * $0[1] }).check()
        Check("divide", [a, b], { $0[0] / $0[1] }).check()
        Check("power", [positive, b], { $0[0].power($0[1]) }).check()
        Check("maximum", [a, b], { Tensor.maximum($0[0].square(), $0[1].square()) }).check()
        Check("minimum", [a, b], { Tensor.minimum($0[0].square(), $0[1].square()) }).check()
        Check(
            "select", [a, b],
            {
                Tensor.select($0[0].detached().isLess(than: $0[1].detached()), $0[0].square(), $0[1].square())
            }
        ).check()
    }

    @Test func tiesShareTheGradient() {
        let a = Tensor([1.0, 2, 3]).tracked()
        let b = Tensor([1.0, 5, 2]).tracked()
        #expect(
            gradients(of: Tensor.maximum(a, b).sum(), withRespectTo: [a, b]).map { $0.doubles() } == [
                [0.5, 0, 1], [0.5, 1, 0],
            ])
        let c = Tensor([3.0, 1, 3]).tracked()
        #expect(gradients(of: c.maximum(), withRespectTo: [c])[0].doubles() == [0.5, 0, 0.5])
    }

    @Test func powersOfZeroHaveAllDerivatives() {
        let x = Tensor([0.0, 2]).tracked()
        let first = gradients(of: x.power(2).sum(), withRespectTo: [x], differentiable: true)[0]
        let second = gradients(of: first.sum(), withRespectTo: [x], differentiable: true)[0]
        let third = gradients(of: second.sum(), withRespectTo: [x])[0]
        #expect(first.doubles() == [0, 4] && second.doubles() == [2, 2] && third.doubles() == [0, 0])
    }

    @Test(
        arguments: [
            ([3], [0]), ([2, 3], [0]), ([2, 3], [1]), ([2, 3], [0, 1]), ([2, 3, 4], [0, 2]), ([2, 3, 4], [1]),
            ([2, 1, 3], [1]),
            ([2, 3, 4, 2], [1, 2]),
        ] as [([Int], [Int])])
    func reductions(shape: [Int], axes: [Int]) {
        let x = Check.numbers(shape)
        for keeping in [false, true] {
            Check("sum", [x], { $0[0].square().sum(axes: axes, keepingDimensions: keeping) }).check()
            Check("mean", [x], { $0[0].square().mean(axes: axes, keepingDimensions: keeping) }).check()
            Check("max", [x], { $0[0].square().maximum(axes: axes, keepingDimensions: keeping) }).check()
            Check("min", [x], { $0[0].square().minimum(axes: axes, keepingDimensions: keeping) }).check()
            Check("variance", [x], { $0[0].square().variance(axes: axes, keepingDimensions: keeping) }).check()
        }
        for axis in axes {
            for reverse in [false, true] {
                Check("cumulative sum", [x], { $0[0].square().cumulativeSum(axis: axis, reverse: reverse) }).check()
            }
            Check("log sum exp", [x], { $0[0].logSumExp(axis: axis) }).check()
        }
        Check("sorted", [x], { $0[0].square().sorted() }).check()
        Check("all", [x], { $0[0].square().sum() * $0[0].mean() * $0[0].maximum() }).check()
    }

    @Test(
        arguments: [
            ([2, 3], [3, 4]), ([1, 1], [1, 1]), ([5, 2, 3], [5, 3, 2]), ([2, 3], [4, 3, 2]),
            ([2, 1, 2, 3], [3, 3, 1]),
            ([2, 0], [0, 3]), ([0, 2], [2, 3]),
        ] as [([Int], [Int])])
    func matrixProducts(first: [Int], second: [Int]) {
        let (a, b) = (Check.numbers(first), Check.numbers(second, seed: 2))
        Check("matmul", [a, b], { $0[0].matmul($0[1]) }).check()
        Check("matmul of views", [a.transposed().contiguous(), b], { $0[0].transposed().matmul($0[1]).square() })
            .check()
    }

    @Test func movement() {
        let x = Check.numbers([2, 3, 4])
        let y = Check.numbers([2, 1, 4], seed: 2)
        Check("permuted", [x], { $0[0].permuted([2, 0, 1]).square() }).check()
        Check("transposed", [x], { $0[0].transposed(0, 2).exp() }).check()
        Check("reshaped", [x], { $0[0].reshaped([4, -1]).square() }).check()
        Check("reshaped view", [x], { $0[0].permuted([1, 2, 0]).reshaped([3, 8]).square() }).check()
        Check("broadcast", [y], { $0[0].broadcast(to: [5, 2, 3, 4]).square() }).check()
        Check("slice", [x], { $0[0].slice(axis: 1, 1..<3).square() }).check()
        Check(
            "strided slice", [x],
            {
                $0[0].slice([
                    AxisSlice(0..<2), AxisSlice(start: 2, count: 2, step: -2), AxisSlice(start: 1, count: 2, step: 2),
                ])
                .square()
            }
        ).check()
        Check("subscript", [x], { $0[0][1].square() }).check()
        Check("flipped", [x], { ($0[0].flipped(axis: 1) * $0[0]).square() }).check()
        Check("padded", [x], { $0[0].padded([(0, 1), (2, 0), (1, 1)]).square() }).check()
        Check("concatenated", [x, y], { Tensor.concatenated([$0[0], $0[1], $0[0]], axis: 1).square() }).check()
        Check("stacked", [x, x], { Tensor.stacked($0, axis: 2).square() }).check()
        Check("squeezed and expanded", [y], { $0[0].squeezed(1).expanded(at: 2).square() }).check()
        Check("contiguous", [x], { $0[0].permuted([2, 0, 1]).contiguous().square() }).check()
        Check("converted", [x], { $0[0].square().converted(to: .f64).exp() }).check()
    }

    @Test func indexing() {
        let x = Check.numbers([4, 3])
        let rows = Tensor([2, 0, 2, 3, 2])
        Check("take rows", [x], { $0[0].square().take(rows).square() }).check()
        Check("take columns", [x], { $0[0].square().take(Tensor([1, 1, 0, 2], shape: [2, 2]), axis: 1).square() })
            .check()
        Check("take none", [x], { $0[0].square().take(Tensor([Int](), shape: [0])) }).check()
        Check("scatteredAdd", [Check.numbers([5, 3])], { $0[0].square().scatteredAdd(rows, extent: 6).square() })
            .check()
        let places = Tensor([0, 2, 2, 1, 1, 1, 2, 0], shape: [4, 2])
        Check("takeAlong", [x], { $0[0].square().takeAlong(places, axis: 1).square() }).check()
        Check(
            "scatteredAddAlong", [Check.numbers([4, 2])],
            {
                $0[0].square().scatteredAddAlong(places, axis: 1, extent: 3).square()
            }
        ).check()
        let down = Tensor([3, 0, 1, 1, 1, 1], shape: [2, 3])
        Check("takeAlong rows", [x], { $0[0].square().takeAlong(down, axis: 0).square() }).check()
    }

    @Test(arguments: [
        PlainConvolution(
            input: [2, 3, 4, 5], weight: [2, 3, 3, 2], windows: Windows(kernel: [3, 2], stride: [1, 2], padding: 1),
            groups: 1),
        PlainConvolution(
            input: [1, 4, 5, 5], weight: [4, 2, 2, 2], windows: Windows(kernel: 2, stride: 2, dilation: 2), groups: 2),
        PlainConvolution(
            input: [2, 2, 1, 4], weight: [2, 1, 1, 3],
            windows: Windows(kernel: [1, 3], stride: 1, lowPadding: [0, 2], highPadding: 0), groups: 2),
    ])
    func convolutions(convolution: PlainConvolution) {
        let (x, w) = (Check.numbers(convolution.input), Check.numbers(convolution.weight, seed: 2))
        let y = Check.numbers(convolution.output, seed: 3)
        let (windows, groups) = (convolution.windows, convolution.groups)
        let size = Windows.Axes(rows: x.shape[2], columns: x.shape[3])
        Check("convolved", [x, w], { $0[0].convolved(with: $0[1], windows: windows, groups: groups).square() }).check()
        Check(
            "input gradient", [y, w],
            {
                $0[0].convolutionInputGradient(weight: $0[1], inputSize: size, windows: windows, groups: groups)
                    .square()
            }
        ).check()
        Check(
            "weight gradient", [y, x],
            {
                $0[0].convolutionWeightGradient(input: $0[1], windows: windows, groups: groups).square()
            }
        ).check()
    }

    @Test(arguments: [
        Windows(kernel: 2, stride: 2), Windows(kernel: 3, stride: 2, padding: 1),
        Windows(kernel: [2, 3], stride: [1, 2], dilation: [2, 1]),
        Windows(kernel: 3, stride: 2, padding: 1, includesPartialWindows: true),
    ])
    func pooling(windows: Windows) {
        let x = Check.numbers([2, 2, 5, 6])
        Check("maxPooled", [x], { $0[0].maxPooled(windows).square() }).check()
        Check("sumPooled", [x], { $0[0].sumPooled(windows).square() }).check()
        Check("averagePooled", [x], { $0[0].averagePooled(windows).square() }).check()
        Check("averagePooled", [x], { $0[0].averagePooled(windows, countsPadding: false).square() }).check()
        for output: Windows.Axes in [1, 2, [3, 4], [5, 6], [7, 2]] {
            Check("adaptive \(output)", [x], { $0[0].adaptiveAveragePooled(to: output).square() }).check()
        }
    }
}
