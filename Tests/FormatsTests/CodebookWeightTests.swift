import CoppiceFormats
import CoppiceTensors
import Foundation
import Testing

/// Codebooks: exact products, k-means against a brute force, power curves, round trips, hostile parts.
@Suite(.serialized) struct CodebookWeightTests {
    static let quantizations: [CodebookQuantization] = [
        CodebookQuantization(bits: 4), CodebookQuantization(bits: 4, groupSize: 32),
        CodebookQuantization(bits: 3, groupSize: 128), CodebookQuantization(bits: 2, groupSize: 64),
        CodebookQuantization(bits: 4, tables: .row), CodebookQuantization(bits: 2, groupSize: 128, tables: .row),
        CodebookQuantization(bits: 3, groupSize: 64, tables: .row), CodebookQuantization(bits: 4, tables: .group),
        CodebookQuantization(bits: 4, groupSize: 32, tables: .group),
        CodebookQuantization(bits: 3, groupSize: 32, tables: .group),
        CodebookQuantization(bits: 2, groupSize: 64, tables: .group),
        CodebookQuantization(bits: 4, groupSize: 64, tables: .group),
        CodebookQuantization(bits: 4, groupSize: 128, tables: .group),
        CodebookQuantization(bits: 3, groupSize: 512, tables: .group, keepsZero: true),
        CodebookQuantization(bits: 4, curve: .power(exponent: nil)),
        CodebookQuantization(bits: 4, groupSize: 32, curve: .power(exponent: 0.5)),
        CodebookQuantization(bits: 3, groupSize: 128, curve: .power(exponent: nil)),
        CodebookQuantization(bits: 2, curve: .power(exponent: 1)),
    ]

    @Test(arguments: quantizations) func productsAreThoseOfTheDenseMatrix(quantization: CodebookQuantization) throws {
        for (rows, columns) in BitPlaneWeightTests.shapes {
            let weight = try CodebookWeight(
                quantizing: Samples.matrix(rows, columns, seed: UInt64(rows + columns)), quantization)
            try expectProducts(weight, batches: BitPlaneWeightTests.batches, roundsActivations: true)
        }
    }

    private static func squareError(_ x: [Float], _ y: [Float]) -> Double {
        zip(x, y).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    }

    // MARK: - k-means

    /// The least squared error of any `count` values for these numbers, by trying all ways to cut them.
    private static func leastError(_ x: [Float], _ count: Int) -> Double {
        let sorted = x.sorted().map(Double.init)
        let n = sorted.count
        func cost(_ range: Range<Int>) -> Double {
            let mean = sorted[range].reduce(0, +) / Double(range.count)
            return sorted[range].reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        }
        var best = (0...n).map { $0 == 0 ? 0 : cost(0..<$0) }
        for _ in 1..<count {
            best = (0...n).map { end in
                (0...end).map { best[$0] + ($0 == end ? 0 : cost($0..<end)) }.min() ?? 0
            }
        }
        return best[n]
    }

    @Test(arguments: [2, 3, 4], [CodebookQuantization.Tables.tensor, .row, .group]) func meansAreTheBest(
        bits: Int, tables: CodebookQuantization.Tables
    ) throws {
        for seed in 1...4 {
            // One row of 96 numbers, one group: all tables are the same.
            let source = Samples.matrix(1, 96, seed: UInt64(seed))
            let x = source.floats()
            let weight = try CodebookWeight(quantizing: source, CodebookQuantization(bits: bits, tables: tables))
            let found = Self.squareError(x, weight.dense().floats())
            let least = Self.leastError(x, 1 << bits)
            // Values of 8 bits are off by up to 1/254 of the largest, which adds its square to each number's at most.
            let largest = Double(x.map(abs).max() ?? 0)
            #expect(found <= least * 1.02 + 96 * pow(largest / 254, 2), "\(found), at best \(least)")
            #expect(found >= least * 0.999)
        }
    }

    @Test func tablesOfTheirOwnLoseLess() throws {
        // Rows of different shapes: one table cannot fit them all.
        var values = Samples.floats(32 * 512, seed: 3)
        for index in values.indices where index / 512 % 2 == 0 { values[index] = values[index] > 0 ? 1 : -0.3 }
        for index in values.indices where index / 256 % 2 == 0 { values[index] += 2 }
        let source = Tensor(values, shape: [32, 512])
        let errors = try [CodebookQuantization.Tables.tensor, .row, .group].map { tables in
            Self.squareError(
                values,
                try CodebookWeight(
                    quantizing: source, CodebookQuantization(bits: 3, groupSize: 256, tables: tables)
                ).dense().floats())
        }
        #expect(errors[1] < errors[0] * 0.9 && errors[2] < errors[1] * 0.9, "\(errors)")
    }

