import CoppiceTensors
import Foundation
import Testing

extension SerializedByVariant {
    @Suite struct ReductionValueTests {
        static let shapes = [[], [1], [7], [100], [3, 5], [2, 3, 4], [5, 1, 300], [4, 3, 2, 3], [33, 65]]

        /// All subsets of the axes of a shape.
        static func subsets(_ rank: Int) -> [[Int]] {
            (0..<(1 << rank)).map { bits in (0..<rank).filter { bits >> $0 & 1 == 1 } }
        }

        @Test(arguments: shapes) func reductions(shape: [Int]) {
            underEveryVariant(threads: [2]) { variant in
                for type in [DataType.f32, .f64, .bf16, .i32, .i64] {
                    let x = PrimitiveValueTests.numbers(shape, type, low: -9, high: 9)
                    let plain = PlainArray(x)
                    for axes in Self.subsets(shape.count) {
                        let sum = plain.reduced(axes, 0, +)
                        let high = plain.reduced(axes, -.infinity, max)
                        let low = plain.reduced(axes, .infinity, min)
                        for (layout, view) in x.layouts {
                            let note = Comment("\(variant): \(type) \(layout) axes \(axes)")
                            let bound = 1e3 * type.precision
                            #expect(
                                view.sum(axes: axes, keepingDimensions: true).matches(
                                    sum, relative: type.precision, absolute: type == .bf16 ? 1 : bound), note)
                            #expect(view.maximum(axes: axes, keepingDimensions: true).matches(high, relative: 0), note)
                            #expect(view.minimum(axes: axes, keepingDimensions: true).matches(low, relative: 0), note)
                            let squeezed = shape.indices.filter { !axes.contains($0) }.map { shape[$0] }
                            #expect(view.maximum(axes: axes).shape == squeezed, note)
                        }
                    }
                    #expect(x.sum().shape == [])
                }
            }
        }

        /// Long rows are cut into pieces: sums stay accurate to f32.
        @Test func longSums() {
            let count = 1_000_003
            let values = (0..<count).map { Float($0 % 1000) * 0.1 }
            let exact = values.reduce(0.0) { $0 + Double($1) }
            underEveryVariant { variant in
                let x = Tensor(values)
                #expect(agrees(Double(x.sum().scalar), exact, relative: 1e-6), "\(variant)")
                #expect(agrees(x.converted(to: .f64).sum().doubles()[0], exact, relative: 1e-13), "\(variant)")
                let column = x.reshaped([count, 1]).broadcast(to: [count, 2])
                #expect(agrees(Double(column.sum(axes: [0]).floats()[1]), exact, relative: 1e-6), "\(variant)")
                #expect(x.maximum().scalar == values.max(), "\(variant)")
                #expect(x.minimum().scalar == 0, "\(variant)")
            }
        }

        @Test func emptyReductions() {
            #expect(Tensor.zeros([0, 3]).sum().scalar == 0)
            #expect(Tensor.zeros([0, 3]).sum(axes: [0]).floats() == [0, 0, 0])
            #expect(Tensor.zeros([3, 0]).sum(axes: [1]).floats() == [0, 0, 0])
            #expect(Tensor.zeros([0, 3]).sum(axes: [1]).shape == [0])
            #expect(Tensor.zeros([2, 0, 3]).sum(axes: [1]).floats() == [Float](repeating: 0, count: 6))
        }

        @Test func countsAreIntegers() {
            let mask = Tensor([true, true, false, true])
            #expect(mask.sum().integers() == [3])
            #expect(mask.reshaped([2, 2]).sum(axes: [0]).integers() == [1, 2])
            let bytes = Tensor([UInt8](repeating: 200, count: 300))
            #expect(bytes.sum().integers() == [60_000])
            #expect(Tensor([Int8](repeating: -100, count: 300)).sum().integers() == [-30_000])
            #expect(Tensor([Int32](repeating: .max, count: 3)).sum().integers() == [3 * Int(Int32.max)])
            #expect(Tensor([true, true, true]).cumulativeSum(axis: 0).integers() == [1, 2, 3])
            #expect(Tensor([1, 2]).mean().doubles() == [1.5])
            #expect(Tensor([true, false, false, false]).mean().doubles() == [0.25])
        }

