import CoppiceCompression
import CoppiceNetworks
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

    /// Scores as they are given.
    private struct Given: Criterion {
        static let name = "given"
        var values: Tensor
        func scores(of weight: Tensor, name: String, inputNorms: [Float]?) -> Tensor { values }
    }

    /// Scores below zero are scores: only what is removed counts as nothing.
    @Test func negativeScoresAreCompared() throws {
        // Groups of 4 with the means -2, -1, -1.5 and 0.25 and the maxima -2, -1, -0.1 and 4.
        let scores: [Float] = [
            -2, -2, -2, -2, -1, -1, -1, -1, -0.1, -1.9, -2, -2, 4, -1, -1, -1,
        ]
        let weight = (PrunableWeight(name: "w", rows: 1, columns: 16), Tensor.ones([1, 16]))
        func kept(
            _ granularity: any Granularity, _ sparsity: Double, earlier: WeightMask? = nil
        ) throws -> [Bool] {
            let method = PruningMethod(
                criterion: Given(values: Tensor(scores, shape: [1, 16])), granularity: granularity,
                allocation: GlobalAllocation(), sparsity: sparsity)
            let mask = try method.masks(of: [weight.0], earlier: { _ in earlier }, values: { _ in weight.1 })[0]
            return (0..<4).map { mask[0, 4 * $0 + 3] }
        }
        let (mean, largest) = (GroupGranularity(groupLength: 4), GroupGranularity(groupLength: 4, score: .max))
        let blocks = BlockGranularity(rows: 1, columns: 4)
        for granularity in [mean, blocks] as [any Granularity] {
            #expect(try kept(granularity, 0.25) == [false, true, true, true])
            #expect(try kept(granularity, 0.5) == [false, true, false, true])
            #expect(try kept(granularity, 0.75) == [false, false, false, true])
        }
        #expect(try kept(largest, 0.5) == [false, false, true, true])
        // A group that is gone is below those of negative scores, and counts.
        let gone = WeightMask(rows: 1, columns: 16, kept: (0..<16).map { !(4..<8).contains($0) })
        #expect(try kept(mean, 0.5, earlier: gone) == [false, false, true, true])
        #expect(try kept(mean, 0.75, earlier: gone) == [false, false, false, true])
        let squares = GroupGranularity(groupLength: 4, score: .l2)
        for granularity in [squares, BlockGranularity(rows: 1, columns: 4, score: .l2)] as [any Granularity] {
            #expect { _ = try kept(granularity, 0.5) } throws: {
                "\($0)" == "group_score: l2 squares scores, and w has one of -2.0; expected mean or max"
            }
        }
    }

    /// GraSP's groups of a network go by the sum of their signed scores.
    @Test func gradientFlowGoesInGroups() throws {
        let (inputs, targets) = clusters()
        let batches = [LabeledBatch(inputs: inputs, targets: targets)]
        let network = try PrunableNetwork(SmallMLP())
        let scores = try network.scores(by: GradientFlowCriterion(), batches: batches).map { $0.doubles() }
        #expect(scores.joined().contains { $0 < 0 })
        let sums = scores.flatMap { own in
            stride(from: 0, to: own.count, by: 4).map { own[$0..<$0 + 4].reduce(0, +) }
        }
        #expect(sums.contains { $0 < 0 })
        try network.prune(
            by: GradientFlowCriterion(), granularity: GroupGranularity(groupLength: 4), to: 0.25, batches: batches)
        let removed = Set(sums.indices.sorted { sums[$0] < sums[$1] }.prefix(11))
        let kept = network.masks.flatMap { mask in
            (0..<mask.rows).flatMap { row in stride(from: 0, to: mask.columns, by: 4).map { mask[row, $0] } }
        }
        #expect(Set(kept.indices.filter { !kept[$0] }) == removed)
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
