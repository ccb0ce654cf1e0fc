import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
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
    @Flag(help: "Match norms tensor by tensor too.")
    var perTensor = false
    @Option(
        help: ArgumentHelp(
            "Steps of edge-popup on the frozen weights of the first source step; 0 for none.", valueName: "n"))
    var edgePopupSteps = 2_000
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
        PendingOutput.removeOnTermination()
        let settings = options.settings
        let task = try settings.makeTask(dataFolder: GrokOptions.dataFolder(options.data))
        let progress = common.progress
        let result = try OutputFolder(at: output)
        let dense = try GrokRun.train(settings, task, options.sourceSteps, progress: progress)
        let folder = GrokkingFolder(result.temporaryPath)
        try folder.write(dense, settings: settings, task: task)
        let study = GrokkingStudy(task: task, training: settings.training, seed: settings.seed)
        let arms = GrokkingArm.controls(
            kept: keep, weightDecay: settings.weightDecay, testStep: dense.outcome.curve.testStep ?? dense.lastStep,
            sourceSteps: dense.checkpoints.keys.filter { $0 < dense.lastStep }.sorted(),
            stepsWithoutDecay: stepsWithoutDecay, perTensor: perTensor)
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
        if network is any ArithmeticNetwork {
            try folder.write(FourierSpectrum(of: network.parameters[0].parameter.wrappedValue).csv, to: "spectrum.csv")
        }
        let structure = try searchStructure(settings, task, dense)
        try structure.map { try folder.write($0.csv, to: "edge-popup.csv") }
        try result.commit()
        if common.json {
            try Output.json(
                .object([
                    "task": .string(task.name), "runs": table.json,
                    "edge_popup_best_test_accuracy": structure.map { .number($0.bestTestAccuracy) } ?? .null,
                ]))
        } else {
            try Output.line(task.name + "\n" + table.text)
            if let structure {
                try Output.line(
                    "edge-popup on frozen weights: best test accuracy "
                        + Output.number(structure.bestTestAccuracy, digits: 3))
            }
        }
    }

    /// Masks learned on the weights of the first source step; nil where there are none.
    private func searchStructure(
        _ settings: GrokkingSettings, _ task: GrokkingTask, _ dense: GrokkingStudy.Dense
    ) throws -> GrokkingCurve? {
        guard edgePopupSteps > 0, let step = dense.checkpoints.keys.min(), step < dense.lastStep,
            let weights = dense.checkpoints[step]
        else { return nil }
        let network = task.makeNetwork(settings.seed)
        weights.restore(network)
        var search = EdgePopup(kept: keep, steps: edgePopupSteps)
        search.interval = settings.interval
        search.stopAccuracy = settings.threshold
        return try search.run(network, on: task, seed: settings.seed).curve
    }
}
