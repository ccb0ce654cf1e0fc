import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

/// Encoders are networks like others to criteria, allocations and schedules.
@Suite struct EncoderPruningTests {
    private static let configuration = EncoderConfiguration(
        vocabularySize: 12, hiddenSize: 8, intermediateSize: 16, layerCount: 2, headCount: 2, positionCount: 10,
        tokenTypeCount: 1, normEpsilon: 1e-5)
    private static let layers = [WeightPattern("encoder.layer")]

    /// Whether a text of five tokens holds more of the upper half of the vocabulary than of the lower.
    private let source: TensorBatches = {
        var generator = RandomGenerator(seed: 9)
        let tokens = (0..<64).map { _ in (0..<5).map { _ in Int.random(in: 2..<12, using: &generator) } }
        let classes = tokens.map { $0.count { $0 >= 7 } > 2 ? 1 : 0 }
        return TensorBatches(
            inputs: Tensor(tokens.flatMap { $0 }, shape: [64, 5]), targets: Tensor(classes), batchSize: 16)
    }()

    private func classifier() -> EncoderClassifier {
        EncoderClassifier(Self.configuration, classCount: 2, seed: 2, initialDeviation: 0.2)
    }

    private func training(_ steps: Int) -> SupervisedTraining {
        SupervisedTraining(
            optimizer: AdamW(weightDecay: 0),
            rates: LearningRateSchedule(
                kind: .linear, peak: 1e-2, warmupSteps: 0, minimumRatio: 0, totalSteps: steps))
    }

    @Test func theMatricesOfTheLayersArePrunable() throws {
        let prunable = try PrunableNetwork(classifier(), targets: Self.layers)
        #expect(prunable.weights.count == 12)
        #expect(prunable.count == 2 * (4 * 64 + 2 * 128))
        // Without patterns: heads too, tables not.
        let all = try PrunableNetwork(classifier()).weights.map(\.name)
        #expect(all.count == 14 && !all.contains { $0.contains("embeddings") })
        #expect(try PrunableNetwork(MaskedLanguageEncoder(Self.configuration)).weights.count == 13)
    }

    private static let criteria: [any NetworkCriterion] = [
        .magnitude, .random(seed: 3), GradientWeightCriterion(), TaylorCriterion(), GradientFlowCriterion(),
        FisherDiagonalCriterion(), WoodFisherCriterion(), MFACCriterion(),
        SynapticFlowCriterion(inputShape: [5, 8]),
    ]

    @Test(arguments: criteria.indices) func everyCriterionScoresIt(index: Int) throws {
        let network = classifier()
        let before = network.parameters.map { $0.parameter.wrappedValue.floats() }
        let prunable = try PrunableNetwork(network, targets: Self.layers)
        let scores = try prunable.scores(by: Self.criteria[index], batches: [source.batch(at: 0)])
        #expect(Set(scores.flatMap { $0.floats() }).count > prunable.count / 2)
        #expect(network.parameters.map { $0.parameter.wrappedValue.floats() } == before)
        try prunable.prune(by: Self.criteria[index], to: 0.5, batches: [source.batch(at: 0)])
        #expect(prunable.removedCount == prunable.count / 2)
    }

    private static let allocations: [any Allocation] = [
        GlobalAllocation(), UniformAllocation(), ErdosRenyiAllocation(), LAMPAllocation(), UniformPlusAllocation(),
        PQIndexAllocation(),
    ]

    @Test(arguments: allocations.indices) func everyAllocationFits(index: Int) throws {
        let prunable = try PrunableNetwork(classifier(), targets: Self.layers)
        try prunable.prune(by: .magnitude, allocation: Self.allocations[index], to: 0.6)
        #expect(abs(prunable.removedCount - prunable.count * 6 / 10) <= prunable.weights.count)
    }

    @Test func schedulesTrainItUnderMasks() throws {
        let steps = 60
        func prunable() throws -> PrunableNetwork { try PrunableNetwork(classifier(), targets: Self.layers) }
        func accuracy(_ network: PrunableNetwork) -> Double {
            Classification(of: network.network, on: (0..<4).map(source.batch)).accuracy
        }
        let ramp = try RampSchedule(to: 0.5, begin: 10, end: 40, interval: 5)
        let gradual = try prunable()
        try training(steps).run(gradual.network, on: source, hooks: [GradualPruning(gradual, schedule: ramp)])
        #expect(gradual.removedCount == gradual.count / 2 && accuracy(gradual) > 0.8)

        let dynamic = try prunable()
        try dynamic.prune(by: .random(seed: 1), to: 0.5)
        let masks = dynamic.masks
        let hook = DynamicSparseTraining(dynamic, growth: .gradient, interval: 10, lastStep: 45)
        try training(steps).run(dynamic.network, on: source, hooks: [hook])
        #expect(dynamic.removedCount == dynamic.count / 2 && dynamic.masks != masks && accuracy(dynamic) > 0.8)

        let iterative = try prunable()
        let search = try IterativePruning(training: training(steps / 2), rewindStep: 0, pruneFraction: 0.5)
        try search.run(
            iterative, levels: 1, rewound: Snapshot(of: iterative.network), on: source, body: { _ in })
        #expect(iterative.removedCount == iterative.count / 2 && accuracy(iterative) > 0.7)
    }

    /// Masked language modelling of a text with one rule, the next token is this one's successor, under masks.
    @Test func aMaskedLanguageModelLearnsUnderMasks() throws {
        let network = MaskedLanguageEncoder(Self.configuration, seed: 2, initialDeviation: 0.2)
        let prunable = try PrunableNetwork(network, targets: Self.layers)
        try prunable.prune(by: .magnitude, to: 0.3)
        let texts = (0..<32).map { start in (0..<6).map { 3 + (start + $0) % 8 } }
        var (inputs, targets) = (texts, texts.map { $0.map { _ in -1 } })
        for index in texts.indices {
            targets[index][index % 6] = texts[index][index % 6]
            inputs[index][index % 6] = 2
        }
        let source = TensorBatches(
            inputs: Tensor(inputs.flatMap { $0 }, shape: [32, 6]),
            targets: Tensor(targets.flatMap { $0 }, shape: [32, 6]),
            batchSize: 32)
        var losses: [Double] = []
        try training(80).run(network, on: source, hooks: [MaskedTraining(prunable)]) { _, loss in losses.append(loss) }
        #expect(losses[0] > 1.5 && (losses.last ?? .nan) < 0.3 * losses[0])
        #expect(prunable.removedCount == prunable.count * 3 / 10)
    }
}
