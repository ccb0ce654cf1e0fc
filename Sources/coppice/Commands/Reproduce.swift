import ArgumentParser
import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Foundation

/// `coppice reproduce`: tests a paper's claims.
struct Reproduce: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Test a paper's claims: paper, here, holds or not.",
        discussion: "Experiments: \(Experiments.all.map(\.identifier).joined(separator: ", ")).")

    @Argument(help: ArgumentHelp("The experiment.", valueName: "id"))
    var id: String
    @Option(help: "The model to test the claims on.")
    var model = BuiltInModel.name
    @Option(help: ArgumentHelp("The evaluation text (default: the sample tales).", valueName: "file"))
    var text: String?
    @Option(
        help: ArgumentHelp("The folder that data sets are in (default: COPPICE_DATA).", valueName: "folder"))
    var data: String?
    @Option(help: ArgumentHelp("A folder to write the report to, with its figures.", valueName: "folder"))
    var output: String?
    @Option(help: ArgumentHelp("How much more (or less) is measured than by default.", valueName: "x"))
    var scale = 1.0
    @Flag(help: "Run the paper's settings as far as they can be had here, which may take days (docs/evidence.md).")
    var full = false
    @Option(
        help: ArgumentHelp(
            "How often experiments that train networks repeat themselves (default: 3, and 2 of what takes long).",
            valueName: "n"))
    var seeds: Int?
    @Option(help: ArgumentHelp("Everything random follows from it.", valueName: "n"))
    var seed: UInt64 = 42
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let experiment = try Experiments.named(id)
        try Output.check(folder: output)
        let (name, textFile) = (model, text)
        var setting = ExperimentSetting(
            languageModel: { try Self.languageModel(name, textFile: textFile) },
            dataFolder: data ?? ProcessInfo.processInfo.environment["COPPICE_DATA"], scale: scale, seed: seed)
        setting.isFull = full
        setting.seedCount = seeds
        var report = try experiment.run(setting, progress: common.progress)
        report.command = ["coppice"] + CommandLine.arguments.dropFirst()
        if let output { try report.write(toFolder: output) }
        if common.json { try Output.json(report.json) } else { try Output.line(report.text) }
    }

    func validate() throws {
        if !(scale > 0 && scale.isFinite) { throw ValidationError("--scale must be a number above 0") }
        if let seeds, seeds < 1 { throw ValidationError("--seeds must be at least 1") }
    }

    private static func languageModel(
        _ name: String, textFile: String?
    ) throws -> ExperimentSetting.LanguageModel {
        let checkpoint = try Checkpoint.open(ModelArgument.locate(name))
        let tokenizer = try checkpoint.tokenizer()
        let file = try textFile ?? BuiltInModel.sampleText
        return ExperimentSetting.LanguageModel(
            name: name, checkpoint: checkpoint, tokenize: { tokenizer.encode($0, addingSpecialTokens: false) },
            text: try TextFile.read(file), textSource: file)
    }
}
