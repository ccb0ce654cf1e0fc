import CoppiceFormats
import CoppiceTensors
import Testing

/// The compressed formats: exact products, round trips, hostile parts.
@Suite(.serialized) struct CompressedWeightTests {
    static let shapes = [(1, 16), (7, 48), (33, 208), (64, 112), (5, 4112), (131, 512)]
    static let batches = [1, 2, 3, 7, 8, 9, 64]
    static let quantizations = [
        IntegerQuantization(bits: 8), IntegerQuantization(bits: 8, groupSize: 32, isSymmetric: false),
        IntegerQuantization(bits: 4, groupSize: 32), IntegerQuantization(bits: 4, groupSize: 16, isSymmetric: false),
        IntegerQuantization(bits: 4, groupSize: 128), IntegerQuantization(bits: 4, isSymmetric: false),
    ]
    static var valueTypes: [PackedValueType] {
        [.float(.f32), .float(.bf16), .float(.f16)] + quantizations.map { .integer($0) }
    }

    /// A matrix in which a share of entries, chosen by position, is zero.
    static func sparse(_ rows: Int, _ columns: Int, keepingEvery step: Int) -> Tensor {
        var values = Samples.floats(rows * columns, seed: UInt64(rows + columns * 7))
        for index in values.indices where (index * 7 + index / columns * 3) % step != 0 { values[index] = 0 }
        return Tensor(values, shape: [rows, columns])
    }

    static func pruned(_ rows: Int, _ columns: Int, kept: Int, of length: Int) -> Tensor {
        var values = Samples.floats(rows * columns, seed: UInt64(rows * 3 + columns))
        for index in values.indices where (index % length + index / length) % length >= kept { values[index] = 0 }
        return Tensor(values, shape: [rows, columns])
    }

    @Test(arguments: quantizations) func integerProductsAreThoseOfTheDenseMatrix(quantization: IntegerQuantization)
        throws
    {
        for (rows, columns) in Self.shapes + [(3, 1), (9, 37), (4, 513)] {
            let weight = try IntegerGroupWeight(
                quantizing: Samples.matrix(rows, columns, seed: UInt64(rows + columns)), quantization)
            try expectProducts(
                weight, batches: Self.batches,
                roundsActivations: PackedValueType.integer(quantization).roundsActivations(columns))
        }
    }

    @Test(arguments: quantizations) func codesAreTheNearest(quantization: IntegerQuantization) throws {
        let (rows, columns) = (6, 200)
        let source = Samples.matrix(rows, columns, seed: 5)
        let weight = try IntegerGroupWeight(quantizing: source, quantization)
        let (x, y) = (source.floats(), weight.dense().floats())
        let group = quantization.groupSize ?? columns
        for row in 0..<rows {
            for start in stride(from: 0, to: columns, by: group) {
                let range = (row * columns + start)..<(row * columns + min(start + group, columns))
                let (low, high) = (min(0, x[range].min() ?? 0), max(0, x[range].max() ?? 0))
                let span = quantization.isSymmetric ? 2 * max(high, -low) : high - low
                let step = span / Float(1 << quantization.bits - 1)
                // Half a step, and what the f16 scale and a rounded zero point add at the ends of the range.
                for index in range {
                    #expect(abs(x[index] - y[index]) <= step * (quantization.isSymmetric ? 0.56 : 1.01))
                }
            }
        }
    }

    @Test(arguments: quantizations, [1, 4, 20]) func activationsThatAreNoNumbersShow(
        quantization: IntegerQuantization, batch: Int
    ) throws {
        let weight = try IntegerGroupWeight(quantizing: Samples.matrix(8, 200, seed: 6), quantization)
        atEveryLevel { level in
            for bad in [Float.nan, .infinity, -.infinity] {
                var x = Samples.floats(batch * 200, seed: 7)
                x[(batch - 1) * 200 + 150] = bad
                let y = weight.multiply(Tensor(x, shape: [batch, 200])).floats()
                #expect(y[..<((batch - 1) * 8)].allSatisfy { $0.isFinite }, "\(bad) at \(level)")
                #expect(y[((batch - 1) * 8)...].allSatisfy { !$0.isFinite }, "\(bad) at \(level)")
            }
        }
    }

