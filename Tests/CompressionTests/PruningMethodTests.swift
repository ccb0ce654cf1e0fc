import CoppiceCompression
import CoppiceTensors
import Testing

private let shapes = [(8, 12), (31, 17), (64, 64), (5, 40)]

private func matrices(seed: UInt64) -> [(PrunableWeight, Tensor)] {
    var generator = SeededGenerator(seed: seed)
    return shapes.enumerated().map { index, shape in
        let scale = Float(index + 1) * 0.3  // layers of different scale
        return (
            PrunableWeight(name: "layer.\(index)", rows: shape.0, columns: shape.1),
            generator.matrix(shape.0, shape.1, scale: scale)
        )
    }
}

private func masks(
    _ method: PruningMethod, _ weights: [(PrunableWeight, Tensor)], earlier: [WeightMask]? = nil
) throws -> [WeightMask] {
    try method.masks(of: weights.map(\.0), earlier: { earlier?[$0] }, values: { weights[$0].1 })
}

private func method(
    _ granularity: any Granularity = UnstructuredGranularity(), _ allocation: any Allocation = UniformAllocation(),
    criterion: any Criterion = MagnitudeCriterion(), sparsity: Double
) -> PruningMethod {
    PruningMethod(criterion: criterion, granularity: granularity, allocation: allocation, sparsity: sparsity)
}

@Suite struct PruningMethodTests {
    let weights = matrices(seed: 7)
    var total: Int { weights.reduce(0) { $0 + $1.0.count } }

    @Test(arguments: [0.0, 0.1, 0.29, 0.5, 0.77, 0.95, 0.999])
    func keptCountsAreExact(sparsity: Double) throws {
        let removed = ExactSelection.removedCount(total, sparsity: sparsity)
        for allocation in [GlobalAllocation(), ErdosRenyiAllocation()] as [any Allocation] {
            for granularity in [UnstructuredGranularity(), RowGranularity()] as [any Granularity] {
                let masks = try masks(method(granularity, allocation, sparsity: sparsity), weights)
                #expect(masks.reduce(0) { $0 + $1.removedCount } == removed)
            }
        }
        let uniform = try masks(method(sparsity: sparsity), weights)
        for (mask, weight) in zip(uniform, weights) {
            #expect(mask.removedCount == ExactSelection.removedCount(weight.0.count, sparsity: sparsity))
        }
    }

    @Test func globalKeepsTheLargestOfAll() throws {
        let masks = try masks(method(UnstructuredGranularity(), GlobalAllocation(), sparsity: 0.6), weights)
        var smallestKept = Float.infinity
        var largestRemoved: Float = 0
        for (mask, weight) in zip(masks, weights) {
            for (index, value) in weight.1.floats().enumerated() {
                if mask[index / mask.columns, index % mask.columns] {
                    smallestKept = min(smallestKept, abs(value))
                } else {
                    largestRemoved = max(largestRemoved, abs(value))
                }
            }
        }
        #expect(smallestKept >= largestRemoved)
        #expect(masks[0].sparsity > masks[3].sparsity)  // smaller weights go first
    }

    @Test func scalingAllWeightsChangesNothing() throws {
        let scaled = weights.map { ($0.0, Tensor($0.1.floats().map { $0 * 0.25 }, shape: $0.1.shape)) }
        for allocation in [GlobalAllocation(), UniformAllocation(), ErdosRenyiAllocation()] as [any Allocation] {
            let method = method(UnstructuredGranularity(), allocation, sparsity: 0.7)
            #expect(try masks(method, weights) == masks(method, scaled))
        }
    }

