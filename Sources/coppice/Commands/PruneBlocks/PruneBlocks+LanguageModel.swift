import CoppiceCompression
import CoppiceInference
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Layers and sub-layers of language models.
extension PruneBlocks {
    /// Gradient flow says much about networks before training, and stored language models are trained.
    private var decoderCriterion: BlockCriterion { criterion ?? .kl }
    static let standardWindows = 64
    private static let standardLength = 128
    /// Windows whose gradients are taken together.
    static let batchSize = 8

    /// - Throws: `.usage` for options of images, and of texts that the criterion does not look at.
    func refuseForTexts(_ criterion: BlockCriterion) throws {
        let isSized = model.classes != nil || model.inputChannels != nil || model.imageSize != nil
        try refuse(
            [
                ("--data", data != nil), ("--images-per-class", imagesPerClass != nil),
                ("--removable", removable != nil), ("--classes, --input-channels, --image-size", isSized),
                ("--width-multiplier", model.widthMultiplier != nil),
            ], "is for vision networks, this is none; --calibration names a text")
        guard !criterion.needsData else { return }
        try refuse(
            [("--calibration", calibration != nil), ("--windows", windows != nil)],
            "is not looked at with --criterion \(criterion.rawValue)")
    }

    /// Scores blocks and shows how far that is.
    func scored<Scores>(
        _ criterion: BlockCriterion, _ score: ((_ done: Int, _ of: Int) -> Void) throws -> Scores
    ) rethrows -> Scores {
        let progress = common.progress
        var hasBegun = false
        let scores = try score { done, total in
            if !hasBegun { progress.begin("score", total: total, unit: criterion == .cka ? "blocks" : "windows") }
            hasBegun = true
            progress.advance(to: done, note: "")
        }
        if hasBegun { progress.end("") }
        return scores
    }

    /// The network is in memory as f32 with its gradients.
    func run(_ checkpoint: Checkpoint) throws {
        try refuseForTexts(decoderCriterion)
        let window = try windowLength(most: checkpoint.configuration.maximumPositions, source: checkpoint.path)
        try checkpoint.checkFinite()
        let early = try early(checkpoint)
        let batches = try decoderCriterion.needsData ? batches(checkpoint, length: window) : []
        let network = DecoderNetwork(checkpoint.configuration)
        try network.load(source: checkpoint.path) { try checkpoint.tensor($0) }
        let scores = try scored(decoderCriterion) { progress in
            try BlockScores(
                of: network, blocks: blocks ?? .layer, by: decoderCriterion, aggregate: aggregate, batches: batches,
                seed: seed, progress: progress)
        }
        let plan = try plan(scores, checkpoint, prompt: window)
        if let output { try plan.removal.write(checkpoint, to: output, early: early?.tensor) }
        let perplexity = skipEvaluation ? nil : try perplexity(checkpoint, plan.removal)
        let speeds =
            measure
            ? try DecoderSpeedComparison(checkpoint, network, plan.removal, prompt: window, watts: watts) : nil
        if common.json {
            guard case .object(var fields) = plan.json else { return }
            fields["criterion"] = .string(decoderCriterion.rawValue)
            fields["perplexity_before"] = perplexity.map { .number($0.before) } ?? .null
            fields["perplexity_after"] = perplexity.map { .number($0.after) } ?? .null
            fields["output"] = output.map { .string($0) } ?? .null
            fields["rewound_to"] = rewind.map { .string($0) } ?? .null
            fields["rewound_step"] = early?.step.map { .integer($0) } ?? .null
            if let speeds { fields.merge(speeds.json) { $1 } }
            try Output.json(.object(fields))
        } else {
            try Output.line(plan.text)
            if let perplexity {
                try Output.line(
                    "perplexity \(Output.number(perplexity.before, digits: 3)) → "
                        + Output.number(perplexity.after, digits: 3))
            }
            if let speeds { try Output.line(speeds.text) }
            if let output { try Output.line(outputLine(output, early?.step)) }
        }
    }

    /// - Parameter most: tokens of the model's context.
    func windowLength(most: Int, source: String) throws -> Int {
        guard let length else { return min(Self.standardLength, most) }
        guard length <= most else {
            throw CoppiceError(
                .usage, source: source, field: "--length",
                "\(length) is longer than the model's context of \(most)")
        }
        return length
    }

    private func batches(_ checkpoint: Checkpoint, length: Int) throws -> [LabeledBatch] {
        if calibration == nil { common.progress.report("note: " + CalibrationFile.defaultNote) }
        let file = try calibration ?? BuiltInModel.sampleText
        let tokens = try checkpoint.tokenizer().encode(TextFile.read(file), addingSpecialTokens: false)
        return try CalibrationWindows(
            tokens: tokens, count: windows ?? Self.standardWindows, length: length, seed: seed, source: file,
            option: "--length"
        ).batches(of: Self.batchSize, vocabularySize: checkpoint.configuration.vocabularySize)
    }

    private func plan(
        _ scores: BlockScores<DecoderBlockPlace>, _ checkpoint: Checkpoint, prompt: Int
    ) throws -> DecoderBlockPlan {
        let configuration = checkpoint.configuration
        if let count { return try DecoderBlockPlan(scores, removing: count, from: configuration) }
        if let latency {
            return try DecoderBlockPlan(scores, seconds: latency / 1e3, from: configuration) { removal in
                try DecoderSpeedComparison.reading(
                    of: DecoderSpeedComparison.model(checkpoint, removal), prompt: prompt
                ).prompt
            }
        }
        let budget = flops?.count(of: configuration.cost.multiplyAccumulates) ?? 0
        return try DecoderBlockPlan(scores, multiplications: budget, from: configuration)
    }

    /// Perplexity of the model that was judged, and of what is left of it.
    private func perplexity(
        _ checkpoint: Checkpoint, _ removal: DecoderBlockRemoval
    ) throws -> (before: Double, after: Double) {
        let tokenizer = try checkpoint.tokenizer()
        func measure(_ model: LanguageModel) throws -> Double {
            try Evaluate.measure(model, tokenizer, text: evaluate, progress: common.progress).result.perplexity
        }
        let before = try measure(LanguageModel(checkpoint))
        return (before, try measure(DecoderSpeedComparison.model(checkpoint, removal)))
    }

    /// The weights that kept blocks are put back to, and the step behind them where that is known.
    ///
    /// - Throws: `.badData` for a checkpoint of another model.
    private func early(_ checkpoint: Checkpoint) throws -> (tensor: (String) throws -> Tensor, step: Int?)? {
        guard let rewind else { return nil }
        if RunCheckpoint.isRun(rewind) {
            let run = try RunCheckpoint(rewind)
            let tensors = try run.tensors(like: checkpoint.configuration.tensorShapes)
            return (
                { name in
                    guard let tensor = tensors[name] else {
                        throw CoppiceError(.badData, source: rewind, field: name, "is missing")
                    }
                    return tensor
                }, run.step
            )
        }
        let early = try Checkpoint.open(ModelArgument.locate(rewind))
        var configuration = early.configuration
        configuration.dataType = checkpoint.configuration.dataType
        configuration.rotary.isInterleaved = checkpoint.configuration.rotary.isInterleaved
        guard configuration == checkpoint.configuration else {
            throw CoppiceError(
                .badData, source: rewind, field: "configuration",
                "is another one than that of the model whose blocks are judged, \(checkpoint.path)")
        }
        return ({ try early.tensor($0) }, nil)
    }
}
