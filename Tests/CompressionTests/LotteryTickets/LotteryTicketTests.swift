import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

/// A search on a small network, and what it found.
private struct Search {
    let network = SmallMLP()
    let prunable: PrunableNetwork
    let method: IterativePruning
    let rewound: Snapshot
    let tickets: [LotteryTicket]
    let dense: Snapshot

    static func source(seed: UInt64 = 3) -> TensorBatches {
        let (inputs, targets) = clusters()
        return TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: seed)
    }

    init(rewindStep: Int = 4, levels: Int = 3) throws {
        prunable = try PrunableNetwork(network)
        method = try IterativePruning(training: shortTraining(steps: 20), rewindStep: rewindStep)
        rewound = try method.trainToRewindStep(network, on: Self.source())
        (tickets, dense) = try method.tickets(prunable, levels: levels, rewound: rewound, on: Self.source())
    }

    func train(_ branch: TicketBranch, seed: UInt64 = 3) throws -> [[Double]] {
        try method.train(branch, of: tickets[1], in: prunable, on: Self.source(seed: seed))
        return numbers(of: network)
    }
}

@Suite struct LotteryTicketTests {
    @Test func ticketsAreNestedAndTheirSourcesAreTrained() throws {
        let search = try Search()
        // 176 weights; ⌈p n⌉ go at each level.
        #expect(search.tickets.map(\.keptCount) == [140, 112, 89])
        #expect(abs(search.tickets[0].density - 140.0 / 176) < 1e-12)
        for (earlier, later) in zip(search.tickets, search.tickets.dropFirst()) {
            #expect(zip(later.masks, earlier.masks).allSatisfy { $0.isSubset(of: $1) })
        }
        #expect(search.tickets[0].source.parameters[0].floats() == search.dense.parameters[0].floats())
        #expect(search.tickets[1].source.parameters[0].floats() != search.dense.parameters[0].floats())
        // A ticket's mask keeps the largest of its source.
        let values = search.prunable.values(in: search.dense).flatMap { $0.floats() }.map { abs($0) }
        let flags = search.tickets[0].masks.flatMap { $0.indicator.floats() }
        let kept = zip(values, flags).filter { $1 == 1 }.map(\.0)
        let gone = zip(values, flags).filter { $1 == 0 }.map(\.0)
        #expect((gone.max() ?? 0) <= (kept.min() ?? 0))
    }

    @Test func trainingIsAFunctionOfItsSeed() throws {
        let search = try Search()
        let first = try search.train(.rewound)
        #expect(try search.train(.rewound) == first)
        #expect(try search.train(.rewound, seed: 4) != first)
        #expect(search.prunable.masks == search.tickets[1].masks)
    }

    /// Train(0 → k) and then Train(k → T) is Train(0 → T), with momentum carried along.
    @Test func trainingContinuesBitForBit() throws {
        let (whole, parts) = (SmallMLP(), SmallMLP())
        let training = shortTraining(steps: 20)
        try training.run(whole, on: Search.source())
        var state = OptimizerState(training.optimizer, for: parts)
        try training.run(parts, on: Search.source(), steps: 0..<7, state: &state)
        try training.run(parts, on: Search.source(), steps: 7..<20, state: &state)
        #expect(numbers(of: whole) == numbers(of: parts))
    }

