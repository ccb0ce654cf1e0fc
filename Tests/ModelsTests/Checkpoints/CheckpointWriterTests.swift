import CoppiceFormats
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct CheckpointWriterTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    private static let names = [
        "llama-gqa-f32", "llama-biases-llama3-tied", "llama-yarn-multi-query", "mistral-sliding", "qwen2-windows-tied",
        "qwen3-sharded",
    ]

    private func fixture(_ name: String) throws -> Checkpoint { try Checkpoint.open(fixtures + "/models/" + name) }

    private func bytes(_ tensor: Tensor) -> [UInt8] {
        let tensor = tensor.contiguous()
        return withExtendedLifetime(tensor.storage) {
            Array(UnsafeRawBufferPointer(start: tensor.basePointer, count: tensor.byteCount))
        }
    }

    @Test(arguments: names) func aCopyHasTheSameBytes(name: String) throws {
        let original = try fixture(name)
        try original.convert(to: scratch["copy"])
        // Kept on demand, to be loaded by Tools/checks/load_checkpoint.py.
        if let folder = ProcessInfo.processInfo.environment["COPPICE_KEEP"] {
            try original.convert(to: folder + "/" + name, shardSize: 9000)
        }
        let copy = try Checkpoint.open(scratch["copy"])
        #expect(copy.configuration == original.configuration)
        for weight in original.weightNames {
            let (a, b) = (try original.tensor(weight), try copy.tensor(weight))
            #expect(a.dataType == b.dataType && a.shape == b.shape)
            #expect(bytes(a) == bytes(b))
        }
        let file = try SafetensorsFile(path: scratch["copy/model.safetensors"])
        #expect(file.metadata == ["format": "pt"])
        #expect(try scratch.names(in: "copy") == [".coppice-output", "config.json", "model.safetensors"])
    }

    @Test func shardsAreSplitAndIndexedAsTransformersDoes() throws {
        let original = try fixture("qwen3-sharded")
        try original.convert(to: scratch["copy"], shardSize: 9000)
        let names = try scratch.names(in: "copy")
        #expect(
            names == [
                ".coppice-output", "config.json", "model-00001-of-00004.safetensors",
                "model-00002-of-00004.safetensors",
                "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors", "model.safetensors.index.json",
            ])
        let text = try #require(scratch.text("copy/model.safetensors.index.json"))
        let index = try JSON(text: text, source: "index")
        let metadata = #"{"total_parameters":14920,"total_size":29840}"#
        #expect(index["metadata"]?.serialized() == metadata, "as in the fixture")
        #expect(index["weight_map"]?.objectValue?.count == original.weightNames.count)
        let copy = try Checkpoint.open(scratch["copy"])
        for weight in original.weightNames { #expect(try bytes(original.tensor(weight)) == bytes(copy.tensor(weight))) }
    }

    @Test(arguments: [DataType.f32, .bf16, .f16]) func typesAreConverted(type: DataType) throws {
        let original = try fixture("llama-gqa-f32")
        try original.convert(to: scratch["copy"], dataType: type)
        let copy = try Checkpoint.open(scratch["copy"])
        #expect(copy.configuration.dataType == type)
        for weight in original.weightNames {
            #expect(try copy.tensor(weight).dataType == type)
            #expect(try copy.tensor(weight).floats() == original.tensor(weight).converted(to: type).floats())
        }
    }

    @Test func impossibleConversionsAreRefused() throws {
        let original = try fixture("llama-gqa-f32")
        #expect(
            refusal(.usage) { try original.convert(to: scratch["copy"], dataType: .i8) }
                == "weights cannot be stored as i8, expected f32, bf16 or f16")
        let writer = try CheckpointWriter(path: scratch["large"], basedOn: original)
        for name in original.weightNames {
            let tensor = try original.tensor(name)
            try writer.add(name, name == "model.norm.weight" ? tensor * 1e6 : tensor)
        }
        try writer.finish()
        let message = refusal { try Checkpoint.open(scratch["large"]).convert(to: scratch["copy"], dataType: .f16) }
        #expect(message.hasPrefix("\(scratch["large"]): model.norm.weight: holds "))
        #expect(message.hasSuffix("beyond the range of f16; convert to bf16 or f32"))
        #expect(try scratch.names() == ["large"], "nothing is left of the failed conversion")
    }

    @Test func tokenizerAndExtraFilesAreKept() throws {
        let source = scratch["source"]
        try fixture("llama-gqa-f32").convert(to: source)
        for name in ["tokenizer.json", "chat_template.jinja", "tok512.bin", "todo.txt"] {
            try scratch.write("source/\(name)", name)
        }
        let original = try Checkpoint.open(source)
        let writer = try CheckpointWriter(path: scratch["copy"], basedOn: original)
        for name in original.weightNames { try writer.add(name, original.tensor(name)) }
        try writer.addFile("recipe.yaml", "stages: []\n")
        try writer.addFile("reports/report.json", "{}")
        try writer.finish()
        #expect(scratch.text("copy/tokenizer.json") == "tokenizer.json")
        #expect(scratch.text("copy/tok512.bin") == "tok512.bin")
        #expect(scratch.text("copy/recipe.yaml") == "stages: []\n")
        #expect(scratch.text("copy/todo.txt") == nil)
        #expect(try Checkpoint.open(scratch["copy"]).chatTemplate == "chat_template.jinja")
    }

    @Test func anUnfinishedModelNeverAppears() throws {
        let original = try fixture("llama-gqa-f32")
        do {
            let writer = try CheckpointWriter(path: scratch["copy"], basedOn: original, shardSize: 1000)
            for name in original.weightNames.dropLast() { try writer.add(name, original.tensor(name)) }
            #expect(refusal(.internal) { try writer.finish() } == "\(scratch["copy"]): lm_head.weight: was not written")
            #expect(!FileManager.default.fileExists(atPath: scratch["copy"]))
        }
        #expect(try scratch.names().isEmpty)
    }

    /// Needs a file system with room for less than 25 kB: `mount -t tmpfs -o size=20k tmpfs FOLDER`.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["COPPICE_SMALL_DISK"] != nil))
    func aFullDiskLeavesNothing() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["COPPICE_SMALL_DISK"])
        let message = refusal(.inputOutput) { try fixture("llama-gqa-f32").convert(to: folder + "/model") }
        #expect(message.hasSuffix("cannot write: No space left on device"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }

    // MARK: - Inventory

    @Test func anInventoryAddsUp() throws {
        let inventory = try ModelInventory(fixture("llama-gqa-f32"))
        #expect(inventory.total.elementCount == 6256)
        #expect(inventory.total.byteCount == 25024)
        #expect(inventory.total.bitsPerWeight == 32)
        #expect(inventory.total.sparsity == 0)
        let json = inventory.json
        #expect(json["config"]?["hidden_size"]?.intValue == 16)
        let first = try #require(json["tensors"]?[0]?.objectValue)
        #expect(
            Array(first.keys)
                == ["name", "shape", "format", "kernel", "bytes", "bits_per_weight", "sparsity", "multiplications"])
        // A table that is looked up multiplies nothing.
        #expect(first["multiplications"] == .null)
        #expect(first["name"]?.stringValue == "model.embed_tokens.weight")
        #expect(first["shape"] == [61, 16])
        #expect(first["format"]?.stringValue == "f32")
        #expect(first["kernel"]?.stringValue?.hasSuffix("panels f32") == true)
        #expect(first["bytes"]?.intValue == 3904)
        #expect(first["bits_per_weight"]?.doubleValue == 32)
        #expect(first["sparsity"]?.doubleValue == 0)
        #expect(json["totals"]?["parameters"]?.intValue == 6256)
        let lines = inventory.text.split(separator: "\n")
        #expect(
            lines[0]
                == "llama, 6,256 parameters, 2 layers of 16, 4 heads of 4 over 2, feed-forward 28, vocabulary 61, 64 positions, "
                + "5,200 multiplications for a token")
        // Two layers of queries and outputs 16 × 16, keys and values 8 × 16, three of 28 × 16, and the head 61 × 16.
        #expect(json["totals"]?["multiplications"]?.intValue == 2 * (2 * 256 + 2 * 128 + 3 * 448) + 976)
        #expect(lines.count == 2 + inventory.entries.count + 1)
        let head = try #require(lines[1].ranges(of: "zeros").first)
        let width = lines[1].distance(from: lines[1].startIndex, to: head.upperBound)
        #expect(lines.dropFirst(2).allSatisfy { $0.prefix(width).hasSuffix("%") }, "columns are aligned")
    }

    @Test func zerosAreCounted() throws {
        let original = try fixture("qwen3-sharded")
        let writer = try CheckpointWriter(path: scratch["copy"], basedOn: original)
        for name in original.weightNames {
            let tensor = try original.tensor(name)
            try writer.add(name, name.hasSuffix("up_proj.weight") ? .zeros(tensor.shape, dataType: .bf16) : tensor)
        }
        try writer.finish()
        let inventory = try ModelInventory(Checkpoint.open(scratch["copy"]))
        #expect(inventory.entries.filter { $0.sparsity == 1 }.map(\.shape) == [[36, 24], [36, 24]])
        #expect(abs(inventory.total.sparsity - Double(2 * 36 * 24) / 14920) < 1e-12)
    }
}