    @Test func meansBeatUniformLevels() throws {
        let source = Samples.matrix(64, 1024, seed: 9)
        for bits in [2, 3, 4] {
            let uniform = try BitPlaneWeight(
                quantizing: source, BitPlaneQuantization(bits: bits, groupSize: 128)
            ).dense().floats()
            let means = try CodebookWeight(
                quantizing: source, CodebookQuantization(bits: bits, groupSize: 128)
            ).dense().floats()
            #expect(Self.squareError(source.floats(), means) < Self.squareError(source.floats(), uniform) * 0.98)
        }
    }

    @Test func anEntryIsAtTheNearestValueOfItsTable() throws {
        for quantization in Self.quantizations {
            let source = Samples.matrix(4, 200, seed: 12)
            let weight = try CodebookWeight(quantizing: source, quantization)
            let stored = weight.stored()
            let scales = stored.tensors["scales"]?.converted(to: .f32).floats() ?? []
            let values = stored.tensors["values"]?.withElements(Int8.self) { $0.map { Float($0) } } ?? []
            let groups = scales.count / 4, size = 1 << quantization.bits
            for (at, (x, y)) in zip(source.floats(), weight.dense().floats()).enumerated() {
                let (row, column) = (at / 200, at % 200)
                let group = row * groups + (groups == 1 ? 0 : column / (quantization.groupSize ?? 200))
                let table = quantization.tables == .tensor ? 0 : quantization.tables == .row ? row : group
                let levels = values[(table * size)..<((table + 1) * size)].map { $0 * scales[group] }
                #expect(levels.contains(y))
                #expect(abs(x - y) <= (levels.map { abs($0 - x) }.min() ?? 0) + 1e-6)
            }
        }
    }

