import ArgumentParser
import CoppiceInference
import CoppiceModels

/// `coppice logits`: the scores of the next token at every position, for parity with other engines.
struct LogitsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logits", abstract: "Print the scores of the next token at every position.")

    @OptionGroup var model: ModelArgument
    @Option(help: ArgumentHelp("Tokens, separated by commas.", valueName: "1,2,3"))
    var ids: TokenList
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let model = try LanguageModel(Checkpoint.open(model.path))
        try GenerationRequest(promptTokens: ids.values, maximumTokens: 1).validate(
            maximumContext: model.maximumContext + 1, vocabularySize: model.vocabularySize)
        let cache = model.makeCache(capacity: ids.values.count)
        let sequence = SequenceID(0)
        try cache.add(sequence, reserving: ids.values.count)
        let row = Row(sequence: sequence, start: 0, count: ids.values.count)
        let logits = try model.forward(
            [row], tokens: ids.values, cache: cache, logits: .tokens(Array(ids.values.indices))
        ).copy()
        if common.json {
            try Output.json(
                .object([
                    "ids": .array(ids.values.map { .integer($0) }),
                    "logits": .array(logits.map { row in .array(row.map { .number(Double($0)) }) }),
                ]))
        } else {
            for row in logits { try Output.line(row.map { "\($0)" }.joined(separator: " ")) }
        }
    }
}
