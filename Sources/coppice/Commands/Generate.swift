import ArgumentParser
import CoppiceInference
import CoppiceModels

/// `coppice generate`: continues a text.
struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Continue a text.")

    @OptionGroup var model: ModelArgument
    @Option(help: "The text to continue.")
    var prompt: String
    @Option(help: ArgumentHelp("Tokens to write at most.", valueName: "n"))
    var maxTokens = 128
    @Option(help: ArgumentHelp("Stop before this text; may be given several times.", valueName: "text"))
    var stop: [String] = []
    @Flag(help: "Go on after the model's end token.")
    var ignoreEnd = false
    @OptionGroup var mask: MaskArgument
    @OptionGroup var sampling: SamplingArguments
    @OptionGroup var execution: ExecutionArguments
    @OptionGroup var cache: CacheArguments
    @OptionGroup var visible: WindowArguments
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let checkpoint = try Checkpoint.open(model.path)
        let languageModel = try mask.languageModel(checkpoint, execution: execution.apply())
        let generator = try TextGenerator(
            languageModel, tokenizer: checkpoint.tokenizer(), cacheElement: cache.type,
            window: visible.streamingWindow(of: languageModel))
        let request = GenerationRequest(
            promptTokens: generator.tokenizer.encode(prompt, addingSpecialTokens: true), maximumTokens: maxTokens,
            sampling: sampling.options, stopStrings: stop, ignoresEndToken: ignoreEnd)
        if !common.json { try Output.write(prompt) }
        let result = try generator.generate(request) { event in
            if !common.json { try Output.write(event.text) }
            return true
        }
        guard common.json else { return try Output.line("") }
        let prefill = result.prefill / .seconds(1)
        let decoding = result.decoding / .seconds(1)
        try Output.json(
            .object([
                "model": .string(model.model), "prompt": .string(prompt), "text": .string(result.text),
                "tokens": .array(result.tokens.map { .integer($0) }),
                "prompt_tokens": .integer(request.promptTokens.count),
                "generated_tokens": .integer(result.tokens.count),
                "finish_reason": .string(result.finishReason.rawValue), "prefill_seconds": .number(prefill),
                "decode_seconds": .number(decoding),
                "decode_tok_s": .number(decoding > 0 ? Double(result.tokens.count) / decoding : 0),
                "cache_type": .string(cache.type.rawValue), "cache_bytes": .integer(generator.cacheByteCount),
            ]))
    }
}
