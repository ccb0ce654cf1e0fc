import ArgumentParser
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// `coppice scaling schedule`: phases of compute in steps.
struct ScalingSchedule: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule",
        abstract: "Convert the phases of sparse pre-training from fractions of compute to steps.")

    @Option(help: ArgumentHelp("The compute, in steps of the dense model.", valueName: "n"))
    var steps: Int
    @Option(help: ArgumentHelp("The part of the weights that is gone in the end.", valueName: "s"))
    var sparsity: Double
    @Option(help: ArgumentHelp("Steps between removals (default: a hundredth of the ramp).", valueName: "n"))
    var every: Int?
    @OptionGroup var phases: PruningPhaseOptions
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let schedule = try ComputePhaseSchedule(
            denseSteps: steps, finalSparsity: sparsity, window: phases.window, ramp: phases.ramp, interval: every)
        if common.json {
            try Output.json(
                .object([
                    "dense_steps": .integer(schedule.denseSteps), "final_sparsity": .number(schedule.finalSparsity),
                    "start_step": .integer(schedule.startStep), "end_step": .integer(schedule.endStep),
                    "steps": .integer(schedule.totalSteps), "prune_every": .integer(schedule.interval),
                    "average_density": .number(schedule.averageDensity),
                    "final_over_average": .number(schedule.finalOverAverage),
                ]))
            return
        }
        try Output.line("dense until step \(schedule.startStep)")
        try Output.line("pruned until step \(schedule.endStep), every \(schedule.interval) steps")
        try Output.line("\(schedule.totalSteps) steps in all, for the compute of \(schedule.denseSteps) dense ones")
        try Output.line(
            "average density \(Output.number(schedule.averageDensity, digits: 4)), final size "
                + "\(Output.number(schedule.finalOverAverage, digits: 4)) of the average")
    }
}
