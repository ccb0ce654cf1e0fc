import CoppiceFormats
import CoppiceTensors
import Testing

/// Bit planes: exact products, searched scales, round trips, hostile parts.
@Suite(.serialized) struct BitPlaneWeightTests {
    static let shapes = [
        (1, 8), (1, 1), (3, 7), (7, 32), (33, 33), (5, 129), (9, 192), (64, 112), (2, 4097), (5, 4112), (131, 512),
    ]
    static let batches = [1, 2, 3, 7, 8, 9, 33]
    static let quantizations: [BitPlaneQuantization] = [
        .ternary(), .ternary(groupSize: 32), .ternary(groupSize: 128),
        BitPlaneQuantization(bits: 2), BitPlaneQuantization(bits: 2, groupSize: 64, codes: .asymmetric),
        BitPlaneQuantization(bits: 3, groupSize: 32), BitPlaneQuantization(bits: 3, groupSize: 64),
        BitPlaneQuantization(bits: 3, codes: .asymmetric), BitPlaneQuantization(bits: 4, groupSize: 128),
        BitPlaneQuantization(bits: 5), BitPlaneQuantization(bits: 5, groupSize: 32, codes: .asymmetric),
        BitPlaneQuantization(bits: 6, groupSize: 64), BitPlaneQuantization(bits: 6, groupSize: 256, codes: .asymmetric),
        BitPlaneQuantization(bits: 7, groupSize: 128), BitPlaneQuantization(bits: 8, groupSize: 32),
        BitPlaneQuantization(bits: 8, codes: .asymmetric),
        BitPlaneQuantization(bits: 1, codes: .bipolar), BitPlaneQuantization(bits: 1, groupSize: 32, codes: .bipolar),
        BitPlaneQuantization(bits: 2, groupSize: 128, codes: .bipolar),
        BitPlaneQuantization(bits: 3, groupSize: 64, codes: .bipolar), BitPlaneQuantization(bits: 4, codes: .bipolar),
        BitPlaneQuantization(bits: 8, groupSize: 640, codes: .bipolar),
    ]

    @Test(arguments: quantizations) func productsAreThoseOfTheDenseMatrix(quantization: BitPlaneQuantization) throws {
        for (rows, columns) in Self.shapes {
            let weight = try BitPlaneWeight(
                quantizing: Samples.matrix(rows, columns, seed: UInt64(rows + columns)), quantization)
            try expectProducts(weight, batches: Self.batches, roundsActivations: true)
        }
    }

    @Test func emptyWeightsMultiply() throws {
        for (rows, columns) in [(0, 64), (3, 0), (0, 0)] {
            let weight = try BitPlaneWeight(quantizing: Tensor.zeros([rows, columns]), .ternary(groupSize: 32))
            #expect(weight.multiply(Tensor.ones([2, columns])).floats() == [Float](repeating: 0, count: 2 * rows))
            #expect(try WeightFormats.decode(weight.stored()).rows == rows)
        }
    }

    @Test(arguments: quantizations, [1, 4, 20]) func activationsThatAreNoNumbersShow(
        quantization: BitPlaneQuantization, batch: Int
    ) throws {
        let weight = try BitPlaneWeight(quantizing: Samples.matrix(8, 200, seed: 6), quantization)
        atEveryLevel { level in
            for bad in [Float.nan, .infinity] {
                var x = Samples.floats(batch * 200, seed: 7)
                x[(batch - 1) * 200 + 150] = bad
                let y = weight.multiply(Tensor(x, shape: [batch, 200])).floats()
                #expect(y[..<((batch - 1) * 8)].allSatisfy { $0.isFinite }, "\(bad) at \(level)")
                #expect(y[((batch - 1) * 8)...].allSatisfy { !$0.isFinite }, "\(bad) at \(level)")
            }
        }
    }

    // MARK: - Codes