    @Test func masksAreNestedForEveryComposition() throws {
        for criterion in [MagnitudeCriterion(), RandomCriterion(seed: 9)] as [any Criterion] {
            for granularity in [UnstructuredGranularity(), RowGranularity()] as [any Granularity] {
                for allocation in [UniformAllocation(), GlobalAllocation()] as [any Allocation] {
                    var earlier: [WeightMask]?
                    for step in 0..<20 {
                        let now = try masks(
                            method(granularity, allocation, criterion: criterion, sparsity: Double(step) / 20), weights)
                        if let earlier { #expect(zip(now, earlier).allSatisfy { $0.isSubset(of: $1) }) }
                        earlier = now
                    }
                }
            }
        }
    }

    @Test func rowsLoseTheSameNumber() throws {
        let masks = try masks(method(RowGranularity(), sparsity: 0.5), weights)
        for (mask, weight) in zip(masks, weights) {
            let kept = mask.keptCountsOfRows
            let range = (kept.max() ?? 0) - (kept.min() ?? 0)
            #expect(weight.0.columns % 2 == 0 ? range == 0 : range <= 1)
        }
    }

    @Test(arguments: ["1:2", "2:4", "1:4", "4:8", "3:16"])
    func everyGroupHasItsZeros(text: String) throws {
        let pattern = try #require(SemiStructuredPattern(text))
        var generator = SeededGenerator(seed: 8)
        let weight = PrunableWeight(name: "w", rows: 9, columns: 48)
        let values = generator.matrix(9, 48)
        let mask = try #require(
            try method(SemiStructuredGranularity(pattern), sparsity: pattern.sparsity)
                .masks(of: [weight], values: { _ in values }).first)
        #expect(mask.satisfies(pattern))
        #expect(mask.keptCount == 9 * 48 * pattern.kept / pattern.groupLength)
    }

    @Test func aPatternThatDoesNotFitIsRefused() {
        #expect {
            let granularity = SemiStructuredGranularity(SemiStructuredPattern(kept: 2, of: 4))
            _ = try masks(method(granularity, sparsity: 0.5), weights)
        } throws: {
            "\($0)".hasPrefix(
                "layer.1: pattern 2:4 needs rows whose length is a multiple of 4, this weight's is 17")
        }
    }

    @Test func wandaScoresByHand() throws {
        let weight = Tensor([Float(1), -2, 3, -4, 0.5, 6], shape: [2, 3])
        let scores = try WandaCriterion().scores(of: weight, name: "w", inputNorms: [10, 1, 0])
        #expect(scores.floats() == [10, 2, 0, 40, 0.5, 0])
        #expect(throws: CoppiceError.self) { try WandaCriterion().scores(of: weight, name: "w", inputNorms: nil) }
        #expect(throws: CoppiceError.self) { try WandaCriterion().scores(of: weight, name: "w", inputNorms: [1]) }
        #expect(throws: CoppiceError.self) {
            try WandaCriterion().scores(of: weight, name: "w", inputNorms: [1, .nan, 1])
        }
    }

    @Test func wandaPrunesInputsThatAreNeverUsed() throws {
        let weight = PrunableWeight(name: "w", rows: 6, columns: 8)
        var generator = SeededGenerator(seed: 10)
        let values = generator.matrix(6, 8)
        let norms: [Float] = [1, 0, 1, 0, 1, 0, 1, 0]
        let mask = try method(RowGranularity(), criterion: WandaCriterion(), sparsity: 0.5)
            .masks(of: [weight], inputNorms: { _ in norms }, values: { _ in values })[0]
        for row in 0..<6 { for column in 0..<8 { #expect(mask[row, column] == (column % 2 == 0)) } }
    }

    @Test func randomScoresAreUniformAndTheirOwnForEachMatrix() throws {
        func scores(_ seed: UInt64, _ name: String) -> [Float] {
            let matrix = Tensor(uninitialized: [100, 100])
            return RandomCriterion(seed: seed).scores(of: matrix, name: name, inputNorms: nil).floats()
        }
        let (one, two, other) = (scores(3, "a"), scores(3, "b"), scores(4, "a"))
        #expect(one != two && one != other)
        #expect(one.allSatisfy { $0 >= 0 && $0 < 1 })
        let mean = one.reduce(0, +) / 10_000
        #expect(abs(mean - 0.5) < 0.015)  // five standard errors
        let product = zip(one, two).reduce(Float(0)) { $0 + ($1.0 - 0.5) * ($1.1 - 0.5) } / 10_000
        #expect(abs(product) < 0.0042)
    }

    @Test func whatAnEarlierStageRemovedStaysRemoved() throws {
        let first = try masks(method(criterion: RandomCriterion(seed: 1), sparsity: 0.3), weights)
        for granularity in [UnstructuredGranularity(), RowGranularity()] as [any Granularity] {
            let second = try masks(method(granularity, sparsity: 0.6), weights, earlier: first)
            #expect(zip(second, first).allSatisfy { $0.isSubset(of: $1) })
            if granularity is UnstructuredGranularity {
                for (mask, weight) in zip(second, weights) {
                    #expect(mask.removedCount == ExactSelection.removedCount(weight.0.count, sparsity: 0.6))
                }
            }
        }
        let lighter = try masks(method(sparsity: 0.1), weights, earlier: first)
        #expect(lighter == first)  // fewer than are gone already
    }

    @Test func nonFiniteWeightsAreNamed() {
        var broken = weights
        broken[2].1 = Tensor([Float](repeating: .nan, count: 64 * 64), shape: [64, 64])
        for allocation in [UniformAllocation(), GlobalAllocation()] as [any Allocation] {
            #expect {
                _ = try masks(method(UnstructuredGranularity(), allocation, sparsity: 0.5), broken)
            } throws: { "\($0)" == "layer.2: element [0, 0] is NaN, expected finite numbers" }
        }
    }
}

