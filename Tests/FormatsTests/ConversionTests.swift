import CKernels
import CoppiceTensors
import Testing

@Suite struct ConversionTests {
    /// Values around every rounding boundary of both 16-bit types, and the special ones.
    static let values: [Float] = {
        var values: [Float] = [0, -0.0, 1, -1, .infinity, -.infinity, 65504, 65519, 65520, 1e-8, 2.9802322e-8]
        values += [2.9802326e-8, 5.9604645e-8, 8.940697e-8, 6.0975552e-5, 6.1035156e-5, 3.4028235e38, 1e-40]
        for bits in stride(from: UInt32(0x3380_0000), to: 0x4790_0000, by: 0x1FFF - 0x1000) {
            values += [Float(bitPattern: bits), -Float(bitPattern: bits | 0x8000)]
        }
        return values
    }()

    @Test func roundingIsToNearestEvenAtEveryLevel() {
        atEveryLevel { level in
            for count in [Self.values.count, 1, 7, 17, 31] {
                var halves = [UInt16](repeating: 0, count: count)
                coppice_convert_serially(COPPICE_DATA_F32, COPPICE_DATA_BF16, count, Self.values, &halves)
                #expect(halves == Self.values.prefix(count).map { BFloat16($0).bitPattern }, "bf16 \(level)")
                coppice_convert_serially(COPPICE_DATA_F32, COPPICE_DATA_F16, count, Self.values, &halves)
                #expect(halves == Self.values.prefix(count).map { Float16($0).bitPattern }, "f16 \(level)")
            }
            var half: UInt16 = 0
            coppice_convert_serially(COPPICE_DATA_F32, COPPICE_DATA_BF16, 1, [Float.nan], &half)
            #expect(BFloat16(bitPattern: half).float.isNaN)
            coppice_convert_serially(COPPICE_DATA_F32, COPPICE_DATA_F16, 1, [Float.nan], &half)
            #expect(Float16(bitPattern: half).isNaN)
        }
    }

    @Test func wideningIsExactForAllPatterns() {
        let patterns = (0...UInt16.max).map { $0 }
        atEveryLevel { level in
            var floats = [Float](repeating: 0, count: patterns.count)
            coppice_convert_serially(COPPICE_DATA_F16, COPPICE_DATA_F32, patterns.count, patterns, &floats)
            var wrong = zip(patterns, floats).count { !same(Float(Float16(bitPattern: $0)), $1) }
            #expect(wrong == 0, "f16 \(level)")
            coppice_convert_serially(COPPICE_DATA_BF16, COPPICE_DATA_F32, patterns.count, patterns, &floats)
            wrong = zip(patterns, floats).count { !same(BFloat16(bitPattern: $0).float, $1) }
            #expect(wrong == 0, "bf16 \(level)")
        }
    }

    private func same(_ a: Float, _ b: Float) -> Bool { a.isNaN ? b.isNaN : a.bitPattern == b.bitPattern }
}
