import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

private struct Layers {
    var weights: [PrunableWeight] = []
    var values: [Tensor] = []

    /// Matrices of different sizes and scales.
    init(seed: UInt64, scales: [Float] = [1, 0.3, 2, 0.05]) {
        var generator = SeededGenerator(seed: seed)
        let shapes = [(12, 20), (40, 30), (9, 7), (25, 16)]
        for (index, scale) in scales.enumerated() {
            let (rows, columns) = shapes[index % shapes.count]
            add(generator.matrix(rows, columns, scale: scale))
        }
    }

    init(_ values: [Tensor]) { for own in values { add(own) } }

    mutating func add(_ value: Tensor) {
        weights.append(
            PrunableWeight(name: "layer\(weights.count)", rows: value.shape[0], columns: value.shape[1]))
        values.append(value)
    }

    var count: Int { weights.reduce(0) { $0 + $1.count } }

    func masks(
        _ allocation: any Allocation, _ sparsity: Double, earlier: [WeightMask]? = nil
    ) throws -> [WeightMask] {
        let method = PruningMethod(
            criterion: MagnitudeCriterion(), granularity: UnstructuredGranularity(), allocation: allocation,
            sparsity: sparsity)
        return try method.masks(of: weights, earlier: { earlier?[$0] }, values: { self.values[$0] })
    }

    func removedCounts(_ allocation: any Allocation, _ sparsity: Double) throws -> [Int] {
        try allocation.removedCounts(weights, sparsity: sparsity) { index in
            MagnitudeCriterion().scores(of: self.values[index], name: "", inputNorms: nil)
        }
    }
}

/// By the definition: sets the largest of each layer aside, sorts the others, removes the smallest.
private func keptBySorting(_ values: [[Float]], floors: [Int], removing count: Int) -> [[Bool]] {
    var kept = values.map { $0.map { _ in true } }
    var others: [(magnitude: Float, layer: Int, index: Int)] = []
    for (layer, own) in values.enumerated() {
        let ascending = own.indices.sorted {
            abs(own[$0]) == abs(own[$1]) ? $0 < $1 : abs(own[$0]) < abs(own[$1])
        }
        for index in ascending.dropLast(floors[layer]) { others.append((abs(own[index]), layer, index)) }
    }
    others.sort { ($0.magnitude, $0.layer, $0.index) < ($1.magnitude, $1.layer, $1.index) }
    for own in others.prefix(count) { kept[own.layer][own.index] = false }
    return kept
}

private func message(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no error"
    } catch { return "\(error)" }
}

@Suite struct LayerFloorTests {
    @Test(arguments: [0.0, 0.3, 0.7, 0.9, 0.97])
    func floorsKeepTheLargestOfEachLayerAndTheCountIsExact(sparsity: Double) throws {
        for seed in 1...6 as ClosedRange<UInt64> {
            var layers = Layers(seed: seed)
            if seed % 2 == 0 {  // many ties, zeros of both signs, denormals
                var generator = SeededGenerator(seed: seed)
                let special: [Float] = [0, -0.0, .leastNonzeroMagnitude, 1, -1, 2, .greatestFiniteMagnitude]
                layers = Layers(
                    layers.values.map { value in
                        let picked = (0..<value.count).map { _ in special.randomElement(using: &generator) ?? 0 }
                        return Tensor(picked, shape: value.shape)
                    })
            }
            for floor in [LayerFloor.count(10), .share(0.02), .shareOfAll(0.005)] {
                let masks = try layers.masks(GlobalAllocation(floor: floor), sparsity)
                let floors = try floor.counts(layers.weights)
                let expected = keptBySorting(
                    layers.values.map { $0.floats() }, floors: floors,
                    removing: ExactSelection.removedCount(layers.count, sparsity: sparsity))
                for (mask, kept) in zip(masks, expected) {
                    #expect(mask == WeightMask(rows: mask.rows, columns: mask.columns, kept: kept))
                }
                #expect(zip(masks, floors).allSatisfy { $0.keptCount >= $1 })
            }
        }
    }

    @Test func aFloorThatIsNotNeededChangesNothing() throws {
        let layers = Layers(seed: 3, scales: [1, 1, 1, 1])
        for sparsity in [0.1, 0.5, 0.8] {
            let plain = try layers.masks(GlobalAllocation(), sparsity)
            #expect(try layers.masks(GlobalAllocation(floor: .count(2)), sparsity) == plain)
        }
    }

