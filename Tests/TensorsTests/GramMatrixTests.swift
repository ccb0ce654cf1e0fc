import CoppiceTensors
import Testing

extension SerializedByVariant {
    @Suite struct GramMatrixTests {
        /// Rows that fill tiles and rows that do not; columns of less than a vector, of several panels and runs.
        @Test(arguments: [
            (1, 1), (2, 7), (3, 64), (4, 8), (5, 1_000), (13, 20_011), (64, 1_025), (67, 2_050), (130, 513), (300, 70),
        ])
        func sumsAreThoseInDoublePrecision(_ rows: Int, _ columns: Int) {
            var generator = RandomGenerator(seed: UInt64(rows))
            let x = Tensor.normal([rows, columns], using: &generator)
            let wide = x.converted(to: .f64)
            let expected = wide.matmul(wide.transposed()).doubles()
            underEveryVariant { name in
                let found = x.gramMatrix()
                #expect(found.shape == [rows, rows] && found.dataType == .f64)
                let far = zip(found.doubles(), expected).map { abs($0 - $1) }.max() ?? 0
                #expect(far < 1e-12 * Double(columns + 1), "\(name)")
            }
        }

        /// What f32 sums would lose: 1 beside 10⁸, 20,000 times.
        @Test func smallPartsOfLargeSumsStay() {
            let columns = 20_001
            var entries = [Float](repeating: 1, count: columns)
            entries[0] = 1e4
            underEveryVariant { name in
                let found = Tensor(entries, shape: [1, columns]).gramMatrix().doubles()
                #expect(found == [1e8 + 20_000], "\(name)")
            }
        }

        @Test func resultsDoNotDependOnThreads() {
            var generator = RandomGenerator(seed: 3)
            let x = Tensor.normal([20, 60_000], using: &generator)
            var results: [[Double]] = []
            underEveryVariant(threads: [1, 2, 3]) { _ in results.append(x.gramMatrix().doubles()) }
            for variant in stride(from: 0, to: results.count, by: 3) {
                #expect(results[variant] == results[variant + 1] && results[variant] == results[variant + 2])
            }
        }

        @Test func rowsOfBF16GiveTheSameSumsAsTheirNumbersInSinglePrecision() {
            var generator = RandomGenerator(seed: 4)
            let x = Tensor.normal([9, 8_195], using: &generator).converted(to: .bf16)
            let factor = Tensor.identity(9, dataType: .f64) * 3
            underEveryVariant { name in
                let wide = x.converted(to: .f32)
                #expect(x.gramMatrix().doubles() == wide.gramMatrix().doubles(), "\(name)")
                #expect(
                    factor.squaredNorms(solving: x).doubles() == factor.squaredNorms(solving: wide).doubles(),
                    "\(name)")
            }
        }

        @Test func blocksOfColumnsAddUp() {
            var generator = RandomGenerator(seed: 6)
            let x = Tensor.normal([7, 12], dataType: .f64, using: &generator)
            var sums = Tensor.full([3, 4, 4], 2, dataType: .f64)
            sums.addGramMatrices(ofColumnBlocks: x)
            sums.addGramMatrices(ofColumnBlocks: x.slice(axis: 0, 0..<2))
            for block in 0..<3 {
                let own = x.slice(axis: 1, (4 * block)..<(4 * block + 4))
                let first = own.slice(axis: 0, 0..<2)
                let expected =
                    own.transposed().matmul(own) + first.transposed().matmul(first)
                for (i, row) in (0..<4).map({ ($0, sums[block][$0].doubles()) }) {
                    for (j, value) in row.enumerated() {
                        // Upper triangles stay.
                        let wanted = j > i ? 2 : 2 + expected[i][j].doubles()[0]
                        #expect(abs(value - wanted) < 1e-12)
                    }
                }
            }
        }

        @Test func viewsAndOtherTypes() {
            let x = Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3])
            #expect(x.gramMatrix().doubles() == [14, 32, 32, 77])
            #expect(x.transposed().gramMatrix().doubles() == [17, 22, 27, 22, 29, 36, 27, 36, 45])
            #expect(x.converted(to: .bf16).gramMatrix().doubles() == [14, 32, 32, 77])
            #expect(x.converted(to: .f64).gramMatrix().doubles() == [14, 32, 32, 77])
            #expect(Tensor.zeros([2, 0]).gramMatrix().doubles() == [0, 0, 0, 0])
        }
    }
}
