import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Recipes on a BERT as it is published (Tools/fixtures/make_encoder_models.py).
@Suite struct EncoderCompressorTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("encoder-\(UUID().uuidString)")
        .path

    private func recipe(_ yaml: String) throws -> Recipe { try Recipe(yaml: yaml, source: "recipe.yaml") }

    private func stage(_ options: String) throws -> Recipe {
        try recipe(
            "seed: 3\ncalibration: { samples: 8, sequence_length: 16, batch_size: 4 }\nstages:\n  - prune: { \(options) }\n"
        )
    }

    private func compress(
        _ recipe: Recipe, from path: String = PublishedEncoder.path, to name: String = "out",
        _ text: CalibrationTokens? = nil
    ) throws -> (report: CompressionReport, checkpoint: EncoderCheckpoint) {
        let output = folder + "/" + name
        let report = try EncoderCompressor(.open(path), recipe: recipe).run(output: output, calibration: text)
        return (report, try .open(output))
    }

    private func bits(_ tensor: Tensor) -> [UInt32] { tensor.converted(to: .f32).floats().map(\.bitPattern) }

    private func layerMatrices(_ checkpoint: EncoderCheckpoint) -> [String] {
        checkpoint.storedNames.filter(EncoderCheckpoint.isLayerMatrix)
    }

    @Test func magnitudeLeavesAFolderOfTheSameKind() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let original = try EncoderCheckpoint.open(PublishedEncoder.path)
        let (report, pruned) = try compress(stage("method: magnitude, scope: global, sparsity: 0.4"))
        #expect(pruned.storedNames.sorted() == original.storedNames.sorted())
        #expect(pruned.configurationJSON == original.configurationJSON)
        for name in ["vocab.txt", "tokenizer_config.json"] {
            #expect(
                FileManager.default.contents(atPath: folder + "/out/" + name)
                    == FileManager.default.contents(atPath: PublishedEncoder.path + "/" + name))
        }
        let matrices = layerMatrices(original)
        #expect(matrices.count == 12)
        var (kept, removed, count): ([Float], [Float], Int) = ([], [], 0)
        for name in original.storedNames {
            let (old, new) = (try original.storedTensor(name), try pruned.storedTensor(name))
            guard matrices.contains(name) else {
                #expect(bits(old) == bits(new), "\(name)")
                continue
            }
            for (old, new) in zip(old.floats(), new.floats()) {
                count += 1
                if new == 0 { removed.append(abs(old)) } else { kept.append(abs(old)) }
                #expect(new == 0 || new == old)
            }
        }
        #expect(removed.count == Int(0.4 * Double(count)))
        #expect(try #require(kept.min()) >= #require(removed.max()))
        let changed = report.weights.filter { $0.relativeError != nil }
        #expect(Set(changed.map(\.name)) == Set(matrices))
        #expect(report.totals.bytes == report.totals.bytesBefore)
        // For a token the layers and the head, whose table of words is stored once; 12 matrices of width 12.
        let counts = try #require(report.totals.multiplications)
        let head = 12 * 12 + 12 * original.configuration.vocabularySize
        #expect(counts.dense == count + head && counts.after == count - removed.count + head)
        #expect(report.prunable.parameters == count && abs(report.prunable.removed - 0.4) < 0.01)
        // As a whole it computes what the network with these weights computes.
        let (own, theirs) = (try original.maskedLanguageModel(), try pruned.maskedLanguageModel())
        for (name, parameter) in own.parameters where matrices.contains(name) {
            parameter.wrappedValue = try pruned.tensor(name)
        }
        let tokens = Tensor([2, 9, 10, 4, 13, 3], shape: [1, 6])
        #expect(bits(own(tokens)) == bits(theirs(tokens)))
    }

    @Test func patternsHoldInEveryRow() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (_, pruned) = try compress(
            stage("method: magnitude, pattern: '2:4', targets: [attention, output.dense], ignore: [predictions]"))
        for name in layerMatrices(pruned) {
            let values = try pruned.storedTensor(name).floats()
            let isTarget = !name.contains("intermediate")
            for start in stride(from: 0, to: values.count, by: 4) {
                let zeros = values[start..<start + 4].count { $0 == 0 }
                #expect(zeros == (isTarget ? 2 : 0), "\(name)")
            }
        }
    }

    @Test(arguments: ["random", "wanda", "snip", "taylor", "grasp", "obd", "woodfisher"])
    func criteriaRemoveExactlyWhatIsAsked(_ method: String) throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let options = ["obd", "woodfisher"].contains(method) ? ", gradients: 4, gradient_batch: 2" : ""
        let scope = method == "wanda" ? "layer" : "global"
        let recipe = try stage("method: \(method), scope: \(scope), sparsity: 0.5\(options)")
        let (_, first) = try compress(recipe, to: "first", PublishedEncoder.calibration)
        let (_, magnitude) = try compress(
            stage("method: magnitude, scope: global, sparsity: 0.5"), to: "magnitude", PublishedEncoder.calibration)
        var (zeros, count, differs) = (0, 0, false)
        for name in layerMatrices(first) {
            let tensor = try first.storedTensor(name)
            zeros += tensor.zeroCount
            count += tensor.count
            if try bits(tensor) != bits(magnitude.storedTensor(name)) { differs = true }
        }
        #expect(zeros == count / 2 && differs)
        guard method == "taylor" else { return }
        let (_, again) = try compress(recipe, to: "again", PublishedEncoder.calibration)
        for name in first.storedNames {
            #expect(try bits(first.storedTensor(name)) == bits(again.storedTensor(name)))
        }
    }

    /// |w| · ‖x‖ in each row, of what a layer sees behind the pruned ones before it.
    @Test func wandaComparesWithinRowsByWhatLayersSee() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let text = try PublishedEncoder.calibration
        // A window that is all of the text, so that there is one place to draw it from.
        let tokens = CalibrationTokens(Array(text.tokens.prefix(14)), source: "text")
        let recipe = try recipe(
            "calibration: { samples: 1, sequence_length: 16 }\nstages:\n  - prune: { method: wanda, sparsity: 0.5 }\n")
        let (_, pruned) = try compress(recipe, to: "wanda", tokens)
        let network = try EncoderCheckpoint.open(PublishedEncoder.path).maskedLanguageModel()
        let inputs = Tensor([2] + tokens.tokens + [3], shape: [1, 16])
        var hidden = network.stack.embedded(inputs)
        for (index, layer) in network.stack.layers.enumerated() {
            var seen: [String: [Float]] = [:]
            _ = layer.run(hidden) { name, input in
                let columns = input.shape[2]
                let values = input.floats()
                seen[name] = (0..<columns).map { column in
                    stride(from: column, to: values.count, by: columns).reduce(0) { $0 + values[$1] * values[$1] }
                        .squareRoot()
                }
            }
            #expect(seen.count == 6)
            for (name, parameter) in layer.parameters {
                guard let norms = seen[name] else { continue }
                let own = try pruned.storedTensor("bert.encoder.layer.\(index).\(name)").floats()
                let dense = parameter.wrappedValue.floats()
                for row in stride(from: 0, to: dense.count, by: norms.count) {
                    let scores = norms.indices.map { abs(dense[row + $0]) * norms[$0] }
                    let kept = norms.indices.filter { own[row + $0] != 0 }
                    let gone = norms.indices.filter { own[row + $0] == 0 }
                    #expect(gone.count == norms.count / 2)
                    let least = kept.map { scores[$0] }.min() ?? 0
                    #expect(gone.allSatisfy { scores[$0] <= least * (1 + 1e-5) }, "\(index) \(name)")
                }
                parameter.wrappedValue = try pruned.storedTensor("bert.encoder.layer.\(index).\(name)")
            }
            hidden = layer.run(hidden) { _, _ in }
        }
    }

    /// Training moves all weights but the removed ones, the table of words too, which the file holds twice.
    @Test func fineTuningLowersTheLossAndHoldsTheMask() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let yaml = """
            seed: 1
            calibration: { samples: 8, sequence_length: 16, batch_size: 4 }
            training: { epochs: 6, batch_size: 4, optimizer: { kind: adamw, learning_rate: 0.003 } }
            stages:
              - prune: { method: magnitude, scope: global, sparsity: 0.5 }
            """
        let text = try PublishedEncoder.calibration
        let (_, plain) = try compress(recipe(yaml), to: "plain", text)
        let tuned = try compress(
            recipe(yaml.replacingOccurrences(of: "sparsity: 0.5", with: "sparsity: 0.5, recovery: fine-tune")),
            to: "tuned", text
        ).checkpoint
        let frame = try plain.textFrame(plain.tokenizer())
        let evaluation = MaskedEvaluation(frame: frame, length: 16)
        let before = try evaluation.run(plain.maskedLanguageModel(), on: text.tokens)
        let after = try evaluation.run(tuned.maskedLanguageModel(), on: text.tokens)
        #expect(before.hiddenTokens == after.hiddenTokens && before.hiddenTokens > 30)
        #expect(after.loss < before.loss - 0.3, "\(before.loss) → \(after.loss)")
        for name in layerMatrices(plain) {
            let pairs = zip(try plain.storedTensor(name).floats(), try tuned.storedTensor(name).floats())
            #expect(pairs.allSatisfy { ($0 == 0) == ($1 == 0) })
        }
        let words = try tuned.storedTensor("bert.embeddings.word_embeddings.weight")
        #expect(try bits(words) == bits(tuned.storedTensor("cls.predictions.decoder.weight")))
        #expect(try bits(words) != bits(plain.storedTensor("bert.embeddings.word_embeddings.weight")))
        #expect(
            try bits(tuned.tensor("bert.embeddings.LayerNorm.weight"))
                != bits(plain.tensor("bert.embeddings.LayerNorm.weight")))
    }

    /// Subset retraining of biases and norms: every matrix stays bit for bit.
    @Test func fineTuningTrainsWhatIsNamed() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let options = "method: magnitude, scope: global, sparsity: 0.5"
        let text = try PublishedEncoder.calibration
        let (_, plain) = try compress(stage(options), to: "plain")
        let (_, tuned) = try compress(
            stage(options + ", recovery: { kind: fine-tune, trains: [LayerNorm, bias] }"), to: "tuned", text)
        var moved: Set<String> = []
        for name in plain.storedNames where try bits(plain.storedTensor(name)) != bits(tuned.storedTensor(name)) {
            moved.insert(name)
        }
        #expect(moved.contains { $0.contains("embeddings.LayerNorm") })
        #expect(moved.allSatisfy { $0.hasSuffix("bias") || $0.contains("LayerNorm") }, "\(moved)")
        #expect {
            _ = try compress(stage(options + ", recovery: { kind: distill, trains: LayerNrm }"), text)
        } throws: {
            "\($0)".hasSuffix(
                "prune.recovery.trains: \"LayerNrm\" matches no parameter of the network; did you mean \"LayerNorm\"?")
        }
    }

    @Test func typesOfTensorsStay() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let half = folder + "/half"
        try FileManager.default.createDirectory(atPath: half, withIntermediateDirectories: true)
        for name in ["config.json", "vocab.txt"] {
            try FileManager.default.copyItem(atPath: PublishedEncoder.path + "/" + name, toPath: half + "/" + name)
        }
        let original = try EncoderCheckpoint.open(PublishedEncoder.path)
        try SafetensorsWriter.write(
            original.storedNames.map { .init($0, try original.storedTensor($0).converted(to: .f16)) },
            to: half + "/model.safetensors")
        let (report, pruned) = try compress(stage("method: magnitude, scope: layer, sparsity: 0.5"), from: half)
        #expect(try pruned.storedNames.allSatisfy { try pruned.storedTensor($0).dataType == .f16 })
        #expect(report.weights.allSatisfy { $0.format == "f16" && $0.formatBefore == "f16" })
        #expect(
            try layerMatrices(pruned).allSatisfy { name in
                let tensor = try pruned.storedTensor(name)
                return tensor.zeroCount == tensor.count / 2
            })
    }

    /// Zeros in matrices that a recipe does not name are not its work, and nothing is multiplied with them all the same.
    @Test func zerosOfOtherMatricesAreLeftAlone() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let sparse = folder + "/sparse"
        try FileManager.default.createDirectory(atPath: sparse, withIntermediateDirectories: true)
        for name in ["config.json", "vocab.txt", "tokenizer_config.json"] {
            try FileManager.default.copyItem(atPath: PublishedEncoder.path + "/" + name, toPath: sparse + "/" + name)
        }
        let original = try EncoderCheckpoint.open(PublishedEncoder.path)
        let other = "bert.encoder.layer.0.intermediate.dense.weight"
        try SafetensorsWriter.write(
            original.storedNames.map { name in
                var tensor = try original.storedTensor(name)
                if name == other {
                    tensor.withMutableElements(Float.self) { elements in
                        for index in elements.indices { elements[index] = index % 3 == 0 ? 0 : 0.1 }
                    }
                }
                return .init(name, tensor)
            }, to: sparse + "/model.safetensors")
        let (report, _) = try compress(stage("method: magnitude, sparsity: 0.5, targets: [query]"), from: sparse)
        let left = try #require(report.weights.first { $0.name == other })
        #expect(left.relativeError == nil && left.sparsity == left.sparsityBefore && left.sparsity > 0.3)
        #expect(left.multiplications?.after == left.count - (left.count + 2) / 3)
        let named = report.weights.filter { $0.relativeError != nil }.map(\.name)
        #expect(named.count == 2 && named.allSatisfy { $0.contains("query") })
    }

    @Test(arguments: [
        (
            "  - prune: { method: wanda, sparsity: 0.5, targets: [transform] }\ncalibration: { sequence_length: 16 }",
            "wanda prunes the matrices of blocks, and cls.predictions.transform.dense.weight is none"
        ),
        (
            "  - prune: { method: kl, granularity: layer, count: 2 }",
            "stages[0].prune.count: 2 removes 2, expected at most 1 of the blocks that may be removed"
        ),
        ("  - prune: { method: synflow, sparsity: 0.5 }", "stages[0].prune.method: synflow is for vision networks"),
        (
            "  - prune: { method: magnitude, sparsity: 0.5, allocation: rate-distortion, calibration: gaussian }",
            "stages[0].prune.calibration: gaussian is for vision networks"
        ),
        (
            "  - prune: { method: magnitude, sparsity: 0, recovery: reconstruct }",
            "stages[0].prune.recovery: what earlier stages removed of an encoder is lost"
        ),
        ("  - prune: { method: taylor, sparsity: 0.5 }", "calibration.sequence_length: 512, expected 3"),
        ("  - prune: { method: magnitude, sparsity: 0.5, targets: [layer.7] }", "matches no"),
    ])
    func whatDoesNotFitIsSaidBeforehand(_ stages: String, _ expected: String) throws {
        do {
            _ = try EncoderCompressor(.open(PublishedEncoder.path), recipe: recipe("stages:\n" + stages + "\n"))
            Issue.record("accepted")
        } catch let error as CoppiceError {
            #expect(error.kind == .badData && error.description.contains(expected), "\(error)")
        }
    }

    @Test func textsThatAreNeededAreAskedFor() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        do {
            _ = try compress(stage("method: taylor, sparsity: 0.5"))
            Issue.record("compressed")
        } catch let error as CoppiceError {
            #expect(error.kind == .usage && error.description.contains("needs a calibration text"))
        }
        do {
            _ = try compress(
                stage("method: taylor, sparsity: 0.5"), CalibrationTokens([9, 10, 11], source: "short.txt"))
            Issue.record("compressed")
        } catch let error as CoppiceError {
            #expect(error.kind == .badData && error.description.contains("short.txt"))
        }
        #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
    }

    /// A mask that was taken from a pruned encoder prunes the dense one alike; one of another model is refused.
    @Test func masksAreTakenAndApplied() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (_, pruned) = try compress(stage("method: random, scope: global, sparsity: 0.3"), to: "pruned")
        let (_, masked) = try compress(stage("method: mask, masks: \(folder)/pruned/model.safetensors"), to: "masked")
        for name in layerMatrices(pruned) {
            #expect(try bits(masked.storedTensor(name)) == bits(pruned.storedTensor(name)), "\(name)")
        }
        let weights = try StoredWeights(.encoder(pruned))
        #expect(weights.matrices.map(\.name).sorted() == layerMatrices(pruned).sorted())
    }
}
