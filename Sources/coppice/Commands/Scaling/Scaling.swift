import ArgumentParser
import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation

/// `coppice scaling`: laws of loss by size and tokens, and what follows from them.
struct Scaling: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Fit a scaling law to runs, plan size, tokens and sparsity with it, and convert compute to steps.",
        subcommands: [ScalingFit.self, ScalingPlanCommand.self, ScalingSchedule.self])
}

/// How a model is pruned while it is trained; the same for `plan` and `schedule`.
struct PruningPhaseOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The fractions of compute between which weights are removed.", valueName: "a:b"),
        transform: Self.window)
    var window = ComputePhaseSchedule.Window.middle
    @Option(help: ArgumentHelp("How density falls: geometric, linear or cubic.", valueName: "r"))
    var ramp = SparsityRamp.geometric

    static func window(_ text: String) throws -> ComputePhaseSchedule.Window {
        let ends = text.split(separator: ":", omittingEmptySubsequences: false).map { Double($0) }
        guard ends.count == 2, let start = ends[0], let end = ends[1], start >= 0, start < end, end < 1 else {
            throw ValidationError("\"\(text)\", expected two increasing fractions such as 0.25:0.75")
        }
        return ComputePhaseSchedule.Window(start: start, end: end)
    }
}

extension SparsityRamp: ExpressibleByArgument {}

extension ScalingLaw {
    var json: JSON {
        .object([
            "E": .number(irreducibleLoss), "A": .number(parameterScale), "B": .number(tokenScale),
            "alpha": .number(parameterExponent), "beta": .number(tokenExponent),
        ])
    }

    var text: String {
        String(
            format: "L(N, D) = %.4f + %.4g / N^%.4f + %.4g / D^%.4f", irreducibleLoss, parameterScale,
            parameterExponent, tokenScale, tokenExponent)
    }
}

extension ScalingLawFit {
    var undeterminedJSON: JSON { .array(undetermined.map { .string($0.rawValue) }) }

    /// What a reader of the law should know.
    var warnings: [String] {
        undetermined.map { exponent in
            "\(exponent.rawValue) is at its bound of \(Output.number(Self.largestExponent, digits: 0)): the runs do not "
                + "determine it, expected more \(exponent == .alpha ? "sizes" : "token counts") that lie farther apart"
        }
    }
}

extension Output {
    /// Large numbers with three digits: 1.15e+09 as "1.15e9".
    static func scientific(_ value: Double) -> String {
        if value == 0 { return "0" }
        let exponent = Int(log10(abs(value)).rounded(.down))
        if (-2...5).contains(exponent) { return String(format: "%.4g", value) }
        // Rounded to three digits before the exponent is taken: 9.999e8 is 1e9.
        let parts = String(format: "%.2e", value).split(separator: "e")
        let digits = Double(parts[0]) ?? 0
        return String(format: "%.3ge%d", digits, Int(parts[1]) ?? exponent)
    }
}
