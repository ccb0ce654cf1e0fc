import CoppiceTensors
import Testing

/// Images with channels last: the same results in another order of memory.
@Suite struct LayoutTests {
    private func images(_ shape: [Int], seed: UInt64 = 1) -> Tensor {
        GradientCheck.numbers(shape, seed: seed).converted(to: .f32)
    }

    @Test func sameElements() {
        let x = images([2, 3, 4, 5])
        let last = x.channelsLast()
        #expect(!x.isChannelsLast && last.isChannelsLast && !last.isContiguous)
        #expect(last.strides == [60, 1, 15, 3] && last.shape == x.shape && last.floats() == x.floats())
        #expect(last.channelsLast().storage === last.storage)
        #expect(last.contiguous().strides == x.strides && last.contiguous().floats() == x.floats())
        #expect(images([2, 1, 4, 5]).isChannelsLast)
        #expect(!last.slice(axis: 1, 0..<2).isChannelsLast)
        let tracked = x.tracked()
        #expect(gradients(of: (tracked.channelsLast() * x).sum(), withRespectTo: [tracked])[0].floats() == x.floats())
    }

    @Test func elementwiseOperationsKeepIt() {
        let (a, b) = (images([2, 3, 4, 5]), images([2, 3, 4, 5], seed: 2))
        let (x, y) = (a.channelsLast(), b.channelsLast())
        func same(_ own: Tensor, _ plain: Tensor, keeps: Bool = true) {
            #expect(own.isChannelsLast == keeps && own.shape == plain.shape && own.doubles() == plain.doubles())
        }
        same(x + y, a + b)
        same(x.exp(), a.exp())
        same(x * 3, a * 3)
        same(2 - x, 2 - a)
        same(x.isLess(than: y), a.isLess(than: b))
        same(Tensor.select(x.isLess(than: y), x, y), Tensor.select(a.isLess(than: b), a, b))
        same(x.converted(to: .f64), a.converted(to: .f64))
        same(x.converted(to: .bf16), a.converted(to: .bf16))
        // One number for each image, or for each channel of each image.
        let (each, every) = (images([2, 1, 1, 1]), images([2, 3, 1, 1]))
        same(x + every, a + every)
        same(each * x, each * a)
        same(every.broadcast(to: x.shape) - x, every - a)
        same(every.isLess(than: x), every.isLess(than: a))
        same(x + every.broadcast(to: x.shape).contiguous(), a + every, keeps: false)
        same(x + images([2, 3, 4, 1]), a + images([2, 3, 4, 1]), keeps: false)
        // Mixed layouts and broadcasts give row-major results.
        same(x + b, a + b, keeps: false)
        same(x + images([3, 1, 1]), a + images([3, 1, 1]), keeps: false)
        same(x[0].reshaped([1, 3, 4, 5]) + y, a[0].reshaped([1, 3, 4, 5]) + b, keeps: false)
        #expect(x.sum(axes: [1]).doubles() == a.sum(axes: [1]).doubles())
        #expect(x.reshaped([6, 20]).doubles() == a.reshaped([6, 20]).doubles())
    }

    struct Case: CustomTestStringConvertible, Sendable {
        var input: [Int]
        var weight: [Int]
        var windows: Windows
        var groups = 1
        var testDescription: String { "\(input) * \(weight)" }
    }

    @Test(arguments: [
        Case(input: [5, 16, 9, 8], weight: [32, 16, 3, 3], windows: Windows(kernel: 3, padding: 1)),
        Case(input: [17, 16, 8, 8], weight: [16, 16, 3, 3], windows: Windows(kernel: 3, stride: 2, padding: 1)),
        Case(input: [6, 3, 7, 7], weight: [16, 3, 3, 3], windows: Windows(kernel: 3, padding: 1)),
        Case(input: [5, 5, 6, 6], weight: [7, 5, 2, 3], windows: Windows(kernel: [2, 3], dilation: [2, 1])),
        Case(input: [2, 64, 5, 5], weight: [128, 64, 3, 3], windows: Windows(kernel: 3, padding: 1)),
        Case(input: [1, 40, 5, 5], weight: [48, 40, 1, 1], windows: Windows(kernel: 1, stride: 2)),
        Case(input: [4, 8, 6, 6], weight: [8, 1, 3, 3], windows: Windows(kernel: 3, padding: 1), groups: 8),
        Case(input: [4, 8, 6, 6], weight: [12, 4, 3, 3], windows: Windows(kernel: 3, padding: 1), groups: 2),
    ])
    func convolutions(_ item: Case) {
        let x = images(item.input)
        let w = images(item.weight, seed: 2)
        func run(_ x: Tensor, _ w: Tensor) -> [Tensor] {
            let inputs = [x.tracked(), w.tracked()]
            let y = inputs[0].convolved(with: inputs[1], windows: item.windows, groups: item.groups)
            let g = GradientCheck.numbers(y.shape, seed: 3).converted(to: y.dataType)
            return [y] + gradients(of: y, withRespectTo: inputs, seed: x.isChannelsLast ? g.channelsLast() : g)
        }
        let exact = run(x.converted(to: .f64), w.converted(to: .f64))
        let own = run(x.channelsLast(), w)
        #expect(own[0].isChannelsLast && own[1].isChannelsLast)
        for (found, expected) in zip(own, exact) {
            #expect(found.shape == expected.shape && relativeError(found, expected.doubles()) < 2e-6)
        }
        // A gradient that lies otherwise.
        let inputs = [x.channelsLast().tracked(), w.tracked()]
        let y = inputs[0].convolved(with: inputs[1], windows: item.windows, groups: item.groups)
        let g = GradientCheck.numbers(y.shape, seed: 3).converted(to: .f32)
        for (found, expected) in zip(gradients(of: y, withRespectTo: inputs, seed: g), exact.dropFirst()) {
            #expect(relativeError(found, expected.doubles()) < 2e-6)
        }
    }

    @Test func emptyImages() {
        let empty = Tensor.zeros([0, 3, 4, 4])
        #expect(empty.channelsLast().shape == [0, 3, 4, 4])
        #expect((empty.channelsLast() + 1).count == 0)
    }
}
