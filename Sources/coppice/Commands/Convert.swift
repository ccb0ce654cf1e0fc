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
            """)

    enum Target: String, ExpressibleByArgument, CaseIterable {
        case safetensors
        case compressedTensors = "compressed-tensors"
    }

    enum Element: String, ExpressibleByArgument, CaseIterable {
        case f32, bf16, f16

        var dataType: DataType {
            switch self {
            case .f32: .f32
            case .bf16: .bf16
            case .f16: .f16
            }
        }
    }

    @OptionGroup var model: ModelArgument
    @Option(help: "The format.")
    var to = Target.safetensors
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String
    @Option(help: "The type of dense weights (default: as they are).")
    var type: Element?
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let checkpoint = try Checkpoint.open(model.path)
        switch to {
        case .safetensors:
            try checkpoint.convert(to: output, dataType: type?.dataType, progress: common.progress)
        case .compressedTensors:
            try checkpoint.convertToCompressedTensors(
                to: output, dataType: type?.dataType, progress: common.progress)
        }
        let total = try ModelInventory(Checkpoint.open(output)).total
        if common.json {
            try Output.json(
                .object([
                    "output": .string(output), "tensors": .integer(checkpoint.weightNames.count),
                    "bytes": .integer(total.byteCount),
                ]))
        } else {
            try Output.line("\(output): \(checkpoint.weightNames.count) tensors, \(Output.bytes(total.byteCount))")
        }
    }
}
