import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// Encoders whose weights are stored in formats of their own, on a BERT as it is published.
@Suite struct EncoderStorageTests {
    private static let words = "bert.embeddings.word_embeddings.weight"
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("storage-\(UUID().uuidString)")
        .path

    private func compress(
        _ stages: String, from path: String = PublishedEncoder.path, to name: String = "out",
        _ text: CalibrationTokens? = nil
    ) throws -> (report: CompressionReport, checkpoint: EncoderCheckpoint) {
        let recipe = try Recipe(
            yaml: "seed: 3\ncalibration: { samples: 8, sequence_length: 16, batch_size: 4 }\n" + stages, source: "r")
        let output = folder + "/" + name
        let report = try EncoderCompressor(.open(path), recipe: recipe).run(output: output, calibration: text)
        return (report, try .open(output))
    }

    /// As many rows as matrices of few kept weights are multiplied alone for.
    private let tokens: Tensor = {
        var generator = RandomGenerator(seed: 5)
        return Tensor((0..<72).map { _ in 5 + Int(generator.next() % 25) }, shape: [2, 36])
    }()

    private func difference(_ a: Tensor, _ b: Tensor) -> Double {
        let (a, b) = (a.doubles(), b.doubles())
        let scale = b.reduce(0) { max($0, abs($1)) }
        return a.count == b.count ? zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } / scale : .infinity
    }

    private func used(_ network: MaskedLanguageEncoder) -> Tensor { network.inUse { network(tokens) } }

    @Test(arguments: [
        ("  - quantize: { bits: 8 }", "int8", 0.05),
        ("  - quantize: { bits: 4, group_size: 16 }", "int4-group16", 0.05),
        ("  - quantize: { bits: ternary }", "ternary", 0.05),
        ("  - quantize: { bits: 3, codebook: k-means }", "kmeans3", 0.05),
        ("  - low-rank: { rank: 3 }", "low-rank", 1e-4),
        ("  - prune: { method: magnitude, pattern: '2:4' }", "sparse-2:4-f32", 1e-4),
        ("  - prune: { method: magnitude, pattern: '2:4' }\n  - quantize: { bits: 8 }", "sparse-2:4-int8", 0.05),
        ("  - prune: { method: random, sparsity: 0.5 }\nprefer: size", "sparse-bitmask-f32", 1e-4),
        ("  - prune: { method: random, sparsity: 0.9 }\nprefer: size", "sparse-bitmask-f32", 1e-4),
    ])
    func weightsAreStoredAndComputedInTheirFormats(_ stages: String, _ format: String, _ tolerance: Double) throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let original = try EncoderCheckpoint.open(PublishedEncoder.path)
        let (report, small) = try compress("stages:\n" + stages + "\n")
        #expect(report.totals.bytes < report.totals.bytesBefore)
        #expect(small.storedNames.sorted() == original.storedNames.sorted())
        let matrices = original.storedNames.filter(EncoderCheckpoint.isLayerMatrix)
        for name in original.storedNames {
            #expect(small.isCompressed(name) == matrices.contains(name), "\(name)")
            #expect(small.storedShape(name) == original.storedShape(name))
            guard matrices.contains(name) else { continue }
            let label = try small.weight(name).label
            #expect(label.hasPrefix(format), "\(label)")
        }
        // What the kernels compute is what the matrices that they stand for compute, and not what was before.
        let expanded = try used(small.maskedLanguageModel())
        let stored = try used(small.maskedLanguageModel(expanding: false))
        #expect(difference(stored, expanded) < tolerance)
        #expect(try difference(expanded, used(original.maskedLanguageModel())) > 2e-3)
        // A dense folder of exactly these matrices.
        try small.convert(to: folder + "/dense", shardSize: 4000)
        #expect(FileManager.default.fileExists(atPath: folder + "/dense/model.safetensors.index.json"))
        let dense = try EncoderCheckpoint.open(folder + "/dense")
        #expect(dense.configurationJSON == original.configurationJSON)
        for name in original.storedNames {
            #expect(!dense.isCompressed(name))
            #expect(try dense.storedTensor(name).doubles() == small.storedTensor(name).doubles(), "\(name)")
        }
        #expect(try used(dense.maskedLanguageModel()).floats() == expanded.floats())
    }

    /// The table of words is read row by row and multiplied as the head that shares it; the file has it once.
    @Test func tablesOfWordsAreCompressed() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let copy = "cls.predictions.decoder.weight"
        let original = try EncoderCheckpoint.open(PublishedEncoder.path)
        #expect(original.storedShape(copy) != nil)
        let (report, small) = try compress("stages:\n  - quantize: { bits: 8, targets: [word_embeddings] }\n")
        #expect(small.isCompressed(Self.words) && small.storedShape(copy) == nil)
        #expect(!report.weights.contains { $0.name == copy })
        #expect(report.weights.filter { $0.relativeError != nil }.map(\.name) == [Self.words])
        let (stored, expanded) = (try small.maskedLanguageModel(expanding: false), try small.maskedLanguageModel())
        let (own, exact) = (stored.stack.embeddings.words, expanded.stack.embeddings.words)
        #expect(stored.inUse { own(tokens) }.floats() == exact(tokens).floats())
        #expect(difference(used(stored), used(expanded)) < 0.02)
        try small.convert(to: folder + "/dense", dataType: .f16)
        let dense = try EncoderCheckpoint.open(folder + "/dense")
        #expect(dense.configurationJSON["torch_dtype"] == "float16" || dense.configurationJSON["dtype"] == "float16")
        #expect(try dense.storedTensor(Self.words).dataType == .f16)
        #expect(try difference(used(dense.maskedLanguageModel()), used(expanded)) < 0.02)
    }

    @Test func whatWasStoredSparselyStaysSo() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (_, first) = try compress(
            "prefer: size\nstages:\n  - prune: { method: magnitude, sparsity: 0.6 }\n", to: "first")
        let (report, second) = try compress(
            "stages:\n  - prune: { method: magnitude, sparsity: 0.7, targets: [attention] }\n",
            from: folder + "/first", to: "second")
        for name in first.storedNames.filter(EncoderCheckpoint.isLayerMatrix) {
            let (before, after) = (try first.weight(name), try second.weight(name))
            #expect(before.label == "sparse-bitmask-f32" && after.label == before.label)
            #expect((after.nonZeroCount < before.nonZeroCount) == name.contains("attention"), "\(name)")
            let entry = try #require(report.weights.first { $0.name == name })
            #expect(entry.formatBefore == before.label && entry.format == after.label)
            #expect(entry.bytesBefore == before.byteCount && entry.bytes == after.byteCount)
        }
        #expect(report.layers.map(\.index) == [0, 1])
    }

    @Test func zerosThatSaveNothingAreSaid() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let stage = "stages:\n  - prune: { method: magnitude, sparsity: 0.5 }\n"
        let (dense, _) = try compress(stage, to: "dense")
        #expect(dense.warnings.contains { $0.hasPrefix("zeros take up space in 12 of 12 matrices") })
        #expect(dense.totals.bytes == dense.totals.bytesBefore)
        let (sparse, _) = try compress("prefer: size\n" + stage, to: "sparse")
        #expect(sparse.warnings.isEmpty && sparse.totals.bytes < dense.totals.bytes)
    }

    /// A bitmask is chosen for speed where the few weights that are left are multiplied alone.
    @Test func fewWeightsAreStoredSparselyForSpeed() throws {
        var planner = FormatPlanner()
        planner.breakEvens = FormatPlanner.encoderBreakEvens
        var generator = RandomGenerator(seed: 3)
        let values = Tensor.normal([128, 160], using: &generator)
        for (sparsity, format) in [(0.8, "f32"), (0.9, "sparse-bitmask-f32")] {
            let method = PruningMethod(
                criterion: MagnitudeCriterion(), granularity: UnstructuredGranularity(),
                allocation: UniformAllocation(), sparsity: sparsity)
            let mask = try method.masks(of: [PrunableWeight(name: "w", rows: 128, columns: 160)]) { _ in values }[0]
            var kept = values
            mask.apply(to: &kept)
            #expect(try planner.format(kept, for: WeightDecision(mask: mask), dataType: .f32).label == format)
        }
    }

    /// Weights that make up for removed ones bring what the encoder computes nearer to what it computed.
    @Test(arguments: ["method: sparsegpt, sparsity: 0.5", "method: wanda, sparsity: 0.5, recovery: reconstruct"])
    func keptWeightsMakeUpForRemovedOnes(_ options: String) throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let original = try EncoderCheckpoint.open(PublishedEncoder.path)
        let calibration = try PublishedEncoder.calibration
        let (_, plain) = try compress(
            "stages:\n  - prune: { method: wanda, sparsity: 0.5 }\n", to: "plain", calibration)
        let (_, own) = try compress("stages:\n  - prune: { \(options) }\n", to: "own", calibration)
        let inputs = Tensor([2] + calibration.tokens.prefix(14) + [3], shape: [1, 16])
        func hidden(_ checkpoint: EncoderCheckpoint) throws -> Tensor {
            let network = try checkpoint.maskedLanguageModel()
            return network.inUse { network.stack(inputs) }
        }
        func error(_ checkpoint: EncoderCheckpoint) throws -> Double {
            let difference = try hidden(checkpoint) - hidden(original)
            return difference.square().sum().doubles()[0]
        }
        #expect(try error(own) < 0.7 * error(plain))
        var (zeros, count) = (0, 0)
        for name in own.storedNames.filter(EncoderCheckpoint.isLayerMatrix) {
            let tensor = try own.storedTensor(name)
            (zeros, count) = (zeros + tensor.zeroCount, count + tensor.count)
        }
        #expect(2 * zeros == count)
    }

    @Test func damagedFoldersAreNamed() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (_, small) = try compress("stages:\n  - quantize: { bits: 8 }\n")
        let file = small.path + "/config.json"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        try Data(text.replacing(#""intermediate_size": 20"#, with: #""intermediate_size": 24"#).utf8)
            .write(to: URL(fileURLWithPath: file))
        for expands in [true, false] {
            do {
                _ = try EncoderCheckpoint.open(small.path).maskedLanguageModel(expanding: expands)
                Issue.record("loaded")
            } catch let error as CoppiceError {
                let expected = "layer.0.intermediate.dense.weight: shape [20, 12], expected [24, 12]"
                #expect(error.kind == .badData && error.description.contains(expected), "\(error)")
            }
        }
        let weights = small.path + "/model.safetensors"
        let own = try SafetensorsFile(path: weights)
        let described = try #require(own.metadata["coppice.weights"])
        let entries = try own.names.map { SafetensorsWriter.Entry($0, try own.tensor($0).copied()) }
        try SafetensorsWriter.write(
            entries, metadata: ["coppice.weights": described.replacing("\"integer\"", with: "\"none\"")], to: weights)
        do {
            _ = try ModelInventory(EncoderCheckpoint.open(small.path))
            Issue.record("opened")
        } catch let error as CoppiceError {
            #expect(error.kind == .badData && error.description.contains("format: expected one of dense"), "\(error)")
        }
    }
}
