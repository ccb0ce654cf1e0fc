import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTraining
import Foundation

/// `coppice gates extract`: the smaller network of a run with gates.
struct GatesExtract: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "extract",
        abstract: "Cut the smaller network out of a training run with gates, at its last checkpoint.",
        discussion: """
            coppice train does the same at the end of a run; this is for gates that did not agree, and for a look at a \
            run that was interrupted. Gates decide on the images that the run held out. Without --output only the table \
            is printed.
            """)

    @Argument(help: ArgumentHelp("The folder of the run, OUTPUT.run.", valueName: "run"))
    var folder: String
    @Option(help: ArgumentHelp("The largest disagreement m(1 - m) of a gate that is cut through.", valueName: "x"))
    var maxDisagreement = ConsensusExtraction.standardLimit
    @Flag(help: "Cut through any disagreement.")
    var force = false
    @Flag(help: "Measure training steps and passes of both networks, on noise.")
    var measure = false
    @Option(
        help: ArgumentHelp(
            "Where data are that do not exist in the working folder (default: COPPICE_DATA).", valueName: "folder"))
    var data: String?
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String?
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if !(0...0.25).contains(maxDisagreement) {
            throw ValidationError("--max-disagreement: expected a number from 0 to 0.25, found \(maxDisagreement)")
        }
    }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        try Output.check(folder: output, spares: folder)
        let training = try ClassificationRun(
            runFolder: folder, dataFolder: data ?? ProcessInfo.processInfo.environment["COPPICE_DATA"],
            gating: ConsensusTraining.of)
        let found = try training.extractGates(limit: force ? nil : maxDisagreement)
        let (small, summary) = (found.extracted.network, found.extracted.summary)
        if let output {
            try VisionCheckpoint.write(
                small, normalization: found.normalization, folder: output,
                files: [(name: "recipe.yaml", text: training.recipe.text)])
        }
        let speeds =
            measure
            ? try found.gated.withoutGates { try SpeedComparison($0, small, seed: training.recipe.seed) } : nil
        if common.json {
            guard case .object(var fields) = summary.json else { return }
            fields["step"] = .integer(found.step)
            fields["architecture"] = .string(small.configuration.name)
            fields["output"] = output.map { .string($0) } ?? .null
            if let speeds { fields.merge(speeds.json) { $1 } }
            try Output.json(.object(fields))
        } else {
            try Output.line("step \(found.step): \(small.configuration.name)")
            for line in summary.table + summary.lines { try Output.line(line) }
            if let speeds { try Output.line(speeds.text) }
            if let output { try Output.line("\(output): the smaller network, without gates") }
        }
    }
}