    @Test func aLayerOfSmallWeightsCollapsesWithoutAFloor() throws {
        let layers = Layers(seed: 4, scales: [1, 0.001, 1, 1])
        let plain = try layers.masks(GlobalAllocation(), 0.9)
        #expect(plain[1].keptCount == 0)
        let floored = try layers.masks(GlobalAllocation(floor: .share(0.05)), 0.9)
        #expect(floored[1].keptCount == 60)
        let (removed, wanted) = (floored.reduce(0) { $0 + $1.removedCount }, plain.reduce(0) { $0 + $1.removedCount })
        #expect(removed == wanted)
        let paper = try layers.masks(GlobalAllocation(floor: .standard), 0.9)
        #expect(paper == plain)  // a twentieth of a per cent of 1,903 weights is none
    }

    @Test func masksOfAFloorAreNested() throws {
        let layers = Layers(seed: 5)
        var earlier: [WeightMask]?
        for step in 0..<19 {
            let masks = try layers.masks(GlobalAllocation(floor: .count(12)), Double(step) / 20)
            if let earlier { #expect(zip(masks, earlier).allSatisfy { $0.isSubset(of: $1) }) }
            earlier = masks
        }
    }

    @Test func scalingChangesNothing() throws {
        let layers = Layers(seed: 6)
        let scaled = Layers(layers.values.map { $0 * 0.25 })
        let allocation = GlobalAllocation(floor: .share(0.04))
        #expect(try layers.masks(allocation, 0.8) == scaled.masks(allocation, 0.8))
    }

    /// What is gone already fills no floor, and the count stays exact.
    @Test func removedWeightsDoNotFillAFloor() throws {
        let layers = Layers(seed: 7)
        let first = try layers.masks(
            ExplicitAllocation([.init("layer1", kept: 5), .init("layer0", sparsity: 0)]), 0)
        let second = try layers.masks(GlobalAllocation(floor: .count(20)), 0.9, earlier: first)
        #expect(second[1] == first[1])
        #expect(second.dropFirst(2).allSatisfy { $0.keptCount >= 20 })
        let removed = second.reduce(0) { $0 + $1.removedCount }
        #expect(removed == ExactSelection.removedCount(layers.count, sparsity: 0.9))
    }

    @Test func floorsThatDoNotFitAreRefused() {
        let layers = Layers(seed: 8)
        func refusal(_ floor: LayerFloor, _ sparsity: Double) -> String {
            message { _ = try layers.removedCounts(GlobalAllocation(floor: floor), sparsity) }
        }
        #expect(
            refusal(.count(100), 0.9)
                == "floor: keeps 363 of 1903 weights, and a sparsity of 0.9 leaves 191; expected a smaller floor or sparsity"
        )
        #expect(refusal(.count(0), 0.5) == "floor: 0, expected a count from 1, or a share below 1")
        #expect(refusal(.share(1), 0.5) == "floor: 1.0, expected a share between 0 and 1, or a count")
        #expect(refusal(.shareOfAll(.nan), 0.5) == "floor: nan, expected a share between 0 and 1, or a count")
    }

    @Test func countsAreAsSaid() throws {
        let layers = Layers(seed: 9)  // 240, 1200, 63, 400
        #expect(try LayerFloor.count(100).counts(layers.weights) == [100, 100, 63, 100])
        #expect(try LayerFloor.share(0.05).counts(layers.weights) == [12, 60, 4, 20])
        #expect(try LayerFloor.shareOfAll(0.05).counts(layers.weights) == [95, 95, 63, 95])
    }
}

@Suite struct LAMPTests {
    @Test func scoresByHand() throws {
        let scores = try LAMPAllocation.ascendingScores(
            Tensor([3, 1, 2, 0].map(Float.init), shape: [2, 2]), name: "w")
        let expected: [Float] = [0, 1.0 / 14, 4.0 / 13, 1]
        #expect(zip(scores.floats(), expected).allSatisfy { abs($0 - $1) < 1e-6 })
        let equal = try LAMPAllocation.ascendingScores(Tensor.ones([1, 4]), name: "w")
        #expect(equal.floats() == [0.25, 1.0 / 3, 0.5, 1].map(Float.init))
        // Removed entries stay below all, and zeros do not divide by zero.
        let gone: [Float] = [-.infinity, 0, -.infinity, 0]
        let rest = try LAMPAllocation.ascendingScores(Tensor(gone, shape: [1, 4]), name: "w")
        #expect(rest.floats() == [-.infinity, -.infinity, 0, 1])
    }

