import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// The networks of one seed.
package struct ConsensusTrial {
    typealias Arm = ConsensusMeasurement.Arm
    typealias Run = ConsensusMeasurement.Run

    /// With the images that nothing is held out of.
    private let study: ImageStudy
    private let seed: UInt64
    private let heldOut: [LabeledBatch]
    private let dense: NetworkCost
    private var trained: (any VisionNetwork)?
    /// What the consensus network has left.
    private var kept = 0
    private var multiplicationPart = 1.0

    /// The part of the epochs, and of the learning rate, that pruned networks are fine-tuned with.
    private static let (fineTuning, fineTuningRate) = (0.6, 0.1)

    init(_ study: ImageStudy, seed: UInt64) throws {
        let validation: ImageDataSet
        (self.study, validation) = try Self.heldOut(study, seed: seed)
        self.seed = seed
        heldOut = Array(validation.batches(of: 250))
        dense = try Self.cost(study.architecture)
    }

    /// The images that networks are trained on, and a tenth as many that gates decide on.
    static func heldOut(_ study: ImageStudy, seed: UInt64) throws -> (study: ImageStudy, validation: ImageDataSet) {
        var own = study
        let (training, validation) = try study.training.split(validation: max(1, study.training.count / 11), seed: seed)
        own.training = training
        return (own, validation)
    }

    private static func cost(_ architecture: VisionArchitecture) throws -> NetworkCost {
        let structure = try ChannelStructure(architecture)
        return structure.cost(structure.widths)
    }

    mutating func run(_ arm: Arm) throws -> Run {
        switch arm {
        case .dense:
            let network = study.makeNetwork(seed: seed)
            let losses = try train(network, arm)
            trained = network
            return try run(arm, network, cost: 1, losses)
        case .consensus, .targetOnly, .channels:
            let run = try gated(arm)
            if arm == .consensus { (kept, multiplicationPart) = (run.gates?.kept ?? 0, run.multiplicationPart) }
            return run
        case .staticGates: return try staticGates()
        case .randomBlocks: return try randomBlocks()
        case .norm:
            let network = try trained ?? study.trained(seed: seed)
            return try fineTuned(
                arm, network,
                StructuredPruning(
                    by: ChannelNorm(.l1), allocation: UniformChannels(), granularity: .filters,
                    to: .multiplyAccumulates(1 - multiplicationPart), minimumShare: 0))
        case .slimming:
            let network = study.makeNetwork(seed: seed)
            let losses = try train(network, arm, hooks: [ScaleSparsity(of: network, strength: 1e-4)])
            var run = try fineTuned(
                arm, network,
                StructuredPruning(
                    by: NormScale(), granularity: .filters, to: .multiplyAccumulates(1 - multiplicationPart),
                    minimumShare: 0))
            run.losses = losses
            return run
        case .gradual: return try gradual()
        }
    }

    /// Trains as the dense network.
    private func train(
        _ network: any SupervisedNetwork, _ arm: Arm, hooks: [any TrainingHook] = [], afterStep: () -> Void = {}
    ) throws -> LossCurve {
        let training = study.supervision()
        var losses = LossCurve(arm.name, steps: training.rates.totalSteps)
        try training.run(network, on: study.batches(seed: seed), hooks: hooks) { step, loss in
            losses.add(loss, at: step)
            afterStep()
        }
        return losses
    }

    private func run(
        _ arm: Arm, _ network: any VisionNetwork, cost: Double, _ losses: LossCurve? = nil
    ) throws -> Run {
        var run = Run(arm: arm, seed: seed, accuracy: study.accuracy(of: network))
        run.losses = losses
        let own = try Self.cost(VisionArchitecture(network.configuration))
        run.multiplicationPart = Double(own.multiplyAccumulates) / Double(dense.multiplyAccumulates)
        run.parameterPart = Double(own.parameters) / Double(dense.parameters)
        run.cost = cost
        return run
    }

    // MARK: - Gates

    private func gated(_ arm: Arm) throws -> Run {
        let mode: GateMode = arm == .channels ? .channel : .layer
        let network = try GatedNetwork(study.makeNetwork(seed: seed), GateSettings(mode: mode), seed: seed)
        let (curve, losses) = try train(network, arm, polarization: arm == .targetOnly ? 0 : 1)
        let report = try network.measuredReport(on: heldOut)
        var run = try cut(arm, network, report, by: report, curve)
        run.losses = losses
        return run
    }

    private func staticGates() throws -> Run {
        let network = try GatedNetwork(study.makeNetwork(seed: seed), mode: .layer) { index, _ in
            HardConcreteGate(mode: .layer, count: 1, seed: seed &+ UInt64(index + 1) &* 0xD1B5_4A32_D192_ED03)
        }
        let (curve, losses) = try train(network, .staticGates, polarization: 0)
        let report = try network.measuredReport(on: heldOut)
        let probable = Set(
            report.blocks.indices.sorted { (-report.blocks[$0].mean, $0) < (-report.blocks[$1].mean, $1) }.prefix(kept))
        let decisions = network.report(means: report.blocks.indices.map { [probable.contains($0) ? 1 : 0] })
        var run = try cut(.staticGates, network, report, by: decisions, curve) { scaled(network) }
        run.losses = losses
        return run
    }

    /// Multiplies branches by what their static gates are in use, so that open gates can go.
    private func scaled(_ network: GatedNetwork) {
        let parameters = Dictionary(uniqueKeysWithValues: network.network.parameters.map { ($0.name, $0.parameter) })
        for own in network.blocks {
            guard let gate = own.gate as? HardConcreteGate else { continue }
            for name in own.place.end {
                guard let parameter = parameters[name] else { continue }
                parameter.wrappedValue = parameter.wrappedValue.detached() * gate.expectedFactors.detached()
            }
        }
    }

    /// - Returns: the running averages of the gates of each block over the steps, and the loss.
    private func train(
        _ network: GatedNetwork, _ arm: Arm, polarization: Double
    ) throws -> (gates: [(step: Int, means: [Double])], losses: LossCurve) {
        let training = study.supervision()
        let steps = training.rates.totalSteps
        let hook = try GateRegularization(
            network, target: ConsensusPolarization.target, polarization: polarization, steps: steps)
        let every = max(1, steps / 50)
        var curve: [(step: Int, means: [Double])] = [(0, network.report.blocks.map(\.mean))]
        var losses = LossCurve(arm.name, steps: steps)
        try training.run(network, on: study.batches(seed: seed), hooks: [hook]) { step, loss in
            losses.add(loss, at: step)
            if (step + 1) % every == 0 { curve.append((step + 1, network.report.blocks.map(\.mean))) }
        }
        return (curve, losses)
    }

    private func cut(
        _ arm: Arm, _ network: GatedNetwork, _ report: GateReport, by decisions: GateReport,
        _ curve: [(step: Int, means: [Double])], preparing: () -> Void = {}
    ) throws -> Run {
        let dynamicAccuracy = study.accuracy(of: network)
        preparing()
        let extraction = try ConsensusExtraction(of: network, report: decisions, on: heldOut)
        let staticAccuracy = study.accuracy(of: extraction.network)
        let batches = study.batches(seed: seed)
        let count = min(200, batches.batchesPerEpoch)
        extraction.reestimateStatistics(on: (0..<count).lazy.map(batches.batch(at:)))
        // A step is three passes; deciding and measuring norms is one pass of each image.
        let own = Double(network.gateMultiplications) / Double(network.multiplications)
        let passes = Double(heldOut.reduce(0) { $0 + $1.count } + count * study.batchSize)
        let training = 3 * Double(study.supervision().rates.totalSteps * study.batchSize)
        var run = try run(arm, extraction.network, cost: 1 + own + passes / training)
        var gates = ConsensusMeasurement.Gates(
            kept: extraction.keptCount, count: report.count, disagreement: report.disagreement,
            dynamicAccuracy: dynamicAccuracy, staticAccuracy: staticAccuracy, difference: extraction.difference,
            reopenings: report.reopenings)
        gates.curve = curve
        if network.mode == .layer {
            gates.closedBlocks = zip(network.blocks, extraction.decisions).filter { !$0.1[0] }.map(\.0.place.name)
        }
        run.gates = gates
        return run
    }

    // MARK: - Without gates

    private func randomBlocks() throws -> Run {
        let initial = study.makeNetwork(seed: seed)
        let blocks = try BlockRemoval.blocks(of: study.architecture).count(where: RemovableBlocks.shape.contains)
        guard blocks > kept else { return try run(.randomBlocks, trained ?? study.trained(seed: seed), cost: 1) }
        var lottery = LayerLottery(criterion: .random, count: blocks - kept)
        lottery.removable = .shape
        lottery.seed = seed
        let network = try lottery.removal(from: initial)(initial)
        let losses = try train(network, .randomBlocks)
        let cost = try Self.cost(VisionArchitecture(network.configuration))
        return try run(
            .randomBlocks, network,
            cost: Double(cost.multiplyAccumulates) / Double(dense.multiplyAccumulates), losses)
    }

    private func fineTuned(_ arm: Arm, _ network: any VisionNetwork, _ pruning: StructuredPruning) throws -> Run {
        let pruned = try pruning.prune(network, on: heldOut)
        let training = study.supervision(
            epochs: Double(study.epochs) * Self.fineTuning, peakRate: study.peakRate * Self.fineTuningRate)
        try training.run(pruned.network, on: study.batches(seed: seed &+ 1))
        let part = Double(pruned.after.multiplyAccumulates) / Double(pruned.before.multiplyAccumulates)
        return try run(arm, pruned.network, cost: 1 + Self.fineTuning * part)
    }

    /// Gradual magnitude pruning (Zhu and Gupta 2017) to the multiplications of the consensus network: each layer loses the
    /// same part, on a cubic ramp from a quarter to three quarters of the training.
    private func gradual() throws -> Run {
        let network = study.makeNetwork(seed: seed)
        let prunable = try PrunableNetwork(network)
        let steps = study.supervision().rates.totalSteps
        let schedule = try RampSchedule(
            to: 1 - multiplicationPart, begin: steps / 4, end: max(steps / 4 + 1, steps * 3 / 4),
            interval: max(1, steps / 100))
        let hook = GradualPruning(prunable, schedule: schedule, allocation: UniformAllocation())
        var density = 0.0
        let losses = try train(network, .gradual, hooks: [hook]) { density += 1 - prunable.sparsity }
        // Zeros cost nothing where multiplications are counted.
        var run = try run(.gradual, network, cost: density / Double(steps), losses)
        let gone = Self.multiplications(withRemovedOf: prunable, study.architecture.weightUses)
        run.multiplicationPart -= Double(gone) / Double(dense.multiplyAccumulates)
        run.parameterPart -= Double(prunable.removedCount) / Double(dense.parameters)
        return run
    }

    /// Multiplications with removed weights, for one input.
    ///
    /// - Parameter uses: how often an entry of each weight is multiplied.
    package static func multiplications(withRemovedOf network: PrunableNetwork, _ uses: [String: Int]) -> Int {
        zip(network.weights, network.masks).reduce(0) { $0 + (uses[$1.0.name] ?? 0) * $1.1.removedCount }
    }
}