    @Test(arguments: quantizations) func zerosStayZero(quantization: IntegerQuantization) throws {
        let source = Self.sparse(9, 160, keepingEvery: 3)
        let weight = try IntegerGroupWeight(quantizing: source, quantization)
        for (x, y) in zip(source.floats(), weight.dense().floats()) where x == 0 { #expect(y == 0) }
        let zeros = try IntegerGroupWeight(quantizing: Tensor.zeros([3, 32]), quantization)
        #expect(zeros.dense().floats().allSatisfy { $0 == 0 })
        #expect(zeros.nonZeroCount == 0)
    }

    @Test(arguments: valueTypes) func semiStructuredProducts(type: PackedValueType) throws {
        for (kept, length) in [(2, 4), (1, 4), (2, 8), (4, 8), (1, 2), (3, 16)] {
            for (rows, columns) in Self.shapes + [(9, 4096)] {
                let source = Self.pruned(rows, columns, kept: kept, of: length)
                let weight = try SemiStructuredWeight(packing: source, kept: kept, of: length, values: type)
                try expectProducts(weight, batches: [1, 3, 8, 17], roundsActivations: type.roundsActivations(columns))
                #expect(weight.nonZeroCount <= rows * columns * kept / length)
                if case .float(.f32) = type { #expect(weight.dense().floats() == source.floats()) }
            }
        }
    }

    @Test(arguments: valueTypes) func bitmaskProducts(type: PackedValueType) throws {
        for step in [1, 2, 5, 11] {
            for (rows, columns) in Self.shapes + [(3, 1), (9, 37), (4, 513), (33, 4097)] {
                let source = Self.sparse(rows, columns, keepingEvery: step)
                let weight = try BitmaskSparseWeight(packing: source, values: type)
                try expectProducts(weight, batches: [1, 3, 8, 17], roundsActivations: type.roundsActivations(columns))
                if case .float(.f32) = type { #expect(weight.dense().floats() == source.floats()) }
            }
        }
    }

    @Test func matricesOfNothing() throws {
        for type in Self.valueTypes {
            for columns in [64, 256, 1024] {
                var values = [Float](repeating: 0, count: 11 * columns)
                values[5 * columns + 17] = 1  // one weight in one row
                for source in [Tensor.zeros([11, columns]), Tensor(values, shape: [11, columns])] {
                    try expectProducts(
                        try BitmaskSparseWeight(packing: source, values: type), batches: [1, 2, 4, 9],
                        roundsActivations: type.roundsActivations(columns))
                    try expectProducts(
                        try SemiStructuredWeight(packing: source, kept: 2, of: 4, values: type), batches: [1, 9],
                        roundsActivations: type.roundsActivations(columns))
                }
            }
        }
    }

    @Test func quantizedSparseValuesAreThoseOfTheQuantizedMatrix() throws {
        for quantization in Self.quantizations {
            let source = Self.pruned(12, 96, kept: 2, of: 4)
            let expected = try IntegerGroupWeight(quantizing: source, quantization).dense().floats()
            let type = PackedValueType.integer(quantization)
            let semi = try SemiStructuredWeight(packing: source, kept: 2, of: 4, values: type)
            #expect(semi.dense().floats() == expected)
            let bitmask = try BitmaskSparseWeight(packing: source, values: type)
            #expect(bitmask.dense().floats() == expected)
        }
    }

    static func examples() throws -> [any WeightFormat] {
        var result: [any WeightFormat] = []
        for type in valueTypes {
            if case .integer(let quantization) = type {
                result.append(try IntegerGroupWeight(quantizing: Samples.matrix(5, 80, seed: 1), quantization))
            }
            result.append(
                try SemiStructuredWeight(packing: pruned(5, 80, kept: 2, of: 4), kept: 2, of: 4, values: type))
            result.append(try BitmaskSparseWeight(packing: sparse(5, 77, keepingEvery: 2), values: type))
        }
        return result
    }

    @Test func storedWeightsComeBack() throws {
        for weight in try Self.examples() {
            let back = try WeightFormats.decode(weight.stored())
            #expect(back.dense().floats() == weight.dense().floats())
            #expect(back.label == weight.label && back.byteCount == weight.byteCount)
        }
    }

    @Test func hostilePartsAreNamed() throws {
        for weight in try Self.examples() {
            let good = weight.stored()
            for part in good.tensors.keys {
                var bad = good
                bad.tensors[part] = nil
                expectBadData("weight.\(part)") { try WeightFormats.decode(bad) }
                bad.tensors[part] = Tensor.zeros([3], dataType: good.tensors[part]?.dataType ?? .u8)
                expectBadData("weight.\(part)") { try WeightFormats.decode(bad) }
            }
            for option in good.options.keys {
                var bad = good
                bad.options[option] = "many"
                expectBadData("options.\(option)") { try WeightFormats.decode(bad) }
            }
            var bad = good
            bad.shape = [-1, 80]
            expectBadData("shape") { try WeightFormats.decode(bad) }
            bad.shape = [5, 96]
            expectBadData("weight.") { try WeightFormats.decode(bad) }
            bad = good
            bad.format = "origami"
            expectBadData("origami") { try WeightFormats.decode(bad) }
        }
        // Masks that do not follow the pattern, or point past the last column.
        var semi = try SemiStructuredWeight(
            packing: Self.pruned(2, 16, kept: 2, of: 4), kept: 2, of: 4, values: .float(.bf16)
        ).stored()
        semi.tensors["masks"] = Tensor([UInt8](repeating: 0xFF, count: 4), shape: [2, 2])
        expectBadData("2:4") { try WeightFormats.decode(semi) }
        var bitmask = try BitmaskSparseWeight(packing: Self.sparse(2, 5, keepingEvery: 1), values: .float(.f32))
            .stored()
        bitmask.tensors["masks"] = Tensor([UInt8](repeating: 0xFF, count: 4), shape: [2, 2])
        expectBadData("past column") { try WeightFormats.decode(bitmask) }
    }

    @Test func unusableValuesAreNamed() throws {
        for value in [Float.nan, .infinity] {
            var values = Samples.floats(64, seed: 1)
            values[35] = value
            let source = Tensor(values, shape: [2, 32])
            expectBadData("[1, 3]") { try IntegerGroupWeight(quantizing: source, IntegerQuantization(bits: 8)) }
            expectBadData("[1, 3]") { try BitmaskSparseWeight(packing: source, values: .float(.bf16)) }
        }
        expectBadData("at most 2") {
            try SemiStructuredWeight(packing: .ones([1, 8]), kept: 2, of: 4, values: .float(.bf16))
        }
        expectBadData("too large") {
            try IntegerGroupWeight(quantizing: .full([1, 16], 1e30), IntegerQuantization(bits: 8))
        }
    }

    @Test func bytesAreThoseOfTheLayout() throws {
        let int4 = try IntegerGroupWeight(
            quantizing: Samples.matrix(4, 64, seed: 2), IntegerQuantization(bits: 4, groupSize: 32))
        #expect(int4.byteCount == 4 * 32 + 4 * 2 * 2)
        let semi = try SemiStructuredWeight(
            packing: Self.pruned(4, 64, kept: 2, of: 4), kept: 2, of: 4, values: .float(.bf16))
        #expect(semi.byteCount == 4 * 32 * 2 + 4 * 8)
        #expect(semi.sparsity >= 0.5)
    }
}

extension PackedValueType {
    /// Whether there is a kernel in integer arithmetic: groups of 16 have one only where there is one group.
    fileprivate func roundsActivations(_ columns: Int) -> Bool {
        if case .integer(let quantization) = self { quantization.groupSize != 16 || columns <= 16 } else { false }
    }
}
