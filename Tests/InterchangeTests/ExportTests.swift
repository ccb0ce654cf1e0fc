import CoppiceFormats
import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// Models written for compressed-tensors, and read again.
@Suite struct ExportTests {
    private let folder: ModelFolder
    private let original: Checkpoint

    init() throws {
        folder = try ModelFolder("gptq-4bit")
        original = try Checkpoint.open(Fixtures.path("gptq-4bit"))
    }

    /// A format for each projection.
    private static let formats: [String: @Sendable (Tensor) throws -> any WeightFormat] = [
        "int4-group16": { try IntegerGroupWeight(quantizing: $0, IntegerQuantization(bits: 4, groupSize: 16)) },
        "int4-group16-asymmetric": {
            try IntegerGroupWeight(quantizing: $0, IntegerQuantization(bits: 4, groupSize: 16, isSymmetric: false))
        },
        "int4": { try IntegerGroupWeight(quantizing: $0, IntegerQuantization(bits: 4)) },
        "int8": { try IntegerGroupWeight(quantizing: $0, IntegerQuantization(bits: 8)) },
        "int8-asymmetric": {
            try IntegerGroupWeight(quantizing: $0, IntegerQuantization(bits: 8, isSymmetric: false))
        },
        "int8-group16": { try IntegerGroupWeight(quantizing: $0, IntegerQuantization(bits: 8, groupSize: 16)) },
        "sparse-2:4-bf16": {
            try SemiStructuredWeight(packing: pruned($0, 2, of: 4), kept: 2, of: 4, values: .float(.bf16))
        },
        "sparse-1:4-f16": {
            try SemiStructuredWeight(packing: pruned($0, 1, of: 4), kept: 1, of: 4, values: .float(.f16))
        },
        "sparse-bitmask-f32": { try BitmaskSparseWeight(packing: pruned($0, 2, of: 5), values: .float(.f32)) },
        "sparse-2:4-int4-group16": {
            try SemiStructuredWeight(
                packing: pruned($0, 2, of: 4), kept: 2, of: 4,
                values: .integer(IntegerQuantization(bits: 4, groupSize: 16)))
        },
        "sparse-bitmask-int4-asymmetric": {
            try BitmaskSparseWeight(
                packing: pruned($0, 3, of: 7), values: .integer(IntegerQuantization(bits: 4, isSymmetric: false)))
        },
        "sparse-bitmask-int8-group16": {
            try BitmaskSparseWeight(
                packing: pruned($0, 3, of: 5), values: .integer(IntegerQuantization(bits: 8, groupSize: 16)))
        },
    ]

    /// The first entries of each group kept, the others zero.
    private static func pruned(_ matrix: Tensor, _ kept: Int, of length: Int) -> Tensor {
        Tensor(
            matrix.floats().enumerated().map { $0.offset % length < kept ? $0.element : 0 }, shape: matrix.shape)
    }

    /// The model with formats by the names of its projections; the others dense.
    private func compressed(_ formats: [String: String], everyOther: String? = nil) throws -> Checkpoint {
        let path = folder.path + "/compressed"
        let writer = try CheckpointWriter(path: path, basedOn: original)
        for name in original.weightNames {
            let projection = name.split(separator: ".").dropLast().last.map(String.init) ?? ""
            let matrix = try original.tensor(name)
            if matrix.rank == 2, let label = formats[projection] ?? (name.contains("_proj") ? everyOther : nil),
                let format = Self.formats[label]
            {
                let weight = try format(matrix.converted(to: .f32))
                #expect(weight.label == label)
                try writer.add(name, weight.stored())
            } else {
                try writer.add(name, matrix.converted(to: .f16))
            }
        }
        try writer.finish()
        return try Checkpoint.open(path)
    }

    private func exported(_ checkpoint: Checkpoint, dataType: DataType? = nil, shardSize: Int = 2 << 30) throws
        -> Checkpoint
    {
        try checkpoint.convertToCompressedTensors(
            to: folder.path + "/exported", dataType: dataType, shardSize: shardSize)
        return try Checkpoint.open(folder.path + "/exported")
    }

    private func expectSameMatrices(_ a: Checkpoint, _ b: Checkpoint) throws {
        #expect(a.weightNames == b.weightNames)
        for name in a.weightNames {
            #expect(try a.tensor(name).floats() == b.tensor(name).floats(), "\(name)")
        }
    }

    /// `quantization_config` of what was exported.
    private func quantization() throws -> JSON {
        let path = folder.path + "/exported/config.json"
        let json = try JSON(parsing: try Data(contentsOf: URL(fileURLWithPath: path)), source: path)
        return try #require(json["quantization_config"])
    }

