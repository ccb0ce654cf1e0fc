import CoppiceInference
import CoppiceModels
import Hummingbird

extension Endpoints {
    /// `POST /tokenize`: the tokens of a `prompt`, and their number beside the context's.
    func tokenize(_ fields: RequestFields) throws -> Response {
        let engine = try directory.engine(named: try fields.string("model"))
        let prompt = try fields.required("prompt", fields.string("prompt"))
        let addsSpecialTokens = try fields.boolean("add_special_tokens") ?? true
        let tokens = engine.tokenizer.encode(prompt, addingSpecialTokens: addsSpecialTokens)
        return .json(
            .object([
                "count": .integer(tokens.count),
                "max_model_len": .integer(engine.maximumContext),
                "tokens": .array(tokens.map { .integer($0) }),
            ]))
    }

    /// `POST /detokenize`: the text of `tokens`.
    func detokenize(_ fields: RequestFields) throws -> Response {
        let engine = try directory.engine(named: try fields.string("model"))
        let elements = try fields.required("tokens", fields.array("tokens"))
        let tokens = try CompletionRequest.tokens(elements, path: "tokens")
        try requireKnown(tokens, parameter: "tokens", engine)
        let text = engine.tokenizer.decode(tokens, skippingSpecialTokens: false)
        return .json(.object(["prompt": .string(text)]))
    }
}
