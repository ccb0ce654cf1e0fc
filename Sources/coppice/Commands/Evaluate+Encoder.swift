import CoppiceModels
import CoppiceTensors
import CoppiceTraining

extension Evaluate {
    /// Measures an encoder by the gaps that it fills.
    func fillGaps(_ checkpoint: EncoderCheckpoint) throws {
        guard checkpoint.head == .fillsGaps else {
            throw CoppiceError(
                .usage, source: checkpoint.path, "classifies texts, expected --labelled with texts and labels")
        }
        let foreign = [("--stride", stride != nil), ("--window", visible.window != nil)]
        if let (name, _) = foreign.first(where: \.1) {
            throw CoppiceError(.usage, field: name, "is for language models that read from left to right")
        }
        let (result, file) = try Self.measure(
            checkpoint, mask: mask, text: text, context: context, progress: common.progress)
        if common.json {
            try Output.json(
                .object([
                    "model": .string(model.model), "mask": mask.json, "text": .string(file),
                    "perplexity": .number(result.perplexity),
                    "loss": .number(result.loss), "hidden_tokens": .integer(result.hiddenTokens),
                    "tokens": .integer(result.tokens), "tokens_per_second": .number(result.tokensPerSecond),
                ]))
        } else {
            try Output.line(
                "perplexity of hidden tokens \(Output.number(result.perplexity, digits: 3))  loss "
                    + "\(Output.number(result.loss, digits: 4))  (\(result.hiddenTokens) of \(result.tokens) tokens, "
                    + "\(Output.number(result.tokensPerSecond, digits: 0)) tokens/s)")
        }
    }

    /// Evaluates an encoder that fills gaps.
    static func measure(
        _ checkpoint: EncoderCheckpoint, mask: MaskArgument? = nil, text: String?, context: Int? = nil,
        progress: any ProgressReporter
    ) throws -> (result: MaskedEvaluation.Result, file: String) {
        func network() throws -> MaskedLanguageEncoder {
            guard let mask, mask.mask != nil else { return try checkpoint.maskedLanguageModel(expanding: false) }
            return try mask.masked(checkpoint.maskedLanguageModel(), of: .encoder(checkpoint))
        }
        return try measure(
            network(), of: checkpoint, text: text, context: context,
            progress: progress)
    }

    /// Evaluates a network with the tokenizer of a checkpoint.
    static func measure(
        _ network: @autoclosure () throws -> MaskedLanguageEncoder, of checkpoint: EncoderCheckpoint, text: String?,
        context: Int? = nil, progress: any ProgressReporter
    ) throws -> (result: MaskedEvaluation.Result, file: String) {
        let longest = checkpoint.configuration.longestText
        let length = context ?? min(longest, 256)
        guard (3...max(3, longest)).contains(length), longest >= 3 else {
            throw CoppiceError(
                .usage, field: "--context", "\(length), expected 3 to \(longest) tokens, the encoder's context")
        }
        let network = try network()
        let tokenizer = try checkpoint.tokenizer()
        let file = try text ?? BuiltInModel.sampleText
        let tokens = try tokenizer.encode(TextFile.read(file), addingSpecialTokens: false)
        let evaluation = MaskedEvaluation(frame: try checkpoint.textFrame(tokenizer), length: length)
        var hasBegun = false
        let result = try evaluation.run(network, on: tokens, source: file) { done, total in
            if !hasBegun { progress.begin("evaluate", total: total, unit: "windows") }
            hasBegun = true
            progress.advance(to: done, note: "")
        }
        progress.end("")
        return (result, file)
    }
}
