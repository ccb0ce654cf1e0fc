import ArgumentParser
import CoppiceInference
import CoppiceModels

/// `coppice evaluate`: perplexity on a text.
struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure how well a model predicts a text: perplexity by windows that slide over it.")

    @OptionGroup var model: ModelArgument
    @Option(help: ArgumentHelp("The text (default: the sample tales that come with the program).", valueName: "file"))
    var text: String?
    @Option(help: ArgumentHelp("Tokens of a window (default: the model's context, at most 2048).", valueName: "n"))
    var context: Int?
    @Option(help: ArgumentHelp("Tokens between windows (default: the context).", valueName: "n"))
    var stride: Int?
    @OptionGroup var cache: CacheArguments
    @OptionGroup var visible: WindowArguments
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let (result, file) = try Self.measure(
            path: model.path, text: text, context: context, stride: stride, cacheElement: cache.type,
            visible: visible, progress: common.progress)
        if common.json {
            try Output.json(
                .object([
                    "model": .string(model.model), "text": .string(file), "perplexity": .number(result.perplexity),
                    "bits_per_byte": result.bitsPerByte.map { .number($0) } ?? .null, "loss": .number(result.meanLoss),
                    "tokens": .integer(result.tokens), "tokens_per_second": .number(result.tokensPerSecond),
                    "cache_type": .string(cache.type.rawValue),
                ]))
        } else {
            try Output.line(
                "perplexity \(Output.number(result.perplexity, digits: 3))  bits per byte "
                    + "\(result.bitsPerByte.map { Output.number($0, digits: 4) } ?? "-")  (\(result.tokens) tokens, "
                    + "\(Output.number(result.tokensPerSecond, digits: 0)) tokens/s)")
        }
    }

    /// Evaluates the model at a path.
    static func measure(
        path: String, text: String?, context: Int? = nil, stride: Int? = nil,
        cacheElement: KeyValueCache.Element = .f32, visible: WindowArguments? = nil, progress: any ProgressReporter
    ) throws -> (result: PerplexityEvaluator.Result, file: String) {
        let checkpoint = try Checkpoint.open(path)
        try checkpoint.checkFinite()
        let model = try LanguageModel(checkpoint)
        let evaluator = try PerplexityEvaluator(
            model, context: context, stride: stride, cacheElement: cacheElement,
            visible: visible?.streamingWindow(of: model))
        let file = try text ?? BuiltInModel.sampleText
        let content = try TextFile.read(file)
        var hasBegun = false
        let result = try evaluator.evaluate(content, tokenizer: checkpoint.tokenizer(), source: file) { done, total in
            if !hasBegun { progress.begin("evaluate", total: total, unit: "tokens") }
            hasBegun = true
            progress.advance(to: done, note: "")
        }
        progress.end("")
        return (result, file)
    }
}
