import ArgumentParser
import CoppiceModels
import CoppiceTensors

/// `coppice convert`: writes a model in a format that other programs read.
struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a model in a format that other programs read.",
        discussion: """
            safetensors: a Hugging Face folder of dense weights; compressed ones are expanded to exactly the matrices \
            that they stand for.
            compressed-tensors: a Hugging Face folder whose weights stay compressed, for transformers and vLLM.
            gguf: one file with the tokenizer, for llama.cpp; compressed weights become the blocks that say the same \
            where there are any.
            Encoders (BERT, RoBERTa) become safetensors, and so do vision networks, with the names of torchvision.
            """)

    enum Target: String, ExpressibleByArgument, CaseIterable {
        case safetensors
        case compressedTensors = "compressed-tensors"
        case gguf
    }

    enum Element: String, ExpressibleByArgument, CaseIterable {
        case f32, bf16, f16, q4_0, q8_0, q4_k, q4_k_m, q6_k

        /// Nil for blocks.
        var dataType: DataType? {
            switch self {
            case .f32: .f32
            case .bf16: .bf16
            case .f16: .f16
            case .q4_0, .q8_0, .q4_k, .q4_k_m, .q6_k: nil
            }
        }

        var weightType: GGUFWeightType? { GGUFWeightType(rawValue: rawValue) }
    }

    @OptionGroup var model: ModelArgument
    @Option(help: "The format.")
    var to = Target.safetensors
    @Option(help: ArgumentHelp("The folder (gguf: the file) to write.", valueName: "path"))
    var output: String
    @Option(help: "The type of the matrices (default: as they are); blocks for gguf only.")
    var type: Element?
    @Flag(
        help: "compressed-tensors: readers round activations to 8 bits as well (W8A8), for int8 weights by rows.")
    var int8Activations = false
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if to != .gguf, let type, type.dataType == nil {
            throw ValidationError("--type: expected f32, bf16 or f16 for \(to.rawValue), found \(type.rawValue)")
        }
        if int8Activations, to != .compressedTensors {
            throw ValidationError("--int8-activations: expected --to compressed-tensors, found \(to.rawValue)")
        }
        if to == .gguf, !output.hasSuffix(".gguf") {
            throw ValidationError("--output: expected the name of a .gguf file, found \(output)")
        }
    }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        try Output.check(output, spares: model.path)
        switch try AnyCheckpoint.open(model.path) {
        case .languageModel(let checkpoint): try convert(checkpoint)
        case .encoder(let checkpoint):
            try refuseOtherFormats("encoders")
            try checkpoint.convert(to: output, dataType: type?.dataType, progress: common.progress)
            try report(ModelInventory(EncoderCheckpoint.open(output)))
        case .vision(let checkpoint):
            try refuseOtherFormats("vision networks")
            try checkpoint.convert(to: output, dataType: type?.dataType)
            try report(ModelInventory(VisionCheckpoint.open(output)))
        }
    }

    private func convert(_ checkpoint: Checkpoint) throws {
        switch to {
        case .safetensors:
            try checkpoint.convert(to: output, dataType: type?.dataType, progress: common.progress)
        case .compressedTensors:
            try checkpoint.convertToCompressedTensors(
                to: output, dataType: type?.dataType, quantizesActivations: int8Activations, progress: common.progress)
        case .gguf: try checkpoint.convert(toGGUF: output, type: type?.weightType, progress: common.progress)
        }
        try report(ModelInventory(Checkpoint.open(output)))
    }

    private func refuseOtherFormats(_ kind: String) throws {
        guard to != .safetensors else { return }
        throw CoppiceError(.usage, field: "--to", "\(to.rawValue) is for language models; \(kind) become safetensors")
    }

    private func report(_ inventory: ModelInventory) throws {
        let (count, bytes) = (inventory.entries.count, inventory.total.byteCount)
        if common.json {
            try Output.json(
                .object(["output": .string(output), "tensors": .integer(count), "bytes": .integer(bytes)]))
        } else {
            try Output.line("\(output): \(count) tensors, \(Output.bytes(bytes))")
        }
    }
}
