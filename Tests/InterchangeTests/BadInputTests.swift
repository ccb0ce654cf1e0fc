import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// Files that are wrong: each is refused in one line that says what was found and what was expected.
@Suite struct BadInputTests {
    private static let up = "model.layers.0.mlp.up_proj"

    static let options: [(String, JSON, String)] = [
        ("quant_method", "bitsandbytes", "quant_method: expected one of compressed-tensors, gptq, awq, found"),
        ("quant_method", .null, "quant_method: is missing, expected one of compressed-tensors, gptq, awq"),
        ("format", "marlin-24", "format: expected one of pack-quantized, int-quantized, naive-quantized, dense"),
        ("format", 4, "format: expected a string, found 4"),
        ("sparsity_config", ["format": "blocks"], "sparsity_config.format: expected one of sparse-24-bitmask"),
        ("transform_config", ["config_groups": ["R1": [:]]], "transform_config: rotations at run time"),
        ("config_groups", ["W4A16": ["Linear"]], "config_groups.W4A16: expected an object, found"),
        ("config_groups", [:], "config_groups describes no quantized weights, expected a group"),
        ("config_groups", 3, "config_groups: expected an object, found 3"),
    ]

    @Test(arguments: options)
    func optionsOfCompressedTensors(key: String, value: JSON, message: String) throws {
        let folder = try ModelFolder("pack-int4-group")
        folder[quantization: key] = value
        let failure = try #require(folder.failure())
        #expect(failure.contains(message), "\(failure)")
    }

    static let groups: [(String, JSON, String)] = [
        ("num_bits", 3, "weights.num_bits: expected 4 or 8, found 3"),
        ("type", "float", "weights.type: expected int, found \"float\""),
        ("strategy", "block", "weights.strategy: expected one of tensor, channel, group, found \"block\""),
        ("group_size", 24, "weights.group_size: expected -1 or a multiple of 16, found 24"),
        ("group_size", .null, "weights.group_size: is missing, expected a multiple of 16"),
        ("symmetric", "yes", "weights.symmetric: expected true or false, found \"yes\""),
        ("symmetric", false, "weight_zero_point: is missing, expected it beside asymmetric codes"),
        ("dynamic", true, "weights.dynamic: expected false, found true"),
        ("num_bits", 8, "weight_packed: expected i32 [32, 8], found i32 [32, 4]"),
        ("group_size", 32, "weight_scale: expected f16 or bf16 or f32 [32, 1] or [32], found f16 [32, 2]"),
    ]

    @Test(arguments: groups)
    func groupsOfCompressedTensors(key: String, value: JSON, message: String) throws {
        let folder = try ModelFolder("pack-int4-group")
        folder[weights: key] = value
        let failure = try #require(folder.failure())
        #expect(failure.contains(message), "\(failure)")
    }

    static let parts: [(String, String, Tensor?, String)] = [
        ("pack-int4-group", "weight_packed", nil, "up_proj.weight: is missing, expected shape [48, 32]"),
        ("pack-int4-group", "weight_scale", nil, "weight_scale: is missing, expected f16 or bf16 or f32 [48, 2]"),
        (
            "pack-int4-group", "weight_packed", Tensor([Int32](repeating: 0, count: 96), shape: [48, 2]),
            "up_proj.weight_packed: expected i32 [48, 4], found i32 [48, 2]"
        ),
        (
            "pack-int4-group", "weight_scale", Tensor([Int32](repeating: 0, count: 96), shape: [48, 2]),
            "up_proj.weight_scale: expected f16 or bf16 or f32 [48, 2], found i32 [48, 2]"
        ),
        (
            "pack-int4-group", "weight_shape", Tensor([48, 31]),
            "up_proj.weight_shape: is [48, 31], expected [48, 32] by config.json"
        ),
        (
            "pack-int4-group", "weight_g_idx", Tensor([Int32](repeating: 1, count: 32)),
            "up_proj.weight_g_idx: group 0 has 0 columns, expected 16"
        ),
        ("pack-int4-group", "weight_blocks", Tensor([Float(1)]), "weight_blocks: has shape [1] but a llama model"),
        (
            "pack-int4-group-asymmetric", "weight_zero_point", Tensor([Int8](repeating: 9, count: 96), shape: [48, 2]),
            "up_proj.weight_zero_point: holds values outside -8 to 7, expected codes of 4 bits"
        ),
        (
            "pack-int4-group-asymmetric", "weight_zero_point", Tensor([Int32](repeating: 0, count: 10), shape: [5, 2]),
            "up_proj.weight_zero_point: expected i32 [6, 2], found i32 [5, 2]"
        ),
        (
            "int4-tensor-asymmetric", "weight", Tensor([Int8](repeating: 8, count: 48 * 32), shape: [48, 32]),
            "up_proj.weight: holds values outside -8 to 7, expected codes of 4 bits"
        ),
        (
            "int8-channel", "weight", Tensor([Float](repeating: 8, count: 48 * 32), shape: [48, 32]),
            "up_proj.weight: expected i8 codes beside weight_scale, found f32"
        ),
        ("sparse-24", "bitmask", nil, "up_proj.bitmask: is missing, expected u8 [48, 4]"),
        ("sparse-24", "shape", Tensor([48, 64], shape: [2, 1]), "up_proj.shape: is [48, 64], expected [48, 32]"),
        (
            "sparse-24", "bitmask", Tensor([UInt8](repeating: 0x0F, count: 192), shape: [48, 4]),
            "row 0 does not follow the pattern 2:4"
        ),
        (
            "sparse-bitmask", "bitmask", Tensor([UInt8](repeating: 0, count: 192), shape: [48, 4]),
            "up_proj.bitmask: has 0 bits for 768 values"
        ),
        (
            "sparse-bitmask", "row_offsets", Tensor([Int](repeating: 0, count: 48)),
            "up_proj.row_offsets: is 0 for row 1, expected "
        ),
        (
            "sparse-24-int8", "weight_scale", Tensor([Float](repeating: 1e-9, count: 48), shape: [48, 1]),
            "up_proj.weight_scale: holds numbers beyond f16"
        ),
        ("gptq-4bit", "qzeros", nil, "up_proj.qzeros: is missing, expected i32 [2, 6]"),
        (
            "gptq-4bit", "scales", Tensor([Float](repeating: 1, count: 48), shape: [1, 48]),
            "up_proj.scales: expected f16 or bf16 or f32 [2, 48], found f32 [1, 48]"
        ),
        (
            "gptq-4bit", "qweight", Tensor([Int32](repeating: 1, count: 48), shape: [1, 48]),
            "up_proj.qweight: expected i32 [4, 48], found i32 [1, 48]"
        ),
        (
            "gptq-4bit-act-order", "g_idx", Tensor((0..<32).map { Int32($0 == 5 ? 2 : $0 % 2) }),
            "up_proj.g_idx: column 5 is in group 2, expected 0 to 1"
        ),
        (
            "gptq-4bit-act-order", "g_idx", Tensor((0..<32).map { Int32($0 < 15 ? 0 : 1) }),
            "up_proj.g_idx: group 0 has 15 columns, expected 16"
        ),
        (
            "gptq-4bit", "bias", Tensor([Float](repeating: 1, count: 48)),
            "up_proj.bias: has shape [48] but a llama model of this configuration has no such tensor"
        ),
        (
            "awq", "qweight", Tensor([Int32](repeating: 1, count: 48), shape: [8, 6]),
            "up_proj.qweight: expected i32 [32, 6], found i32 [8, 6]"
        ),
        ("awq", "scales", nil, "up_proj.scales: is missing, expected f16 or bf16 or f32 [2, 48]"),
    ]

