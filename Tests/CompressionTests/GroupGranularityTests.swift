import CoppiceCompression
import CoppiceTensors
import Testing

/// Pruning in groups of consecutive inputs.
@Suite struct GroupGranularityTests {
    private func weight(_ rows: Int, _ columns: Int, seed: UInt64 = 1) -> (PrunableWeight, Tensor) {
        var generator = SeededGenerator(seed: seed)
        return (PrunableWeight(name: "w", rows: rows, columns: columns), generator.matrix(rows, columns, scale: 1))
    }

    private func mask(
        _ granularity: GroupGranularity, _ weight: (PrunableWeight, Tensor), sparsity: Double,
        earlier: WeightMask? = nil, criterion: any Criterion = MagnitudeCriterion()
    ) throws -> WeightMask {
        let method = PruningMethod(
            criterion: criterion, granularity: granularity, allocation: UniformAllocation(), sparsity: sparsity)
        return try method.masks(of: [weight.0], earlier: { _ in earlier }, values: { _ in weight.1 })[0]
    }

    @Test(arguments: [16, 32, 64], [0.0, 0.25, 0.5, 0.7, 0.99])
    func wholeGroupsGoAndTheirNumberIsExact(length: Int, sparsity: Double) throws {
        let weight = weight(24, 320)
        for score in GroupGranularity.Score.allCases {
            for isWithinRows in [false, true] {
                let mask = try mask(
                    GroupGranularity(groupLength: length, score: score, isWithinRows: isWithinRows), weight,
                    sparsity: sparsity)
                let groups = 24 * 320 / length
                #expect(mask.removedCount / length == Int(sparsity * Double(groups) + 1e-9))
                for row in 0..<24 {
                    for first in stride(from: 0, to: 320, by: length) {
                        let kept = (first..<(first + length)).count { mask[row, $0] }
                        #expect(kept == 0 || kept == length)
                    }
                }
                if isWithinRows {
                    let counts = mask.keptCountsOfRows
                    #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= length)
                }
            }
        }
    }

    @Test func theGroupsWithTheSmallestScoresGo() throws {
        // Groups of 16: one of many middling weights, one large among zeros, one of small weights, one of zeros.
        var values = [Float](repeating: 0, count: 64)
        for index in 0..<16 { values[index] = 0.5 }
        values[20] = 4
        for index in 32..<48 { values[index] = 0.26 }
        let weight = (PrunableWeight(name: "w", rows: 1, columns: 64), Tensor(values, shape: [1, 64]))
        func kept(_ score: GroupGranularity.Score) throws -> [Bool] {
            let mask = try mask(GroupGranularity(groupLength: 16, score: score), weight, sparsity: 0.5)
            return (0..<4).map { mask[0, 16 * $0] }
        }
        #expect(try kept(.mean) == [true, false, true, false])
        #expect(try kept(.max) == [true, true, false, false])
        #expect(try kept(.l2) == [true, true, false, false])
    }

    @Test func inputNormsDecideForWanda() throws {
        let ones = (PrunableWeight(name: "w", rows: 3, columns: 32), Tensor.ones([3, 32]))
        let norms = (0..<32).map { Float($0 < 16 ? 3 : 1) }
        let method = PruningMethod(
            criterion: WandaCriterion(), granularity: GroupGranularity(groupLength: 16, isWithinRows: true),
            allocation: UniformAllocation(), sparsity: 0.5)
        let mask = try method.mask(of: ones.0, removing: 48, values: ones.1, inputNorms: norms)
        for row in 0..<3 { #expect(mask[row, 0] && !mask[row, 16]) }
    }

    @Test func masksAreNestedAndEarlierOnesStay() throws {
        let weight = weight(16, 128)
        let granularity = GroupGranularity(groupLength: 16)
        let small = try mask(granularity, weight, sparsity: 0.3)
        let large = try mask(granularity, weight, sparsity: 0.6)
        #expect(large.isSubset(of: small))
        let again = try mask(granularity, weight, sparsity: 0.6, earlier: small)
        #expect(again == large)
        // A group that lost some of its weights is judged by the rest.
        let scattered = try PruningMethod(
            criterion: MagnitudeCriterion(), granularity: UnstructuredGranularity(), allocation: UniformAllocation(),
            sparsity: 0.5
        ).masks(of: [weight.0], values: { _ in weight.1 })[0]
        for score in GroupGranularity.Score.allCases {
            let both = try mask(
                GroupGranularity(groupLength: 16, score: score), weight, sparsity: 0.5, earlier: scattered)
            #expect(both.isSubset(of: scattered))
        }
    }

    @Test func oneThresholdForTheModelComparesGroups() throws {
        let weights = [weight(16, 64, seed: 2), weight(16, 64, seed: 3)].enumerated().map { index, weight in
            (PrunableWeight(name: "w\(index)", rows: 16, columns: 64), index == 0 ? weight.1 : weight.1 * 10)
        }
        let masks = try PruningMethod(
            criterion: MagnitudeCriterion(), granularity: GroupGranularity(groupLength: 16),
            allocation: GlobalAllocation(), sparsity: 0.4
        ).masks(of: weights.map(\.0), values: { weights[$0].1 })
        // All that goes is in the matrix of small weights: 51.2 of 64 groups there.
        #expect(masks[1].removedCount == 0)
        #expect(masks[0].removedCount == 51 * 16)
    }

    @Test func groupsThatDoNotFitAreRefused() {
        let granularity = GroupGranularity(groupLength: 64)
        #expect(throws: CoppiceError.self) { try granularity.check(PrunableWeight(name: "w", rows: 2, columns: 96)) }
        do {
            try granularity.check(PrunableWeight(name: "w", rows: 2, columns: 96))
        } catch {
            #expect("\(error)".contains("groups of 64") && "\(error)".contains("16, 32 would do"))
        }
    }
}
