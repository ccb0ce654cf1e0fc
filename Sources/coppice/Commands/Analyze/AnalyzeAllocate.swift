import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Foundation

extension CurveFile.BudgetMeasure: ExpressibleByArgument {}

/// `coppice analyze allocate`: the rates that curves give layers.
struct AnalyzeAllocate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "allocate",
        abstract: "Share a sparsity out among layers by the curves that analyze curves measured.",
        discussion: """
            The split with the least sum of distortions, by dynamic programming over at most 65,536 buckets of the \
            budget; --exact counts single weights, --lagrangian goes by convex hulls alone. The Lagrangian relaxation \
            also bounds what any split could save, and the gap to it is shown.
            """)

    @Argument(help: ArgumentHelp("The file of curves.", valueName: "curves"))
    var curves: String
    @Option(help: ArgumentHelp("The fraction to remove, from 0 to below 1.", valueName: "s"))
    var sparsity: Double
    @Option(help: ArgumentHelp("What it is a fraction of: parameters or multiplications.", valueName: "what"))
    var of = CurveFile.BudgetMeasure.parameters
    @Flag(help: "Programme over single weights (or multiplications) of the budget.")
    var exact = false
    @Option(help: ArgumentHelp("Buckets of the budget (default: 65536).", valueName: "q"))
    var buckets: Int?
    @Flag(help: "Choose by convex hulls, without a programme.")
    var lagrangian = false
    @Option(help: ArgumentHelp("Write the rates to this CSV file.", valueName: "file"))
    var csv: String?
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if !(sparsity >= 0 && sparsity < 1) {
            throw ValidationError("--sparsity: expected a number from 0 to below 1, found \(sparsity)")
        }
        if let buckets, !(1...(1 << 20)).contains(buckets) {
            throw ValidationError("--buckets: expected 1 to \(1 << 20), found \(buckets)")
        }
        if [exact, buckets != nil, lagrangian].count(where: { $0 }) > 1 {
            throw ValidationError("expected at most one of --exact, --buckets and --lagrangian")
        }
    }

    private var solver: RateDistortionProblem.Solver {
        exact ? .exact : lagrangian ? .lagrangian : .buckets(buckets ?? RateDistortionOptions.buckets)
    }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let file = try CurveFile.read(curves)
        let allocation = try file.allocation(solver: solver, of: of, source: curves)
        if lagrangian {
            let falling = file.curves.count { !$0.isMonotone }
            if falling > 0 {
                common.progress.report(
                    "warning: \(falling) of \(file.curves.count) curves fall somewhere as weights go; hulls pass over "
                        + "that, --buckets does not")
            }
        }
        let start = Date()
        let plan: RatePlan
        do {
            plan = try allocation.plan(sparsity: sparsity)
        } catch var error as CoppiceError {
            error.source = error.source ?? curves
            throw error
        }
        let seconds = Date().timeIntervalSince(start)
        if let csv { try AtomicFile.write(Self.csv(plan), to: csv) }
        if common.json { return try Output.json(json(plan, seconds)) }
        for line in table(plan).lines { try Output.line(line) }
        try Output.line(
            "distortion \(Self.digits(plan.distortion)), at most "
                + "\(Output.number(100 * plan.relativeGap, digits: 2)) % of it above the best split (bound "
                + "\(Self.digits(plan.lowerBound))), in \(Output.number(seconds * 1000, digits: 1)) ms")
    }

    private func table(_ plan: RatePlan) -> TextTable {
        func row(_ name: String, _ count: Int, _ kept: Int, _ rate: Double, _ distortion: Double) -> [String] {
            [
                name, "\(count)", "\(kept)", Output.number(100 * rate, digits: 2) + " %", Self.digits(distortion),
            ]
        }
        var rows = plan.layers.map { row($0.name, $0.count, $0.kept, $0.rate, $0.distortion) }
        rows.append(row("all", plan.count, plan.kept, plan.sparsity, plan.distortion))
        if of == .multiplications {
            let (all, kept) = (plan.totalCost, plan.keptCost)
            rows.append(
                ["multiplications", "\(all)", "\(kept)", Output.number(100 * removed(plan), digits: 2) + " %", ""])
        }
        return TextTable(
            head: [
                ("layer", .left), ("weights", .right), ("kept", .right), ("removed", .right), ("distortion", .right),
            ], rows: rows)
    }

    /// The part of the budget's measure that goes.
    private func removed(_ plan: RatePlan) -> Double { 1 - Double(plan.keptCost) / Double(max(1, plan.totalCost)) }

    private func json(_ plan: RatePlan, _ seconds: Double) -> JSON {
        let name = exact ? "exact" : lagrangian ? "lagrangian" : "buckets"
        return .object([
            "curves": .string(curves), "sparsity": .number(sparsity), "of": .string(of.rawValue),
            "solver": .string(name), "removed": .number(removed(plan)),
            "weights": .integer(plan.count), "kept": .integer(plan.kept),
            "distortion": .number(plan.distortion), "lower_bound": .number(plan.lowerBound),
            "gap": .number(plan.gap), "relative_gap": .number(plan.relativeGap), "seconds": .number(seconds),
            "layers": .array(
                plan.layers.map {
                    .object([
                        "name": .string($0.name), "weights": .integer($0.count), "kept": .integer($0.kept),
                        "rate": .number($0.rate), "distortion": .number($0.distortion),
                    ])
                }),
        ])
    }

    /// `layer,weights,kept,rate,distortion`; names with a comma or a quote are quoted.
    private static func csv(_ plan: RatePlan) -> String {
        let lines = plan.layers.map { layer -> String in
            let name =
                layer.name.contains { $0 == "," || $0 == "\"" || $0.isNewline }
                ? "\"" + layer.name.replacingOccurrences(of: "\"", with: "\"\"") + "\"" : layer.name
            return "\(name),\(layer.count),\(layer.kept),\(layer.rate),\(layer.distortion)"
        }
        return (["layer,weights,kept,rate,distortion"] + lines).joined(separator: "\n") + "\n"
    }

    /// About four digits, of numbers of any size.
    private static func digits(_ value: Double) -> String { String(format: "%.4g", value) }
}
