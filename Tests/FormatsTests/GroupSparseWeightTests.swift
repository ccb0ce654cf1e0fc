import CKernels
import CoppiceFormats
import CoppiceTensors
import Testing

/// Group-sparse quantized weights: exact products however tasks are cut, round trips, hostile parts.
@Suite(.serialized) struct GroupSparseWeightTests {
    static let quantizations = [4, 8].flatMap { bits in
        GroupSparseWeight.groupSizes.flatMap { size in
            [true, false].map { IntegerQuantization(bits: bits, groupSize: size, isSymmetric: $0) }
        }
    }
    static let shapes = [(1, 1), (7, 32), (33, 208), (64, 112), (5, 4097), (131, 512), (3, 33)]

    /// A matrix in which whole groups of a row are zero: all but a share that differs from row to row.
    static func pruned(_ rows: Int, _ columns: Int, group: Int, seed: UInt64 = 3) -> Tensor {
        var values = Samples.floats(rows * columns, seed: seed + UInt64(rows * 5 + columns))
        for row in 0..<rows {
            for first in stride(from: 0, to: columns, by: group) {
                // Row 0 keeps all, some rows nothing, the others every second to sixth group.
                let step = row % 7
                let keeps = step == 0 || step < 6 && (first / group + row) % step == 0
                if !keeps { for column in first..<min(first + group, columns) { values[row * columns + column] = 0 } }
            }
        }
        return Tensor(values, shape: [rows, columns])
    }

    @Test(arguments: quantizations) func productsAreThoseOfTheDenseMatrix(quantization: IntegerQuantization) throws {
        for (rows, columns) in Self.shapes {
            let source = Self.pruned(rows, columns, group: quantization.groupSize ?? 0)
            let weight = try GroupSparseWeight(packing: source, quantization)
            // 8-bit asymmetric codes have no integer kernel for many rows; f32 sums are within the same bound.
            try expectProducts(weight, batches: [1, 2, 3, 4, 8, 9, 17], roundsActivations: true)
        }
    }

    @Test(arguments: quantizations) func valuesAreThoseOfTheQuantizedMatrix(quantization: IntegerQuantization) throws {
        for (rows, columns) in Self.shapes {
            let source = Self.pruned(rows, columns, group: quantization.groupSize ?? 0)
            let weight = try GroupSparseWeight(packing: source, quantization)
            let expected = try IntegerGroupWeight(quantizing: source, quantization).dense().floats()
            #expect(weight.dense().floats() == expected)
        }
    }

    @Test(arguments: quantizations) func nothingKeptIsAZeroMatrix(quantization: IntegerQuantization) throws {
        let weight = try GroupSparseWeight(packing: .zeros([9, 300]), quantization)
        #expect(weight.groupCount == 0 && weight.nonZeroCount == 0)
        atEveryLevel { _ in
            for batch in [1, 2, 5, 12] {
                let y = weight.multiply(Tensor.ones([batch, 300])).floats()
                #expect(y.allSatisfy { $0 == 0 })
            }
        }
        let empty = try GroupSparseWeight(packing: .zeros([4, 0]), quantization)
        #expect(empty.multiply(Tensor.zeros([2, 0])).floats() == [Float](repeating: 0, count: 8))
        let none = try GroupSparseWeight(packing: .zeros([0, 64]), quantization)
        #expect(none.multiply(Tensor.ones([3, 64])).shape == [3, 0])
    }

    /// One row that has half of all groups, and many that have one: whatever the number of threads, bit for bit the same.
    @Test(arguments: quantizations) func raggedRowsGiveTheSameSumsOnAnyNumberOfThreads(
        quantization: IntegerQuantization
    ) throws {
        let (rows, columns, size) = (40, 16384, quantization.groupSize ?? 0)
        var values = [Float](repeating: 0, count: rows * columns)
        let noise = Samples.floats(columns, seed: 8)
        for row in 0..<rows {
            let kept = row == 11 || row == 12 ? columns : size * (1 + row % 5)
            for column in 0..<kept { values[row * columns + column] = noise[(column + row) % columns] }
        }
        let weight = try GroupSparseWeight(packing: Tensor(values, shape: [rows, columns]), quantization)
        try expectProducts(weight, batches: [1, 5], roundsActivations: true)
        let threads = coppice_thread_count()
        defer { coppice_set_thread_count(threads) }
        for batch in [1, 2, 8, 11] {
            let x = Samples.matrix(batch, columns, seed: 4)
            coppice_set_thread_count(1)
            let expected = weight.multiply(x).floats()
            for count in [2, 3, 7] {
                coppice_set_thread_count(Int32(count))
                #expect(weight.multiply(x).floats() == expected, "\(count) threads, \(batch) rows")
            }
        }
    }

    @Test(arguments: quantizations) func storedWeightsComeBack(quantization: IntegerQuantization) throws {
        let weight = try GroupSparseWeight(
            packing: Self.pruned(12, 200, group: quantization.groupSize ?? 0), quantization)
        let back = try WeightFormats.decode(weight.stored())
        #expect(back.label == weight.label && back.byteCount == weight.byteCount)
        #expect(back.dense().floats() == weight.dense().floats())
        #expect(back.label.hasPrefix("group-sparse-int\(quantization.bits)-group"))
        let bytes = weight.stored().tensors.values.reduce(0) { $0 + $1.byteCount }
        #expect(weight.byteCount == bytes + 13 * 8)
    }

    @Test func hostilePartsAreNamed() throws {
        for quantization in Self.quantizations {
            let good = try GroupSparseWeight(
                packing: Self.pruned(5, 80, group: quantization.groupSize ?? 0), quantization
            ).stored()
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
            bad.options["group_size"] = "128"
            expectBadData("expected one of 16, 32, 64, found 128") { try WeightFormats.decode(bad) }
            bad.options["group_size"] = "row"
            expectBadData("options.group_size") { try WeightFormats.decode(bad) }
            bad = good
            bad.shape = [1 << 28, 1 << 28]
            expectBadData("weight.masks") { try WeightFormats.decode(bad) }
            bad = good
            let masks = try #require(good.tensors["masks"])
            bad.tensors["masks"] = Tensor([UInt8](repeating: 0xFF, count: masks.count), shape: masks.shape)
            expectBadData(masks.count * 8 > 5 * (80 / (quantization.groupSize ?? 1)) ? "past group" : "values") {
                try WeightFormats.decode(bad)
            }
        }
        expectBadData("[1, 3]") {
            var values = Samples.floats(64, seed: 1)
            values[35] = .nan
            return try GroupSparseWeight(
                packing: Tensor(values, shape: [2, 32]), IntegerQuantization(bits: 4, groupSize: 16))
        }
    }
}
