import CoppiceFormats
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct CompressedCheckpointTests {
    let scratch: ScratchFolder
    private let original: Checkpoint

    init() throws {
        scratch = try ScratchFolder()
        original = try Checkpoint.open(fixtures + "/models/mistral-sliding")
    }

    /// A format for a weight: integers in attention, sparse ones in feed-forward layers, the head left as it is.
    private func compressed(_ name: String) throws -> (any WeightFormat)? {
        guard name.contains("_proj.") else { return nil }
        let matrix = try original.tensor(name).converted(to: .f32)
        let quantization = IntegerQuantization(bits: 4, groupSize: 16)
        if name.contains("self_attn") { return try IntegerGroupWeight(quantizing: matrix, quantization) }
        if name.contains("down_proj") {
            return try SemiStructuredWeight(
                packing: pruned(matrix, keeping: 2, of: 4), kept: 2, of: 4, values: .float(.bf16))
        }
        return try BitmaskSparseWeight(packing: pruned(matrix, keeping: 1, of: 3), values: .float(.f16))
    }

    /// The first elements of each group kept, the others zero.
    private func pruned(_ matrix: Tensor, keeping kept: Int, of length: Int) -> Tensor {
        let values = matrix.floats().enumerated().map { $0.offset % length < kept ? $0.element : 0 }
        return Tensor(values, shape: matrix.shape)
    }

    private func write(shardSize: Int = CheckpointWriter.standardShardSize) throws -> Checkpoint {
        let writer = try CheckpointWriter(path: scratch["small"], basedOn: original, shardSize: shardSize)
        for name in original.weightNames {
            if let weight = try compressed(name) {
                try writer.add(name, weight.stored())
            } else {
                try writer.add(name, original.tensor(name))
            }
        }
        try writer.finish()
        return try Checkpoint.open(scratch["small"])
    }

    @Test(arguments: [2 << 30, 3000]) func compressedWeightsComeBack(shardSize: Int) throws {
        let checkpoint = try write(shardSize: shardSize)
        #expect(checkpoint.isCompressed)
        #expect(checkpoint.configuration == original.configuration)
        for name in original.weightNames {
            let expected = try compressed(name)
            #expect(checkpoint.isCompressed(name) == (expected != nil))
            guard let expected else { continue }
            let found = try checkpoint.weight(name)
            #expect(type(of: found) == type(of: expected))
            #expect(found.byteCount == expected.byteCount)
            #expect(found.dense().floats() == expected.dense().floats())
            #expect(try checkpoint.tensor(name).floats() == expected.dense().floats())
            #expect(checkpoint.shape(of: name) == original.shape(of: name))
        }
        try checkpoint.checkFinite()
        let files = try scratch.names(in: "small").filter { $0.hasSuffix(".safetensors") }
        #expect(shardSize < 1 << 20 ? files.count > 3 : files == ["model.safetensors"])
    }

    @Test func theFileSaysWhatIsCompressed() throws {
        _ = try write()
        let file = try SafetensorsFile(path: scratch["small/model.safetensors"])
        let weights = try JSON(text: #require(file.metadata["coppice.weights"]), source: "metadata")
        #expect(weights.objectValue?.count == 14)
        let entry = try #require(weights["model.layers.1.self_attn.k_proj.weight"])
        #expect(entry["format"]?.stringValue == "integer")
        #expect(entry["shape"]?.serialized() == "[16,24]")
        #expect(entry["options"]?["bits"]?.stringValue == "4")
        #expect(file.contains("model.layers.1.self_attn.k_proj.weight.values"))
        #expect(!file.contains("model.layers.1.self_attn.k_proj.weight"))
    }

    @Test func aCompressedModelIsSmallerInItsInventory() throws {
        let inventory = try ModelInventory(write())
        let entry = try #require(inventory.entries.first { $0.name == "model.layers.0.mlp.down_proj.weight" })
        #expect(entry.format == "sparse-2:4-bf16")
        #expect(entry.sparsity == 0.5)
        #expect(inventory.total.byteCount < (try ModelInventory(original)).total.byteCount)
    }

    @Test func aCompressedModelIsExpandedForOthers() throws {
        let checkpoint = try write()
        try checkpoint.convert(to: scratch["dense"])
        let dense = try Checkpoint.open(scratch["dense"])
        #expect(!dense.isCompressed)
        for name in original.weightNames {
            #expect(try dense.tensor(name).dataType == .bf16)
            let expected = try checkpoint.tensor(name).converted(to: .bf16).floats()
            #expect(try dense.tensor(name).floats() == expected)
        }
    }

    // MARK: - Damage

    /// Rewrites the weights with the description of compressed weights or the tensors changed.
    private func damage(
        _ from: String = "", _ to: String = "", dropping: String? = nil, adding: (name: String, tensor: Tensor)? = nil
    ) throws -> String {
        _ = try write()
        let path = scratch["small/model.safetensors"]
        let file = try SafetensorsFile(path: path)
        var metadata = file.metadata
        metadata["coppice.weights"] = metadata["coppice.weights"]?.replacingOccurrences(of: from, with: to)
        var tensors = try file.names.filter { $0 != dropping && $0 != adding?.name }.map {
            (name: $0, tensor: try file.tensor($0))
        }
        if let adding { tensors.append(adding) }
        try SafetensorsWriter.write(tensors, metadata: metadata, to: path)
        let message = refusal {
            let checkpoint = try Checkpoint.open(scratch["small"])
            for name in checkpoint.weightNames where checkpoint.isCompressed(name) { _ = try checkpoint.weight(name) }
            try checkpoint.checkFinite()
        }
        #expect(message.hasPrefix(scratch["small"]))
        return String(message.dropFirst(message.hasPrefix(path) ? path.count + 2 : scratch["small"].count + 2))
    }

    @Test func damagedDescriptionsAreNamed() throws {
        let name = "model.layers.0.self_attn.q_proj.weight"
        #expect(
            try damage("\"\(name)\":{\"format\":\"integer\"", "\"\(name)\":{\"format\":\"ternary\"").hasPrefix(
                "\(name).format: expected one of dense, integer, "))
        let integer = "\"\(name)\":{\"format\":\"integer\",\"shape\":[32,24]"
        #expect(
            try damage(integer, "\"\(name)\":{\"format\":\"integer\",\"shape\":[24,32]")
                == "\(name).shape: is [24,32], expected [32, 24] by config.json")
        #expect(try damage("{", "[").hasPrefix("__metadata__.coppice.weights: "))
        #expect(
            try damage("\"bits\":\"4\"", "\"bits\":4").hasSuffix(
                "self_attn.q_proj.weight.options.bits: expected a string"))
    }

    @Test func damagedPartsAreNamed() throws {
        let name = "model.layers.0.self_attn.q_proj.weight"
        #expect(try damage(dropping: name + ".values").hasPrefix("\(name).values: is missing"))
        #expect(
            try damage(adding: (name + ".values", Tensor([1, 2] as [UInt8]))).hasPrefix("\(name).values: expected u8 "))
    }
}
