import ArgumentParser
import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import OrderedCollections

/// `coppice lottery`: sparse networks that train as well as the whole.
struct Lottery: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Find lottery tickets by pruning and rewinding; measure how early a network may be pruned.",
        discussion: """
            run is what it does without a subcommand: it trains a dense network, removes a part of the smallest weights, \
            rewinds the rest to step k, trains it, and so on. stability compares the trainings of the last ticket for \
            several k.
            """,
        subcommands: [LotteryRunCommand.self, LotteryStabilityCommand.self],
        defaultSubcommand: LotteryRunCommand.self)
}

/// What a search is of; the same for `run` and `stability`.
struct LotteryOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("A training recipe for images, as coppice train takes it.", valueName: "recipe"))
    var recipe: String
    @Option(help: ArgumentHelp("The folder of the run.", valueName: "folder"))
    var output: String
    @Flag(help: "Go on with an earlier run of this output.")
    var resume = false
    @Option(help: ArgumentHelp("Levels after the dense network.", valueName: "n"))
    var levels = 10
    @Option(help: ArgumentHelp("The part of what is left that each level removes.", valueName: "p"))
    var pruneFraction = 0.2
    @Option(help: ArgumentHelp("global (one threshold) or layer (the same part of each).", valueName: "s"))
    var pruningStrategy = PruningScope.global
    @Option(help: ArgumentHelp("Weights that are not pruned, by name or pattern.", valueName: "n,n"))
    var ignore: String?
    @Option(help: ArgumentHelp("Searches from seeds of their own.", valueName: "n"))
    var replicates = 1
    @Option(
        help: ArgumentHelp(
            "Where data are that do not exist in the working folder (default: COPPICE_DATA).", valueName: "folder"))
    var data: String?

    var settings: LotterySettings {
        var settings = LotterySettings()
        (settings.levels, settings.pruneFraction, settings.scope) = (levels, pruneFraction, pruningStrategy)
        (settings.ignore, settings.replicates) = (ignore.map(NameList.names) ?? [], replicates)
        return settings
    }

    var place: LotteryRun.Options {
        .init(
            output: output, resumes: resume,
            dataFolder: data ?? ProcessInfo.processInfo.environment["COPPICE_DATA"])
    }

    func loadRecipe() throws -> ClassificationRecipe {
        guard case .classification(let own) = try AnyTrainingRecipe.load(recipe) else {
            throw CoppiceError(
                .badData, source: recipe, "trains a language model, expected a recipe with the key \"images\"")
        }
        return own
    }

    /// Writes the files of a report into the folder of the run.
    func write(_ files: [(name: String, text: String)]) throws {
        for (name, text) in files { try AtomicFile.write(text, to: output + "/" + name) }
    }

    /// Writes the files of a search's last report and prints it.
    func finish(_ report: some LotteryOutcome, isComplete: Bool, asJSON: Bool) throws {
        try write(report.files)
        guard !asJSON else {
            var json = report.json
            json.updateValue(.string(output), forKey: "output", insertingAt: 0)
            return try Output.json(.object(json))
        }
        try Output.line(report.text)
        try Output.line(isComplete ? "\(output)/report.html" : "interrupted; --resume goes on from there")
    }
}

/// What a search for tickets reports, of whichever kind.
protocol LotteryOutcome {
    var text: String { get }
    var json: OrderedDictionary<String, JSON> { get }
    var files: [(name: String, text: String)] { get }
}

extension LotteryReport: LotteryOutcome {}
extension LotteryStabilityReport: LotteryOutcome {}
