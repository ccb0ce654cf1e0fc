import ArgumentParser
import CoppiceInference

/// How the next token is chosen.
struct SamplingArguments: ParsableArguments {
    @Option(help: ArgumentHelp("0 takes the likeliest token; higher is bolder.", valueName: "t"))
    var temperature = 0.8

    @Option(name: .customLong("top-k"), help: ArgumentHelp("Only the k likeliest tokens; 0 for all.", valueName: "k"))
    var topK = 0

    @Option(
        name: .customLong("top-p"),
        help: ArgumentHelp("Only the likeliest tokens that have probability p together.", valueName: "p"))
    var topP = 0.95

    @Option(
        name: .customLong("min-p"),
        help: ArgumentHelp("Only tokens at least p times as likely as the likeliest.", valueName: "p"))
    var minP = 0.0

    @Option(help: ArgumentHelp("Above 1 makes tokens that occurred less likely.", valueName: "x"))
    var repetitionPenalty = 1.0

    @Option(help: ArgumentHelp("Taken from the score of every token that occurred.", valueName: "x"))
    var presencePenalty = 0.0

    @Option(help: ArgumentHelp("Taken from a token's score for each time that it occurred.", valueName: "x"))
    var frequencyPenalty = 0.0

    @Option(help: ArgumentHelp("Makes the choice repeatable.", valueName: "n"))
    var seed: UInt64?

    var options: SamplingOptions {
        SamplingOptions(
            temperature: temperature, topK: topK, topP: topP, minP: minP, repetitionPenalty: repetitionPenalty,
            presencePenalty: presencePenalty, frequencyPenalty: frequencyPenalty, seed: seed)
    }
}
