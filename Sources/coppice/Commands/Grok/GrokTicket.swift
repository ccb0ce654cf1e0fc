import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// `coppice grok ticket`: cuts a ticket of a kept run and trains it.
struct GrokTicket: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ticket", abstract: "Cut the ticket of a run, rewind it and train it.")

    @Argument(help: ArgumentHelp("The folder that grok run has written.", valueName: "folder"))
    var folder: String
    @Option(help: ArgumentHelp("The step whose largest weights are kept (default: the last).", valueName: "step"))
    var from: Int?
    @Option(help: ArgumentHelp("The fraction of weights that is kept, of all tensors together.", valueName: "x"))
    var keep = 0.4
    @Option(help: ArgumentHelp("The step whose weights the ticket starts from.", valueName: "step"))
    var rewind = 0
    @Option(help: ArgumentHelp("Decoupled weight decay (default: that of the run).", valueName: "x"))
    var wd: Double?
    @Option(help: ArgumentHelp("Steps at most (default: those of the run).", valueName: "n"))
    var steps: Int?
    @Option(help: ArgumentHelp("The folder that MNIST is in (default: COPPICE_DATA).", valueName: "folder"))
    var data: String?
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let source = GrokkingFolder(folder)
        var settings = try source.settings()
        settings.weightDecay = wd ?? settings.weightDecay
        settings.steps = steps ?? settings.steps
        let task = try settings.makeTask(dataFolder: GrokOptions.dataFolder(data))
        let dense = try source.dense(task: task, rewindStep: rewind)
        let study = GrokkingStudy(task: task, training: settings.training, seed: settings.seed)
        let arm = GrokkingArm(
            .ticket(step: from), kept: keep, weightDecay: settings.weightDecay, steps: settings.steps)
        let progress = common.progress
        progress.begin("ticket", total: settings.steps, unit: "steps")
        let outcome = try study.run(arm, after: dense) { point in
            progress.advance(to: point.step, note: "train \(point.trainAccuracy), test \(point.testAccuracy)")
        }
        progress.end("done")
        try source.write(outcome.curve.csv, to: arm.name + (rewind == 0 ? "" : "-rewind-\(rewind)") + ".csv")
        let table = GrokkingTable(dense: dense.outcome, arms: [outcome])
        if common.json {
            try Output.json(.object(["task": .string(task.name), "runs": table.json]))
        } else {
            try Output.line(task.name + "\n" + table.text)
        }
    }
}