    @Test(arguments: parts)
    func tensors(fixture: String, part: String, tensor: Tensor?, message: String) throws {
        let folder = try ModelFolder(fixture)
        folder.tensors["\(Self.up).\(part)"] = tensor
        let failure = try #require(folder.failure())
        #expect(failure.contains(message), "\(failure)")
        #expect(failure.hasPrefix("model.safetensors: "), "\(failure)")
        #expect(!failure.contains("\n"))
    }

    static let otherOptions: [(String, String, JSON, String)] = [
        ("gptq-4bit", "bits", 3, "quantization_config.bits: expected 4 or 8, found 3"),
        ("gptq-4bit", "bits", .null, "quantization_config.bits: is missing, expected 4 or 8"),
        ("gptq-4bit", "group_size", 20, "quantization_config.group_size: expected -1 or a multiple of 16, found 20"),
        ("gptq-4bit", "checkpoint_format", "marlin", "checkpoint_format: expected gptq or gptq_v2, found \"marlin\""),
        ("gptq-4bit", "pack_dtype", "int16", "pack_dtype: expected int32, found \"int16\""),
        ("awq", "bits", 8, "quantization_config.bits: expected 4, found 8"),
        ("awq", "version", "gemv", "quantization_config.version: expected gemm, found \"gemv\""),
        ("awq", "group_size", "all", "quantization_config.group_size: expected -1 or a multiple of 16"),
    ]

    @Test(arguments: otherOptions)
    func optionsOfOthers(fixture: String, key: String, value: JSON, message: String) throws {
        let folder = try ModelFolder(fixture)
        folder[quantization: key] = value
        let failure = try #require(folder.failure())
        #expect(failure.contains(message), "\(failure)")
        #expect(failure.hasPrefix("config.json: "), "\(failure)")
    }

    @Test(arguments: ReadingTests.cases) func damagedFilesAreReadOrRefused(name: String, format: String) throws {
        let folder = try ModelFolder(name)
        _ = try folder.open()
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        func random(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state >> 33) % bound
        }
        for file in ["config.json", "model.safetensors"] {
            let original = try Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/\(file)"))
            for round in 0..<60 {
                var bytes = original
                // Half of the changes to weights are in the header, which is short beside the data.
                let range = file == "config.json" || round % 2 == 0 ? bytes.count : min(bytes.count, 3000)
                for _ in 0...random(4) { bytes[random(range)] = UInt8(random(256)) }
                if round % 8 == 7 { bytes = bytes.prefix(random(bytes.count)) }
                try bytes.write(to: URL(fileURLWithPath: "\(folder.path)/\(file)"))
                do {
                    let checkpoint = try Checkpoint.open(folder.path)
                    for weight in checkpoint.weightNames where checkpoint.shape(of: weight)?.count == 2 {
                        _ = try checkpoint.weight(weight).dense()
                    }
                } catch is CoppiceError {}
            }
            try original.write(to: URL(fileURLWithPath: "\(folder.path)/\(file)"))
        }
        #expect(folder.failure() == nil)
    }
}
