import ArgumentParser
import CoppiceCompression
import CoppiceModels

/// `coppice mask extract`: which weights of a model are there.
struct MaskExtract: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "extract", abstract: "Write the mask of a sparse model, or of a dense one by magnitude.",
        discussion: """
            Zeros are what was removed. Of a dense model, --sparsity says how many of the smallest weights are. The \
            mask belongs to the model that it was taken from, or to that of --of, such as the dense model that a \
            ticket was found in.
            """)

    @OptionGroup var model: ModelArgument
    @Option(help: ArgumentHelp("The mask file to write.", valueName: "file"))
    var output: String
    @Option(help: ArgumentHelp("The dense model that the mask is to belong to.", valueName: "model"))
    var of: String?
    @Option(help: ArgumentHelp("Remove this fraction of the weights, the smallest.", valueName: "s"))
    var sparsity: Double?
    @Option(help: ArgumentHelp("With --sparsity: global (one threshold) or layer.", valueName: "s"))
    var scope: PruningScope?
    @OptionGroup var weights: WeightArguments
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if let sparsity, !(sparsity >= 0 && sparsity < 1) {
            throw ValidationError("--sparsity: expected a number from 0 to below 1, found \(sparsity)")
        }
        if sparsity == nil, scope != nil { throw ValidationError("--scope: expected --sparsity beside it") }
        if sparsity != nil, of != nil {
            throw ValidationError("--of: the mask by --sparsity belongs to the model that it is computed from")
        }
    }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let stored = try StoredWeights.open(model.path)
        let file =
            if let sparsity {
                try MaskFile(
                    smallestOf: stored, sparsity: sparsity, allocation: (scope ?? .global).allocation,
                    selection: weights.selection)
            } else {
                try MaskFile(
                    zerosOf: stored, selection: weights.selection,
                    belongingTo: of.map { try StoredWeights.open(ModelArgument.locate($0)) })
            }
        try file.write(to: output)
        if common.json {
            try Output.json(
                .object([
                    "output": .string(output), "model_digest": .string(file.modelDigest),
                    "weights": .integer(file.count), "kept": .integer(file.count - file.removedCount),
                    "sparsity": .number(file.sparsity), "matrices": .integer(file.entries.count),
                ]))
            return
        }
        let percent = Output.number(100 * file.sparsity, digits: 2)
        try Output.line(
            "\(output): \(file.entries.count) matrices, \(file.count - file.removedCount) of \(file.count) weights kept "
                + "(\(percent) % removed)")
        if file.removedCount == 0 {
            try Output.line("warning: \(model.model) has no zeros there; --sparsity removes its smallest weights")
        }
    }
}