    /// The definition, by sorting all weights of all layers.
    @Test(arguments: [0.3, 0.8, 0.95])
    func oneThresholdForAllScores(sparsity: Double) throws {
        let layers = Layers(seed: 11, scales: [1, 100, 0.001, 3])
        var scores: [(score: Double, layer: Int)] = []
        for (layer, value) in layers.values.enumerated() {
            let squares = value.floats().map { Double($0) * Double($0) }.sorted()
            var rest = 0.0
            for square in squares.reversed() {
                rest += square
                scores.append((square / rest, layer))
            }
        }
        let removed = ExactSelection.removedCount(layers.count, sparsity: sparsity)
        let gone = scores.sorted { $0.score < $1.score }.prefix(removed)
        let expected = layers.weights.indices.map { layer in gone.reduce(0) { $0 + ($1.layer == layer ? 1 : 0) } }
        let counts = try layers.removedCounts(LAMPAllocation(), sparsity)
        #expect(counts == expected)
        // A layer's scale has no say.
        let scaled = Layers(zip(layers.values, [1, 0.01, 1000, 2.0]).map { $0 * $1 })
        #expect(try scaled.removedCounts(LAMPAllocation(), sparsity) == counts)
    }

    @Test func noLayerIsEmptied() throws {
        let layers = Layers(seed: 12, scales: [1, 1e-8, 1, 1])
        let masks = try layers.masks(LAMPAllocation(), 0.997)
        #expect(masks.allSatisfy { $0.keptCount >= 1 })
        #expect(masks.reduce(0) { $0 + $1.keptCount } == 6)
    }

    @Test func largeMatricesSortAsSmallOnes() throws {
        var generator = SeededGenerator(seed: 13)
        let value = generator.matrix(97, 1031).abs()
        let scores = try LAMPAllocation.ascendingScores(value, name: "w").floats()
        #expect(zip(scores, scores.dropFirst()).allSatisfy { $0 <= $1 })
        let sorted = value.floats().sorted()
        let total = sorted.reduce(0.0) { $0 + Double($1) * Double($1) }
        let first = Double(sorted[0]) * Double(sorted[0]) / total
        #expect(abs(Double(scores[0]) - first) <= first * 1e-6)
        #expect(scores.last == 1)
    }

    @Test func negativeScoresAreRefused() {
        let refusal = message {
            _ = try LAMPAllocation.ascendingScores(Tensor([Float(1), -2], shape: [1, 2]), name: "w")
        }
        #expect(refusal.hasPrefix("allocation: lamp squares scores, and w has one of -2.0"))
    }
}

@Suite struct PQIndexAllocationTests {
    /// Normal numbers, their cubes and their squares with signs: 600 magnitudes, 1200 the least equal, 400.
    private func layers() -> Layers {
        var generator = SeededGenerator(seed: 21)
        let plain = generator.matrix(20, 30)
        let cubed = generator.matrix(40, 30)
        let squared = generator.matrix(16, 25)
        return Layers([plain, cubed * cubed * cubed, squared * squared.abs()])
    }

    @Test(arguments: [PQIndex.gentle, .aggressive], [0, 0.05, 0.4, 0.8, 0.95])
    func densitiesAreInProportionToTheBounds(index: PQIndex, sparsity: Double) throws {
        let layers = layers()
        let counts = try layers.removedCounts(PQIndexAllocation(index), sparsity)
        #expect(counts.reduce(0, +) == ExactSelection.removedCount(2200, sparsity: sparsity))
        let bounds = try layers.values.map { index.leastRetained(of: $0.count, index: try index.value(of: $0)) }
        let kept = zip(layers.weights, counts).map { $0.count - $1 }
        // Matrices that stay whole ask for more than they have.
        let open = kept.indices.filter { counts[$0] > 0 }
        let share = Double(open.reduce(0) { $0 + kept[$1] }) / open.reduce(0.0) { $0 + bounds[$1] }
        for place in kept.indices {
            let exact = share * bounds[place]
            if open.contains(place) {
                #expect(abs(Double(kept[place]) - exact) <= 1)
            } else if !open.isEmpty {
                #expect(exact > Double(kept[place]) - 1)
            }
        }
    }

