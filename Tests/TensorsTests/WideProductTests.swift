import CoppiceTensors
import Testing

extension SerializedByVariant {
    @Suite struct WideProductTests {
        private func matrix(_ rows: Int, _ columns: Int, seed: UInt64, _ type: DataType = .f32) -> Tensor {
            var generator = RandomGenerator(seed: seed)
            return Tensor.normal([rows, columns], using: &generator).converted(to: type)
        }

        /// One panel and several, the last of which is narrower.
        @Test(
            arguments: [(1, 1, 1), (3, 5, 1_000), (8, 64, 20_011), (70, 3, 513), (2, 300, 300)],
            [DataType.f32, .bf16, .f64])
        func productsAreThoseInDoublePrecision(_ sizes: (Int, Int, Int), _ type: DataType) {
            let (n, m, d) = sizes
            let (x, rows) = (matrix(n, d, seed: 1, type == .f64 ? .f64 : .f32), matrix(m, d, seed: 2, type))
            let (wideX, wideRows) = (x.converted(to: .f64), rows.converted(to: .f64))
            let dots = x.wideDots(withRows: rows)
            #expect(dots.shape == [n, m] && dots.dataType == .f64)
            let expected = wideX.matmul(wideRows.transposed()).doubles()
            #expect(zip(dots.doubles(), expected).allSatisfy { abs($0 - $1) < 1e-12 * Double(d + 1) })
            let z = matrix(n, m, seed: 3, .f64)
            let rest = x.wideRemainder(z, ofRows: rows, scale: 0.5)
            #expect(rest.shape == [n, d] && rest.dataType == x.dataType)
            let wanted = ((wideX - z.matmul(wideRows)) * 0.5).doubles()
            let bound = type == .f64 ? 1e-12 : 1e-6
            #expect(zip(rest.doubles(), wanted).allSatisfy { abs($0 - $1) < bound * Double(m + 1) })
        }

        /// What f32 sums would lose.
        @Test func smallPartsOfLargeSumsStay() {
            var entries = [Float](repeating: 1, count: 20_001)
            entries[0] = 1e4
            let x = Tensor(entries, shape: [1, 20_001])
            #expect(Tensor.concatenated([x, x]).wideDots(withRows: x).doubles() == [1e8 + 20_000, 1e8 + 20_000])
        }

        @Test func resultsDoNotDependOnThreads() {
            let (x, rows, z) = (
                matrix(6, 60_000, seed: 4), matrix(20, 60_000, seed: 5), matrix(6, 20, seed: 6, .f64)
            )
            var results: [[Double]] = []
            underEveryVariant(threads: [1, 2, 3]) { _ in
                results.append(
                    x.wideDots(withRows: rows).doubles() + x.wideRemainder(z, ofRows: rows, scale: 2).doubles())
            }
            for variant in stride(from: 0, to: results.count, by: 3) {
                #expect(results[variant] == results[variant + 1] && results[variant] == results[variant + 2])
            }
        }
    }
}