    @Test(arguments: formats.keys.sorted()) func everyFormatComesBack(label: String) throws {
        let checkpoint = try compressed([:], everyOther: label)
        for type in [nil, DataType.f32] {
            let back = try exported(checkpoint, dataType: type)
            try expectSameMatrices(back, checkpoint)
            let name = "model.layers.0.mlp.down_proj.weight"
            let isSparseInteger = label.hasPrefix("sparse") && label.contains("int")
            if !isSparseInteger, label != "sparse-1:4-f16", type == nil {
                #expect(try back.weight(name).label == label)
            }
            #expect(back.isCompressed(name))
        }
        let tokens = [3, 1, 4, 1, 5, 9]
        let difference = try withExactActivations {
            largestDifference(
                try LanguageModel(Checkpoint.open(folder.path + "/exported")).logits(tokens),
                try LanguageModel(checkpoint).logits(tokens))
        }
        #expect(difference < 1e-4)
        try keep(checkpoint, as: label)
    }

    /// Where `COPPICE_KEEP` names a folder: what is exported in it, as f32 and as it is, and the dense model, for
    /// `Tools/checks/decompress_checkpoint.py`.
    private func keep(_ checkpoint: Checkpoint, as name: String) throws {
        guard let parent = ProcessInfo.processInfo.environment["COPPICE_KEEP"] else { return }
        let path = "\(parent)/\(name.replacing(":", with: "of"))"
        try checkpoint.convertToCompressedTensors(to: path)
        try checkpoint.convertToCompressedTensors(to: path + "-f32", dataType: .f32)
        try checkpoint.convert(to: path + "-dense", dataType: .f32)
    }