    @Test func theLessEqualLoseMoreAndTheMostEqualMayStayWhole() throws {
        let layers = layers()
        let counts = try layers.removedCounts(PQIndexAllocation(), 0.6)
        let parts = zip(counts, layers.weights).map { Double($0) / Double($1.count) }
        let indices = try layers.values.map { try PQIndex.gentle.value(of: $0) }
        #expect(indices[0] < indices[2] && indices[2] < indices[1])
        #expect(parts[0] < parts[2] && parts[2] < parts[1])
        #expect(try layers.removedCounts(PQIndexAllocation(), 0.05) == [0, 110, 0])
    }

    /// Scales and copies do not count.
    @Test func equalLayersGetEqualShares() throws {
        let own = layers().values[1]
        let layers = Layers([own, own * 4, own * 0.125])
        #expect(try layers.removedCounts(PQIndexAllocation(.aggressive), 0.5) == [600, 600, 600])
    }

    /// Asked for as much as ``AdaptiveSparsity`` finds by itself, each matrix loses what it would take of it, but
    /// for whole numbers.
    @Test(arguments: [PQIndex.gentle, .aggressive]) func whatTheBoundsLeaveIsWhatAdaptivePruningLeaves(
        index: PQIndex
    ) throws {
        let layers = layers()
        let adaptive = try AdaptiveSparsity(index, cap: 1)
        let expected = try layers.values.map { adaptive.removedCount(of: $0.count, index: try index.value(of: $0)) }
        let counts = try layers.removedCounts(
            PQIndexAllocation(index), Double(expected.reduce(0, +)) / Double(layers.count))
        #expect(zip(counts, expected).allSatisfy { abs($0 - $1) <= 2 }, "\(counts), \(expected)")
        let one = Layers([layers.values[1]])
        #expect(try one.removedCounts(PQIndexAllocation(index), Double(expected[1]) / 1200) == [expected[1]])
    }

    /// What is gone has no part in an index, and is not given away again.
    @Test func countsAreExactBehindEarlierStages() throws {
        let layers = layers()
        let first = try layers.masks(ExplicitAllocation([.init("layer1", kept: 5)]), 0)
        let second = try layers.masks(PQIndexAllocation(), 0.7, earlier: first)
        #expect(second.reduce(0) { $0 + $1.removedCount } == ExactSelection.removedCount(2200, sparsity: 0.7))
        #expect(zip(second, first).allSatisfy { $0.isSubset(of: $1) })
        let half = try layers.masks(UniformAllocation(), 0.5)
        let third = try layers.masks(PQIndexAllocation(), 0.8, earlier: half)
        #expect(third.reduce(0) { $0 + $1.removedCount } == ExactSelection.removedCount(2200, sparsity: 0.8))
        // The order of shares is that of what is left.
        let indices = try layers.values.indices.map {
            try PQIndex.gentle.value(of: layers.values[$0], mask: half[$0])
        }
        let parts = third.indices.map { Double(third[$0].keptCount) / Double(half[$0].keptCount) }
        #expect(indices[0] < indices[1] && parts[0] > parts[1])
        #expect(try layers.masks(PQIndexAllocation(), 0.1, earlier: half) == half)
    }
}

@Suite struct UniformPlusTests {
    @Test func theFirstStaysDenseAndTheLastKeepsAFifth() throws {
        let layers = Layers(seed: 14)  // 240, 1200, 63, 400
        let mild = try layers.removedCounts(UniformPlusAllocation(), 0.5)
        #expect(mild[0] == 0 && mild.reduce(0, +) == 951)
        let shares = zip(mild, layers.weights).dropFirst().map { Double($0) / Double($1.count) }
        #expect(shares.allSatisfy { abs($0 - 951.0 / 1663) < 0.01 })
        let strong = try layers.removedCounts(UniformPlusAllocation(), 0.8)
        #expect(strong[0] == 0 && strong[3] == 320 && strong.reduce(0, +) == 1522)
        #expect(abs(Double(strong[1]) / 1200 - Double(strong[2]) / 63) < 0.02)
        let all = try layers.removedCounts(UniformPlusAllocation(keepsFirst: false), 0.8)
        #expect(all[0] == 192 && all[3] == 320)
    }