    @Test(arguments: quantizations) func zerosStayZeroWhereAsked(quantization: CodebookQuantization) throws {
        var keeping = quantization
        keeping.keepsZero = true
        let source = CompressedWeightTests.sparse(9, 160, keepingEvery: 3)
        let weight = try CodebookWeight(quantizing: source, keeping)
        for (x, y) in zip(source.floats(), weight.dense().floats()) where x == 0 { #expect(y == 0) }
        #expect(weight.nonZeroCount > 9 * 160 / 20)
        let zeros = try CodebookWeight(quantizing: Tensor.zeros([3, 70]), quantization)
        #expect(zeros.dense().floats().allSatisfy { $0 == 0 })
    }

    @Test func fewDifferentNumbersAreExact() throws {
        let numbers: [Float] = [-127, -20, 0, 64].map { $0 / 64 }
        let values: [Float] = (0..<256).map { index in numbers[(index * 5 + index / 7) % 4] }
        let source = Tensor(values, shape: [2, 128])
        for tables in CodebookQuantization.Tables.allCases {
            for bits in [2, 4] {
                let weight = try CodebookWeight(quantizing: source, CodebookQuantization(bits: bits, tables: tables))
                #expect(weight.dense().floats() == values)
            }
        }
    }

    // MARK: - Power curves

    @Test func anExponentOfOneIsUniform() throws {
        // Values that are codes of a symmetric grid of 15 levels stay what they are.
        let values: [Float] = (0..<256).map { index in
            let code: Int = (index * 5 + index / 7) % 15 - 7
            return Float(code) / 16
        }
        let weight = try CodebookWeight(
            quantizing: Tensor(values, shape: [2, 128]), CodebookQuantization(bits: 4, curve: .power(exponent: 1)))
        let largest = zip(values, weight.dense().floats()).map { abs($0 - $1) }.max() ?? 1
        #expect(largest < 0.4375 / 2048, "as near as an f16 scale allows: \(largest)")
        let levels = PowerCurve(bits: 4, exponent: 1).levels
        #expect(zip(levels, 0...7).allSatisfy { abs($0 - Double($1) / 7) < 1e-12 })
    }

    @Test func levelsAreOddMonotoneAndSquaresAtOneHalf() throws {
        for exponent in stride(from: 0.2, through: 1, by: 0.05) {
            let source = Samples.matrix(3, 256, seed: 2)
            let quantization = CodebookQuantization(bits: 4, curve: .power(exponent: exponent))
            let weight = try CodebookWeight(quantizing: source, quantization)
            let values = try #require(weight.stored().tensors["values"]?.withElements(Int8.self) { Array($0) })
            #expect(values.count == 16 && values[7] == 0 && values[14] == values[15])
            for code in 1...7 {
                #expect(values[7 + code] == -values[7 - code])
                #expect(values[7 + code] >= values[6 + code])
            }
            // Negative numbers become the negatives of what positive ones become.
            let negative = Tensor(source.floats().map { -$0 }, shape: [3, 256])
            #expect(
                try CodebookWeight(quantizing: negative, quantization).dense().floats()
                    == weight.dense().floats().map { -$0 })
            // What is quantized once stays.
            #expect(
                try CodebookWeight(quantizing: weight.dense(), quantization).dense().floats()
                    == weight.dense().floats())
        }
        let squares = try CodebookWeight(
            quantizing: Samples.matrix(3, 256, seed: 2), CodebookQuantization(bits: 4, curve: .power(exponent: 0.5)))
        let values = try #require(squares.stored().tensors["values"]?.withElements(Int8.self) { Array($0) })
        #expect(values[7...14] == [0, 2, 8, 18, 32, 50, 72, 98])
    }

    /// The search's exponent loses no more than the best of a dense grid, but for a thousandth.
    @Test(arguments: [3, 4]) func theExponentIsSearched(bits: Int) throws {
        // Long tails want a smaller exponent than bells.
        let bell = Samples.matrix(8, 2048, seed: 7)
        let tailed = Tensor(bell.floats().map { $0 * abs($0) * abs($0) }, shape: [8, 2048])
        var found: [Double] = []
        for source in [bell, tailed] {
            func loss(_ exponent: Double?) throws -> (loss: Double, exponent: Double) {
                let weight = try CodebookWeight(
                    quantizing: source, CodebookQuantization(bits: bits, curve: .power(exponent: exponent)))
                let exponent = try #require(weight.exponent)
                return (Self.squareError(source.floats(), weight.dense().floats()), exponent)
            }
            let chosen = try loss(nil)
            let grid: [Double] = Array(stride(from: 0.2, through: 1, by: 0.02))
            let best = try grid.map { exponent in try loss(exponent).loss }.min() ?? 0
            // Tables of 8 bits move each candidate's error a little.
            #expect(chosen.loss <= best * 1.02, "\(chosen) against \(best)")
            #expect(try chosen.loss < loss(1).loss)
            found.append(chosen.exponent)
        }
        #expect(found[1] < found[0] - 0.1, "\(found)")
    }

    // MARK: - Storage

    @Test func theLayoutIsTheDocumentedOne() throws {
        let stored = StoredWeight(
            format: "codebook", shape: [2, 4],
            tensors: [
                "planes": Tensor([0b1010, 0b1100, 0b0101, 0b0011] as [UInt8], shape: [2, 2]),
                "scales": Tensor([Float(0.5), 2], shape: [2, 1]).converted(to: .f16),
                "values": Tensor([-100, 0, 3, 127, 1, 2, 4, 8] as [Int8], shape: [2, 4]),
            ],
            options: ["bits": "2", "group_size": "row", "tables": "row", "curve": "k-means"])
        let weight = try WeightFormats.decode(stored)
        #expect(weight.dense().floats() == [-50, 0, 1.5, 63.5, 16, 8, 4, 2])
        #expect(weight.byteCount == 4 + 4 + 8)
        #expect(weight.label == "kmeans2-row-tables")
    }

    @Test(arguments: quantizations) func storedWeightsComeBack(quantization: CodebookQuantization) throws {
        let weight = try CodebookWeight(quantizing: Samples.matrix(5, 77, seed: 1), quantization)
        let back = try WeightFormats.decode(weight.stored())
        #expect(back.dense().floats() == weight.dense().floats())
        #expect(back.label == weight.label && back.byteCount == weight.byteCount)
        #expect((back as? CodebookWeight)?.exponent == weight.exponent)
        expectHostilePartsAreNamed(weight.stored())
    }

    @Test func exponentsOutsideTheirRangeAreRefused() throws {
        var stored = try CodebookWeight(
            quantizing: Samples.matrix(2, 32, seed: 1), CodebookQuantization(bits: 3, curve: .power(exponent: 0.5))
        ).stored()
        for text in ["0", "-1", "1.5", "nan", "inf", ""] {
            stored.options["exponent"] = text
            expectBadData("options.exponent: expected a number above 0, at most 1, found \"\(text)\"") {
                try WeightFormats.decode(stored)
            }
        }
        stored.options["exponent"] = "0.5"
        stored.options["bits"] = "5"
        expectBadData("options.bits: expected a whole number in 2...4") { try WeightFormats.decode(stored) }
    }
}
