import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

/// Gated networks and what is cut out of them.
@Suite struct GatedNetworkTests {
    /// A network of random weights whose norms differ from channel to channel.
    /// Where all gates of a block are closed, the one that is open most often stays.
    @Test func somethingOfEveryBlockStays() throws {
        var settings = GateSettings(mode: .channel)
        settings.bias = 1
        let gated = try GatedNetwork(Self.network("resnet8"), settings, seed: 1)
        var report = try gated.measuredReport(on: [Self.batch()])
        for block in report.blocks.indices {
            report.blocks[block].means = report.blocks[block].means.indices.map { $0 == block + 1 ? 0.3 : 0.1 }
        }
        let extraction = try ConsensusExtraction(of: gated, report: report, on: [Self.batch()])
        for (block, decisions) in extraction.decisions.enumerated() {
            #expect(decisions.indices.filter { decisions[$0] } == [block + 1])
        }
    }

    static func network(_ name: String, seed: UInt64 = 5) throws -> any VisionNetwork {
        let architecture = try VisionArchitecture(
            named: name, inputChannels: 1, imageSize: 16, widthMultiplier: 0.25)
        let network = architecture.makeNetwork(seed: seed)
        var generator = RandomGenerator(seed: seed + 1)
        for (_, parameter) in network.parameters where parameter.wrappedValue.rank == 1 {
            let noise = Tensor.normal(parameter.wrappedValue.shape, using: &generator)
            parameter.wrappedValue = parameter.wrappedValue.detached() + noise * 0.1
        }
        return network
    }

    static func batch(_ count: Int = 8, seed: UInt64 = 9) -> LabeledBatch {
        var generator = RandomGenerator(seed: seed)
        return LabeledBatch(
            inputs: Tensor.normal([count, 1, 16, 16], using: &generator), targets: Tensor((0..<count).map { $0 % 10 }))
    }

    /// Makes gates decide by the image: the second layer gets random weights and biases around zero.
    static func scatter(_ gated: GatedNetwork, seed: UInt64 = 3) {
        var generator = RandomGenerator(seed: seed)
        for own in gated.blocks {
            guard let gate = own.gate as? ConsensusGate else { continue }
            let shape = gate.output.weight.shape
            gate.output.weight = Tensor.normal(shape, using: &generator) * 6
            gate.output.bias?.wrappedValue = Tensor.normal([shape[0]], using: &generator) * 0.5
        }
    }

    static let families = ["resnet20", "resnet20-projected", "resnet50-cifar", "wrn-16-4", "wrn-28-1"]

