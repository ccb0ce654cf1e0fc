import CoppiceCompression

extension EncoderSparsityMeasurement {
    var facts: [ExperimentReport.Fact] {
        let configuration = size.configuration
        return [
            .init(
                "encoder",
                "RoBERTa, \(configuration.layerCount) layers of width \(configuration.hiddenSize), "
                    + "\(configuration.headCount) heads, \(prunableCount) prunable weights"),
            .init(
                "encoder's texts",
                "\(letters) letters and spaces of each of \(LetterTexts.files.map(\.0).joined(separator: ", "))"),
            .init(
                "pre-training",
                "\(size.pretrainingSteps) steps of \(size.pretrainingBatch) windows of \(size.context), AdamW, peak "
                    + "rate \(MarkupText.number(size.pretrainingRate)), \(size.checkpoints) checkpoints, s_τ at every "
                    + "second one"),
            .init(
                "fine-tuning",
                "\(size.tuningSteps) steps of \(size.tuningBatch) of \(size.tuningPassages) passages, AdamW, rate "
                    + "\(MarkupText.number(size.tuningRate)) falling to 0; \(size.testPassages) test passages"),
            .init(
                "control from initial weights",
                "alike, and \(size.controlSteps) steps at rate \(MarkupText.number(size.controlRate))"),
            .init("encoder's seeds", trials.map { "\($0.seed)" }.joined(separator: ", ")),
        ]
    }

    static let protocolText =
        "Encoder, fine-tune protocol: encoders are pre-trained on gaps in windows of letters (15 % asked for), then "
        + "pruned in one shot and fine-tuned with the mask held, to say whether a passage, the letter before which is "
        + "hidden, begins where a word begins or inside one. \"Iterative\" trains, removes the next tenth of the "
        + "weights, rewinds the rest to the pre-trained ones and trains again. Every fine-tuning sees the same "
        + "batches. s_τ allows 5 % of what is above guessing after fine-tuning, 1 % of what the loss is below guessing "
        + "without."

    var notes: [String] {
        trials.map(\.tuned).firstStarved(by: Label.global).map { first in
            "In an encoder a global threshold leaves less than 5 % of \(first.weight) at "
                + "\(MarkupText.percent(first.sparsity)) in all, the first matrix to starve."
        }.map { [$0] } ?? []
    }
}
