import ArgumentParser
import CoppiceEvidence
import CoppiceModels

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
    @Option(help: ArgumentHelp("A folder to write the report to, with its figures.", valueName: "folder"))
    var output: String?
    @Option(help: ArgumentHelp("How much more (or less) is measured than by default.", valueName: "x"))
    var scale = 1.0
    @Option(help: ArgumentHelp("Everything random follows from it.", valueName: "n"))
    var seed: UInt64 = 42
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let experiment = try Experiments.named(id)
        let checkpoint = try Checkpoint.open(ModelArgument.locate(model))
        let tokenizer = try checkpoint.tokenizer()
        let file = try text ?? BuiltInModel.sampleText
        let setting = ExperimentSetting(
            modelName: model, model: checkpoint,
            tokenize: { tokenizer.encode($0, addingSpecialTokens: false) },
            text: .init(try TextFile.read(file), source: file), scale: scale, seed: seed)
        let report = try experiment.run(setting, progress: common.progress)
        if let output { try report.write(toFolder: output) }
        if common.json { try Output.json(report.json) } else { try Output.line(report.text) }
    }
}