    @Test func noMiddleLayerIsEmptied() throws {
        let layers = Layers(seed: 15)
        let counts = try layers.removedCounts(UniformPlusAllocation(), 0.83)
        #expect(zip(counts, layers.weights).allSatisfy { $0 < $1.count })
    }

    @Test func whatCannotBeMetIsRefused() {
        let layers = Layers(seed: 16)
        let refusal = message { _ = try layers.removedCounts(UniformPlusAllocation(), 0.9) }
        #expect(
            refusal
                == "allocation: uniform+ keeps layer0 dense and removes at most 0.8 of layer3, so 1581 of 1903 weights "
                + "may go, not 1712; expected a smaller sparsity, or weights without them")
    }
}

@Suite struct ExplicitAllocationTests {
    @Test func namedLayersLoseWhatIsSaid() throws {
        let layers = Layers(seed: 17)  // 240, 1200, 63, 400
        let allocation = ExplicitAllocation([.init("layer1", sparsity: 0.95), .init("layer2", kept: 50)])
        #expect(try layers.removedCounts(allocation, 0.5) == [120, 1140, 13, 200])
        #expect(try layers.removedCounts(ExplicitAllocation([]), 0.25) == [60, 300, 15, 100])
        #expect(try layers.removedCounts(ExplicitAllocation([.init("layer*", sparsity: 0)]), 0.5) == [0, 0, 0, 0])
    }

    @Test func badBudgetsAreRefused() {
        let layers = Layers(seed: 18)
        func refusal(_ budgets: [ExplicitAllocation.Budget]) -> String {
            message { _ = try layers.removedCounts(ExplicitAllocation(budgets), 0.5) }
        }
        #expect(
            refusal([.init("layr2", sparsity: 0.5)])
                == "budgets: \"layr2\" matches no weight; the nearest is \"layer2\"")
        #expect(
            refusal([.init("layer1", sparsity: 1)]) == "budgets.layer1: 1.0, expected a sparsity from 0 to below 1")
        #expect(refusal([.init("layer1", sparsity: .nan)]).hasSuffix("nan, expected a sparsity from 0 to below 1"))
        #expect(
            refusal([.init("layer2", kept: 64)])
                == "budgets.layer2: 64, expected to keep 1 to 63 weights of layer2")
        #expect(refusal([.init("layer2", kept: 0)]).contains("expected to keep 1 to 63"))
        #expect(
            refusal([.init("layer1", sparsity: 0.5), .init("layer*", sparsity: 0.6)])
                == "budgets: layer1 is named by \"layer1\" and \"layer*\", expected one budget")
    }

    /// In several steps each layer is on a ramp to its own budget, all at the same place of it.
    @Test(arguments: SparsityRamp.allCases) func budgetsRiseTogether(ramp: SparsityRamp) throws {
        let layers = Layers(seed: 17)  // 240, 1200, 63, 400
        let sizes = layers.weights.map { Double($0.count) }
        let allocation = ExplicitAllocation([.init("layer1", sparsity: 0.95), .init("layer2", kept: 50)])
        let path = try allocation.path(to: 0.5, of: layers.weights, from: [0, 0, 0, 0], along: ramp)
        let goal = [120, 1140, 13, 200]
        #expect(path.sparsity == 1473.0 / 1903)
        #expect(try layers.removedCounts(path.allocation, path.sparsity) == goal)
        #expect(try layers.removedCounts(path.allocation, 0.99) == goal)
        #expect(try layers.removedCounts(path.allocation, 0) == [0, 0, 0, 0])
        var last = [0, 0, 0, 0]
        for tenth in 1..<10 {
            let sparsity = ramp.sparsity(at: Double(tenth) / 10, from: 0, to: path.sparsity)
            let counts = try layers.removedCounts(path.allocation, sparsity)
            let total = ExactSelection.removedCount(1903, sparsity: sparsity)
            #expect((total - 3...total).contains(counts.reduce(0, +)), "\(tenth)")
            #expect(zip(counts, last).allSatisfy { $0 >= $1 })
            last = counts
            // Where the largest layer is on its ramp: the others are there, but for whole weights.
            let done = Double(counts[1]) / sizes[1]
            let place =
                switch ramp {
                case .geometric: log(1 - done) / log(0.05)
                case .linear: done / 0.95
                case .cubic: 1 - cbrt(1 - done / 0.95)
                }
            for index in counts.indices {
                let expected = ramp.sparsity(at: place, from: 0, to: Double(goal[index]) / sizes[index]) * sizes[index]
                #expect(abs(Double(counts[index]) - expected) < 2, "\(tenth): layer \(index)")
            }
        }
    }

    /// Those that have lost more than is asked of all stay; a budget below what is gone is refused, zero asks for nothing.
    @Test func whatIsRemovedStaysRemoved() throws {
        let layers = Layers(seed: 17)
        let allocation = ExplicitAllocation([.init("layer1", sparsity: 0.5), .init("layer2", sparsity: 0)])
        let removed = [200, 300, 10, 0]
        let path = try allocation.path(to: 0.5, of: layers.weights, from: removed, along: .geometric)
        #expect(try layers.removedCounts(path.allocation, path.sparsity) == [200, 600, 10, 200])
        let halfway = try layers.removedCounts(path.allocation, (510 + 250) / 1903)
        #expect(halfway[0] == 200 && halfway[2] == 10 && (301..<600).contains(halfway[1]) && halfway[3] > 0)
        #expect(message { try allocation.check(layers.weights, sparsity: 0.5, removed: removed) } == "no error")
        #expect(message { try allocation.check(layers.weights, sparsity: 0, removed: removed) } == "no error")
        #expect(
            message { try allocation.check(layers.weights, sparsity: 0.5, removed: [0, 601, 0, 0]) }
                == "budgets.layer1: 0.5 removes 600 of the 1200 weights of layer1, of which 601 are removed already; "
                + "removed weights do not return")
        #expect(
            message { try allocation.check(layers.weights, sparsity: 0.25, removed: [120, 0, 0, 200]) }
                == "sparsity: 0.25 is below the 0.5 that is already pruned; removed weights do not return")
    }
}

