import CoppiceFormats
import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// Checkpoints that other tools wrote.
@Suite struct ReadingTests {
    /// A fixture, and the format that its matrices `[48, 32]` get.
    static let cases = [
        ("pack-int4-group", "int4-group16"),
        ("pack-int4-group-asymmetric", "int4-group16-asymmetric"),
        ("pack-int8-channel-asymmetric", "int8-asymmetric"),
        ("int8-channel", "int8"),
        ("int4-tensor-asymmetric", "int4-asymmetric"),
        ("sparse-24", "sparse-2:4-bf16"),
        ("sparse-bitmask", "sparse-bitmask-f16"),
        ("sparse-bitmask-int8", "sparse-bitmask-int8"),
        ("sparse-24-int8", "sparse-2:4-int8"),
        ("gptq-4bit", "int4-group16"),
        ("gptq-4bit-act-order", "int4-group16-asymmetric-permuted"),
        ("gptq-v2-4bit-act-order-symmetric", "int4-group16-permuted"),
        ("gptq-8bit", "int8-asymmetric"),
        ("awq", "int4-group16-asymmetric"),
    ]

    @Test(arguments: cases) func everyMatrixIsWhatItsToolComputes(name: String, format: String) throws {
        let checkpoint = try Checkpoint.open(Fixtures.path(name))
        let digests = try Fixtures.digests(name)
        #expect(digests.count == 7)
        for (weight, expected) in digests {
            #expect(checkpoint.isCompressed(weight))
            let found = try checkpoint.weight(weight)
            #expect(digest(found.dense()) == expected, "\(weight)")
            #expect(digest(try checkpoint.tensor(weight)) == expected, "\(weight)")
            #expect(checkpoint.shape(of: weight) == [found.rows, found.columns])
        }
        #expect(try checkpoint.weight("model.layers.0.mlp.up_proj.weight").label == format)
        #expect(!checkpoint.isCompressed("lm_head.weight"))
        try checkpoint.checkFinite()
    }

    @Test(arguments: cases) func theModelComputesTheSameLogits(name: String, format: String) throws {
        let (tokens, expected) = try Fixtures.logits(name)
        let found = try withExactActivations {
            try LanguageModel(Checkpoint.open(Fixtures.path(name))).logits(tokens)
        }
        // The spread of logits is 2 to 3; f32 sums in another order differ by some 1e-6 of it.
        #expect(largestDifference(found, expected) < 1e-4)
    }

    @Test(arguments: cases) func aProductUsesTheMatrix(name: String, format: String) throws {
        let weight = try Checkpoint.open(Fixtures.path(name)).weight("model.layers.0.mlp.down_proj.weight")
        let x = Tensor((0..<5 * weight.columns).map { Float(($0 * 37) % 23) / 11 - 1 }, shape: [5, weight.columns])
        let expected = x.matmul(weight.dense().transposed()).floats()
        let found = withExactActivations { weight.multiply(x).floats() }
        #expect(zip(found, expected).allSatisfy { abs($0 - $1) < 1e-4 })
    }

    @Test func expandedAndCopiedModelsKeepTheMatrices() throws {
        for name in ["gptq-4bit-act-order", "awq", "sparse-24-int8"] {
            let folder = try ModelFolder(name)
            let checkpoint = try Checkpoint.open(Fixtures.path(name))
            try checkpoint.convert(to: folder.path + "/dense", dataType: .f32)
            let writer = try CheckpointWriter(path: folder.path + "/copy", basedOn: checkpoint)
            for weight in checkpoint.weightNames {
                if checkpoint.isCompressed(weight) {
                    try writer.add(weight, checkpoint.stored(weight))
                } else {
                    try writer.add(weight, checkpoint.tensor(weight))
                }
            }
            try writer.finish()
            for (weight, expected) in try Fixtures.digests(name) {
                #expect(digest(try Checkpoint.open(folder.path + "/dense").tensor(weight)) == expected)
                let copy = try Checkpoint.open(folder.path + "/copy").weight(weight)
                #expect(digest(copy.dense()) == expected)
                #expect(copy.label == (try checkpoint.weight(weight).label))
            }
        }
    }

    @Test func scalesThatF16CannotHoldAreRoundedWithinTheBound() throws {
        let folder = try ModelFolder("pack-int4-group")
        let exact = try folder.open().weight("model.layers.0.mlp.up_proj.weight").dense().floats()
        let name = "model.layers.0.mlp.up_proj.weight_scale"
        let scales = try #require(folder.tensors[name])
        // A third of a unit in the last place of f16 more: f32 holds it, f16 does not.
        let factor: Float = 1 + 0x1p-11 / 1.5
        folder.tensors[name] = scales.converted(to: .f32) * Tensor([factor]).reshaped([1, 1])
        let weight = try folder.open().weight("model.layers.0.mlp.up_proj.weight")
        #expect(weight.label == "int4-group16")
        let errors = zip(weight.dense().floats(), exact).map { abs($0 - $1 * factor) / max(abs($1 * factor), 1e-20) }
        let largest = try #require(errors.max())
        #expect(largest > 1e-5 && largest <= 0x1p-11)
    }

