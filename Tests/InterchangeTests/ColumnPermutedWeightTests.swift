import CoppiceFormats
import CoppiceTensors
import Testing

/// Weights whose columns are stored in another order.
@Suite struct ColumnPermutedWeightTests {
    private static func values(_ count: Int) -> [Float] { (0..<count).map { Float(($0 * 7919) % 2003) / 1001 - 1 } }

    /// 0, 7, 14… modulo a number of columns that 7 does not divide.
    private static func order(_ columns: Int) -> [Int] { (0..<columns).map { $0 * 7 % columns } }

    private static func inner(_ columns: Int) throws -> [any WeightFormat] {
        let matrix = Tensor(values(11 * columns), shape: [11, columns])
        return [
            try DenseWeight(matrix.converted(to: .bf16)),
            try IntegerGroupWeight(quantizing: matrix, IntegerQuantization(bits: 4, groupSize: 16)),
            try BitmaskSparseWeight(packing: Tensor.maximum(matrix, Tensor([Float(0)])), values: .float(.f32)),
        ]
    }

    @Test(arguments: [1, 17, 64]) func theMatrixHasItsColumnsInPlace(columns: Int) throws {
        for inner in try Self.inner(columns) {
            let order = Self.order(columns)
            let weight = ColumnPermutedWeight(inner, order: order)
            let stored = inner.dense().floats(), found = weight.dense().floats()
            for row in 0..<11 {
                for (place, column) in order.enumerated() {
                    #expect(found[row * columns + column] == stored[row * columns + place])
                }
            }
            #expect(weight.nonZeroCount == inner.nonZeroCount)
            #expect(weight.byteCount == inner.byteCount + 4 * columns)
            #expect(weight.label == inner.label + "-permuted")
        }
    }

    // More rows than are brought into order together.
    @Test(arguments: [0, 1, 9, 300]) func productsUseTheMatrix(rows: Int) throws {
        for inner in try Self.inner(64) {
            let weight = ColumnPermutedWeight(inner, order: Self.order(64))
            let x = Tensor(Self.values(rows * 64), shape: [rows, 64])
            let found = withExactActivations { weight.multiply(x).floats() }
            let expected = rows == 0 ? [] : x.matmul(weight.dense().transposed()).floats()
            #expect(found.count == expected.count)
            #expect(zip(found, expected).allSatisfy { abs($0 - $1) < 1e-4 })
        }
    }

    @Test func storedWeightsComeBack() throws {
        for inner in try Self.inner(17) {
            let weight = ColumnPermutedWeight(inner, order: Self.order(17))
            let back = try WeightFormats.decode(weight.stored())
            #expect(back is ColumnPermutedWeight)
            #expect(back.dense().floats() == weight.dense().floats())
            #expect(back.label == weight.label)
        }
    }

    @Test func wrongPartsAreRefused() throws {
        let stored = ColumnPermutedWeight(try Self.inner(17)[1], order: Self.order(17)).stored()
        func failure(_ change: (inout StoredWeight) -> Void) -> String {
            var changed = stored
            change(&changed)
            do {
                _ = try WeightFormats.decode(changed)
                return ""
            } catch { return "\(error)" }
        }
        #expect(failure { _ in } == "")
        #expect(failure { $0.tensors["order"] = nil } == "weight.order: is missing, expected i32 [17]")
        let short = Tensor([Int32](repeating: 0, count: 3))
        #expect(failure { $0.tensors["order"] = short } == "weight.order: expected i32 [17], found i32 [3]")
        let twice = Tensor((0..<17).map { Int32($0 == 5 ? 4 : $0) })
        #expect(
            failure { $0.tensors["order"] = twice }
                == "weight.order: element 5 is 4, expected each of 0 to 16 once")
        let outside = Tensor((0..<17).map { Int32($0 == 5 ? -1 : $0) })
        #expect(failure { $0.tensors["order"] = outside }.contains("element 5 is -1"))
        #expect(
            failure { $0.options["format"] = "column-permuted" }
                == "weight.options.format: expected another format than column-permuted")
        #expect(failure { $0.options["format"] = nil }.contains("format: expected one of dense, integer"))
        #expect(failure { $0.tensors["values"] = nil }.contains("weight.values: is missing"))
    }
}