    @Test func aModelOfManyFormatsComesBack() throws {
        let checkpoint = try compressed([
            "q_proj": "int4-group16", "k_proj": "int4-group16", "v_proj": "int4-group16", "o_proj": "int8",
            "gate_proj": "sparse-2:4-bf16", "up_proj": "sparse-bitmask-f32",
        ])
        try keep(checkpoint, as: "mixed")
        let back = try exported(checkpoint, shardSize: 3000)
        try expectSameMatrices(back, checkpoint)
        let json = try quantization()
        #expect(json["format"]?.stringValue == "pack-quantized")
        #expect(
            json["config_groups"]?["group_0"]?["targets"]?.arrayValue?.compactMap(\.stringValue)
                == ["q_proj", "k_proj", "v_proj"].map { "model.layers.0.self_attn.\($0)" })
        #expect(
            json["config_groups"]?["group_1"]?["weights"]?.serialized()
                == #"{"num_bits":8,"type":"int","symmetric":true,"strategy":"channel","group_size":null,"dynamic":false}"#
        )
        #expect(
            json["ignore"]?.arrayValue?.compactMap(\.stringValue)
                == ["gate_proj", "up_proj", "down_proj"].map { "model.layers.0.mlp.\($0)" } + ["lm_head"])
        // One layout for all sparse layers.
        #expect(json["sparsity_config"]?["format"]?.stringValue == "sparse-bitmask")
        #expect(json["sparsity_config"]?["ignore"]?.arrayValue?.contains("model.layers.0.mlp.down_proj") == true)
        // Half, and three fifths with the zeros that were there before.
        #expect((0.55..<0.6).contains(json["sparsity_config"]?["global_sparsity"]?.doubleValue ?? 0))
    }

    @Test func oneSchemeIsForAllLinearLayers() throws {
        _ = try exported(try compressed([:], everyOther: "int4-group16"))
        let json = try quantization()
        #expect(json["config_groups"]?["group_0"]?["targets"]?.serialized() == #"["Linear"]"#)
        #expect(json["ignore"]?.serialized() == #"["lm_head"]"#)
        #expect(json["sparsity_config"] == nil)
        let file = try SafetensorsFile(path: folder.path + "/exported/model.safetensors")
        let module = "model.layers.0.mlp.down_proj"
        #expect(file.description(of: module + ".weight_packed")?.shape == [32, 6])
        #expect(file.description(of: module + ".weight_scale")?.dataType == .f16)
        #expect(try file.tensor(module + ".weight_shape").integers() == [32, 48])
        _ = try exported(try compressed([:], everyOther: "sparse-2:4-bf16"))
        #expect(try quantization()["config_groups"] == nil)
        #expect(try quantization()["sparsity_config"]?["sparsity_structure"]?.stringValue == "2:4")
    }

    @Test func eightBitsComeBackWithActivationsToBeRounded() throws {
        let checkpoint = try compressed([:], everyOther: "int8")
        for type in [nil, DataType.f32] {
            try checkpoint.convertToCompressedTensors(
                to: folder.path + "/exported", dataType: type, quantizesActivations: true)
            try expectSameMatrices(Checkpoint.open(folder.path + "/exported"), checkpoint)
        }
        let json = try quantization()
        #expect(json["format"]?.stringValue == "int-quantized")
        let group = try #require(json["config_groups"]?["group_0"])
        #expect(group["weights"]?["strategy"]?.stringValue == "channel")
        #expect(group["input_activations"]?["strategy"]?.stringValue == "token")
        #expect(group["input_activations"]?["dynamic"]?.serialized() == "true")
        let file = try SafetensorsFile(path: folder.path + "/exported/model.safetensors")
        let module = "model.layers.0.mlp.down_proj"
        #expect(file.description(of: module + ".weight")?.dataType == .i8)
        #expect(file.description(of: module + ".weight")?.shape == [32, 48])
        #expect(file.description(of: module + ".weight_scale")?.shape == [32, 1])
    }

    @Test(arguments: ["int8-asymmetric", "int8-group16", "int4", "sparse-bitmask-int8-group16"])
    func onlyEightBitsByRowsGoWithRoundedActivations(label: String) throws {
        let checkpoint = try compressed([:], everyOther: label)
        let error = #expect(throws: CoppiceError.self) {
            try checkpoint.convertToCompressedTensors(to: folder.path + "/exported", quantizesActivations: true)
        }
        #expect(
            error?.description.hasSuffix(
                "but products with activations of 8 bits take 8 bits with a scale for each row, symmetric; compress it "
                    + "with { bits: 8 }") == true, "\(error.debugDescription)")
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/exported"))
    }

    @Test func whatOthersQuantizedIsWrittenAgain() throws {
        for name in ["awq", "gptq-8bit", "sparse-bitmask-int8", "pack-int4-group-asymmetric"] {
            let back = try exported(try Checkpoint.open(Fixtures.path(name)))
            for (weight, expected) in try Fixtures.digests(name) {
                #expect(digest(try back.tensor(weight)) == expected, "\(name) \(weight)")
            }
        }
    }

    @Test func aCompressedEmbeddingIsExpanded() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("gptq-4bit"))
        let writer = try CheckpointWriter(path: folder.path + "/compressed", basedOn: checkpoint)
        for name in checkpoint.weightNames {
            let matrix = try checkpoint.tensor(name)
            if matrix.rank == 2 {
                let weight = try IntegerGroupWeight(
                    quantizing: matrix.converted(to: .f32), IntegerQuantization(bits: 8))
                try writer.add(name, weight.stored())
            } else {
                try writer.add(name, matrix)
            }
        }
        try writer.finish()
        let small = try Checkpoint.open(folder.path + "/compressed")
        let back = try exported(small, dataType: .f32)
        try expectSameMatrices(back, small)
        #expect(!back.isCompressed("model.embed_tokens.weight") && back.isCompressed("lm_head.weight"))
    }

    @Test func whatHasNoLayoutIsRefused() throws {
        func failure(_ checkpoint: Checkpoint, dataType: DataType? = nil) -> String {
            do {
                _ = try exported(checkpoint, dataType: dataType)
                return ""
            } catch { return "\(error)" }
        }
        let permuted = failure(try Checkpoint.open(Fixtures.path("gptq-4bit-act-order")))
        #expect(
            permuted.hasSuffix(
                "gptq-4bit-act-order: model.layers.0.self_attn.q_proj.weight: compressed-tensors has no layout for the "
                    + "format column-permuted, expected dense, integer, sparse-n:m, sparse-bitmask; convert it to "
                    + "safetensors first, which expands it"), "\(permuted)")
        let dense = failure(try compressed([:]))
        #expect(dense.hasSuffix("has only dense weights, expected compressed ones; convert to safetensors"))
        let original = try original.tensor("model.layers.0.mlp.down_proj.weight")
        let writer = try CheckpointWriter(path: folder.path + "/compressed", basedOn: self.original)
        for name in self.original.weightNames {
            if name.contains("down_proj") {
                let weight = try IntegerGroupWeight(
                    quantizing: original, IntegerQuantization(bits: 4, groupSize: 32))
                try writer.add(name, weight.stored())
            } else {
                try writer.add(name, self.original.tensor(name).converted(to: .f16))
            }
        }
        try writer.finish()
        let groups = failure(try Checkpoint.open(folder.path + "/compressed"))
        #expect(
            groups.hasSuffix(
                "down_proj.weight: groups of 32 do not divide its 48 columns, as compressed-tensors demands; compress "
                    + "it with groups of 16 or a scale for each row"), "\(groups)")
        #expect(failure(try compressed([:], everyOther: "int8"), dataType: .i8).contains("expected f32, bf16 or f16"))
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/exported"))
    }
}