    /// Every entry is at the level that is nearest to it, and levels are those of the kind of codes.
    @Test(arguments: quantizations) func codesAreTheNearestLevels(quantization: BitPlaneQuantization) throws {
        let (rows, columns) = (6, 200)
        let source = Samples.matrix(rows, columns, seed: 5)
        let weight = try BitPlaneWeight(quantizing: source, quantization)
        let (x, y) = (source.floats(), weight.dense().floats())
        let stored = weight.stored()
        let groups = stored.tensors["scales"]?.shape[1] ?? 0
        let length = quantization.groupSize ?? columns
        let scales = stored.tensors["scales"]?.converted(to: .f32).floats() ?? []
        let zeros = stored.tensors["zeros"]?.withElements(UInt8.self) { $0.map { Float($0) } }
        let top = quantization.codes == .ternary ? 2 : 1 << quantization.bits - 1
        for row in 0..<rows {
            for column in 0..<columns {
                let group = row * groups + (groups == 1 ? 0 : column / length)
                let zero: Float =
                    switch quantization.codes {
                    case .symmetric: Float(1 << (quantization.bits - 1))
                    case .asymmetric: zeros?[group] ?? -1
                    case .ternary: 1
                    case .bipolar: Float(top) / 2
                    }
                let levels = (0...top).map { (Float($0) - zero) * scales[group] }
                let at = row * columns + column
                #expect(levels.contains(y[at]))
                let nearest = levels.map { abs($0 - x[at]) }.min() ?? 0
                #expect(abs(y[at] - x[at]) <= nearest + 1e-6)
            }
        }
    }

    private static func error(_ x: [Float], _ y: [Float]) -> Double {
        let squares = zip(x, y).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        return (squares / x.reduce(0.0) { $0 + Double($1) * Double($1) }).squareRoot()
    }

    /// The root of the mean squared error over that of bell-shaped values; the range without a search gives more.
    @Test(arguments: [
        (BitPlaneQuantization.ternary(groupSize: 128), 0.42), (BitPlaneQuantization(bits: 2, groupSize: 128), 0.38),
        (BitPlaneQuantization(bits: 2, groupSize: 128, codes: .bipolar), 0.35),
        (BitPlaneQuantization(bits: 2, groupSize: 64, codes: .asymmetric), 0.35),
        (BitPlaneQuantization(bits: 1, codes: .bipolar), 0.61), (BitPlaneQuantization(bits: 3, groupSize: 64), 0.18),
        (BitPlaneQuantization(bits: 5, groupSize: 64), 0.045), (BitPlaneQuantization(bits: 6, groupSize: 64), 0.023),
    ]) func errorsAreThoseOfSearchedScales(quantization: BitPlaneQuantization, bound: Double) throws {
        let source = Samples.matrix(64, 1024, seed: 3)
        let found = Self.error(
            source.floats(), try BitPlaneWeight(quantizing: source, quantization).dense().floats())
        #expect(found < bound, "\(quantization.label): \(found)")
    }

