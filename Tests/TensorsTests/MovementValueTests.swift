import CoppiceTensors
import Testing

extension SerializedByVariant {
    @Suite struct MovementValueTests {
        static let types = DataType.allCases

        static func numbers(_ shape: [Int], _ type: DataType) -> Tensor {
            Tensor((0..<shape.reduce(1, *)).map { Double($0 % 100) }, shape: shape).converted(to: type)
        }

        @Test(arguments: types) func permutations(type: DataType) {
            let x = Self.numbers([2, 3, 4], type)
            let plain = PlainArray(x)
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let reference = PlainArray(order.map { x.shape[$0] }) { index in
                    var source = [0, 0, 0]
                    for (axis, from) in order.enumerated() { source[from] = index[axis] }
                    return plain[source]
                }
                for (layout, view) in x.layouts {
                    let permuted = view.permuted(order)
                    #expect(permuted.matches(reference, relative: 0), "\(layout)")
                    #expect(permuted.contiguous().isContiguous)
                    let flat = permuted.reshaped([6, 4])
                    #expect(flat.doubles() == reference.values, "\(layout)")
                }
            }
        }

        @Test(arguments: types) func slices(type: DataType) {
            let x = Self.numbers([5, 7], type)
            let plain = PlainArray(x)
            for slice in [
                [AxisSlice(0..<5), AxisSlice(2..<6)],
                [AxisSlice(start: 4, count: 5, step: -1), AxisSlice(start: 0, count: 4, step: 2)],
                [AxisSlice(start: 1, count: 2, step: 3), AxisSlice(start: 6, count: 3, step: -3)],
                [AxisSlice(2..<2), AxisSlice(0..<7)],
                [AxisSlice(4..<5), AxisSlice(6..<7)],
            ] {
                let reference = PlainArray(slice.map(\.count)) { index in
                    plain[zip(index, slice).map { $1.start + $0 * $1.step }]
                }
                for (layout, view) in x.layouts {
                    #expect(view.slice(slice).matches(reference, relative: 0), "\(layout)")
                }
            }
            #expect(x[3].doubles() == Array(plain.values[21..<28]))
            #expect(x.slice(axis: -1, 1..<1).shape == [5, 0])
        }