    @Test func scalesBeyondF16MakeAMatrixDense() throws {
        let folder = try ModelFolder("pack-int4-group-asymmetric")
        let name = "model.layers.0.mlp.up_proj.weight"
        let usual = try folder.open().weight(name).dense().floats()
        let scales = try #require(folder.tensors[name + "_scale"])
        for factor in [Float(0x1p-30), 0x1p20] {
            folder.tensors[name + "_scale"] = scales.converted(to: .f32) * Tensor([factor]).reshaped([1, 1])
            let weight = try folder.open().weight(name)
            #expect(weight.label == "f32")
            #expect(weight.dense().floats() == usual.map { $0 * factor })
        }
    }

    @Test func tinyScalesOfBfloat16AreExact() throws {
        let folder = try ModelFolder("pack-int4-group-asymmetric")
        let name = "model.layers.0.mlp.up_proj.weight"
        let usual = try folder.open().weight(name).dense().floats()
        // Scales from about 0.01 down to 2^-17, where f16 is subnormal.
        let factor: Float = 0x1p-9
        folder.tensors[name + "_scale"] =
            (try #require(folder.tensors[name + "_scale"]).converted(to: .f32)
            * Tensor([factor]).reshaped([1, 1])).converted(to: .bf16)
        let weight = try folder.open().weight(name)
        #expect(weight.label == "int4-group16-asymmetric")
        #expect(weight.dense().floats() == usual.map { $0 * factor })
    }

    @Test func whatToolsWriteBesidesIsPassedOver() throws {
        let folder = try ModelFolder("int8-channel")
        folder.tensors["model.layers.0.mlp.up_proj.input_scale"] = Tensor([Float(0.5)])
        folder.tensors["model.layers.0.self_attn.k_scale"] = Tensor([Float(0.5)])
        folder.tensors["model.layers.0.mlp.up_proj.weight_zero_point"] = Tensor(
            [Int8](repeating: 0, count: 48), shape: [48, 1])
        let checkpoint = try folder.open()
        #expect(try checkpoint.weight("model.layers.0.mlp.up_proj.weight").label == "int8")
        // Under its first name, and with a rotation for nothing.
        folder.configuration["compression_config"] = folder.configuration.removeValue(forKey: "quantization_config")
        #expect(folder.failure() == nil)
    }

    @Test func layersMayDifferInTheirSchemes() throws {
        let folder = try ModelFolder("pack-int4-group")
        let other = try ModelFolder("pack-int8-channel-asymmetric")
        for part in ["weight_packed", "weight_scale", "weight_zero_point", "weight_shape"] {
            let name = "model.layers.0.self_attn.q_proj.\(part)"
            folder.tensors[name] = other.tensors[name]
        }
        folder[quantization: "format"] = "mixed-precision"
        folder[quantization: "config_groups"] = [
            "group_0": folder[quantization: "config_groups"]?["group_0"] ?? .null,
            "group_1": other[quantization: "config_groups"]?["group_0"] ?? .null,
        ]
        let checkpoint = try folder.open()
        let name = "model.layers.0.self_attn.q_proj.weight"
        #expect(digest(try checkpoint.tensor(name)) == (try Fixtures.digests("pack-int8-channel-asymmetric")[name]))
        #expect(try checkpoint.weight("model.layers.0.mlp.up_proj.weight").label == "int4-group16")
    }

    @Test func zeroPointsTellSchemesApart() throws {
        let folder = try ModelFolder("pack-int4-group")
        let other = try ModelFolder("pack-int4-group-asymmetric")
        folder[quantization: "config_groups"] = [
            "group_0": other[quantization: "config_groups"]?["group_0"] ?? .null,
            "group_1": folder[quantization: "config_groups"]?["group_0"] ?? .null,
        ]
        #expect(try folder.open().weight("model.layers.0.mlp.up_proj.weight").label == "int4-group16")
    }

    @Test func gptqLayersMayDifferInTheirShapes() throws {
        let folder = try ModelFolder("gptq-4bit")
        let other = try ModelFolder("gptq-8bit")
        for (name, tensor) in other.tensors where name.contains("q_proj") { folder.tensors[name] = tensor }
        folder[quantization: "checkpoint_format"] = "gptq_v2"
        folder[quantization: "dynamic"] = ["+:.*q_proj": ["bits": 8, "group_size": -1]]
        let name = "model.layers.0.self_attn.q_proj.weight"
        #expect(digest(try folder.open().tensor(name)) == (try Fixtures.digests("gptq-8bit")[name]))
        folder[quantization: "dynamic"] = [:]
        #expect(folder.failure()?.contains("q_proj.qweight: expected i32 [4, 32], found i32 [8, 32]") == true)
    }
}
