import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct InverseFisherTests {
    /// Gradients of norm about one.
    func gradients(_ m: Int, _ d: Int, seed: UInt64 = 1, _ type: DataType = .f64) -> Tensor {
        var generator = RandomGenerator(seed: seed)
        return (Tensor.normal([m, d], using: &generator).converted(to: .f64) / Double(d).squareRoot())
            .converted(to: type)
    }

    func vector(_ d: Int, seed: UInt64 = 9, _ type: DataType = .f64) -> Tensor {
        var generator = RandomGenerator(seed: seed)
        return Tensor.normal([d], using: &generator).converted(to: type)
    }

    @Test(arguments: [(1, 1), (1, 7), (5, 3), (16, 40), (32, 200), (40, 24)], [1e-2, 1e-5])
    func productsEqualDenseInverseAndThePapersRecursions(_ size: (Int, Int), _ dampening: Double) throws {
        let g = gradients(size.0, size.1)
        let x = vector(size.1)
        let inverse = try InverseFisher(gradients: g, dampening: dampening)
        let dense = Oracle.inverse(Oracle.fisher(rows(g), dampening))
        let expected = dense.map { Oracle.dot($0, x.doubles()) }
        let product = try inverse.product(x).doubles()
        #expect(distance(product, expected) < 1e-9)
        #expect(distance(Oracle.staticProduct(rows(g), dampening, x.doubles()), expected) < 1e-9)
        #expect(distance(Oracle.dynamicProduct(rows(g), dampening, x.doubles()), expected) < 1e-9)
        #expect(distance(inverse.diagonal().doubles(), dense.indices.map { dense[$0][$0] }) < 1e-9)
        let (k, l) = (size.1 / 2, size.1 - 1)
        let scale = dense[k].map(abs).max()!
        #expect(abs(try inverse.element(k, l) - dense[k][l]) < 1e-9 * scale)
        #expect(abs(try inverse.element(k, k) - dense[k][k]) < 1e-9 * scale)
        #expect(distance(try inverse.row(k).doubles(), dense[k]) < 1e-9)
    }

    @Test func singlePrecisionStaysCloseAtSmallDampening() throws {
        for (m, d) in [(32, 200), (64, 5_000)] {
            let g = gradients(m, d, .f32)
            let wide = try InverseFisher(gradients: g.converted(to: .f64), dampening: 1e-5)
            let inverse = try InverseFisher(gradients: g, dampening: 1e-5)
            let blocks = try BlockInverseFisher(gradients: g, dampening: 1e-5, blockSize: d)
            for x in [vector(d, .f32), g[3]] {
                let expected = try wide.product(x.converted(to: .f64)).doubles()
                #expect(distance(try inverse.product(x).doubles(), expected) < 1e-5)
                #expect(distance(try blocks.product(x).doubles(), expected) < 1e-3)
            }
            #expect(distance(inverse.diagonal().doubles(), wide.diagonal().doubles()) < 1e-9)
        }
    }

    @Test(arguments: [DataType.f32, .f64]) func inverseUndoesTheMatrix(_ type: DataType) throws {
        let inverse = try InverseFisher(gradients: gradients(20, 40_000, type), dampening: 1e-3)
        let x = vector(40_000, type)
        let back = try inverse.forwardProduct(try inverse.product(x)).doubles()
        #expect(distance(back, x.doubles()) < (type == .f32 ? 1e-5 : 1e-10))
    }

    @Test func severalVectorsAtOnce() throws {
        let inverse = try InverseFisher(gradients: gradients(6, 30), dampening: 1e-3)
        let blocks = try BlockInverseFisher(gradients: gradients(6, 30), dampening: 1e-3, blockSize: 8)
        let (x, y) = (vector(30, seed: 3), vector(30, seed: 4))
        for curvature in [inverse, blocks] as [any InverseCurvature] {
            let both = try curvature.product(Tensor.stacked([x, y]))
            #expect(both.shape == [2, 30])
            #expect(distance(both[0].doubles(), try curvature.product(x).doubles()) < 1e-12)
            #expect(distance(both[1].doubles(), try curvature.product(y).doubles()) < 1e-12)
        }
    }

    /// All at once, by matrix products, is each alone, whatever gradients are stored in.
    @Test(arguments: [(DataType.f32, 1e-6), (.bf16, 1e-6), (.f64, 1e-12)])
    func aBatchOfVectorsIsEachAlone(_ type: DataType, _ bound: Double) throws {
        for (m, d, n) in [(1, 5, 2), (20, 5_000, 9), (70, 2_000, 3)] {
            let inverse = try InverseFisher(gradients: gradients(m, d, type), dampening: 1e-3)
            let x = Tensor.stacked((0..<n).map { vector(d, seed: UInt64($0), type == .f64 ? .f64 : .f32) })
            let (all, forward) = (try inverse.product(x), try inverse.forwardProduct(x))
            #expect(all.shape == [n, d] && forward.shape == [n, d] && all.dataType == x.dataType)
            for row in 0..<n {
                #expect(distance(all[row].doubles(), try inverse.product(x[row]).doubles()) < bound)
                #expect(distance(forward[row].doubles(), try inverse.forwardProduct(x[row]).doubles()) < bound)
            }
        }
    }

    @Test(arguments: [DataType.f32, .f64]) func windowEqualsItsLastGradientsInAnyOrder(_ type: DataType) throws {
        let (m, d) = (7, 50)
        let all = gradients(19, d, type)
        var sliding = try InverseFisher(window: m, count: d, dampening: 1e-4, dataType: type)
        let x = vector(d, type)
        #expect(distance(try sliding.product(x).doubles(), x.doubles().map { $0 * 1e4 }) < 1e-6)
        for step in 0..<19 {
            try sliding.push(all[step])
            // The last m, newest first; zeros where none came yet.
            let recent = (0..<m).map { back in
                step - back < 0 ? Tensor.zeros([d], dataType: type) : all[step - back]
            }
            let fresh = try InverseFisher(gradients: .stacked(recent), dampening: 1e-4)
            let expected = try fresh.product(x).doubles()
            #expect(distance(try sliding.product(x).doubles(), expected) < (type == .f32 ? 1e-5 : 1e-10))
            #expect(distance(sliding.diagonal().doubles(), fresh.diagonal().doubles()) < 1e-9)
        }
        let restored = try InverseFisher(
            gradients: sliding.gradients, dampening: sliding.dampening, nextRow: sliding.nextRow)
        #expect(restored.nextRow == 19 % m)
        #expect(distance(try restored.product(x).doubles(), try sliding.product(x).doubles()) < 1e-6)
    }

    @Test func pushingLeavesCopiesAlone() throws {
        var window = try InverseFisher(gradients: gradients(3, 10), dampening: 1e-2)
        let before = window
        let x = vector(10)
        let product = try before.product(x).doubles()
        try window.push(vector(10, seed: 5))
        #expect(try before.product(x).doubles() == product)
        #expect(try window.product(x).doubles() != product)
    }

    @Test func diagonalIsPositiveAndBelowTheDampenings() throws {
        // More gradients than weights, of very different sizes: nearly all digits cancel.
        let scales = Tensor((0..<24).map { [1e-4, 1, 300][$0 % 3] })
        for m in [4, 100] {
            let diagonal = try InverseFisher(gradients: gradients(m, 24) * scales, dampening: 1e-5).diagonal()
            for value in diagonal.doubles() { #expect(value > 0 && value <= 1e5 * (1 + 1e-12)) }
        }
        // A weight that dwarfs the dampening: 1 / (λ + g²) all the same.
        let huge = try InverseFisher(gradients: Tensor([1e9, 0], shape: [1, 2]), dampening: 1e-5)
        #expect(distance([huge.diagonal().doubles()[0]], [1e-18]) < 1e-9)
    }

    @Test func orthogonalGradientsHaveTheClosedForm() throws {
        // gᵢ = cᵢ eᵢ: F⁻¹gᵢ = gᵢ / (λ + cᵢ²/m).
        var values = [Double](repeating: 0, count: 3 * 5)
        for (i, c) in [2.0, 0.5, 3].enumerated() { values[i * 5 + i] = c }
        let inverse = try InverseFisher(gradients: Tensor(values, shape: [3, 5]), dampening: 0.1)
        for (i, c) in [2.0, 0.5, 3].enumerated() {
            var expected = [Double](repeating: 0, count: 5)
            expected[i] = c / (0.1 + c * c / 3)
            #expect(distance(try inverse.product(inverse.gradients[i]).doubles(), expected) < 1e-13)
        }
    }

    @Test func dampeningLimits() throws {
        let (g, x) = (gradients(4, 12), vector(12))
        // A large λ hides the gradients; gradients of zero leave I/λ exactly.
        let large = try InverseFisher(gradients: g, dampening: 1e9).product(x).doubles()
        #expect(distance(large, x.doubles().map { $0 / 1e9 }) < 1e-8)
        let zero = try InverseFisher(gradients: .zeros([4, 12]), dampening: 0.25)
        #expect(zero.diagonal().doubles().allSatisfy { $0 == 4 })
        #expect(try zero.product(x).doubles() == x.converted(to: .f32).doubles().map { $0 * 4 })
        // A small λ leaves what no gradient sees at x/λ: λF⁻¹ becomes the projection onto it.
        let small = try InverseFisher(gradients: g, dampening: 1e-10)
        let projected = try small.product(x) * 1e-10
        for i in 0..<4 { #expect(abs((projected * g[i]).sum().doubles()[0]) < 1e-6) }
        #expect(distance(try (small.product(projected) * 1e-10).doubles(), projected.doubles()) < 1e-6)
    }

    @Test func sumsDoNotDependOnTheNumberOfColumnsInATask() throws {
        // Beyond one task of 16384 columns and not a multiple of any panel.
        let (m, d) = (5, 40_003)
        let g = gradients(m, d, .f32)
        let inverse = try InverseFisher(gradients: g, dampening: 1e-3)
        let wide = try InverseFisher(gradients: g.converted(to: .f64), dampening: 1e-3)
        let x = vector(d, .f32)
        #expect(distance(try inverse.product(x).doubles(), try wide.product(x.converted(to: .f64)).doubles()) < 1e-6)
        #expect(distance(inverse.diagonal().doubles(), wide.diagonal().doubles()) < 1e-12)
        let gram = g.gramMatrix()
        let expected = g.converted(to: .f64).matmul(g.converted(to: .f64).transposed())
        #expect(distance(gram.doubles(), expected.doubles()) < 1e-13)
    }

    @Test(arguments: [(DataType.f32, 1e-6), (.f64, 1e-9), (.bf16, 1e-6)])
    func productsOfGradientsOfTheWindowNeedNoDots(_ type: DataType, _ bound: Double) throws {
        var inverse = try InverseFisher(gradients: gradients(5, 3_000, type), dampening: 1e-3)
        try inverse.push(vector(3_000, type))
        for row in 0..<5 {
            let expected = try inverse.product(inverse.gradients[row]).doubles()
            #expect(distance(try inverse.product(ofGradient: row).doubles(), expected) < bound)
        }
    }

    /// F is that of the rounded gradients exactly, whether they came at once or one after the other.
    @Test(arguments: [(5, 40), (32, 200), (20, 12)], [1e-2, 1e-5])
    func gradientsInBF16HaveTheInverseOfWhatIsStored(_ size: (Int, Int), _ dampening: Double) throws {
        let (m, d) = size
        let g = gradients(m, d, .f32)
        let stored = g.converted(to: .bf16)
        let inverse = try InverseFisher(gradients: g, dampening: dampening, storage: .bf16)
        #expect(inverse.gradients.dataType == .bf16 && inverse.gradients.byteCount == 2 * m * d)
        #expect(rows(inverse.gradients) == rows(stored))
        var window = try InverseFisher(window: m, count: d, dampening: dampening, dataType: .bf16)
        for row in 0..<m { try window.push(g[row]) }
        #expect(rows(window.gradients) == rows(stored))

        let dense = Oracle.inverse(Oracle.fisher(rows(stored), dampening))
        let x = vector(d, .f32)
        let expected = dense.map { Oracle.dot($0, x.doubles()) }
        let scale = dense.map { $0.map(abs).max()! }.max()!
        for own in [inverse, window] {
            let product = try own.product(x)
            #expect(product.dataType == .f32)
            #expect(distance(product.doubles(), expected) < 1e-5)
            #expect(distance(own.diagonal().doubles(), dense.indices.map { dense[$0][$0] }) < 1e-5)
            #expect(abs(try own.element(1, d - 1) - dense[1][d - 1]) < 1e-5 * scale)
            #expect(distance(try own.row(1).doubles(), dense[1]) < 1e-5)
            let back = try own.forwardProduct(product).doubles()
            // What rounding F⁻¹x to f32 leaves, times F: the largest eigenvalues are 10⁴ λ.
            #expect(distance(back, x.doubles()) < 1e-3)
            // A step: F⁻¹ of the gradient as it is stored.
            let step = dense.map { Oracle.dot($0, stored[2].doubles()) }
            #expect(distance(try own.product(ofGradient: 2).doubles(), step) < 1e-4)
        }
    }

    /// What rounding takes from a gradient is not in the span of the window, where the inverse is 1/λ.
    @Test func theGradientItselfWouldBeDrownedByWhatRoundingTakes() throws {
        let g = gradients(16, 2_000, .f32)
        let inverse = try InverseFisher(gradients: g, dampening: 1e-5, storage: .bf16)
        let exact = try InverseFisher(gradients: g, dampening: 1e-5)
        let wanted = try exact.product(ofGradient: 3).doubles()
        #expect(distance(try inverse.product(ofGradient: 3).doubles(), wanted) < 0.02)
        #expect(distance(try inverse.product(g[3]).doubles(), wanted) > 1)
    }

    /// A gradient that the window cannot take leaves it as it was.
    @Test func refusedGradientsChangeNothing() throws {
        let x = vector(6, .f32)
        var narrow = try InverseFisher(gradients: gradients(3, 6), dampening: 1e-2, storage: .bf16)
        let before = try narrow.product(x).doubles()
        // Beyond the largest number of bf16.
        #expect(throws: CoppiceError.self) { try narrow.push(Tensor([3.4e38, 0, 0, 0, 0, 0] as [Float])) }
        #expect(throws: CoppiceError.self) {
            _ = try InverseFisher(
                gradients: Tensor([3.4e38, 1] as [Float], shape: [1, 2]), dampening: 1, storage: .bf16)
        }
        #expect(try narrow.product(x).doubles() == before && narrow.nextRow == 0)
        // Its square overflows.
        var wide = try InverseFisher(gradients: gradients(3, 6), dampening: 1e-2)
        let product = try wide.product(x.converted(to: .f64)).doubles()
        #expect(throws: CoppiceError.self) { try wide.push(Tensor([1e200, 0, 0, 0, 0, 0])) }
        #expect(try wide.product(x.converted(to: .f64)).doubles() == product && wide.nextRow == 0)
        try wide.push(vector(6, seed: 9))
        #expect(try wide.product(x.converted(to: .f64)).doubles() != product && wide.nextRow == 1)
    }

    @Test func badInputIsNamed() throws {
        func message(_ body: () throws -> Void) -> String {
            do {
                try body()
                return "nothing thrown"
            } catch { return "\(error)" }
        }
        let g = gradients(3, 4)
        for dampening in [0, -1, .nan, .infinity] as [Double] {
            #expect(message { _ = try InverseFisher(gradients: g, dampening: dampening) }.contains("dampening"))
            #expect(message { _ = try BlockInverseFisher(gradients: g, dampening: dampening) }.contains("dampening"))
            #expect(message { _ = try DiagonalInverseFisher(gradients: g, dampening: dampening) }.contains("dampening"))
        }
        for shape in [[0, 4], [3, 0], [12], [1, 3, 4]] {
            let bad = Tensor.zeros(shape)
            #expect(message { _ = try InverseFisher(gradients: bad, dampening: 1) }.contains("gradients"))
            #expect(message { _ = try BlockInverseFisher(gradients: bad, dampening: 1) }.contains("gradients"))
        }
        for value in [Float.nan, .infinity] {
            let bad = Tensor([0, 1, 2, 3, 4, value], shape: [2, 3])
            #expect(
                message { _ = try InverseFisher(gradients: bad, dampening: 1) }.contains("gradient 1: element 2"))
            var window = try InverseFisher(window: 2, count: 3, dampening: 1)
            #expect(message { try window.push(bad[1]) }.contains("element 2"))
            #expect(window.nextRow == 0)
            #expect(message { _ = try window.product(bad[1]) }.contains("element 2"))
        }
        var inverse = try InverseFisher(gradients: g, dampening: 1)
        #expect(message { _ = try inverse.product(.zeros([5])) }.contains("expected floating point [4]"))
        #expect(message { try inverse.push(.zeros([5])) }.contains("[4]"))
        #expect(message { try inverse.push(.zeros([2, 4])) }.contains("[4]"))
        #expect(message { _ = try InverseFisher(window: 0, count: 4, dampening: 1) }.contains("window"))
        #expect(message { _ = try InverseFisher(gradients: g, dampening: 1, nextRow: 3) }.contains("next row"))
        #expect(message { _ = try BlockInverseFisher(gradients: g, dampening: 1, blockSize: 0) }.contains("block"))
        // Overflow of the Gram matrix.
        let overflowing = Tensor.full([1, 2], 1e200, dataType: .f64)
        #expect(message { _ = try InverseFisher(gradients: overflowing, dampening: 1) }.contains("overflow"))
    }
}
