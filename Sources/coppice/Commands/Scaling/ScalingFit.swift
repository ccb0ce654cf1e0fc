import ArgumentParser
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// `coppice scaling fit`: a law from finished runs.
struct ScalingFit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fit", abstract: "Fit L(N, D) = E + A / N^alpha + B / D^beta to runs.",
        discussion: """
            The CSV file has the columns average_parameters (or parameters), tokens and loss, and may have \
            final_sparsity. A model that is pruned while it is trained counts with its average size.
            """)

    @Argument(help: ArgumentHelp("A CSV file of runs.", valueName: "runs"))
    var runs: String
    @Flag(help: "Fit to dense runs alone and measure how well the law says the loss of the others.")
    var denseOnly = false
    @Option(help: ArgumentHelp("Draws of runs that intervals come from; 0 for none.", valueName: "n"))
    var bootstrap = 200
    @Option(help: ArgumentHelp("Seeds the draws.", valueName: "n"))
    var seed: UInt64 = 42
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if bootstrap < 0 { throw ValidationError("--bootstrap: expected a number from 0, found \(bootstrap)") }
    }

    func run() throws {
        common.apply()
        let all = try ScalingRun.load(runs)
        var options = ScalingLawFit.Options()
        (options.bootstrapCount, options.seed) = (bootstrap, seed)
        let fit = try ScalingLawFit(denseOnly ? all.filter(\.isDense) : all, options: options, source: runs)
        let sparse = all.filter { !$0.isDense }
        let error = ScalingLawFit.meanRelativeError(of: fit.law, on: fit.runs)
        let sparseError = sparse.isEmpty ? nil : ScalingLawFit.meanRelativeError(of: fit.law, on: sparse)
        if common.json {
            try Output.json(
                .object([
                    "law": fit.law.json, "runs": .integer(fit.runs.count), "mean_relative_error": .number(error),
                    "intervals": fit.intervals.map(Self.json) ?? .null, "undetermined": fit.undeterminedJSON,
                    "sparse_runs": .integer(sparse.count),
                    "sparse_mean_relative_error": sparseError.map { .number($0) } ?? .null,
                ]))
            return
        }
        try Output.line(fit.law.text)
        for warning in fit.warnings { try Output.line(warning) }
        if let intervals = fit.intervals {
            let rows = [
                ("E", intervals.irreducibleLoss), ("A", intervals.parameterScale), ("B", intervals.tokenScale),
                ("alpha", intervals.parameterExponent), ("beta", intervals.tokenExponent),
            ]
            for (name, range) in rows {
                try Output.line(
                    "  \(name): 95 % between \(Output.scientific(range.lowerBound)) and "
                        + Output.scientific(range.upperBound))
            }
        }
        try Output.line("\(fit.runs.count) runs, mean error \(Output.number(100 * error)) %")
        if let sparseError {
            try Output.line(
                "\(sparse.count) sparse runs by average size, mean error \(Output.number(100 * sparseError)) %")
        }
    }

    private static func json(_ intervals: ScalingLawFit.Intervals) -> JSON {
        func pair(_ range: ClosedRange<Double>) -> JSON {
            .array([.number(range.lowerBound), .number(range.upperBound)])
        }
        return .object([
            "E": pair(intervals.irreducibleLoss), "A": pair(intervals.parameterScale),
            "B": pair(intervals.tokenScale), "alpha": pair(intervals.parameterExponent),
            "beta": pair(intervals.tokenExponent),
        ])
    }
}
