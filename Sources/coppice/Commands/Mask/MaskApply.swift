import ArgumentParser
import CoppiceCompression
import CoppiceModels

extension FormatPlanner.Preference: ExpressibleByArgument {}

/// `coppice mask apply`: the sparse model that a mask makes of a dense one.
struct MaskApply: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Write the sparse model that a mask makes of the model that it belongs to.",
        discussion: """
            Kept weights stay bit for bit what they are. A mask of another model, or of other weights of the same \
            model, is an error.
            """)

    @OptionGroup var model: ModelArgument
    @Argument(help: ArgumentHelp("The mask file.", valueName: "mask"))
    var mask: String
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String
    @Option(
        help: ArgumentHelp(
            "What formats are chosen for, speed or size (default: speed; of vision networks size).", valueName: "p"))
    var prefer: FormatPlanner.Preference?
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        for input in [try model.path, mask] { try Output.check(output, spares: input) }
        var application = MaskApplication(try MaskFile.read(mask))
        (application.preference, application.source) = (prefer, mask)
        let result = try application.run(
            AnyCheckpoint.open(model.path), output: output, progress: common.progress)
        if common.json {
            try Output.json(
                .object([
                    "output": .string(output), "mask": .string(mask), "bytes_before": .integer(result.bytesBefore),
                    "bytes_after": .integer(result.bytes), "sparsity": .number(result.sparsity),
                    "mask_sparsity": .number(application.file.sparsity),
                    "keeps_dense_statistics": .bool(result.keepsDenseStatistics),
                ]))
        } else {
            try Output.line(
                "\(output): \(Output.bytes(result.bytesBefore)) → \(Output.bytes(result.bytes)), "
                    + "\(Output.number(100 * result.sparsity, digits: 1)) % zeros")
            if prefer == nil, result.bytes == result.bytesBefore, application.file.removedCount > 0 {
                try Output.line(
                    "warning: zeros take up space, since no matrix would be faster without them; --prefer size leaves "
                        + "them out")
            }
            if result.keepsDenseStatistics {
                try Output.line(
                    "warning: \(mask) has no running statistics of norms, so those of \(model.model) stay, which were "
                        + "averaged without the mask; a mask extracted from the sparse model with --of has its own")
            }
        }
    }
}
