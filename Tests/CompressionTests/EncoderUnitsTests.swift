import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// Whole heads and neurons of encoders, on a BERT as it is published: two layers, three heads of 4, 20 neurons.
@Suite struct EncoderUnitsTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("units-\(UUID().uuidString)")
        .path

    private func compress(
        _ stages: String, from path: String = PublishedEncoder.path, to name: String = "out", extra: String = ""
    ) throws -> (report: CompressionReport, checkpoint: EncoderCheckpoint) {
        let recipe = try Recipe(
            yaml: "seed: 3\ncalibration: { samples: 8, sequence_length: 16, batch_size: 4 }\n\(extra)\nstages:\n"
                + stages, source: "r")
        let output = folder + "/" + name
        let report = try EncoderCompressor(.open(path), recipe: recipe).run(
            output: output, calibration: PublishedEncoder.calibration)
        return (report, try .open(output))
    }

    private let tokens = Tensor([2, 9, 10, 4, 13, 7, 8, 3], shape: [1, 8])

    private func outputs(_ network: MaskedLanguageEncoder) -> [Float] { network.inUse { network(tokens) }.floats() }

    private func difference(_ a: [Float], _ b: [Float]) -> Float {
        a.count == b.count ? zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
    }

    /// Rows of a layer's queries or neurons that a smaller encoder kept.
    private func kept(
        _ part: String, layer: Int, of small: EncoderCheckpoint, in whole: EncoderCheckpoint, extent: Int
    ) throws -> [Int] {
        let name = "bert.encoder.layer.\(layer).\(part).bias"
        let weight = "bert.encoder.layer.\(layer).\(part).weight"
        func rows(_ checkpoint: EncoderCheckpoint) throws -> [[Float]] {
            let (matrix, bias) = (try checkpoint.storedTensor(weight), try checkpoint.storedTensor(name).floats())
            let columns = matrix.shape[1]
            return matrix.floats().enumerated().reduce(into: [[Float]](repeating: [], count: bias.count)) {
                $0[$1.offset / columns].append($1.element)
            }.enumerated().map { $1 + [bias[$0]] }
        }
        let all = try rows(whole)
        return try rows(small).map { row in try #require(all.firstIndex(of: row)) }.enumerated()
            .filter { $0.offset % extent == 0 }.map { $0.element / extent }
    }

    /// The whole encoder with zeros where units of a layer are read that a smaller one lost.
    private func silenced(
        _ reader: String, _ kept: [[Int]], count: Int, extent: Int
    ) throws -> MaskedLanguageEncoder {
        let network = try EncoderCheckpoint.open(PublishedEncoder.path).maskedLanguageModel()
        for (layer, own) in kept.enumerated() {
            let name = "bert.encoder.layer.\(layer).\(reader)"
            let parameter = try #require(network.parameters.first { $0.name == name }?.parameter)
            let flags = (0..<count * extent).map { own.contains($0 / extent) ? Float(1) : 0 }
            parameter.wrappedValue = parameter.wrappedValue.detached() * Tensor(flags, shape: [1, flags.count])
        }
        return network
    }

    @Test(arguments: ["magnitude", "wanda", "taylor", "random"]) func headsAreCutOut(_ method: String) throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let whole = try EncoderCheckpoint.open(PublishedEncoder.path)
        let (report, small) = try compress(
            "  - prune: { method: \(method), granularity: head, sparsity: 0.34, scope: layer }\n")
        #expect(small.configuration.headCount == 2 && small.configuration.headSize == 4)
        #expect(small.configurationJSON["attention_head_size"]?.intValue == 4)
        #expect(small.configurationJSON["hidden_size"]?.intValue == 12)
        let layer = "bert.encoder.layer.1.attention."
        #expect(small.storedShape(layer + "self.key.weight") == [8, 12])
        #expect(small.storedShape(layer + "self.value.bias") == [8])
        #expect(small.storedShape(layer + "output.dense.weight") == [12, 8])
        #expect(report.stageReports?.first?.units?.map(\.kept) == [2, 2])
        #expect(report.warnings.contains { $0.hasPrefix("transformers has no encoder of fewer heads") })
        #expect(report.totals.bytes < report.totals.bytesBefore)
        let kept = try (0..<2).map {
            try self.kept("attention.self.query", layer: $0, of: small, in: whole, extent: 4)
        }
        let silent = try silenced("attention.output.dense.weight", kept, count: 3, extent: 4)
        let own = try outputs(small.maskedLanguageModel())
        #expect(difference(own, outputs(silent)) < 1e-5)
        // For transformers heads of zeros fill up.
        try small.convert(to: folder + "/dense")
        let dense = try EncoderCheckpoint.open(folder + "/dense")
        #expect(dense.configuration == whole.configuration)
        #expect(dense.configurationJSON["attention_head_size"] == nil)
        for name in whole.storedNames { #expect(dense.storedShape(name) == whole.storedShape(name), "\(name)") }
        #expect(try difference(outputs(dense.maskedLanguageModel()), own) < 1e-5)
    }

    @Test(arguments: ["magnitude", "wanda", "taylor", "random"]) func neuronsAreCutOut(_ method: String) throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let whole = try EncoderCheckpoint.open(PublishedEncoder.path)
        let (report, small) = try compress(
            "  - prune: { method: \(method), granularity: neuron, sparsity: 0.25, scope: layer }\n")
        #expect(small.configurationJSON["intermediate_size"]?.intValue == 15)
        #expect(small.configurationJSON["num_attention_heads"] == whole.configurationJSON["num_attention_heads"])
        #expect(small.storedShape("bert.encoder.layer.0.output.dense.weight") == [12, 15])
        #expect(report.warnings.isEmpty)
        let kept = try (0..<2).map { try self.kept("intermediate.dense", layer: $0, of: small, in: whole, extent: 1) }
        #expect(kept.allSatisfy { $0 == $0.sorted() && $0.count == 15 })
        let silent = try silenced("output.dense.weight", kept, count: 20, extent: 1)
        #expect(try difference(outputs(small.maskedLanguageModel()), outputs(silent)) < 1e-5)
    }

    /// What nothing depends on goes first, whichever way it is measured.
    @Test(arguments: ["magnitude", "wanda", "taylor"], ["head", "neuron"])
    func whatMattersLeastGoes(_ method: String, _ unit: String) throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let quiet = folder + "/quiet"
        try FileManager.default.createDirectory(atPath: quiet, withIntermediateDirectories: true)
        for name in ["config.json", "vocab.txt", "tokenizer_config.json"] {
            try FileManager.default.copyItem(atPath: PublishedEncoder.path + "/" + name, toPath: quiet + "/" + name)
        }
        let original = try EncoderCheckpoint.open(PublishedEncoder.path)
        let (count, extent) = unit == "head" ? (3, 4) : (20, 1)
        // One unit of each layer that is read with tiny weights.
        let faint = unit == "head" ? [1, 0] : [7, 19]
        try SafetensorsWriter.write(
            original.storedNames.map { name in
                var tensor = try original.storedTensor(name)
                let ending = unit == "head" ? ".attention.output.dense.weight" : ".output.dense.weight"
                let makers = unit == "head" ? ".attention.self." : ".intermediate.dense.weight"
                for layer in 0..<2 where name.hasPrefix("bert.encoder.layer.\(layer).") {
                    let factors = (0..<count * extent).map { $0 / extent == faint[layer] ? Float(1e-3) : 1 }
                    if name.hasSuffix(ending), unit == "head" || !name.contains("attention") {
                        tensor = tensor * Tensor(factors, shape: [1, factors.count])
                    } else if name.contains(makers), name.hasSuffix(".weight") {
                        tensor = tensor * Tensor(factors, shape: [factors.count, 1])
                    }
                }
                return .init(name, tensor)
            }, to: quiet + "/model.safetensors")
        let sparsity = unit == "head" ? 0.34 : 0.05
        let (_, small) = try compress(
            "  - prune: { method: \(method), granularity: \(unit), sparsity: \(sparsity), scope: layer }\n", from: quiet
        )
        let part = unit == "head" ? "attention.self.query" : "intermediate.dense"
        for layer in 0..<2 {
            let kept = try self.kept(part, layer: layer, of: small, in: .open(quiet), extent: extent)
            #expect(Set(0..<count).subtracting(kept) == [faint[layer]], "\(layer)")
        }
    }

    /// One threshold for all layers leaves zeros in whole rows and columns, in tensors of the same shapes.
    @Test func oneThresholdLeavesZeros() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let whole = try EncoderCheckpoint.open(PublishedEncoder.path)
        let (report, small) = try compress(
            "  - prune: { method: taylor, granularity: neuron, sparsity: 0.5, scope: global }\n")
        #expect(small.configurationJSON == whole.configurationJSON)
        let units = try #require(report.stageReports?.first?.units)
        #expect(units.map(\.kept).reduce(0, +) == 20)
        for unit in units {
            let name = "bert.encoder.layer.\(unit.block).output.dense.weight"
            let values = try small.storedTensor(name)
            let read = (0..<20).count { column in
                values.slice(axis: 1, column..<column + 1).floats().contains { $0 != 0 }
            }
            #expect(read == unit.kept)
        }
    }

    /// Later stages work on what is left: pruned, trained, in 8 bits.
    @Test func laterStagesWorkOnWhatIsLeft() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (report, small) = try compress(
            """
              - prune: { method: wanda, granularity: head, sparsity: 0.34 }
              - prune: { method: taylor, granularity: neuron, sparsity: 0.2, scope: layer }
              - prune: { method: magnitude, pattern: '2:4', recovery: { kind: distill } }
              - quantize: { bits: 8 }

            """, extra: "training: { epochs: 1, batch_size: 4 }")
        #expect(small.configuration.headCount == 2 && small.configuration.intermediateSize == 16)
        #expect(report.stageReports?.map(\.stage) == [0, 1])
        for name in small.storedNames.filter(EncoderCheckpoint.isLayerMatrix) {
            let weight = try small.weight(name)
            #expect(weight.label.hasSuffix("int8"), "\(weight.label)")
            #expect(2 * weight.nonZeroCount <= weight.rows * weight.columns)
        }
        let (stored, expanded) = try (
            outputs(small.maskedLanguageModel(expanding: false)), outputs(small.maskedLanguageModel())
        )
        #expect(difference(stored, expanded) < 0.2 && stored.allSatisfy(\.isFinite))
        // And again, from what is stored.
        let (_, again) = try compress(
            "  - prune: { method: magnitude, granularity: head, sparsity: 0.5 }\n", from: small.path, to: "again")
        #expect(again.configuration.headCount == 1 && again.configuration.headSize == 4)
    }

    @Test(arguments: [
        (
            "method: magnitude, granularity: head, sparsity: 0.1",
            "sparsity: 0.1 removes none, since a block has 3 heads"
        ),
        ("method: l1, granularity: channel, sparsity: 0.5", "l1 is for vision networks"),
        ("method: magnitude, granularity: head, sparsity: 0.5, targets: [query]", "a head goes with query, key, value"),
        ("method: magnitude, granularity: neuron, sparsity: 0.5, recovery: fine-tune", "comes in a stage of its own"),
    ])
    func whatDoesNotFitIsSaid(_ options: String, _ expected: String) throws {
        do {
            _ = try compress("  - prune: { \(options) }\n")
            Issue.record("accepted")
        } catch let error as CoppiceError {
            #expect(error.kind == .badData && error.description.contains(expected), "\(error)")
        }
    }
}
