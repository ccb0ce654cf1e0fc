import ArgumentParser
import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// `coppice lottery stability`: from which step on a network may be pruned.
struct LotteryStabilityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stability", abstract: "Measure for several k how stable the training of a ticket is.",
        discussion: """
            For each k a search for tickets, then two more trainings of the last ticket and of a mask of equal size in \
            each layer at random places: distances over the kept weights (L2 and angle) between the dense and the \
            sparse network, and between trainings in two orders of the data, and the error barrier between those.
            """)

    @OptionGroup var options: LotteryOptions
    @Option(
        help: ArgumentHelp(
            "The steps rewound to, separated by commas: 500it, 0.5ep or 2% of training, or weights that a run kept, "
                + "OUTPUT.run@2ep.", valueName: "k,k"))
    var ks = "0,2%,10%"
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let points = try NameList.names(ks).map { try LotteryRewind($0, option: "ks") }
        let recipe = try options.loadRecipe()
        let title = "Stability of tickets of \(recipe.name ?? options.recipe)"
        let interruption = TrainingInterruption()
        let results = try interruption.listeningToSignals {
            try LotteryStability(recipe, options.settings, points: points, options: options.place).execute(
                progress: common.progress, interruption: interruption
            ) { try options.write(LotteryStabilityReport($0, title: title).files) }
        }
        try options.finish(
            LotteryStabilityReport(results, title: title), isComplete: results.isComplete, asJSON: common.json)
        if !results.isComplete { interruption.endProcessBySignal() }
    }
}
