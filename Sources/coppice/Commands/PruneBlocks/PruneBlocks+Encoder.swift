import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Layers of encoders.
extension PruneBlocks {
    private var encoderCriterion: BlockCriterion { criterion ?? .kl }

    /// The network is in memory as f32 with its gradients.
    func run(_ checkpoint: EncoderCheckpoint) throws {
        try refuseForTexts(encoderCriterion)
        try refuse(
            [("--rewind", rewind != nil), ("--measure", measure)], "is for vision networks and language models")
        guard [nil, .layer].contains(blocks) else {
            throw CoppiceError(
                .usage, field: "--blocks", "is for language models, expected layer: layers of encoders go as a whole")
        }
        let longest = checkpoint.configuration.longestText
        let window = try windowLength(most: longest, source: checkpoint.path)
        guard window >= 3 else {
            throw CoppiceError(
                .usage, field: "--length",
                "\(window), expected at least 3, a token between those that begin and end a text")
        }
        let network = try checkpoint.maskedLanguageModel()
        let samples = try encoderCriterion.needsData ? samples(checkpoint, length: window) : []
        let scores = try scored(encoderCriterion) { progress in
            try BlockScores(
                of: network, blocks: EncoderLayerPlace.all(of: checkpoint.configuration), by: encoderCriterion,
                aggregate: aggregate, batches: samples, seed: seed, progress: progress)
        }
        let plan = try plan(scores, network, length: window)
        if let output { try plan.removal.write(checkpoint, to: output) }
        let perplexity = skipEvaluation ? nil : try perplexity(checkpoint, network, plan.removal)
        if common.json {
            guard case .object(var fields) = plan.json else { return }
            fields["criterion"] = .string(encoderCriterion.rawValue)
            fields["perplexity_before"] = perplexity.map { .number($0.before) } ?? .null
            fields["perplexity_after"] = perplexity.map { .number($0.after) } ?? .null
            fields["output"] = output.map { .string($0) } ?? .null
            try Output.json(.object(fields))
        } else {
            try Output.line(plan.text)
            if let perplexity {
                try Output.line(
                    "perplexity of hidden tokens \(Output.number(perplexity.before, digits: 3)) → "
                        + Output.number(perplexity.after, digits: 3))
            }
            if let output { try Output.line(outputLine(output, nil)) }
        }
    }

    /// Windows with hidden tokens.
    private func samples(_ checkpoint: EncoderCheckpoint, length: Int) throws -> [LabeledBatch] {
        if calibration == nil { common.progress.report("note: " + CalibrationFile.defaultNote) }
        let file = try calibration ?? BuiltInModel.sampleText
        let tokenizer = try checkpoint.tokenizer()
        let tokens = tokenizer.encode(try TextFile.read(file), addingSpecialTokens: false)
        return try MaskedWindows.samples(
            of: CalibrationWindows(
                tokens: tokens, count: windows ?? Self.standardWindows, length: length - 2, seed: seed, source: file,
                option: "--length"
            ).windows, batchSize: Self.batchSize, frame: checkpoint.textFrame(tokenizer),
            vocabularySize: checkpoint.configuration.vocabularySize, seed: seed)
    }

    private func plan(
        _ scores: BlockScores<EncoderLayerPlace>, _ network: MaskedLanguageEncoder, length: Int
    ) throws -> EncoderLayerPlan {
        let configuration = network.configuration
        if let count { return try EncoderLayerPlan(scores, removing: count, from: configuration) }
        if let latency {
            var generator = RandomGenerator(seed: seed)
            let tokens = (0..<length).map { _ in Int.random(in: 0..<configuration.vocabularySize, using: &generator) }
            let text = Tensor(tokens, shape: [1, length])
            return try EncoderLayerPlan(scores, seconds: latency / 1e3, from: configuration) { removal in
                NetworkSpeed.passSeconds(of: removal(network), on: text)
            }
        }
        let budget = flops?.count(of: configuration.cost.multiplyAccumulates) ?? 0
        return try EncoderLayerPlan(scores, multiplications: budget, from: configuration)
    }

    /// Perplexity of the encoder that was judged, and of what is left of it.
    private func perplexity(
        _ checkpoint: EncoderCheckpoint, _ network: MaskedLanguageEncoder, _ removal: EncoderLayerRemoval
    ) throws -> (before: Double, after: Double) {
        func measure(_ network: MaskedLanguageEncoder) throws -> Double {
            try Evaluate.measure(network, of: checkpoint, text: evaluate, progress: common.progress).result.perplexity
        }
        return (try measure(network), try measure(removal(network)))
    }
}