        @Test func meansAndVariances() {
            let x = Tensor([1.0, 2, 3, 4, 5, 9], shape: [2, 3])
            #expect(x.mean().doubles() == [4])
            #expect(x.mean(axes: [0]).doubles() == [2.5, 3.5, 6])
            #expect(x.mean(axes: [-1], keepingDimensions: true).shape == [2, 1])
            let variances: [Double] = [2.0 / 3, 26.0 / 3 - 2.0 / 3 - 10.0 / 3]
            #expect(x.variance(axes: [1]).matches(PlainArray([2], variances), relative: 1e-15))
            #expect(x.variance(axes: [1], correction: 1).doubles() == [1, 7])
            let big = Tensor([1e4, 1e4 + 1, 1e4 + 2] as [Float])
            #expect(agrees(big.variance().doubles()[0], 2.0 / 3, relative: 1e-5))
        }

        @Test(arguments: shapes) func cumulativeSums(shape: [Int]) {
            underEveryVariant(threads: [2]) { variant in
                for type in [DataType.f32, .f64, .i64] {
                    let x = PrimitiveValueTests.numbers(shape, type, low: -9, high: 9)
                    let plain = PlainArray(x)
                    for axis in shape.indices {
                        for reverse in [false, true] {
                            let reference = PlainArray(shape) { index in
                                let range = reverse ? index[axis]..<shape[axis] : 0..<index[axis] + 1
                                return range.reduce(0) { sum, place in
                                    var index = index
                                    index[axis] = place
                                    return sum + plain[index]
                                }
                            }
                            for (layout, view) in x.layouts {
                                #expect(
                                    view.cumulativeSum(axis: axis, reverse: reverse).matches(
                                        reference, relative: type.precision, absolute: 3000 * type.precision),
                                    "\(variant) \(type) \(layout) axis \(axis)")
                            }
                        }
                    }
                }
            }
        }

        @Test func sortingAndExtremes() {
            let x = Tensor([3, 1, .nan, 2, 1, -.infinity, 3, 0] as [Float], shape: [2, 4])
            #expect(x.argsort().integers() == [1, 3, 0, 2, 1, 3, 0, 2])
            #expect(x.argsort(descending: true).integers() == [0, 3, 1, 2, 2, 0, 3, 1])
            #expect(x.argmax().integers() == [2, 2])
            #expect(x.argmin().integers() == [2, 1])
            #expect(Tensor([5, 5, 1, 1]).argsort().integers() == [2, 3, 0, 1])
            #expect(Tensor([5, 5, 1, 1]).argsort(descending: true).integers() == [0, 1, 2, 3])
            var generator = RandomGenerator(seed: 1)
            for type in [DataType.f32, .f64, .i32, .i64, .u8] {
                for count in [0, 1, 2, 3, 31, 1000] {
                    let values = Tensor.uniform([3, count], low: 0, high: 100, dataType: .f64, using: &generator)
                        .converted(to: type)
                    let plain = values.doubles()
                    let sorted = values.sorted().doubles()
                    let order = values.transposed().contiguous().transposed().argsort().integers()
                    for row in 0..<3 {
                        let own = Array(plain[row * count..<(row + 1) * count])
                        #expect(Array(sorted[row * count..<(row + 1) * count]) == own.sorted())
                        // Stable: equal elements keep their order.
                        let expected = own.indices.sorted { (own[$0], $0) < (own[$1], $1) }
                        #expect(Array(order[row * count..<(row + 1) * count]) == expected)
                    }
                }
            }
        }

        @Test func logSumExpDoesNotOverflow() {
            let x = Tensor([1000, 1000, -1000, -1000] as [Float], shape: [2, 2])
            let values = x.logSumExp(axis: 1).doubles()
            #expect(
                agrees(values[0], 1000 + log(2), relative: 1e-6) && agrees(values[1], -1000 + log(2), relative: 1e-6))
        }
    }
}
