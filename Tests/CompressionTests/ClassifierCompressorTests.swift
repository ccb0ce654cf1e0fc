import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Recipes on encoders that classify texts.
@Suite struct ClassifierCompressorTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func classifier(layers: Int = 2) throws -> EncoderCheckpoint {
        try TextClassifier.write(to: folder.path + "/classifier-\(layers)", layers: layers)
    }

    private func compress(
        _ stages: String, _ checkpoint: EncoderCheckpoint, _ texts: LabelledTexts?, to name: String = "out",
        extra: String = ""
    ) throws -> (report: CompressionReport, checkpoint: EncoderCheckpoint) {
        let recipe = try Recipe(
            yaml: "seed: 3\ncalibration: { samples: 8, batch_size: 4 }\n\(extra)\nstages:\n" + stages, source: "r")
        let output = folder.path + "/" + name
        let report = try EncoderCompressor(checkpoint, recipe: recipe).run(output: output, labelled: texts)
        return (report, try .open(output))
    }

    private func classification(
        _ checkpoint: EncoderCheckpoint, _ texts: LabelledTexts, expanding: Bool = true
    ) throws -> Classification {
        Classification(
            of: try checkpoint.classifier(expanding: expanding),
            on: try EncodedTexts(texts, for: checkpoint).batches(of: 7))
    }

    /// Padding, batches and order change nothing of what a text gives.
    @Test(arguments: [false, true]) func textsGiveTheSameAloneAndTogether(_ pairs: Bool) throws {
        let checkpoint = try classifier()
        let encoded = try EncodedTexts(TextClassifier.texts(20, pairs: pairs), for: checkpoint)
        let network = try checkpoint.classifier()
        #expect(network.separator == 3)
        let alone = Classification(of: network, on: (0..<20).map { encoded.batch([$0]) })
        for size in [3, 20] {
            let together = Classification(of: network, on: encoded.batches(of: size))
            #expect(together.correct == alone.correct && together.count == 20)
            #expect(abs(together.loss - alone.loss) < 1e-5)
        }
        // And as it is stored, with the segments that BERT tells texts of a pair apart by.
        let tokens = encoded.sequences[4]
        let second = try #require(tokens.firstIndex(of: 3)) + 1
        #expect(tokens.count(where: { $0 == 3 }) == (pairs ? 2 : 1))
        let types = tokens.indices.map { $0 < second ? 0 : 1 }
        let inputs = Tensor(tokens, shape: [1, tokens.count])
        #expect(network.outputs(inputs).floats() == network(inputs, types: Tensor(types, shape: inputs.shape)).floats())
        if pairs { #expect(network.outputs(inputs).floats() != network(inputs).floats()) }
    }

    @Test(arguments: ["magnitude", "random", "wanda", "snip", "taylor", "grasp", "obd", "woodfisher"])
    func criteriaRemoveExactlyWhatIsAsked(_ method: String) throws {
        let whole = try classifier()
        let options = ["obd", "woodfisher"].contains(method) ? ", gradients: 4, gradient_batch: 2" : ""
        let scope = method == "wanda" ? "layer" : "global"
        let (report, small) = try compress(
            "  - prune: { method: \(method), scope: \(scope), sparsity: 0.5\(options) }\n", whole,
            TextClassifier.texts(30))
        var (zeros, count) = (0, 0)
        for name in whole.storedNames {
            let (old, new) = (try whole.storedTensor(name), try small.storedTensor(name))
            if EncoderCheckpoint.isLayerMatrix(name) {
                (zeros, count) = (zeros + new.zeroCount, count + new.count)
            } else {
                #expect(old.floats() == new.floats(), "\(name)")
            }
        }
        #expect(zeros == count / 2 && report.calibrationTokens.map { $0 > 100 } != false)
        #expect((report.calibrationSource == nil) == (report.calibrationTokens == nil))
        #expect(small.head == .classifies)
        #expect(try small.labels() == TextClassifier.labels)
        #expect(small.configurationJSON == whole.configurationJSON)
    }

    /// Gradients are those of the labels' cross-entropy on the texts that the seed draws.
    @Test func gradientsAreOfTheLabels() throws {
        let whole = try classifier()
        let texts = TextClassifier.texts(8)
        let (_, small) = try compress(
            "  - prune: { method: taylor, scope: global, sparsity: 0.5 }\n", whole, texts)
        let wrong = LabelledTexts(texts.examples.map { .init($0.texts, label: ($0.label + 1) % 3) })
        let (_, other) = try compress(
            "  - prune: { method: taylor, scope: global, sparsity: 0.5 }\n", whole, wrong, to: "other")
        let network = try whole.classifier()
        let encoded = try EncodedTexts(texts, for: whole)
        let order = encoded.sample(8, seed: 3)
        let batches = [encoded.batch(order.prefix(4)), encoded.batch(order.suffix(4))]
        let prunable = try PrunableNetwork(network, targets: [WeightPattern("encoder.layer")])
        try prunable.prune(by: TaylorCriterion(), to: 0.5, batches: batches)
        var differs = false
        for (index, weight) in prunable.weights.enumerated() {
            let stored = try small.storedTensor(weight.name).floats()
            #expect(prunable.values(index).floats() == stored, "\(weight.name)")
            if try other.storedTensor(weight.name).floats() != stored { differs = true }
        }
        #expect(differs)
    }

    @Test func fineTuningLearnsTheLabels() throws {
        let whole = try classifier()
        let (training, test) = (TextClassifier.texts(60, pairs: true), TextClassifier.texts(30, pairs: true, seed: 9))
        let (_, tuned) = try compress(
            "  - prune: { method: magnitude, scope: global, sparsity: 0.4, recovery: fine-tune }\n", whole, training,
            extra: "training: { epochs: 15, batch_size: 8, optimizer: { kind: adamw, learning_rate: 0.005 } }")
        let (_, plain) = try compress(
            "  - prune: { method: magnitude, scope: global, sparsity: 0.4 }\n", whole, nil, to: "plain")
        let (before, after) = (try classification(plain, test), try classification(tuned, test))
        #expect(after.accuracy > 0.8 && after.loss < before.loss - 0.3, "\(before) → \(after)")
        for name in plain.storedNames.filter(EncoderCheckpoint.isLayerMatrix) {
            let pairs = zip(try plain.storedTensor(name).floats(), try tuned.storedTensor(name).floats())
            #expect(pairs.allSatisfy { ($0 == 0) == ($1 == 0) })
        }
    }

    /// Layers, heads and neurons, then patterns, shares by distortion, distillation and 8 bits, one after the other.
    @Test func everyKindOfStageWorks() throws {
        let whole = try classifier(layers: 3)
        let texts = TextClassifier.texts(40)
        let (report, small) = try compress(
            """
              - prune: { method: kl, granularity: layer, count: 1 }
              - prune: { method: wanda, granularity: head, sparsity: 0.34 }
              - prune: { method: taylor, granularity: neuron, sparsity: 0.2 }
              - prune: { method: magnitude, pattern: '2:4', recovery: { kind: distill } }
              - quantize: { bits: 8 }

            """, whole, texts, extra: "training: { epochs: 1, batch_size: 8 }")
        #expect(small.configuration.layerCount == 2 && small.configuration.headCount == 2)
        #expect(small.configuration.intermediateSize == 16 && report.stageReports?.map(\.stage) == [0, 1, 2])
        let (stored, expanded) = try (
            classification(small, texts, expanding: false), classification(small, texts)
        )
        #expect(abs(stored.loss - expanded.loss) < 0.05)
        // What convert makes of it computes the same.
        try small.convert(to: folder.path + "/dense")
        let dense = try EncoderCheckpoint.open(folder.path + "/dense")
        #expect(dense.configuration.headCount == 3 && dense.head == .classifies)
        #expect(try abs(classification(dense, texts).loss - expanded.loss) < 1e-4)
        // A head of its own can be chosen by name.
        let (_, again) = try compress(
            "  - prune: { method: magnitude, sparsity: 0.5, targets: [classifier, pooler] }\n", small, nil, to: "again")
        #expect(try again.storedTensor("classifier.weight").zeroCount == 18)
        #expect(try again.storedTensor("bert.pooler.dense.weight").zeroCount == 72)
    }

    /// Curves by the classes' scores: measured by a stage, or read.
    @Test func sharesFollowTheClassesScores() throws {
        let whole = try classifier()
        let texts = TextClassifier.texts(12)
        var measurement = CurveMeasurement()
        (measurement.options.grid, measurement.options.samples, measurement.seed) = (4, 5, 3)
        measurement.windowLength = 40
        let file = try measurement.run(whole, labelled: texts)
        let path = folder.path + "/curves.json"
        try file.write(to: path)
        let stage = "method: magnitude, sparsity: 0.9, allocation: rate-distortion"
        let (measured, _) = try compress("  - prune: { \(stage), grid: 4, samples: 5 }\n", whole, texts)
        let (read, _) = try compress("  - prune: { \(stage), curves: \"\(path)\" }\n", whole, nil)
        #expect(measured.stageReports?[0].rates == read.stageReports?[0].rates)
        // A matrix's curve is what the network says.
        let network = try whole.classifier()
        let encoded = try EncodedTexts(texts, for: whole)
        let inputs = encoded.sample(5, seed: 3).map { encoded.batch([$0]).inputs }
        let references = inputs.map { network.outputs($0).detached() }
        let curve = try #require(file.curves.first { $0.name.contains("layer.1.intermediate") })
        let point = curve.points[2]
        let alone = try PrunableNetwork(network, targets: [WeightPattern(curve.name)])
        try alone.prune(by: .magnitude, to: 1 - Double(point.kept) / Double(curve.count))
        let expected = alone.distortion(on: inputs, from: references, .mean)
        #expect(abs(point.distortion - expected) < 1e-4 * expected && expected > 0)
    }

    @Test func whatDoesNotFitIsSaid() throws {
        let whole = try classifier()
        func failure(_ body: () throws -> Void) -> String {
            do {
                try body()
                return "nothing was wrong"
            } catch { return "\(error)" }
        }
        let stage = "  - prune: { method: taylor, sparsity: 0.5 }\n"
        #expect(failure { _ = try compress(stage, whole, nil) }.contains("needs a calibration text; there is none"))
        let empty = LabelledTexts([], source: "none.tsv")
        #expect(failure { _ = try compress(stage, whole, empty) } == "none.tsv: has no example")
        let recipe = try Recipe(yaml: "stages:\n" + stage, source: "r")
        let running = CalibrationTokens([5, 6, 7], source: "t")
        #expect(
            failure {
                _ = try EncoderCompressor(whole, recipe: recipe).run(output: folder.path + "/o", calibration: running)
            }.contains("classifies texts, expected texts with labels"))
        let gaps = try EncoderCheckpoint.open(PublishedEncoder.path)
        let short = try Recipe(yaml: "calibration: {sequence_length: 16}\nstages:\n" + stage, source: "r")
        #expect(
            failure {
                _ = try EncoderCompressor(gaps, recipe: short).run(output: folder.path + "/o", labelled: empty)
            }.contains("fills gaps, expected a running text"))
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
    }
}
