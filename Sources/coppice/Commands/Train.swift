import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTraining
import Foundation

/// `coppice train`: trains a language model from text, or a network that classifies images.
struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a language model from text, or a network on images, by a recipe.",
        discussion: "An interrupted run keeps a checkpoint; --resume goes on exactly where it stopped.")

    @Argument(help: ArgumentHelp("The training recipe, a YAML file (see docs/training.md).", valueName: "recipe"))
    var recipe: String
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String
    @Flag(help: "Go on with an earlier run of this output.")
    var resume = false
    @Option(
        help: ArgumentHelp(
            "Where data are that do not exist in the working folder (default: COPPICE_DATA).", valueName: "folder"))
    var data: String?
    @Option(help: ArgumentHelp("An SQLite file that keeps the history of runs.", valueName: "file"))
    var history: String?
    @Option(
        help: ArgumentHelp(
            "Steps whose weights stay in OUTPUT.run, for prune-blocks and lottery --rewind OUTPUT.run@2ep: 0, 500it, 2ep or 10%, "
                + "separated by commas.", valueName: "k,k"))
    var keep: String?
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let options = TrainingRun.Options(
            output: output, resumes: resume,
            dataFolder: data ?? ProcessInfo.processInfo.environment["COPPICE_DATA"], historyPath: history,
            keep: try keep.map { try NameList.names($0).map { try RewindPoint($0, option: "--keep") } } ?? [])
        let interruption = TrainingInterruption()
        let progress = common.progress
        let (json, text, outcome) = try interruption.listeningToSignals {
            switch try AnyTrainingRecipe.load(recipe) {
            case .languageModel(let recipe):
                let run = TrainingRun(recipe: recipe, options: options, pruning: SparsePretraining.of)
                let result = try run.execute(progress: progress, interruption: interruption)
                return (result.json, result.description, result.outcome)
            case .classification(let recipe):
                let run = ClassificationRun(recipe: recipe, options: options, gating: ConsensusTraining.of)
                let result = try run.execute(progress: progress, interruption: interruption)
                return (result.json, result.description, result.outcome)
            }
        }
        if common.json { try Output.json(json) } else { try Output.line(text) }
        if outcome == .interrupted { interruption.endProcessBySignal() }
    }
}