    @Test func moreBitsLoseLess() throws {
        let source = Samples.matrix(32, 512, seed: 4)
        for codes in [BitPlaneQuantization.Codes.symmetric, .asymmetric, .bipolar] {
            let errors = try (2...8).map { bits in
                Self.error(
                    source.floats(),
                    try BitPlaneWeight(
                        quantizing: source, BitPlaneQuantization(bits: bits, groupSize: 128, codes: codes)
                    ).dense().floats())
            }
            for (more, less) in zip(errors, errors.dropFirst()) { #expect(less < more * 0.65, "\(codes): \(errors)") }
        }
    }

    /// Two bits have three useful levels when symmetric around 0, and four when bipolar.
    @Test func bipolarIsBetterAtTwoBitsAndEqualAbove() throws {
        let source = Samples.matrix(64, 1024, seed: 8)
        func loss(_ bits: Int, _ codes: BitPlaneQuantization.Codes) throws -> Double {
            let quantization = BitPlaneQuantization(bits: bits, codes: codes)
            return Self.error(
                source.floats(), try BitPlaneWeight(quantizing: source, quantization).dense().floats())
        }
        #expect(try loss(2, .bipolar) < loss(2, .symmetric))
        for bits in 4...6 {
            let ratio = try loss(bits, .bipolar) / loss(bits, .symmetric)
            #expect(ratio < 1.06 && ratio > 0.8, "\(bits) bits: \(ratio)")
        }
    }

    @Test(arguments: quantizations) func theSameCodesAtEveryLevel(quantization: BitPlaneQuantization) throws {
        var values = Samples.floats(4 * 300, seed: 4)
        for index in 0..<300 { values[index] *= 1e-6 }
        for index in 300..<600 { values[index] = abs(values[index]) + 3 }
        let source = Tensor(values, shape: [4, 300])
        var first: [UInt8]?
        try atEveryLevel { level in
            let stored = try BitPlaneWeight(quantizing: source, quantization).stored()
            let planes = stored.tensors["planes"]?.withElements(UInt8.self) { Array($0) }
            #expect(first == nil || first == planes, "\(quantization.label) at level \(level.rawValue)")
            first = planes
        }
    }

    @Test(arguments: quantizations) func zerosStayZero(quantization: BitPlaneQuantization) throws {
        let zeros = try BitPlaneWeight(quantizing: Tensor.zeros([3, 70]), quantization)
        #expect(zeros.dense().floats().allSatisfy { $0 == 0 })
        guard quantization.codes != .bipolar else { return }
        let source = CompressedWeightTests.sparse(9, 160, keepingEvery: 3)
        let weight = try BitPlaneWeight(quantizing: source, quantization)
        for (x, y) in zip(source.floats(), weight.dense().floats()) where x == 0 { #expect(y == 0) }
    }

    @Test func ternaryEntriesAreExact() throws {
        let values: [Float] = (0..<512).map { index in
            let code: Int = (index * 7 + index / 3) % 3 - 1
            return Float(code) * 0.375
        }
        let source = Tensor(values, shape: [4, 128])
        #expect(try BitPlaneWeight(quantizing: source, .ternary()).dense().floats() == values)
    }

    /// The complement of all bits negates a bipolar value.
    @Test func complementsAreNegative() throws {
        let weight = try BitPlaneWeight(
            quantizing: Samples.matrix(5, 96, seed: 2), BitPlaneQuantization(bits: 3, groupSize: 32, codes: .bipolar))
        var stored = weight.stored()
        let planes = try #require(stored.tensors["planes"])
        stored.tensors["planes"] = Tensor(
            planes.withElements(UInt8.self) { $0.map { ~$0 } }, shape: planes.shape)
        #expect(try WeightFormats.decode(stored).dense().floats() == weight.dense().floats().map { -$0 })
    }

    // MARK: - Storage

    @Test func theLayoutIsTheDocumentedOne() throws {
        // Nine columns of 3-bit codes 0 1 2 3 4 5 6 7 | 5, one scale of 2: a byte for each bit of eight columns.
        let stored = StoredWeight(
            format: "bit-planes", shape: [1, 9],
            tensors: [
                "planes": Tensor([0b1010_1010, 0b1100_1100, 0b1111_0000, 1, 0, 1] as [UInt8], shape: [1, 6]),
                "scales": Tensor([Float(2)], shape: [1, 1]).converted(to: .f16),
            ], options: ["bits": "3", "group_size": "row", "codes": "symmetric"])
        let weight = try WeightFormats.decode(stored)
        #expect(weight.dense().floats() == [-8, -6, -4, -2, 0, 2, 4, 6, 2])
        #expect(weight.byteCount == 6 + 2)
        #expect(weight.label == "int3")
        #expect(weight.multiply(Tensor.ones([1, 9])).floats() == [-6])
    }

    @Test(arguments: quantizations) func storedWeightsComeBack(quantization: BitPlaneQuantization) throws {
        let weight = try BitPlaneWeight(quantizing: Samples.matrix(5, 77, seed: 1), quantization)
        let back = try WeightFormats.decode(weight.stored())
        #expect(back.dense().floats() == weight.dense().floats())
        #expect(back.label == weight.label && back.byteCount == weight.byteCount)
        #expect((back as? BitPlaneWeight)?.quantization == quantization)
    }

    @Test func hostilePartsAreNamed() throws {
        for quantization in Self.quantizations {
            let good = try BitPlaneWeight(quantizing: Samples.matrix(5, 80, seed: 1), quantization).stored()
            expectHostilePartsAreNamed(good)
        }
        var bad = try BitPlaneWeight(quantizing: Samples.matrix(5, 80, seed: 1), .ternary()).stored()
        bad.options["bits"] = "3"
        expectBadData("options.bits: expected a whole number in 2...2") { try WeightFormats.decode(bad) }
        bad.options["bits"] = "2"
        bad.options["group_size"] = "48"
        expectBadData("options.group_size: expected \"row\", 32, 64 or a multiple of 128, found 48") {
            try WeightFormats.decode(bad)
        }
        bad.options["group_size"] = "-128"
        expectBadData("options.group_size") { try WeightFormats.decode(bad) }
        bad.options["group_size"] = "row"
        bad.shape = [1 << 28, 1 << 28]
        expectBadData("planes") { try WeightFormats.decode(bad) }
    }

    @Test func unusableValuesAreNamed() throws {
        for value in [Float.nan, .infinity] {
            var values = Samples.floats(64, seed: 1)
            values[35] = value
            let source = Tensor(values, shape: [2, 32])
            expectBadData("[1, 3]") { try BitPlaneWeight(quantizing: source, .ternary()) }
            expectBadData("[1, 3]") { try CodebookWeight(quantizing: source, CodebookQuantization(bits: 4)) }
        }
        for large in [1e30, 3e9] {
            for codes in BitPlaneQuantization.Codes.allCases {
                expectBadData("too large") {
                    try BitPlaneWeight(quantizing: .full([1, 16], large), BitPlaneQuantization(bits: 2, codes: codes))
                }
            }
            expectBadData("too large") {
                try CodebookWeight(quantizing: .full([1, 16], large), CodebookQuantization(bits: 4))
            }
        }
    }
}

/// Each part missing or of another shape, each option not a word of it, and shapes that do not fit are one clear line.
func expectHostilePartsAreNamed(_ good: StoredWeight, sourceLocation: SourceLocation = #_sourceLocation) {
    for part in good.tensors.keys {
        var bad = good
        bad.tensors[part] = nil
        expectBadData("weight.\(part)", sourceLocation: sourceLocation) { try WeightFormats.decode(bad) }
        bad.tensors[part] = Tensor.zeros([3], dataType: good.tensors[part]?.dataType ?? .u8)
        expectBadData("weight.\(part)", sourceLocation: sourceLocation) { try WeightFormats.decode(bad) }
        bad.tensors[part] = Tensor.zeros(good.tensors[part]?.shape ?? [], dataType: .f32)
        expectBadData("weight.\(part)", sourceLocation: sourceLocation) { try WeightFormats.decode(bad) }
    }
    for option in good.options.keys {
        var bad = good
        bad.options[option] = "many"
        expectBadData("options.\(option)", sourceLocation: sourceLocation) { try WeightFormats.decode(bad) }
        guard option != "exponent" else { continue }
        bad.options[option] = nil
        expectBadData("options.\(option)", sourceLocation: sourceLocation) { try WeightFormats.decode(bad) }
    }
    var bad = good
    bad.shape = [-1, 80]
    expectBadData("shape", sourceLocation: sourceLocation) { try WeightFormats.decode(bad) }
    bad.shape = [good.shape[0], good.shape[1] + 16]
    expectBadData("weight.", sourceLocation: sourceLocation) { try WeightFormats.decode(bad) }
}
