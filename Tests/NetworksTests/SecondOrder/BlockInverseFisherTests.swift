import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct BlockInverseFisherTests {
    let base = InverseFisherTests()

    @Test(arguments: [3, 12, 30], [1, 4, 8, 10, 16])
    func everyBlockEqualsItsDenseInverse(_ m: Int, _ size: Int) throws {
        let d = 30
        let g = base.gradients(m, d)
        let blocks = try BlockInverseFisher(gradients: g, dampening: 1e-3, blockSize: size)
        let x = base.vector(d)
        let product = try blocks.product(x).doubles()
        let diagonal = blocks.diagonal().doubles()
        for start in stride(from: 0, to: d, by: size) {
            let range = start..<min(d, start + size)
            let dense = Oracle.inverse(Oracle.fisher(rows(g).map { Array($0[range]) }, 1e-3))
            let part = Array(x.doubles()[range])
            #expect(distance(Array(product[range]), dense.map { Oracle.dot($0, part) }) < 1e-9)
            #expect(distance(Array(diagonal[range]), dense.indices.map { dense[$0][$0] }) < 1e-9)
            for k in range {
                let l = range.upperBound - 1
                let expected = dense[k - start][l - start]
                #expect(abs(blocks.element(k, l) - expected) < 1e-9 * dense[k - start].map(abs).max()!)
            }
        }
        if size < d { #expect(blocks.element(0, d - 1) == 0) }
    }

    @Test(arguments: [5, 50]) func oneBlockOfEverythingEqualsTheFullMatrix(_ m: Int) throws {
        let g = base.gradients(m, 40)
        let full = try InverseFisher(gradients: g, dampening: 1e-4)
        let x = base.vector(40)
        for size in [40, 1_000] {
            let block = try BlockInverseFisher(gradients: g, dampening: 1e-4, blockSize: size)
            #expect(distance(try block.product(x).doubles(), try full.product(x).doubles()) < 1e-9)
            #expect(distance(block.diagonal().doubles(), full.diagonal().doubles()) < 1e-9)
        }
    }

    @Test func gradientsWithinBlocksMakeTheFullMatrixBlockDiagonal() throws {
        // Each gradient lives in one block of four weights.
        let g = base.gradients(9, 12)
        var values = g.doubles()
        for row in 0..<9 { for k in 0..<12 where k / 4 != row % 3 { values[row * 12 + k] = 0 } }
        let own = Tensor(values, shape: [9, 12])
        let full = try InverseFisher(gradients: own, dampening: 1e-3)
        let blocks = try BlockInverseFisher(gradients: own, dampening: 1e-3, blockSize: 4)
        let x = base.vector(12)
        #expect(distance(try blocks.product(x).doubles(), try full.product(x).doubles()) < 1e-10)
    }

    @Test func manyBlocksGoThroughInRuns() throws {
        // 699 blocks are computed together, then 51, then the one weight that is left.
        let g = base.gradients(1_500, 6_001, .f32)
        let blocks = try BlockInverseFisher(gradients: g, dampening: 1e-3, blockSize: 8)
        let last = try BlockInverseFisher(
            gradients: g.slice(axis: 1, 5_992..<6_001), dampening: 1e-3, blockSize: 8)
        #expect(blocks.count == 6_001)
        #expect(distance(Array(blocks.diagonal().doubles()[5_992...]), last.diagonal().doubles()) < 1e-12)
        let x = base.vector(6_001, .f32)
        #expect(
            distance(
                Array(try blocks.product(x).doubles()[5_992...]),
                try last.product(x.slice(axis: 0, 5_992..<6_001)).doubles()) < 1e-6)
    }

    /// One after the other, gradients give the same bits as all at once: fewer and more than are added up together, in
    /// runs of blocks and with a block that is left over.
    @Test(
        arguments: [(8, 8, 30), (31, 7, 30), (32, 32, 40), (33, 5, 30), (100, 16, 50), (70, 64, 30)],
        [DataType.f32, .f64])
    func gradientsOneByOneEqualAllAtOnce(_ sizes: (Int, Int, Int), _ type: DataType) throws {
        let (m, size, d) = sizes
        let g = base.gradients(m, d, type)
        let whole = try BlockInverseFisher(gradients: g, dampening: 1e-4, blockSize: size)
        var sums = try BlockFisherSums(count: d, blockSize: size, dataType: type)
        for row in 0..<m { try sums.push(g[row]) }
        #expect(sums.gradientCount == m)
        let inverse = try sums.inverse(dampening: 1e-4)
        let x = base.vector(d, type)
        #expect(try inverse.product(x).doubles() == whole.product(x).doubles())
        #expect(inverse.diagonal().doubles() == whole.diagonal().doubles())
        #expect(inverse.element(0, 1) == whole.element(0, 1))
        // The sums are as they were: more gradients may come.
        try sums.push(g[0])
        let more = try BlockInverseFisher(
            gradients: Tensor.concatenated([g, g.slice(axis: 0, 0..<1)]), dampening: 1e-4, blockSize: size)
        #expect(try sums.inverse(dampening: 1e-4).diagonal().doubles() == more.diagonal().doubles())
    }

    /// With fewer gradients than weights of a block, all at once keeps other numbers of the same matrix.
    @Test func fewGradientsOneByOneGiveTheSameMatrix() throws {
        let g = base.gradients(5, 30)
        let whole = try BlockInverseFisher(gradients: g, dampening: 1e-3, blockSize: 12)
        var sums = try BlockFisherSums(count: 30, blockSize: 12, dataType: .f64)
        for row in 0..<5 { try sums.push(g[row]) }
        let inverse = try sums.inverse(dampening: 1e-3)
        let x = base.vector(30)
        #expect(distance(try inverse.product(x).doubles(), try whole.product(x).doubles()) < 1e-9)
        #expect(distance(inverse.diagonal().doubles(), whole.diagonal().doubles()) < 1e-9)
    }

    @Test func sumsRefuseWhatIsNoGradient() throws {
        #expect(throws: CoppiceError.self) { _ = try BlockFisherSums(count: 4, blockSize: 0) }
        #expect(throws: CoppiceError.self) { _ = try BlockFisherSums(count: 0) }
        var sums = try BlockFisherSums(count: 4, blockSize: 2)
        #expect(throws: CoppiceError.self) { _ = try sums.inverse(dampening: 1) }
        for bad in [Tensor.zeros([3]), .zeros([2, 4]), Tensor([0, Float.nan, 0, 0])] {
            #expect(throws: CoppiceError.self) { try sums.push(bad) }
        }
        #expect(sums.gradientCount == 0)
        try sums.push(Tensor([1, 2, 3, 4] as [Float]))
        #expect(throws: CoppiceError.self) { _ = try sums.inverse(dampening: 0) }
        #expect(try sums.inverse(dampening: 1).diagonal().count == 4)
        #expect(BlockFisherSums.byteCount(weights: 1_000, blockSize: 64) == 1_000 * (8 * 64 + 128))
        #expect(BlockFisherSums.largestBlockSize(weights: 1_000, bytes: 1_000 * (8 * 64 + 128)) == 64)
        #expect(BlockFisherSums.largestBlockSize(weights: 1_000, bytes: 1_000 * (8 * 64 + 128) - 1) == 63)
        #expect(BlockFisherSums.largestBlockSize(weights: 1_000, bytes: 100_000) < 1)
    }

    /// Gradients that dwarf the dampening leave 1 / (λ + g²/m), and saliencies that are numbers, however many there are.
    @Test(arguments: [(1, 2), (1, 4), (3, 4), (5, 4)]) func hugeGradientsLeaveADiagonal(_ sizes: (Int, Int)) throws {
        let (m, size) = sizes
        var values = [Double](repeating: 0, count: 4 * m)
        values[0] = 1e9
        let gradients = Tensor(values, shape: [m, 4])
        for own in [gradients, gradients.converted(to: .f32)] {
            let diagonal = try BlockInverseFisher(gradients: own, dampening: 1e-5, blockSize: size).diagonal()
            #expect(distance([diagonal.doubles()[0]], [Double(m) * 1e-18]) < 1e-9)
            #expect(distance(Array(diagonal.doubles()[1...]), [1e5, 1e5, 1e5]) < 1e-9)
            let scores = OptimalBrainSurgeon.saliencies(of: .ones([4]), inverseDiagonal: diagonal).doubles()
            #expect(scores.allSatisfy { $0.isFinite && $0 > 0 })
        }
    }

    @Test func diagonalsOneByOneEqualAllAtOnce() throws {
        let g = base.gradients(9, 20, .f32)
        var sums = DiagonalFisherSums(count: 20)
        #expect(throws: CoppiceError.self) { _ = try sums.inverse(dampening: 1) }
        #expect(throws: CoppiceError.self) { try sums.push(.zeros([19])) }
        for row in 0..<9 { try sums.push(g[row]) }
        let expected = Oracle.fisher(rows(g), 1e-3).enumerated().map { 1 / $1[$0] }
        #expect(distance(try sums.inverse(dampening: 1e-3).diagonal().doubles(), expected) < 1e-12)
    }

    @Test func diagonalFisherIsBlocksOfOneWeight() throws {
        let g = base.gradients(6, 20)
        let diagonal = try DiagonalInverseFisher(gradients: g, dampening: 1e-3)
        let blocks = try BlockInverseFisher(gradients: g, dampening: 1e-3, blockSize: 1)
        let x = base.vector(20)
        #expect(distance(diagonal.diagonal().doubles(), blocks.diagonal().doubles()) < 1e-12)
        #expect(distance(try diagonal.product(x).doubles(), try blocks.product(x).doubles()) < 1e-12)
    }
}
