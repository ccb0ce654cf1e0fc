import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Curves of encoders: measured layer by layer, stored, and shared out by recipes.
@Suite struct EncoderCurveTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func network() -> MaskedLanguageEncoder {
        MaskedLanguageEncoder(
            EncoderConfiguration(
                family: .roberta, vocabularySize: 30, hiddenSize: 12, intermediateSize: 20, layerCount: 2, headCount: 3,
                positionCount: 20, tokenTypeCount: 1), seed: 5, initialDeviation: 0.3)
    }

    /// Running on from hidden states that were kept is running the whole network.
    @Test(arguments: OutputDistortion.allCases) func curvesAreThoseOfTheWholeEncoder(_ kind: OutputDistortion) throws {
        let network = network()
        let prunable = try PrunableNetwork(network)
        let before = prunable.weights.indices.map { prunable.values($0).floats() }
        #expect(prunable.weights.count == 13 && prunable.weights[12].name == "lm_head.dense.weight")
        // Of several lengths; 1 is padding, which no text has in its midst.
        let texts = [12, 9, 5].map { length in (0..<length).map { 2 + ($0 * 7 + length * 11) % 28 } }
        let method = PruningMethod(
            criterion: MagnitudeCriterion(), granularity: UnstructuredGranularity(), allocation: UniformAllocation(),
            sparsity: 0.5)
        let found = try LayerwiseDistortion(network, weights: prunable.weights).curves(
            on: texts, grid: RateGrid(steps: 3), distortion: kind, method: method)
        let expected = try prunable.distortionCurves(
            on: texts.map { Tensor($0, shape: [1, $0.count]) }, grid: RateGrid(steps: 3), distortion: kind)
        for (own, other) in zip(found, expected) {
            #expect(own.name == other.name && own.points.map(\.kept) == other.points.map(\.kept))
            for (a, b) in zip(own.points, other.points) {
                #expect(abs(a.distortion - b.distortion) <= 1e-5 * max(b.distortion, 1e-6), "\(own.name)")
            }
            #expect(own.points[0].distortion == 0 && own.points[2].distortion > 0)
        }
        #expect(prunable.weights.indices.map { prunable.values($0).floats() } == before)
        let tables = try PrunableNetwork(network, includesEmbeddings: true).weights.filter {
            $0.name.contains("embeddings")
        }
        #expect { try LayerwiseDistortion(network, weights: tables) } throws: {
            "\($0)".contains("roberta.embeddings.word_embeddings.weight: rate-distortion measures matrices of layers")
        }
    }

    private func recipe(_ stage: String) throws -> Recipe {
        try Recipe(
            yaml: "seed: 42\nprefer: size\ncalibration: { samples: 4, sequence_length: 16, batch_size: 2 }\n"
                + "stages: [{ prune: { \(stage) } }]", source: "r.yaml")
    }

    /// The stage that measures, the one that reads what was measured and the plan all say the same.
    @Test(arguments: [PruneStage.Method.magnitude, .wanda, .random, .taylor])
    func measuredOrReadTheSharesAreTheSame(_ method: PruneStage.Method) throws {
        let checkpoint = try EncoderCheckpoint.open(PublishedEncoder.path)
        let text = try PublishedEncoder.calibration
        var measurement = CurveMeasurement()
        (measurement.method, measurement.windowLength) = (method, 16)
        (measurement.options.grid, measurement.options.samples) = (4, 3)
        let file = try measurement.run(checkpoint, text: text)
        #expect(file.layers.count == 12 && file.samples == 3 && file.scope == (method == .wanda ? .row : .layer))
        #expect(file.layers.allSatisfy { $0.multiplications == nil && $0.curve.points[0].distortion == 0 })
        let path = folder.path + "/curves.json"
        try file.write(to: path)
        func compress(_ options: String, _ text: CalibrationTokens?) throws -> CompressionReport {
            try EncoderCompressor(
                checkpoint,
                recipe: recipe("method: \(method.rawValue), sparsity: 0.9, allocation: rate-distortion, \(options)")
            ).run(output: folder.path + "/out", calibration: text)
        }
        let needsText = method == .wanda || method == .taylor
        let measured = try compress("grid: 4, samples: 3", text).stageReports?[0].rates
        let read = try compress("curves: \"\(path)\"", needsText ? text : nil).stageReports?[0].rates
        #expect(read?.count == 12 && measured?.count == 12)
        // Taylor's scores are of as many windows as a recipe says, the file's of 128.
        if method != .taylor { #expect(read == measured) }
        let plan = try file.allocation().plan(sparsity: 0.9)
        #expect(plan.layers.map(\.rate) == read?.map(\.rate))
        // Exactly as many go, and they go where it says.
        let pruned = try EncoderCheckpoint.open(folder.path + "/out")
        var (zeros, count) = (0, 0)
        for rate in try #require(read) {
            let tensor = try pruned.storedTensor(rate.name)
            #expect(abs(Double(tensor.zeroCount) / Double(tensor.count) - rate.rate) < 1e-9, "\(rate.name)")
            (zeros, count) = (zeros + tensor.zeroCount, count + tensor.count)
        }
        #expect(zeros == Int(0.9 * Double(count)))
        #expect(Set(plan.layers.map(\.kept)).count > 2)
    }

    @Test func whatDoesNotFitIsSaid() throws {
        let checkpoint = try EncoderCheckpoint.open(PublishedEncoder.path)
        let text = try PublishedEncoder.calibration
        func failure(_ body: () throws -> Void) -> String {
            do {
                try body()
                return "nothing was wrong"
            } catch { return "\(error)" }
        }
        func refusal(_ change: (inout CurveMeasurement) -> Void) -> String {
            var measurement = CurveMeasurement()
            measurement.windowLength = 16
            change(&measurement)
            return failure { _ = try measurement.run(checkpoint, text: text) }
        }
        let longest = checkpoint.configuration.longestText
        #expect(refusal { $0.windowLength = 2 }.contains("length: 2, expected at least 3 tokens"))
        #expect(refusal { $0.windowLength = 900 }.contains("900 is longer than the model's context of \(longest)"))
        #expect(refusal { $0.method = .synflow }.contains("synflow is for vision networks"))
        #expect(refusal { $0.options.calibration = .gaussian }.contains("gaussian is for vision networks"))
        // Curves of another encoder.
        var measurement = CurveMeasurement()
        (measurement.windowLength, measurement.options.grid, measurement.options.samples) = (16, 2, 1)
        let path = folder.path + "/curves.json"
        try measurement.run(checkpoint, text: text).write(to: path)
        let other = folder.path + "/other"
        try FileManager.default.copyItem(atPath: PublishedEncoder.path, toPath: other)
        try FileManager.default.removeItem(atPath: other + "/model.safetensors")
        try SafetensorsWriter.write(
            checkpoint.storedNames.map { name in
                let tensor = try checkpoint.storedTensor(name)
                return .init(name, name.contains("query.weight") ? tensor * 2 : tensor)
            }, to: other + "/model.safetensors")
        let stage = "method: magnitude, sparsity: 0.5, allocation: rate-distortion, curves: \"\(path)\""
        let found = failure {
            _ = try EncoderCompressor(.open(other), recipe: recipe(stage)).run(output: folder.path + "/out")
        }
        #expect(
            found.contains("model: the curves are of other weights, biases or statistics than those of"), "\(found)")
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
    }
}
