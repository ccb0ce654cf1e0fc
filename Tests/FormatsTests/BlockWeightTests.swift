import CoppiceFormats
import CoppiceTensors
import Foundation
import Testing

/// GGUF's block types: exact decoding, products, encoding, hostile parts.
@Suite(.serialized) struct BlockWeightTests {
    static let batches = [1, 2, 3, 7, 8, 9, 64]

    private static func fixture(_ name: String) throws -> [UInt8] {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return Array(try Data(contentsOf: tests.appendingPathComponent("Fixtures/gguf/" + name)))
    }

    /// The blocks of a fixture, repeated to a matrix of `rows` rows.
    private static func weight(_ type: BlockType, rows: Int, repeats: Int) throws -> BlockWeight {
        let bytes = try fixture("\(type).blocks")
        let half = bytes.count / 2
        var all: [UInt8] = []
        for row in 0..<rows {
            for copy in 0..<repeats { all += (row + copy) % 2 == 0 ? bytes[..<half] : bytes[half...] }
        }
        let blocks = Tensor(all, shape: [rows, half * repeats])
        return BlockWeight(blocks: blocks, type: type, columns: 2 * type.length * repeats)
    }

    @Test(arguments: BlockType.allCases) func decodesAsTheReference(type: BlockType) throws {
        let expected = try Self.fixture("\(type).f32").withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self) }
        }
        let bytes = try Self.fixture("\(type).blocks")
        #expect(bytes.count == 4 * type.byteCount)
        #expect(expected.count == 4 * type.length)
        let weight = BlockWeight(
            blocks: Tensor(bytes, shape: [2, 2 * type.byteCount]), type: type, columns: 2 * type.length)
        #expect(weight.bitsPerWeight == Double(type.byteCount * 8) / Double(type.length))
        atEveryLevel { level in
            #expect(weight.dense().floats().map(\.bitPattern) == expected, "\(type) at level \(level.rawValue)")
        }
    }

    @Test(arguments: BlockType.allCases) func productsAreThoseOfTheDenseMatrix(type: BlockType) throws {
        for (rows, repeats) in [(1, 1), (7, 2), (33, 3)] {
            try expectProducts(
                try Self.weight(type, rows: rows, repeats: repeats), batches: Self.batches, roundsActivations: true)
        }
    }

    @Test func blocksAtOddAddressesWork() throws {
        for type in BlockType.allCases {
            let bytes = try Self.fixture("\(type).blocks")
            let owner = TensorStorage(byteCount: bytes.count + 8)
            (owner.pointer + 1).copyMemory(from: bytes, byteCount: bytes.count)
            let storage = TensorStorage(borrowing: owner.pointer + 1, byteCount: bytes.count, owner: owner)
            let blocks = Tensor(dataType: .u8, shape: [2, bytes.count / 2], storage: storage)
            let weight = BlockWeight(blocks: blocks, type: type, columns: 2 * type.length)
            try expectProducts(weight, batches: [1, 9], roundsActivations: true)
        }
    }

    // MARK: - Encoding

    private static func error(_ x: [Float], _ y: [Float]) -> Double {
        let squares = zip(x, y).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        return (squares / x.reduce(0.0) { $0 + Double($1) * Double($1) }).squareRoot()
    }

    /// The root of the mean squared error over that of the values stays below what such codes can reach.
    @Test(arguments: [(BlockType.q4_0, 0.09), (.q8_0, 0.006), (.q4_k, 0.078), (.q6_k, 0.019)])
    func encodesBellShapedValues(type: BlockType, bound: Double) throws {
        let source = Samples.matrix(37, 1024, seed: 3)
        let weight = try BlockWeight(encoding: source, as: type)
        #expect(Self.error(source.floats(), weight.dense().floats()) < bound)
        try expectProducts(weight, batches: [1, 9], roundsActivations: true)
    }

    @Test func theBestScaleIsSoughtNotTheWidest() throws {
        // The range alone (the largest magnitude at -8) gives this much error; a search must do better.
        let source = Samples.matrix(16, 512, seed: 9)
        let x = source.floats()
        var plain = x
        for block in stride(from: 0, to: x.count, by: 32) {
            let range = block..<(block + 32)
            let top = x[range].max { abs($0) < abs($1) } ?? 0
            let scale = Float(Float16(top / -8))
            for index in range { plain[index] = scale * min(7, max(-8, (x[index] / scale).rounded())) }
        }
        let found = try BlockWeight(encoding: source, as: .q4_0).dense().floats()
        #expect(Self.error(x, found) < Self.error(x, plain) * 0.97)
    }

    @Test(arguments: BlockType.encodable) func encodesTheSameBlocksAtEveryLevel(type: BlockType) throws {
        var values = Samples.floats(5 * 512, seed: 4)
        for index in 0..<512 { values[index] = 0 }
        for index in 512..<1024 { values[index] = 0.25 }
        for index in 1024..<1536 { values[index] *= 1e-7 }
        for index in 1536..<2048 { values[index] = abs(values[index]) + 3 }
        let source = Tensor(values, shape: [5, 512])
        var first: [UInt8]?
        try atEveryLevel { level in
            let blocks = try BlockWeight(encoding: source, as: type).blocks.withElements(UInt8.self) { Array($0) }
            #expect(first == nil || first == blocks, "\(type) at level \(level.rawValue)")
            first = blocks
        }
        let dense = try BlockWeight(encoding: source, as: type).dense().floats()
        #expect(dense[..<512].allSatisfy { $0 == 0 }, "zeros stay zero")
        #expect(dense[512..<1024].allSatisfy { abs($0 - 0.25) < 0.25 * 0.002 }, "constants stay constant")
        #expect(dense.allSatisfy { $0.isFinite })
    }

    @Test(arguments: BlockType.encodable) func valuesThatCannotBeEncodedAreRefused(type: BlockType) throws {
        for bad in [Float.nan, .infinity] {
            var values = Samples.floats(512, seed: 1)
            values[300] = bad
            expectBadData("[1, 44]") { try BlockWeight(encoding: Tensor(values, shape: [2, 256]), as: type) }
        }
        var values = [Float](repeating: 1, count: 768)
        values[600] = 3e38
        expectBadData("row 2: has values too large for an f16 scale") {
            try BlockWeight(encoding: Tensor(values, shape: [3, 256]), as: type)
        }
    }

    // MARK: - Repacking

    @Test(arguments: [
        (IntegerQuantization(bits: 4, groupSize: 32), BlockType.q4_0), (IntegerQuantization(bits: 4), .q4_0),
        (IntegerQuantization(bits: 4, groupSize: 128), .q4_0), (IntegerQuantization(bits: 8, groupSize: 64), .q8_0),
        (IntegerQuantization(bits: 8), .q8_0),
    ]) func symmetricIntegersAreRepackedExactly(quantization: IntegerQuantization, type: BlockType) throws {
        let source = Samples.matrix(9, 192, seed: 8)
        let weight = try IntegerGroupWeight(quantizing: source, quantization)
        let blocks = try #require(try BlockWeight(repacking: weight.stored()))
        #expect(blocks.type == type)
        #expect(try BlockWeight.typeRepacking(weight.stored()) == type)
        #expect(blocks.dense().floats() == weight.dense().floats())

        let pruned = CompressedWeightTests.pruned(9, 192, kept: 2, of: 4)
        let sparse = try SemiStructuredWeight(packing: pruned, kept: 2, of: 4, values: .integer(quantization))
        let repacked = try #require(try BlockWeight(repacking: sparse.stored()))
        #expect(repacked.dense().floats() == sparse.dense().floats())
        let masked = try BitmaskSparseWeight(packing: pruned, values: .integer(quantization))
        #expect(try BlockWeight(repacking: masked.stored())?.dense().floats() == masked.dense().floats())
    }

    @Test(arguments: [
        (BitPlaneQuantization.ternary(groupSize: 64), BlockType.q4_0), (.ternary(), .q4_0),
        (BitPlaneQuantization(bits: 2, groupSize: 32), .q4_0), (BitPlaneQuantization(bits: 3), .q4_0),
        (BitPlaneQuantization(bits: 4, groupSize: 128), .q4_0), (BitPlaneQuantization(bits: 5, groupSize: 64), .q5_0),
        (BitPlaneQuantization(bits: 6), .q8_0), (BitPlaneQuantization(bits: 8, groupSize: 64), .q8_0),
        (BitPlaneQuantization(bits: 1, codes: .bipolar), .q4_0),
        (BitPlaneQuantization(bits: 3, groupSize: 32, codes: .bipolar), .q4_0),
        (BitPlaneQuantization(bits: 7, codes: .bipolar), .q8_0),
    ]) func bitPlanesAreRepackedExactly(quantization: BitPlaneQuantization, type: BlockType) throws {
        let weight = try BitPlaneWeight(quantizing: Samples.matrix(9, 192, seed: 8), quantization)
        let blocks = try #require(try BlockWeight(repacking: weight.stored()))
        #expect(blocks.type == type)
        #expect(try BlockWeight.typeRepacking(weight.stored()) == type)
        #expect(blocks.dense().floats() == weight.dense().floats())
    }

    @Test func codebooksAreRepackedExactly() throws {
        let source = Samples.matrix(9, 192, seed: 8)
        for quantization in CodebookWeightTests.quantizations {
            let weight = try CodebookWeight(quantizing: source, quantization)
            let blocks = try #require(try BlockWeight(repacking: weight.stored()))
            #expect(blocks.type == .q8_0)
            #expect(blocks.dense().floats() == weight.dense().floats())
        }
    }

    @Test(arguments: [(2, BlockType.q4_1), (3, .q4_1), (4, .q4_1), (5, .q5_1)])
    func asymmetricPlanesKeepTheirCodes(bits: Int, type: BlockType) throws {
        let weight = try BitPlaneWeight(
            quantizing: Samples.matrix(7, 256, seed: 2),
            BitPlaneQuantization(bits: bits, groupSize: 64, codes: .asymmetric))
        let blocks = try #require(try BlockWeight(repacking: weight.stored()))
        #expect(blocks.type == type)
        let largest = weight.dense().floats().map(abs).max() ?? 0
        for (x, y) in zip(weight.dense().floats(), blocks.dense().floats()) {
            #expect(abs(x - y) <= 2 * largest / 2048)
        }
    }

    @Test func asymmetricIntegersKeepTheirCodes() throws {
        let quantization = IntegerQuantization(bits: 4, groupSize: 64, isSymmetric: false)
        let weight = try IntegerGroupWeight(quantizing: Samples.matrix(7, 256, seed: 2), quantization)
        let blocks = try #require(try BlockWeight(repacking: weight.stored()))
        #expect(blocks.type == .q4_1)
        let largest = weight.dense().floats().map(abs).max() ?? 0
        for (x, y) in zip(weight.dense().floats(), blocks.dense().floats()) {
            #expect(abs(x - y) <= 2 * largest / 2048)
        }
    }

    @Test func whatBlocksCannotSayIsLeft() throws {
        let source = Samples.matrix(4, 96, seed: 2)
        for quantization in [
            IntegerQuantization(bits: 8, groupSize: 32, isSymmetric: false),
            IntegerQuantization(bits: 4, groupSize: 48),
        ] {
            #expect(try BlockWeight(repacking: IntegerGroupWeight(quantizing: source, quantization).stored()) == nil)
        }
        #expect(try BlockWeight(repacking: DenseWeight(source).stored()) == nil)
        for planes in [
            BitPlaneQuantization(bits: 6, codes: .asymmetric), BitPlaneQuantization(bits: 8, codes: .bipolar),
        ] { #expect(try BlockWeight(repacking: BitPlaneWeight(quantizing: source, planes).stored()) == nil) }
        let narrow = try IntegerGroupWeight(
            quantizing: Samples.matrix(4, 80, seed: 2), IntegerQuantization(bits: 8, groupSize: 16))
        #expect(try BlockWeight(repacking: narrow.stored()) == nil)
    }

    // MARK: - Storage

    @Test(arguments: BlockType.allCases) func storedPartsComeBack(type: BlockType) throws {
        let weight = try Self.weight(type, rows: 3, repeats: 2)
        let stored = weight.stored()
        #expect(stored.format == "gguf-block")
        #expect(stored.options == ["type": type.rawValue])
        let decoded = try WeightFormats.decode(stored)
        #expect(decoded.dense().floats() == weight.dense().floats())
        #expect(decoded.label == type.rawValue)
        #expect(decoded.byteCount == 3 * 4 * type.byteCount)
    }

    @Test func partsThatDoNotFitAreRefused() throws {
        var stored = try Self.weight(.q4_k, rows: 3, repeats: 1).stored()
        stored.options["type"] = "q9_z"
        expectBadData("weight.options.type: expected one of q4_0") { try WeightFormats.decode(stored) }
        stored.options["type"] = "q4_k"
        stored.shape = [3, 500]
        expectBadData("expected columns in multiples of 256 for q4_k, found 500") { try WeightFormats.decode(stored) }
        stored.shape = [4, 512]
        expectBadData("weight.blocks: expected u8 [4, 288], found u8 [3, 288]") { try WeightFormats.decode(stored) }
        stored.tensors = [:]
        expectBadData("weight.blocks: is missing") { try WeightFormats.decode(stored) }
    }
}
