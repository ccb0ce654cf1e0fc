import CoppiceModels
import CoppiceTensors
import CoppiceTraining

extension Evaluate {
    /// Texts that are read together.
    private static let batchSize = 32

    /// Measures accuracy and loss on texts with labels.
    func classifyTexts(_ file: String) throws {
        guard case .encoder(let checkpoint) = try AnyCheckpoint.open(model.path), checkpoint.head == .classifies else {
            throw CoppiceError(
                .usage, source: try model.path,
                "is no classifier of texts, expected a BertForSequenceClassification or "
                    + "RobertaForSequenceClassification for --labelled")
        }
        let labelled = try labels.read(file, for: checkpoint)
        let found = try Self.measure(
            checkpoint, mask: mask, on: labelled, length: context, progress: common.progress)
        let result = found.result
        if common.json {
            try Output.json(
                .object([
                    "model": .string(model.model), "mask": mask.json, "labelled": .string(file),
                    "labels": .array(try checkpoint.labels().map { .string($0) }), "count": .integer(result.count),
                    "correct": .integer(result.correct), "accuracy": .number(result.accuracy),
                    "loss": .number(result.loss), "truncated": .integer(found.truncated),
                    "examples_per_second": .number(found.examplesPerSecond),
                ]))
        } else {
            try Output.line(
                "accuracy \(Output.number(result.accuracy, digits: 4))  loss \(Output.number(result.loss, digits: 4))  "
                    + "(\(result.correct) of \(result.count) examples, "
                    + "\(Output.number(found.examplesPerSecond, digits: 0)) examples/s)")
        }
    }

    /// Classifies texts as the classifier's matrices are stored.
    ///
    /// - Parameter length: the most tokens of an example; nil: the encoder's context.
    /// - Throws: `.usage` for a length beyond the context; `.badData` where scores are not finite.
    static func measure(
        _ checkpoint: EncoderCheckpoint, mask: MaskArgument? = nil, on labelled: LabelledTexts, length: Int? = nil,
        progress: any ProgressReporter
    ) throws -> (result: Classification, truncated: Int, examplesPerSecond: Double) {
        let longest = checkpoint.configuration.longestText
        if let length, !(5...max(5, longest)).contains(length) {
            throw CoppiceError(
                .usage, field: "--context", "\(length), expected 5 to \(longest) tokens, the encoder's context")
        }
        let texts = try EncodedTexts(labelled, for: checkpoint, length: length)
        if let note = texts.note { progress.report("note: " + note) }
        let isMasked = mask?.mask != nil
        var network = try checkpoint.classifier(expanding: isMasked)
        if let mask { network = try mask.masked(network, of: .encoder(checkpoint)) }
        progress.begin("evaluate", total: texts.count, unit: "examples")
        let start = ContinuousClock.now
        let result =
            Classification.measure(network, on: texts.batches(of: batchSize)) { done in
                progress.advance(to: done, note: "")
                return true
            } ?? Classification()
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        progress.end("")
        guard result.loss.isFinite else {
            throw CoppiceError(
                .badData, source: checkpoint.path, "the loss on \(labelled.source) is not finite")
        }
        return (result, texts.truncatedCount, Double(texts.count) / max(seconds, 1e-9))
    }
}
