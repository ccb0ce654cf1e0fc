import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct AdaptiveSparsityTests {
    private let source: TensorBatches = {
        let (inputs, targets) = clusters()
        return TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3)
    }()

    /// With η = 0 and γ = 1 what goes of equal numbers among zeros is the zeros.
    @Test(arguments: AdaptiveSparsity.Scope.allCases)
    func prunesExactlyTheZeros(scope: AdaptiveSparsity.Scope) throws {
        let network = SmallMLP(inputs: 10, hidden: 12, classes: 5)
        func flags(_ rows: Int, _ columns: Int) -> [Float] {
            (0..<rows).flatMap { row in (0..<columns).map { ($0 + row) % 5 < 2 ? 0.25 : 0 } }
        }
        network.first.weight = Tensor(flags(12, 10), shape: [12, 10])
        network.second.weight = Tensor(flags(5, 12), shape: [5, 12])
        let prunable = try PrunableNetwork(network)
        let before = [prunable.values(0).floats(), prunable.values(1).floats()]
        let zeros = before.joined().filter { $0 == 0 }.count
        for index in [PQIndex.gentle, .aggressive] {
            let method = try AdaptiveSparsity(index, scope: scope, cap: 1)
            let units = try method.units(of: prunable)
            #expect(units.reduce(0) { $0 + $1.removed } == zeros)
        }
        let method = try AdaptiveSparsity(.aggressive, scope: scope, cap: 1)
        #expect(try method.removeNext(from: prunable) == zeros)
        for (place, values) in before.enumerated() {
            #expect(prunable.masks[place].indicator.floats() == values.map { $0 == 0 ? 0 : 1 })
        }
        // Nothing is redundant now.
        #expect(try method.removeNext(from: prunable) == 0)
    }

    /// ⌊d · min(γ (1 − r/d), β)⌋ by hand.
    @Test func countsAreTheFormula() throws {
        let plain = try AdaptiveSparsity(.aggressive)
        // (1, 2): the exponent pq/(q − p) is 2: r = ⌈100 · 0.64⌉.
        #expect(plain.removedCount(of: 100, index: 0.2) == 36)
        #expect(plain.removedCount(of: 100, index: 0) == 0)
        #expect(plain.removedCount(of: 0, index: 0) == 0)
        #expect(plain.removedCount(of: 1, index: 0.9) == 0)
        // r = ⌈10 · 0.0001⌉ = 1; the cap is 9, and one stays anyhow.
        #expect(plain.removedCount(of: 10, index: 0.99) == 9)
        #expect(try AdaptiveSparsity(.aggressive, cap: 0.5).removedCount(of: 10, index: 0.99) == 5)
        #expect(try AdaptiveSparsity(.aggressive, aggressiveness: 2).removedCount(of: 100, index: 0.2) == 72)
        #expect(try AdaptiveSparsity(.aggressive, aggressiveness: 0.5).removedCount(of: 100, index: 0.2) == 18)
        #expect(try AdaptiveSparsity(.aggressive, aggressiveness: 9, cap: 1).removedCount(of: 10, index: 0.9) == 9)
        // η = 1: (1 + 1)^(−2) of 64: r = 16.
        #expect(try AdaptiveSparsity(.aggressive, tail: 1).removedCount(of: 100, index: 0.2) == 84)
    }

    @Test func normalWeightsLoseWhatTheoryPredicts() throws {
        let network = SmallMLP(inputs: 400, hidden: 300, classes: 3)
        let prunable = try PrunableNetwork(network, targets: [WeightPattern("first.weight")])
        for (index, expected) in [(PQIndex.aggressive, 0.3634), (.gentle, 0.1528)] {
            let units = try AdaptiveSparsity(index, scope: .layer).units(of: prunable)
            #expect(abs(Double(units[0].removed) / Double(prunable.count) - expected) < 0.006)
        }
    }

    @Test(arguments: AdaptiveSparsity.Scope.allCases)
    func removesTheSmallestOfEachUnit(scope: AdaptiveSparsity.Scope) throws {
        let prunable = try PrunableNetwork(SmallMLP(inputs: 20, hidden: 9))
        let method = try AdaptiveSparsity(.aggressive, scope: scope)
        for _ in 0..<3 {
            let (values, masks) = ([prunable.values(0), prunable.values(1)], prunable.masks)
            let units = try method.units(of: prunable)
            #expect(units.reduce(0) { $0 + $1.kept } == prunable.count - prunable.removedCount)
            let total = units.reduce(0) { $0 + $1.removed }
            let before = prunable.removedCount
            #expect(try method.removeNext(from: prunable) == total)
            #expect(prunable.removedCount == before + total && total > 0)
            #expect(zip(prunable.masks, masks).allSatisfy { $0.isSubset(of: $1) })
            for unit in units {
                var (kept, gone): ([Float], [Float]) = ([], [])
                for place in values.indices where unit.weight == nil || unit.weight == place {
                    let numbers = values[place].floats()
                    for row in 0..<masks[place].rows where unit.row == nil || unit.row == row {
                        for column in 0..<masks[place].columns where masks[place][row, column] {
                            let number = abs(numbers[row * masks[place].columns + column])
                            if prunable.masks[place][row, column] { kept.append(number) } else { gone.append(number) }
                        }
                    }
                }
                #expect(gone.count == unit.removed && kept.count == unit.kept - unit.removed)
                #expect((gone.max() ?? 0) <= (kept.min() ?? .infinity))
            }
        }
    }

    @Test func rowsWithoutWeightsAreNoUnits() throws {
        let prunable = try PrunableNetwork(SmallMLP(inputs: 4, hidden: 3))
        var masks = prunable.masks
        masks[0] = WeightMask(rows: 3, columns: 4, kept: (0..<12).map { !(4..<8).contains($0) })
        prunable.setMasks(masks)
        let units = try AdaptiveSparsity(scope: .neuron).units(of: prunable)
        #expect(units.filter { $0.weight == 0 }.map(\.row) == [0, 2])
    }

    /// In the loop of iterative pruning: rewound bit for bit, and over when nothing goes.
    @Test func levelsRewindAndEnd() throws {
        let network = SmallMLP(inputs: 8, hidden: 16)
        let prunable = try PrunableNetwork(network)
        let search = try IterativePruning(training: shortTraining(steps: 12), rewindStep: 0)
        let initial = Snapshot(of: network)
        let weights = prunable.values(0).floats()
        var removed: [Int] = []
        let method = try AdaptiveSparsity(.aggressive, scope: .layer)
        try search.run(prunable, levels: 3, removing: method, rewound: initial, on: source) { _ in
            removed.append(prunable.removedCount)
        }
        #expect(removed.count == 4 && removed[0] == 0 && zip(removed, removed.dropFirst()).allSatisfy { $0 < $1 })
        initial.restore(network)
        prunable.applyMasks()
        let expected = zip(weights, prunable.masks[0].indicator.floats()).map { $1 == 0 ? 0 : $0 }
        #expect(prunable.values(0).floats() == expected)

        struct Nothing: LevelPruning {
            func removeNext(from network: PrunableNetwork) -> Int { 0 }
        }
        var levels = 0
        try search.run(prunable, levels: 5, removing: Nothing(), rewound: initial, on: source) { _ in levels += 1 }
        #expect(levels == 1)
    }

    @Test func refusesWhatIsNoSetting() throws {
        #expect(throws: CoppiceError.self) { try AdaptiveSparsity(tail: -0.1) }
        #expect(throws: CoppiceError.self) { try AdaptiveSparsity(tail: .nan) }
        #expect(throws: CoppiceError.self) { try AdaptiveSparsity(aggressiveness: 0) }
        #expect(throws: CoppiceError.self) { try AdaptiveSparsity(cap: 0) }
        #expect(throws: CoppiceError.self) { try AdaptiveSparsity(cap: 1.01) }
        #expect(throws: CoppiceError.self) { try ConstantFraction(0) }
        #expect(throws: CoppiceError.self) { try ConstantFraction(1) }
    }
}
