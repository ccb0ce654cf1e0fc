import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// `coppice grok controls`: all comparisons around one dense run.
struct GrokControls: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "controls",
        abstract: "Compare tickets with dense networks of the same norm, other masks and runs without decay.")

    @OptionGroup var options: GrokOptions
    @Option(help: ArgumentHelp("The fraction of weights that tickets keep.", valueName: "x"))
    var keep = 0.4
    @Option(help: ArgumentHelp("Steps of runs without decay.", valueName: "n"))
    var stepsWithoutDecay = 8_000
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if !(keep > 0 && keep <= 1) {
            throw ValidationError("--keep: expected a fraction above 0 and up to 1, found \(keep)")
        }
        if stepsWithoutDecay < 1 { throw ValidationError("--steps-without-decay: expected a positive number") }
    }

    func run() throws {
        common.apply()
        let settings = options.settings
        let task = try settings.makeTask(dataFolder: GrokOptions.dataFolder(options.data))
        let progress = common.progress
        let dense = try GrokRun.train(settings, task, options.sourceSteps, progress: progress)
        let folder = GrokkingFolder(output)
        try folder.write(dense, settings: settings, task: task)
        let study = GrokkingStudy(task: task, training: settings.training, seed: settings.seed)
        let arms = GrokkingArm.controls(
            kept: keep, weightDecay: settings.weightDecay, testStep: dense.outcome.curve.testStep ?? dense.lastStep,
            sourceSteps: dense.checkpoints.keys.filter { $0 < dense.lastStep }.sorted(),
            stepsWithoutDecay: stepsWithoutDecay)
        let outcomes = try study.run(arms, after: dense) { outcome in
            let reached = outcome.curve.testStep.map { "generalizes at step \($0)" } ?? "does not generalize"
            progress.report("\(outcome.arm.name) \(reached)")
        }
        for outcome in outcomes { try folder.write(outcome.curve.csv, to: outcome.arm.name + ".csv") }
        let table = GrokkingTable(dense: dense.outcome, arms: outcomes)
        try folder.write(table.csv, to: "table.csv")
        let network = task.makeNetwork(settings.seed)
        dense.checkpoints[dense.lastStep]?.restore(network)
        try folder.write(PruningCurve(of: network, on: task).csv, to: "pruning.csv")
        if common.json {
            try Output.json(.object(["task": .string(task.name), "runs": table.json]))
        } else {
            try Output.line(task.name + "\n" + table.text)
        }
    }
}
