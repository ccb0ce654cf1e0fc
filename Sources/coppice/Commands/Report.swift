import ArgumentParser
import CoppiceEvidence
import CoppiceModels
import CoppiceTensors

/// `coppice report`: a page about a model before and after compression.
struct Report: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write one self-contained page about a model before and after compression.",
        discussion: """
            FOLDER holds what other commands printed with --json: inspect-before.json and inspect-after.json, and, \
            where there, evaluate-*.json, bench-*.json, story-*.json, compress.json, question.json and answer.json.
            """)

    @Argument(help: ArgumentHelp("The folder with measurements.", valueName: "folder"))
    var folder: String
    @Option(help: ArgumentHelp("The page to write.", valueName: "file"))
    var output: String
    @Option(help: "The model before, for histograms of its weights.")
    var before = BuiltInModel.name
    @Option(help: "The model after (default: the folder's small).")
    var after: String?
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        var report = try ComparisonReport(folder: folder)
        report.histograms = try WeightHistogram.pair(
            before: Checkpoint.open(ModelArgument.locate(before)), after: Checkpoint.open(after ?? folder + "/small"))
        try AtomicFile.write(report.html, to: output)
        if common.json {
            try Output.json(.object(["output": .string(output)]))
        } else {
            try Output.line(output)
        }
    }
}