@Suite struct ErdosRenyiTests {
    @Test func densitiesFollowTheFormula() {
        let weights = [
            PrunableWeight(name: "a", rows: 100, columns: 100), PrunableWeight(name: "b", rows: 200, columns: 50),
            PrunableWeight(name: "c", rows: 400, columns: 400),
        ]
        let densities = ErdosRenyiAllocation.densities(weights, total: 30_000)
        let epsilon = zip(weights, densities).map { $1 * Double($0.count) / Double($0.rows + $0.columns) }
        #expect(abs(epsilon[0] - epsilon[1]) < 1e-9 && abs(epsilon[0] - epsilon[2]) < 1e-9)
        #expect(abs(zip(weights, densities).reduce(0) { $0 + $1.1 * Double($1.0.count) } - 30_000) < 1e-6)
    }

    @Test func densitiesStayBelowOneAndMeetTheBudget() {
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<200 {
            let weights = (0..<Int.random(in: 1...12, using: &generator)).map {
                PrunableWeight(
                    name: "\($0)", rows: Int.random(in: 1...300, using: &generator),
                    columns: Int.random(in: 1...300, using: &generator))
            }
            let total = weights.reduce(0) { $0 + $1.count }
            let sparsity = Double.random(in: 0..<1, using: &generator)
            let kept = total - ExactSelection.removedCount(total, sparsity: sparsity)
            let densities = ErdosRenyiAllocation.densities(weights, total: kept)
            #expect(densities.allSatisfy { $0 >= 0 && $0 <= 1 })
            let sum = zip(weights, densities).reduce(0) { $0 + Double($1.0.count) * $1.1 }
            #expect(abs(sum - Double(kept)) < 1)
            let removed = ErdosRenyiAllocation().removedCounts(
                weights, sparsity: sparsity, scores: { _ in Tensor(uninitialized: [0, 0]) })
            #expect(removed.reduce(0, +) == total - kept)
            #expect(zip(removed, weights).allSatisfy { $0 >= 0 && $0 <= $1.count })
            for (count, (weight, density)) in zip(removed, zip(weights, densities)) {
                #expect(abs(Double(weight.count - count) - density * Double(weight.count)) <= 1)
            }
        }
    }

    @Test func aSmallMatrixStaysDense() {
        let weights = [
            PrunableWeight(name: "small", rows: 4, columns: 4),
            PrunableWeight(name: "large", rows: 1000, columns: 1000),
        ]
        let densities = ErdosRenyiAllocation.densities(weights, total: 500_000)
        #expect(densities[0] == 1)
        #expect(abs(densities[1] - 499_984 / 1e6) < 1e-12)
    }
}
