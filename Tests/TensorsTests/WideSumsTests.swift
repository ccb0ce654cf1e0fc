import CKernels
import CoppiceTensors
import Testing

extension SerializedByVariant {
    /// Products with a few long rows: against plain loops in f64.
    @Suite struct WideSumsTests {
        private static let shapes = [
            (1, 1), (3, 7), (8, 513), (16, 8_192), (17, 8_193), (5, 20_011), (35, 600), (2, 0),
        ]

        private func normal(_ shape: [Int], seed: UInt64) -> Tensor {
            var generator = RandomGenerator(seed: seed)
            return Tensor.normal(shape, using: &generator)
        }

        private func dots(_ x: Tensor, _ v: [Float]) -> [Double] {
            var result = [Double](repeating: -1, count: x.shape[0])
            coppice_wide_dots(x.dataType.kernelType, x.shape[0], x.shape[1], x.basePointer, v, &result)
            return result
        }

        private func fastDots(_ x: Tensor, _ v: [Float]) -> [Double] {
            var result = [Double](repeating: -1, count: x.shape[0])
            let codes = x.basePointer.assumingMemoryBound(to: UInt16.self)
            coppice_bf16_dots(x.shape[0], x.shape[1], codes, v, &result)
            return result
        }

        private func remainder(_ x: Tensor, _ z: [Double], _ base: [Float]?) -> [Float] {
            var result = [Float](repeating: -1, count: x.shape[1])
            coppice_wide_remainder(
                x.dataType.kernelType, x.shape[0], x.shape[1], x.basePointer, z, base, 0.5, &result)
            return result
        }

        private func combination(_ x: Tensor, _ z: [Double]) -> [Float] {
            var result = [Float](repeating: -1, count: x.shape[1])
            let codes = x.basePointer.assumingMemoryBound(to: UInt16.self)
            coppice_bf16_combination(x.shape[0], x.shape[1], codes, z.map(Float.init), &result)
            return result
        }

        @Test(arguments: shapes, [DataType.f32, .bf16]) func everyVariantSumsWhatItShould(
            _ shape: (Int, Int), _ type: DataType
        ) {
            let (rows, columns) = shape
            let x = normal([rows, columns], seed: 1).converted(to: type)
            let v = normal([columns], seed: 2).floats()
            let z = normal([rows], seed: 3).doubles()
            let entries = x.doubles()
            let products = (0..<rows).map { r in
                (0..<columns).reduce(0) { $0 + entries[r * columns + $1] * Double(v[$1]) }
            }
            let sums = (0..<columns).map { k in (0..<rows).reduce(0) { $0 + z[$1] * entries[$1 * columns + k] } }
            let scale = Double(columns + 1).squareRoot()
            underEveryVariant { name in
                for (found, expected) in zip(dots(x, v), products) {
                    #expect(abs(found - expected) < 1e-12 * scale, "\(name)")
                }
                for (k, found) in remainder(x, z, v).enumerated() {
                    let expected = 0.5 * (Double(v[k]) - sums[k])
                    #expect(abs(Double(found) - expected) <= 1e-7 * abs(expected) + 1e-12, "\(name)")
                }
                for (found, expected) in zip(remainder(x, z, nil), sums) {
                    #expect(abs(Double(found) + 0.5 * expected) <= 1e-7 * abs(expected) + 1e-12, "\(name)")
                }
                guard type == .bf16 else { return }
                for (found, expected) in zip(fastDots(x, v), products) {
                    #expect(abs(found - expected) < 2e-6 * scale, "\(name)")
                }
                for (found, expected) in zip(combination(x, z), sums) {
                    #expect(abs(Double(found) - expected) < 1e-5, "\(name)")
                }
            }
        }

        /// Products of bf16 numbers and short sums of them are exact in f32; the sum of all needs 32 bits.
        @Test(arguments: [511, 512, 40_003]) func fastSumsOfBF16AreExact(_ columns: Int) {
            let x = Tensor.full([3, columns], 255).converted(to: .bf16)
            let v = [Float](repeating: 255, count: columns)
            underEveryVariant { name in
                #expect(fastDots(x, v) == [Double](repeating: Double(columns) * 65_025, count: 3), "\(name)")
            }
        }

        @Test func resultsDoNotDependOnThreads() {
            let x = normal([20, 60_000], seed: 4)
            let narrow = x.converted(to: .bf16)
            let (v, z) = (normal([60_000], seed: 5).floats(), normal([20], seed: 6).doubles())
            var results: [([Double], [Double], [Float], [Float])] = []
            underEveryVariant(threads: [1, 2, 3]) { _ in
                results.append((dots(x, v), fastDots(narrow, v), remainder(x, z, v), combination(narrow, z)))
            }
            for variant in stride(from: 0, to: results.count, by: 3) {
                for other in 1...2 {
                    #expect(results[variant].0 == results[variant + other].0)
                    #expect(results[variant].1 == results[variant + other].1)
                    #expect(results[variant].2 == results[variant + other].2)
                    #expect(results[variant].3 == results[variant + other].3)
                }
            }
        }
    }
}
