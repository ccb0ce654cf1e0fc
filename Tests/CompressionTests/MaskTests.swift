import CoppiceCompression
import CoppiceTensors
import Testing

@Suite struct MaskTests {
    @Test func countsRowsAcrossWordBorders() {
        var generator = SeededGenerator(seed: 5)
        for columns in [1, 7, 63, 64, 65, 129, 200] {
            let kept = (0..<(5 * columns)).map { _ in Bool.random(using: &generator) }
            let mask = WeightMask(rows: 5, columns: columns, kept: kept)
            let expected = (0..<5).map { row in
                kept[(row * columns)..<((row + 1) * columns)].count { $0 }
            }
            #expect(mask.keptCountsOfRows == expected)
            #expect(mask.keptCount == expected.reduce(0, +))
            #expect(mask.keptCount + mask.removedCount == mask.count)
        }
    }

    @Test func appliesWithoutKeepingNaNOrNegativeZero() {
        var weight = Tensor([Float.nan, -1, 2, -0.0, 5, .infinity], shape: [2, 3])
        WeightMask(rows: 2, columns: 3, kept: [false, false, true, false, true, false]).apply(to: &weight)
        let values = weight.floats()
        #expect(values == [0, 0, 2, 0, 5, 0])
        #expect(values.allSatisfy { $0.sign == .plus })
    }

    @Test func applyingLeavesCopiesAlone() {
        let original = Tensor([Float(1), 2, 3, 4], shape: [2, 2])
        var pruned = original
        WeightMask(rows: 2, columns: 2, kept: [true, false, false, true]).apply(to: &pruned)
        #expect(original.floats() == [1, 2, 3, 4])
        #expect(pruned.floats() == [1, 0, 0, 4])
    }

    @Test func agreementByHand() {
        let first = WeightMask(rows: 1, columns: 5, kept: [true, true, true, false, false])
        let second = WeightMask(rows: 1, columns: 5, kept: [false, true, true, true, false])
        let agreement = MaskAgreement(first, second)
        #expect(abs(agreement.cosine - 2.0 / 3) < 1e-15)
        #expect(agreement.jaccard == 0.5)
        #expect(agreement.hammingDistance == 0.4)
        #expect(abs(agreement.expectedCosine - 0.6) < 1e-15)
        let nothing = WeightMask(rows: 1, columns: 5, kept: [Bool](repeating: false, count: 5))
        #expect(MaskAgreement(first, nothing).cosine == 0)
        #expect(MaskAgreement(nothing, nothing).jaccard == 1)
        let both = agreement + MaskAgreement(first, first)
        #expect(both.count == 10 && both.keptByBoth == 5)
    }

    @Test func patternsAreNamedByTheKeptCount() {
        #expect(SemiStructuredPattern("2:4") == SemiStructuredPattern(kept: 2, of: 4))
        #expect(SemiStructuredPattern("1:4")?.sparsity == 0.75)
        for text in ["", "2", "4:2", "4:4", "0:4", "2:64", "a:b", "2:4:8", "-1:4"] {
            #expect(SemiStructuredPattern(text) == nil, "\(text)")
        }
        #expect {
            try SemiStructuredPattern(kept: 2, of: 4).check(name: "w", columns: 6)
        } throws: { "\($0)".contains("w: pattern 2:4 needs rows whose length is a multiple of 4") }
    }
}