        @Test(arguments: types) func paddingAndConcatenation(type: DataType) {
            let x = Self.numbers([2, 3], type)
            let plain = PlainArray(x)
            for (layout, view) in x.layouts {
                let padded = PlainArray([5, 4]) { index in
                    let source = [index[0] - 1, index[1]]
                    return (0..<2).contains(source[0]) && source[1] < 3 ? plain[source] : 0
                }
                #expect(view.padded([(1, 2), (0, 1)]).matches(padded, relative: 0), "\(layout)")
                let joined = Tensor.concatenated([view, x, view.slice(axis: 1, 0..<0)], axis: 1)
                #expect(joined.matches(PlainArray([2, 6]) { plain[[$0[0], $0[1] % 3]] }, relative: 0), "\(layout)")
                let stacked = Tensor.stacked([view, x, view], axis: 0)
                #expect(stacked.matches(PlainArray([3, 2, 3]) { plain[[$0[1], $0[2]]] }, relative: 0), "\(layout)")
                #expect(Tensor.stacked([view, x], axis: 2).shape == [2, 3, 2])
                let repeated = view.expanded(at: 1).broadcast(to: [4, 2, 5, 3])
                #expect(
                    repeated.matches(PlainArray([4, 2, 5, 3]) { plain[[$0[1], $0[3]]] }, relative: 0), "\(layout)")
            }
        }

        @Test(arguments: types) func gathering(type: DataType) {
            let x = Self.numbers([4, 3, 2], type)
            let plain = PlainArray(x)
            let indices = [2, 0, 2, 3, 1, 1]
            for (layout, view) in x.layouts {
                let rows = view.take(Tensor(indices, shape: [2, 3]))
                #expect(
                    rows.matches(
                        PlainArray([2, 3, 3, 2]) { plain[[indices[$0[0] * 3 + $0[1]], $0[2], $0[3]]] }, relative: 0),
                    "\(layout)")
                let columns = view.take(Tensor([2, 2] as [Int32]), axis: 1)
                #expect(columns.matches(PlainArray([4, 2, 2]) { plain[[$0[0], 2, $0[2]]] }, relative: 0), "\(layout)")
                let last = view.take(Tensor([1, 0, 1]), axis: -1)
                #expect(
                    last.matches(PlainArray([4, 3, 3]) { plain[[$0[0], $0[1], $0[2] == 1 ? 0 : 1]] }, relative: 0),
                    "\(layout)")
                for axis in 0..<3 {
                    var shape = x.shape
                    shape[axis] = 5
                    let places = PlainArray(shape) { Double($0.reduce(0, +) % x.shape[axis]) }
                    let index = Tensor(places.values.map { Int($0) }, shape: shape)
                    let reference = PlainArray(shape) { index in
                        var source = index
                        source[axis] = Int(places[index])
                        return plain[source]
                    }
                    for (_, indexView) in index.layouts {
                        #expect(
                            view.takeAlong(indexView, axis: axis).matches(reference, relative: 0), "\(layout) \(axis)")
                    }
                }
            }
        }

        @Test(arguments: types.filter { $0 != .bool }) func scattering(type: DataType) {
            // Sums are small integers, exact in every type.
            let x = Tensor((0..<24).map { Double($0 % 5) }, shape: [4, 3, 2]).converted(to: type)
            let plain = PlainArray(x)
            let indices = [2, 0, 2, 2]
            underEveryVariant { variant in
                for (layout, view) in x.layouts {
                    let rows = view.scatteredAdd(Tensor(indices), extent: 5)
                    let reference = PlainArray([5, 3, 2]) { index in
                        (0..<4).reduce(0) { $0 + (indices[$1] == index[0] ? plain[[$1, index[1], index[2]]] : 0) }
                    }
                    #expect(rows.dataType == type)
                    #expect(rows.matches(reference, relative: 0), "\(variant) \(layout)")
                    for axis in 0..<3 {
                        let places = PlainArray(x.shape) { Double($0.reduce(0, +) % 3) }
                        let index = Tensor(places.values.map { Int($0) }, shape: x.shape)
                        var shape = x.shape
                        shape[axis] = 4
                        var sums = [Double](repeating: 0, count: shape.reduce(1, *))
                        for place in PlainArray.indices(x.shape) {
                            var target = place
                            target[axis] = Int(places[place])
                            sums[zip(target, shape).reduce(0) { $0 * $1.1 + $1.0 }] += plain[place]
                        }
                        #expect(
                            view.scatteredAddAlong(index, axis: axis, extent: 4).matches(
                                PlainArray(shape, sums), relative: 0),
                            "\(variant) \(layout) axis \(axis)")
                    }
                }
            }
        }

        @Test(
            arguments: [
                ([1, 1], [1, 1]), ([2, 3], [3, 4]), ([1, 7], [7, 1]), ([5, 1], [1, 5]), ([33, 65], [65, 17]),
                ([3, 2, 4], [3, 4, 2]),
                ([2, 1, 3, 4], [5, 4, 2]), ([4, 3], [2, 3, 2]), ([0, 3], [3, 2]), ([2, 0], [0, 3]), ([2, 3], [3, 0]),
                ([0, 2, 3], [3, 2]),
                ([130, 150], [150, 260]), ([1, 300], [300, 200]),
            ] as [([Int], [Int])])
        func matrixProducts(first: [Int], second: [Int]) {
            let (inner, rows, columns) = (first[first.count - 1], first[first.count - 2], second[second.count - 1])
            for type in [DataType.f32, .f64, .bf16, .f16] {
                let a = PrimitiveValueTests.numbers(first, type, low: -1, high: 1)
                let b = PrimitiveValueTests.numbers(second, type, low: -1, high: 1, seed: 2)
                let batch = Tensor.broadcastShape(Array(first.dropLast(2)), Array(second.dropLast(2)))
                let (plainA, plainB) = (PlainArray(a), PlainArray(b))
                let shape = batch + [rows, columns]
                // All elements of small products, every 97th of large ones.
                let places = PlainArray.indices(shape).enumerated().filter {
                    rows * columns * inner < 10_000 || $0.offset % 97 == 0
                }
                let expected = places.map { place in
                    let (row, column) = (place.element.dropLast(), place.element[place.element.count - 1])
                    return (0..<inner).reduce(0.0) { sum, k in
                        sum + plainA[row + [k]] * plainB[row.dropLast() + [k, column]]
                    }
                }
                let (layoutsA, layoutsB) = (a.layouts, b.layouts)
                underEveryVariant { variant in
                    for (layoutA, x) in layoutsA {
                        for (layoutB, y) in layoutsB where inner < 100 || layoutA == layoutB {
                            let product = x.matmul(y)
                            let values = product.doubles()
                            #expect(product.shape == shape && product.dataType == type)
                            let wrong = zip(places, expected).filter {
                                !agrees(
                                    values[$0.offset], $1, relative: 2 * type.precision,
                                    absolute: Double(40 + inner) * min(type.precision, 1e-6) + type.precision)
                            }
                            #expect(wrong.isEmpty, "\(variant): \(type) \(layoutA) \(layoutB)")
                        }
                    }
                }
            }
        }

        @Test func creation() {
            #expect(Tensor.zeros([2, 0]).count == 0)
            for type in types {
                #expect(Tensor.ones([3], dataType: type).doubles() == [1, 1, 1])
                #expect(
                    Tensor.full([2, 2], 3, dataType: type).doubles() == (type == .bool ? [1, 1, 1, 1] : [3, 3, 3, 3]))
                #expect(Tensor.zeros([2], dataType: type).doubles() == [0, 0])
            }
            #expect(Tensor.range(4).integers() == [0, 1, 2, 3])
            #expect(Tensor.identity(2).floats() == [1, 0, 0, 1])
            #expect(Tensor.oneHot(Tensor([2, 0]), depth: 3).floats() == [0, 0, 1, 1, 0, 0])
            #expect(Tensor(2.5).shape == [])
        }

        private var types: [DataType] { Self.types }

        @Test func writingCopiesSharedStorage() {
            let x = Tensor([1.0, 2, 3, 4], shape: [2, 2])
            var y = x.transposed()
            y.withMutableElements(Double.self) { $0[1] = 9 }
            #expect(x.doubles() == [1, 2, 3, 4])
            #expect(y.doubles() == [1, 9, 2, 4])
        }
    }
}
