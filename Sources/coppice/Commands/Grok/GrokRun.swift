import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// `coppice grok run`: trains the dense network and keeps its weights.
struct GrokRun: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Train a dense network until it generalizes; keep curve and weights.")

    @OptionGroup var options: GrokOptions
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let settings = options.settings
        let task = try settings.makeTask(dataFolder: GrokOptions.dataFolder(options.data))
        // Now, since a folder that cannot be written should not be found out about after the training.
        let folder = try OutputFolder(at: output)
        let dense = try Self.train(settings, task, options.sourceSteps, progress: common.progress)
        try GrokkingFolder(folder.temporaryPath).write(dense, settings: settings, task: task)
        try folder.commit()
        let table = GrokkingTable(dense: dense.outcome, arms: [])
        if common.json {
            try Output.json(
                .object(["task": .string(task.name), "last_step": .integer(dense.lastStep), "runs": table.json]))
        } else {
            try Output.line(task.name + "\n" + table.text)
        }
    }

    /// Trains with progress shown.
    static func train(
        _ settings: GrokkingSettings, _ task: GrokkingTask, _ sourceSteps: [Int], progress: any ProgressReporter
    ) throws -> GrokkingStudy.Dense {
        if let warning = settings.warning { progress.report("warning: " + warning) }
        progress.begin("grok", total: settings.steps, unit: "steps")
        let study = GrokkingStudy(task: task, training: settings.training, seed: settings.seed)
        let dense = try study.dense(sourceSteps: Set(sourceSteps)) { point in
            progress.advance(to: point.step, note: "train \(point.trainAccuracy), test \(point.testAccuracy)")
        }
        let curve = dense.outcome.curve
        progress.end(
            curve.delay.map { "\($0) steps between memorizing and generalizing" }
                ?? "did not generalize in \(dense.lastStep) steps")
        return dense
    }
}
