import ArgumentParser
import CoppiceInference
import CoppiceModels
import CoppiceTensors

/// `coppice chat`: a conversation on the terminal.
struct Chat: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Talk with a model.",
        discussion: "Reads one message a line until the end of input. Models without a chat template get a transcript.")

    @OptionGroup var model: ModelArgument
    @Option(help: "What the model is told before the conversation.")
    var system: String?
    @Option(help: ArgumentHelp("Tokens of one answer at most.", valueName: "n"))
    var maxTokens = 256
    @OptionGroup var mask: MaskArgument
    @OptionGroup var sampling: SamplingArguments
    @OptionGroup var execution: ExecutionArguments
    @OptionGroup var cache: CacheArguments
    @OptionGroup var visible: WindowArguments
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let checkpoint = try Checkpoint.open(model.path)
        let tokenizer = try checkpoint.tokenizer()
        let languageModel = try mask.languageModel(checkpoint, execution: execution.apply())
        let generator = try TextGenerator(
            languageModel, tokenizer: tokenizer, cacheElement: cache.type,
            window: visible.streamingWindow(of: languageModel))
        let template = try checkpoint.chatTemplate.map { try ChatTemplate($0) }
        var messages = system.map { [ChatMessage(role: "system", content: $0)] } ?? []
        while true {
            if !common.json { try Output.write("> ") }
            guard let line = readLine() else { break }
            if line.isEmpty { continue }
            messages.append(ChatMessage(role: "user", content: line))
            let (tokens, stops) = try prompt(messages, template, tokenizer)
            let request = GenerationRequest(
                promptTokens: tokens, maximumTokens: maxTokens, sampling: sampling.options, stopStrings: stops)
            let answer = try generator.generate(request) { event in
                if !common.json { try Output.write(event.text) }
                return true
            }
            messages.append(ChatMessage(role: "assistant", content: answer.text))
            if common.json {
                try Output.json(
                    .object([
                        "role": .string("assistant"), "content": .string(answer.text),
                        "finish_reason": .string(answer.finishReason.rawValue),
                        "cache_type": .string(cache.type.rawValue),
                    ]))
            } else {
                try Output.line("")
            }
        }
        if !common.json { try Output.line("") }
    }

    private func prompt(
        _ messages: [ChatMessage], _ template: ChatTemplate?, _ tokenizer: any Tokenizer
    ) throws -> (tokens: [Int], stops: [String]) {
        guard let template else {
            let turns: [String] = messages.map { message in
                switch message.role {
                case "system": "\(message.content)\n\n"
                case "user": "User: \(message.content)\n\n"
                default: "Assistant: \(message.content)\n\n"
                }
            }
            return (tokenizer.encode(turns.joined() + "Assistant:", addingSpecialTokens: true), ["\nUser:"])
        }
        let text = try template.render(
            messages: messages, addGenerationPrompt: true, beginToken: tokenizer.beginToken.map(tokenizer.piece) ?? "",
            endToken: tokenizer.endTokens.min().map(tokenizer.piece) ?? "")
        return (tokenizer.encode(text, parsingSpecialTokens: true), [])
    }
}