    /// A level that nothing was removed for is dense training, bit for bit.
    @Test func wholeMasksChangeNothing() throws {
        let (dense, masked) = (SmallMLP(), SmallMLP())
        let initial = Snapshot(of: dense)
        let method = try IterativePruning(training: shortTraining(steps: 20), rewindStep: 0)
        try method.training.run(dense, on: Search.source())
        let prunable = try PrunableNetwork(masked)
        prunable.setMasks(prunable.weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) })
        try method.trainFromRewindStep(prunable, rewound: initial, on: Search.source())
        #expect(numbers(of: masked) == numbers(of: dense))
    }

    /// 28 % of a hundred weights are 28, though their product of doubles is more.
    @Test func levelsRemoveWholeShares() throws {
        #expect(try ConstantFraction(0.28).keptCount(after: 100) == 72)
        #expect(try LayerFraction(0.28).keptCount(after: 100) == 72)
    }

    @Test func everyBranchKeepsItsMaskAndSize() throws {
        let search = try Search()
        let ticket = search.tickets[1]
        let branches: [TicketBranch] = [
            .rewound, .reinitialized(Snapshot(of: SmallMLP(seed: 9))), .shuffled(seed: 5),
            .oneShot(dense: search.dense),
            .fineTuned, .learningRateRewound,
        ]
        #expect(Set(branches.map(\.name)).count == branches.count)
        var results: [[[Double]]] = []
        for branch in branches {
            results.append(try search.train(branch))
            #expect(search.prunable.count - search.prunable.removedCount == ticket.keptCount)
            for (index, mask) in search.prunable.masks.enumerated() {
                let values = search.prunable.values(index).floats()
                #expect(zip(values, mask.indicator.floats()).allSatisfy { $1 == 1 || $0 == 0 })
            }
            switch branch {
            case .shuffled:
                #expect(search.prunable.masks.map(\.keptCount) == ticket.masks.map(\.keptCount))
                #expect(search.prunable.masks != ticket.masks)
            case .oneShot: break
            default: #expect(search.prunable.masks == ticket.masks)
            }
        }
        for (index, result) in results.enumerated() {
            for other in results.dropFirst(index + 1) { #expect(result != other) }
        }
    }

    /// A schedule that ends at zero leaves fine-tuning nothing to do: the source's weights under the mask.
    @Test func fineTuningGoesOnFromTheSource() throws {
        let search = try Search()
        let ticket = search.tickets[1]
        _ = try search.train(.fineTuned)
        let source = search.prunable.values(in: ticket.source)
        for (index, mask) in ticket.masks.enumerated() {
            let expected = zip(source[index].floats(), mask.indicator.floats()).map { $1 == 0 ? 0 : $0 }
            #expect(search.prunable.values(index).floats() == expected)
        }
    }

    @Test func learningRateRewindingRepeatsTheSchedule() throws {
        let search = try Search()
        let ticket = search.tickets[1]
        let result = try search.train(.learningRateRewound)
        let (twin, training) = (SmallMLP(), search.method.training)
        let masked = try PrunableNetwork(twin)
        ticket.source.restore(twin)
        masked.setMasks(ticket.masks)
        var state = OptimizerState(training.optimizer, for: twin)
        try training.run(
            twin, on: Search.source(), steps: 4..<20, state: &state, hooks: [MaskedTraining(masked)])
        #expect(numbers(of: twin) == result)
    }

    /// Other weights train densely to step k before they are masked.
    @Test func reinitializationTrainsToTheRewindStepFirst() throws {
        let search = try Search()
        let ticket = search.tickets[1]
        let result = try search.train(.reinitialized(Snapshot(of: SmallMLP(seed: 9))))
        let twin = SmallMLP(seed: 9)
        let masked = try PrunableNetwork(twin)
        let early = try search.method.trainToRewindStep(twin, on: Search.source())
        masked.setMasks(ticket.masks)
        try search.method.trainFromRewindStep(masked, rewound: early, on: Search.source())
        #expect(numbers(of: twin) == result)
    }

    @Test func shufflingIsUniformAndSeeded() {
        let mask = WeightMask(rows: 20, columns: 50, kept: (0..<1_000).map { $0 < 300 })
        var (one, same, other) = (RandomGenerator(seed: 1), RandomGenerator(seed: 1), RandomGenerator(seed: 2))
        let shuffled = mask.shuffled(using: &one)
        #expect(shuffled.keptCount == 300)
        #expect(shuffled == mask.shuffled(using: &same) && shuffled != mask.shuffled(using: &other))
        // Of 300 kept first places about 90 stay: five standard deviations are 34.
        let overlap = shuffled.intersection(mask).keptCount
        #expect(abs(overlap - 90) < 34)
    }
}

