import ArgumentParser
import CoppiceCompression
import CoppiceModels

extension SparsityIndexAnalysis.Scope: ExpressibleByArgument {}

/// `coppice analyze sparsity-index`: how compressible weights are, in one number.
struct AnalyzeSparsityIndex: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sparsity-index",
        abstract: "Say by the PQ index how compressible the weights of a model are.",
        discussion: """
            The index is 1 - d^(1/q - 1/p) |w|_p / |w|_q of d weights: 0 where all magnitudes are equal, near 1 where \
            few weights carry nearly all. "must stay" is the share of weights below which pruning cannot go without \
            losing more than the index allows. Zeros are weights that were removed and do not count.
            """)

    @OptionGroup var model: ModelArgument
    @Option(help: ArgumentHelp("The order of the norm above the line, above 0 and below q.", valueName: "x"))
    var p = 0.5
    @Option(help: ArgumentHelp("The order of the norm below the line, up to 64.", valueName: "x"))
    var q = 1.0
    @Option(help: ArgumentHelp("tensor, neuron (each output) or global (all weights together).", valueName: "s"))
    var scope = SparsityIndexAnalysis.Scope.tensor
    @Flag(help: "Measure the Gini coefficient too.")
    var gini = false
    @Flag(help: "Count zeros as weights.")
    var countZeros = false
    @Option(help: ArgumentHelp("Write the numbers to this CSV file.", valueName: "file"))
    var csv: String?
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        var analysis = SparsityIndexAnalysis(try PQIndex(p: p, q: q), scope: scope)
        (analysis.measuresGini, analysis.countsZeros) = (gini, countZeros)
        let report = try analysis.run(StoredWeights.open(model.path), progress: common.progress)
        if let csv { try AtomicFile.write(report.csv, to: csv) }
        if common.json {
            guard case .object(var members) = report.json else { return }
            members.updateValue(.string(model.model), forKey: "model", insertingAt: 0)
            try Output.json(.object(members))
        } else {
            try Output.line("PQ index, p = \(p), q = \(q)\n" + report.text)
        }
    }
}
