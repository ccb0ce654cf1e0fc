import CKernels
import CoppiceFormats
import CoppiceTensors
import Testing

@Suite(.serialized) struct DenseWeightTests {
    static let shapes = [(1, 1), (7, 33), (32, 32), (33, 7), (64, 100), (100, 64), (5, 4097), (131, 512), (3, 513)]
    static let batches = [1, 2, 3, 5, 8, 17, 64]

    @Test(arguments: [DataType.f32, .bf16, .f16])
    func productsMatchTheReference(type: DataType) throws {
        for (rows, columns) in Self.shapes {
            let source = Samples.matrix(rows, columns, seed: UInt64(rows * 31 + columns))
            let weight = try DenseWeight(Samples.convert(source, to: type))
            try expectProducts(weight, batches: Self.batches)
            if type == .bf16 { try expectProducts(weight, batches: Self.batches, narrowsActivations: true) }
        }
    }

    @Test func weightsAtOddAddressesWork() throws {
        let rows = 9, columns = 37
        let values = Samples.floats(rows * columns, seed: 3)
        for type in [DataType.f32, .bf16, .f16] {
            let source = Samples.convert(Tensor(values, shape: [rows, columns]), to: type)
            let owner = TensorStorage(byteCount: source.byteCount + 8)
            for shift in [1, 3] {
                (owner.pointer + shift).copyMemory(from: source.basePointer, byteCount: source.byteCount)
                let storage = TensorStorage(
                    borrowing: owner.pointer + shift, byteCount: source.byteCount, owner: owner)
                let weight = try DenseWeight(Tensor(dataType: type, shape: [rows, columns], storage: storage))
                try expectProducts(weight, batches: [1, 3, 20], narrowsActivations: type == .bf16)
                let aligned = try DenseWeight(source)
                #expect(weight.dense().floats() == aligned.dense().floats())
            }
        }
    }

    @Test func emptyShapesGiveZerosOrNothing() throws {
        let noColumns = try DenseWeight(Tensor([Float](), shape: [3, 0]))
        #expect(noColumns.multiply(Tensor([Float](), shape: [2, 0])).floats() == [Float](repeating: 0, count: 6))
        let noRows = try DenseWeight(Tensor([Float](), shape: [0, 4]))
        #expect(noRows.multiply(Tensor([Float](repeating: 1, count: 8), shape: [2, 4])).count == 0)
    }

    @Test func countsAndLabels() throws {
        let weight = try DenseWeight(Samples.convert(Tensor([Float(0), 1, 0, -2, 3, 0], shape: [2, 3]), to: .bf16))
        #expect(weight.nonZeroCount == 3)
        #expect(weight.byteCount == 12)
        #expect(weight.bitsPerWeight == 16)
        #expect(weight.sparsity == 0.5)
        #expect(weight.label == "bf16")
    }

    @Test func storedFormRoundTripsAndHostileFormsAreRefused() throws {
        let weight = try DenseWeight(Samples.matrix(4, 6, seed: 1))
        let again = try WeightFormats.decode(weight.stored())
        #expect(again.dense().floats() == weight.dense().floats())
        var stored = weight.stored()
        stored.name = "lm_head.weight"
        stored.shape = [4, 7]
        expectBadData("lm_head.weight: expected f32 [4, 7], found f32 [4, 6]") { try WeightFormats.decode(stored) }
        stored.shape = [24]
        expectBadData("lm_head.weight.shape") { try WeightFormats.decode(stored) }
        stored.shape = [-4, -6]
        expectBadData("lm_head.weight.shape") { try WeightFormats.decode(stored) }
        stored.shape = [4, 6]
        stored.tensors = [:]
        expectBadData("lm_head.weight: is missing") { try WeightFormats.decode(stored) }
        stored.format = "zip"
        expectBadData("found \"zip\"") { try WeightFormats.decode(stored) }
        expectBadData("found i32") { try DenseWeight(Tensor([Int32(1)], shape: [1, 1])) }
    }
}