    @Test(arguments: families, GateMode.allCases)
    func openGatesAreThePlainNetworkBitForBit(name: String, mode: GateMode) throws {
        let (plain, wrapped) = (try Self.network(name), try Self.network(name))
        let gated = try GatedNetwork(wrapped, GateSettings(mode: mode), seed: 1)
        let batch = Self.batch()
        for isTraining in [false, true] {
            let outputs = { (network: any SupervisedNetwork) in
                network.withTraining(isTraining) { network.outputs(batch.inputs).doubles() }
            }
            #expect(outputs(plain) == outputs(gated), "training: \(isTraining)")
        }
        #expect(gated.blocks.allSatisfy { $0.gate.means?.doubles().allSatisfy { $0 == 1 } == true })
        // Statistics too; and parameters come first, under the network's names.
        #expect(
            plain.stateTensors.map { $0.state.wrappedValue.doubles() }
                == gated.withoutGates { $0.stateTensors.map { $0.state.wrappedValue.doubles() } })
        #expect(gated.parameters.prefix(plain.parameters.count).map(\.name) == plain.parameters.map(\.name))
        #expect(gated.parameters.dropFirst(plain.parameters.count).allSatisfy { $0.name.hasPrefix("gates.") })
        gated.decide(gated.blocks.map { [Bool](repeating: true, count: $0.gate.count) })
        let decided = gated.inUse { gated.outputs(batch.inputs).doubles() }
        #expect(decided == plain.inUse { plain.outputs(batch.inputs).doubles() })
    }

    @Test func gradientsOfOpenGatesAreThoseOfThePlainNetwork() throws {
        for mode in GateMode.allCases {
            let (plain, wrapped) = (try Self.network("resnet20"), try Self.network("resnet20"))
            let gated = try GatedNetwork(wrapped, GateSettings(mode: mode), seed: 1)
            let slopes = [plain as any SupervisedNetwork, gated].map { network in
                gradients(
                    of: network.loss(Self.batch()),
                    withRespectTo: network.parameters.prefix(plain.parameters.count).map(\.parameter.wrappedValue))
            }
            for (own, other) in zip(slopes[0], slopes[1]) {
                let scale = max(1e-3, own.abs().maximum().doubles()[0])
                #expect((own - other).abs().maximum().doubles()[0] / scale < 1e-2, "\(mode)")
            }
        }
    }

    @Test(arguments: families, GateMode.allCases)
    func whatIsCutOutComputesWhatTheDecisionsDo(name: String, mode: GateMode) throws {
        let gated = try GatedNetwork(Self.network(name), GateSettings(mode: mode), seed: 2)
        Self.scatter(gated)
        let batches = [Self.batch(12), Self.batch(12, seed: 10)]
        let extraction = try ConsensusExtraction(of: gated, on: batches, isForced: true)
        #expect(extraction.difference <= 1e-5)
        #expect(extraction.keptCount > 0 && extraction.keptCount < extraction.report.count)
        // By hand, too: the gated network with fixed decisions.
        gated.decide(extraction.decisions)
        let whole = gated.inUse { gated.outputs(batches[1].inputs) }
        let part = extraction.network.inUse { extraction.network.outputs(batches[1].inputs) }
        let scale = max(1, whole.abs().maximum().doubles()[0])
        #expect((whole - part).abs().maximum().doubles()[0] / scale <= 1e-5)
        gated.decide(nil)
        // Multiplications are those of the network less what the closed gates save, exactly.
        let decided = gated.report(means: extraction.decisions.map { $0.map { $0 ? 1 : 0 } })
        #expect(Double(extraction.after.multiplyAccumulates) == decided.expectedMultiplications)
        #expect(extraction.before.multiplyAccumulates == gated.multiplications)
        #expect(extraction.network.parameterCount == extraction.after.parameters)
        if mode == .layer {
            let kept = extraction.network.configuration.residualBlocks.count
            let all = gated.network.configuration.residualBlocks.count
            #expect(all - kept == gated.blocks.count - extraction.keptCount)
        }
    }

    @Test func disagreementIsRefusedUnlessForced() throws {
        let gated = try GatedNetwork(Self.network("resnet20"), GateSettings(mode: .layer), seed: 2)
        Self.scatter(gated)
        let batches = [Self.batch(40)]
        let report = try gated.measuredReport(on: batches)
        let worst = try #require(report.blocks.max { $0.disagreement < $1.disagreement })
        #expect(worst.disagreement > ConsensusExtraction.standardLimit)
        #expect { try ConsensusExtraction(of: gated, on: batches) } throws: {
            "\($0)".contains("\(worst.name) (0.") && "\($0)".contains("beyond 0.05")
        }
        _ = try ConsensusExtraction(of: gated, on: batches, limit: worst.disagreement + 1e-9)
        let forced = try ConsensusExtraction(of: gated, on: batches, isForced: true)
        #expect(forced.decisions == report.blocks.map(\.decisions))
        #expect { try ConsensusExtraction(of: gated, on: []) } throws: { "\($0)".contains("expected some") }
    }

    @Test func somethingIsAlwaysLeft() throws {
        for (name, mode) in [("wrn-28-1", GateMode.layer), ("resnet20", .layer), ("resnet20", .channel)] {
            let gated = try GatedNetwork(Self.network(name), GateSettings(mode: mode), seed: 2)
            for own in gated.blocks {
                (own.gate as? ConsensusGate)?.output.bias?.wrappedValue = .full([own.gate.count], -1)
            }
            let extraction = try ConsensusExtraction(of: gated, on: [Self.batch()])
            // The first stage of a wide network may not be empty, that of a usual one may; of channels one stays each.
            let expected = mode == .channel ? gated.blocks.count : name == "wrn-28-1" ? 1 : 0
            #expect(extraction.keptCount == expected && extraction.difference <= 1e-5)
        }
    }

    @Test func theOrderOfImagesDoesNotMatter() throws {
        let gated = try GatedNetwork(Self.network("resnet20"), GateSettings(mode: .channel), seed: 2)
        Self.scatter(gated)
        let hook = try GateRegularization(gated, target: 0.5, steps: 10, warmup: 0)
        let batch = Self.batch(10)
        let order = Tensor([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
        let shuffled = LabeledBatch(inputs: batch.inputs.take(order), targets: batch.targets.take(order))
        let penalties = try [batch, shuffled].map { batch in
            _ = gated.inUse { gated.outputs(batch.inputs) }
            return try #require(try hook.penalty(0, batch: batch, outputs: nil)).doubles()[0]
        }
        #expect(penalties[0] > 0 && abs(penalties[0] - penalties[1]) < 1e-6)
    }

    @Test func lazyBranchesAreComputedForOpenImagesOnly() throws {
        var settings = GateSettings(mode: .layer)
        let eager = try GatedNetwork(Self.network("resnet20"), settings, seed: 2)
        settings.isLazy = true
        let lazy = try GatedNetwork(Self.network("resnet20"), settings, seed: 2)
        for gated in [eager, lazy] { Self.scatter(gated) }
        let batch = Self.batch(24)
        let report = try lazy.measuredReport(on: [batch])
        #expect(report.blocks.contains { $0.mean > 0 && $0.mean < 1 })
        let (a, b) = (eager.inUse { eager.outputs(batch.inputs) }, lazy.inUse { lazy.outputs(batch.inputs) })
        #expect((a - b).abs().maximum().doubles()[0] < 1e-4 * max(1, a.abs().maximum().doubles()[0]))
        // In training, a convolution sees as many images as its gate is open for.
        lazy.setTraining(true)
        var seen: [String: Int] = [:]
        for (name, module) in lazy.network.modules {
            guard let convolution = module as? Conv2d else { continue }
            convolution.inputObserver = { seen[name] = $0.shape[0] }
        }
        _ = gradients(of: lazy.loss(batch), withRespectTo: lazy.parameters.map(\.parameter.wrappedValue))
        for own in lazy.blocks {
            let open = Int(((own.gate.means?.doubles()[0] ?? 0) * 24).rounded())
            #expect(seen[own.place.name + ".conv1"] ?? 0 == open)
        }
        var channels = GateSettings(mode: .channel)
        channels.isLazy = true
        #expect(throws: CoppiceError.self) { try GatedNetwork(Self.network("resnet20"), channels, seed: 2) }
    }

    @Test func gatesCostLittle() throws {
        for mode in GateMode.allCases {
            let network = try VisionArchitecture(named: "resnet20").makeNetwork()
            let gated = try GatedNetwork(network, GateSettings(mode: mode), seed: 1)
            #expect(gated.blocks.count == (mode == .layer ? 7 : 9))
            let saved = gated.blocks.flatMap(\.multiplications).reduce(0, +)
            #expect(gated.gateMultiplications > 0 && gated.gateMultiplications * 100 < saved)
        }
    }

    @Test func networksWithoutBlocksToSkipAreRefused() throws {
        for (name, words) in [("lenet-5", "residual network"), ("wrn-10-2", "no block that can be skipped")] {
            let network = try VisionArchitecture(named: name).makeNetwork()
            #expect { try GatedNetwork(network, GateSettings(mode: .layer), seed: 1) } throws: {
                "\($0)".contains(words)
            }
        }
    }
}
