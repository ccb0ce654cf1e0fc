import ArgumentParser
import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// `coppice lottery run`: tickets of several densities.
struct LotteryRunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Find tickets level by level, and train their controls beside them.",
        discussion: """
            Every network is kept in the folder, and every ticket: coppice train, evaluate, inspect and compress know \
            them. An interrupted run goes on exactly where it stopped with --resume.
            """)

    @OptionGroup var options: LotteryOptions
    @Option(
        help: ArgumentHelp(
            "The step rewound to: 500it, 0.5ep or 2% of training, or weights that a run of train --keep kept, "
                + "OUTPUT.run@2ep.", valueName: "k"))
    var rewind = "0"
    @Option(
        help: ArgumentHelp(
            "Controls: reinit, shuffle, finetune, lr-rewind, one-shot, separated by commas.", valueName: "b,b"))
    var branches: String?
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        var settings = options.settings
        settings.rewind = try LotteryRewind(rewind)
        settings.branches = try branches.map(Self.branches) ?? []
        let recipe = try options.loadRecipe()
        let title = "Lottery tickets of \(recipe.name ?? options.recipe)"
        let interruption = TrainingInterruption()
        let results = try interruption.listeningToSignals {
            try LotteryRun(recipe, settings, options: options.place).execute(
                progress: common.progress, interruption: interruption
            ) { try options.write(LotteryReport($0, title: title).files) }
        }
        try options.finish(
            LotteryReport(results, title: title), isComplete: results.isComplete, asJSON: common.json)
        if !results.isComplete { interruption.endProcessBySignal() }
    }

    static func branches(_ text: String) throws -> [LotterySettings.Branch] {
        let found = try NameList.names(text).map { name in
            guard let branch = LotterySettings.Branch(rawValue: name) else {
                let known = LotterySettings.Branch.allCases.map(\.rawValue)
                throw CoppiceError(
                    .usage, field: "--branches",
                    "\"\(name.prefix(40))\", expected some of \(known.joined(separator: ", "))")
            }
            return branch
        }
        // Always in one order, and none twice.
        return LotterySettings.Branch.allCases.filter(found.contains)
    }
}