@Suite struct TicketStabilityTests {
    @Test func distancesAreOverTheSurvivors() {
        let masks = [
            WeightMask(rows: 1, columns: 3, kept: [true, true, false]),
            WeightMask(rows: 1, columns: 2, kept: [false, true]),
        ]
        func weights(_ first: [Float], _ second: [Float]) -> [Tensor] {
            [Tensor(first, shape: [1, 3]), Tensor(second, shape: [1, 2])]
        }
        let a = weights([3, 0, 100], [7, 0])
        let distance = SubnetworkDistance(a, weights([0, 4, -50], [9, 0]), masks: masks)
        #expect(distance.euclidean == 5)
        #expect(abs(distance.angle - .pi / 2) < 1e-12)
        let own = SubnetworkDistance(a, a, masks: masks)
        #expect(own.euclidean == 0 && own.angle == 0)
        let scaled = SubnetworkDistance(a, weights([6, 0, 1], [1, 0]), masks: masks)
        #expect(scaled.euclidean == 3 && scaled.angle < 1e-12)
        let turned = SubnetworkDistance(a, weights([-3, 0, 1], [1, 0]), masks: masks)
        #expect(abs(turned.angle - .pi) < 1e-12)
        // A small angle, where the arc cosine has no digits left.
        let near = SubnetworkDistance(a, weights([3, 3e-7, 1], [1, 0]), masks: masks)
        #expect(abs(near.angle - 1e-7) < 1e-12)
    }

    @Test func pathsHaveTheirEndsAndLeaveTheNetworkAlone() throws {
        let (network, far) = (SmallConvolutionNetwork(), SmallConvolutionNetwork(seed: 2))
        _ = far.loss(images())  // moves the running statistics
        let (start, end, before) = (Snapshot(of: network), Snapshot(of: far), numbers(of: network))
        var seen: [[[Double]]] = []
        let path = LinearPath(of: network, from: start, to: end, points: 3) { network in
            seen.append(numbers(of: network))
            return Double(seen.count)
        }
        #expect(path.errors == [1, 2, 3] && path.barrier == 1 && !path.isStable)
        #expect(seen[0] == before && seen[2] == numbers(of: far) && numbers(of: network) == before)
        for place in network.parameters.indices {
            let ends = zip(seen[0][place], seen[2][place])
            for (half, sum) in zip(seen[1][place], ends.map { $0 + $1 }) { #expect(abs(half - sum / 2) < 1e-6) }
        }
        #expect(LinearPath(errors: [0.1, 0.1]).barrier == 0)
        #expect(LinearPath(errors: [0.10, 0.125, 0.11]).isStable)
        #expect(abs(LinearPath(errors: [0.1, 0.4, 0.2]).barrier - 0.25) < 1e-12)
    }

    /// Two trainings in one order end in one place.
    @Test func oneOrderIsStable() throws {
        let search = try Search()
        let source = Search.source()
        func stability(_ branch: TicketBranch, _ second: TensorBatches) throws -> TicketStability {
            try search.method.stability(
                of: search.tickets[2], branch: branch, dense: search.dense, in: search.prunable, on: source,
                and: second, points: 3
            ) { 1 - Classification(of: $0, on: [source.batch(at: 0)]).accuracy }
        }
        let same = try stability(.rewound, source)
        #expect(same.toDataOrder.euclidean == 0 && same.toDataOrder.angle == 0 && same.path.barrier == 0)
        #expect(same.toPruning.euclidean > 0)
        let other = try stability(.rewound, Search.source(seed: 8))
        #expect(other.toDataOrder.euclidean > 0 && other.toPruning == same.toPruning)
        let shuffled = try stability(.shuffled(seed: 1), Search.source(seed: 8))
        #expect(shuffled.toPruning.euclidean > other.toPruning.euclidean)
    }

    @Test func matchingIsWithinADeviation() {
        let verdict = MatchingVerdict(dense: [0.90, 0.92, 0.94])
        #expect(abs(verdict.denseMean - 0.92) < 1e-12 && abs(verdict.denseDeviation - 0.02) < 1e-12)
        #expect(verdict.isMatched(by: 0.9001) && !verdict.isMatched(by: 0.8999))
        #expect(MatchingVerdict(dense: [0.9]).threshold == 0.9)
    }
}