@Suite struct KernelDensityTests {
    @Test func kernelsCountByTheSumOfTheirExtents() {
        let weights = [
            PrunableWeight(name: "conv", shape: [64, 32, 3, 3]),
            PrunableWeight(name: "depthwise", shape: [256, 1, 5, 5]),
            PrunableWeight(name: "fc", shape: [10, 500]),
        ]
        #expect(weights.map(\.kernel) == [[3, 3], [5, 5], []] && weights.map(\.inputs) == [32, 1, 500])
        let densities = ErdosRenyiAllocation.densities(weights, total: 6_000)
        let raw = [102.0 / 18_432, 267.0 / 6_400, 510.0 / 5_000]
        let epsilon = 6_000.0 / 879
        #expect(zip(densities, raw).allSatisfy { abs($0 - epsilon * $1) < 1e-12 })
    }
}

@Suite struct AllocationOfNetworksTests {
    @Test func everyAllocationPrunesANetwork() throws {
        let rates = [DistortionCurve.Point(kept: 16 * 8, distortion: 0), .init(kept: 12, distortion: 1)]
        let curves = [
            DistortionCurve(name: "first.weight", count: 128, points: rates),
            DistortionCurve(name: "second.weight", count: 48, points: [.init(kept: 48, distortion: 0)]),
        ]
        let allocations: [any Allocation] = [
            GlobalAllocation(floor: .share(0.1)), LAMPAllocation(), ErdosRenyiAllocation(),
            UniformPlusAllocation(keepsFirst: false), RateDistortionAllocation(curves), PQIndexAllocation(),
            PQIndexAllocation(.aggressive),
        ]
        for allocation in allocations {
            let prunable = try PrunableNetwork(SmallMLP())
            try prunable.prune(by: .magnitude, allocation: allocation, to: 0.6)
            #expect(prunable.removedCount == ExactSelection.removedCount(176, sparsity: 0.6))
        }
        let prunable = try PrunableNetwork(SmallMLP())
        let budgets = ExplicitAllocation([.init("first", sparsity: 0.9)])
        try prunable.prune(by: .magnitude, allocation: budgets, to: 0.5)
        #expect(prunable.masks.map(\.removedCount) == [115, 24])
        let refusal = message {
            let unknown = ExplicitAllocation([.init("frst", sparsity: 0.9)])
            try prunable.prune(by: .magnitude, allocation: unknown, to: 0.95)
        }
        #expect(refusal == "budgets: \"frst\" matches no weight; the nearest is \"first\"")
    }
}
