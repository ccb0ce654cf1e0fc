import CoppiceNetworks
import CoppiceTensors

extension EncoderCheckpoint {
    /// What an encoder was trained for last.
    public enum Head: String, Sendable, Hashable {
        /// `BertForMaskedLM`, `RobertaForMaskedLM`, `BertForPreTraining`.
        case fillsGaps
        /// `BertForSequenceClassification`, `RobertaForSequenceClassification`.
        case classifies
    }

    /// What the head does: what `architectures` of the configuration says, or else whether there are tensors of a
    /// classifier alone.
    public var head: Head {
        let names = configurationJSON["architectures"]?.arrayValue?.compactMap(\.stringValue) ?? []
        if names.contains(where: { $0.hasSuffix("ForSequenceClassification") }) { return .classifies }
        let gaps = ["cls.predictions.transform.dense.weight", "lm_head.dense.weight"]
        let hasGaps = gaps.contains { storedShape($0) != nil }
        let isForGaps = names.contains { $0.hasSuffix("ForMaskedLM") || $0.hasSuffix("ForPreTraining") }
        return !hasGaps && !isForGaps && storedShape(classifierName) != nil ? .classifies : .fillsGaps
    }

    /// The matrix that gives the classes' scores.
    private var classifierName: String {
        configuration.family == .bert ? "classifier.weight" : "classifier.out_proj.weight"
    }

    /// The names of a classifier's classes, in the order of its scores: `id2label` of the configuration, or `LABEL_0`,
    /// `LABEL_1`, … for as many as `num_labels` says, 2 where it says nothing.
    ///
    /// - Throws: `.badData` for labels that are not numbered from 0 on or do not fit the head, for less than two, and for
    ///   a head that gives numbers (`problem_type` regression) or several labels at once.
    public func labels() throws -> [String] {
        let fields = ConfigurationFields(json: configurationJSON, source: folder + "/config.json")
        let kind = "single_label_classification"
        if let problem = try fields.optionalString("problem_type"), problem != kind {
            throw fields.mismatch("problem_type", kind)
        }
        let labels: [String]
        if let names = configurationJSON["id2label"]?.objectValue, !names.isEmpty {
            labels = try (0..<names.count).map { index in
                guard let name = names["\(index)"]?.stringValue else {
                    throw fields.error(
                        "id2label", "expected a name of each label from 0 to \(names.count - 1), found none of \(index)"
                    )
                }
                return name
            }
        } else {
            labels = (0..<(try fields.optionalInteger("num_labels") ?? 2)).map { "LABEL_\($0)" }
        }
        guard labels.count > 1 else {
            throw fields.error(
                configurationJSON["id2label"] == nil ? "num_labels" : "id2label",
                "expected at least 2 labels, found \(labels.count), as of a regression")
        }
        if let rows = storedShape(classifierName)?.first, rows != labels.count {
            throw CoppiceError(
                .badData, source: weights.source, field: classifierName,
                "has \(rows) rows, expected \(labels.count), one for each label of config.json")
        }
        return labels
    }

    /// The encoder with the head that classifies texts, as `BertForSequenceClassification` and
    /// `RobertaForSequenceClassification` store it. The texts of a pair are told apart as the tokenizer beside the model
    /// frames them.
    ///
    /// - Parameter expands: see ``maskedLanguageModel(expanding:)``.
    /// - Throws: `.badData` where the head is missing, for tensors that are missing or of another shape; as ``labels()``.
    public func classifier(expanding expands: Bool = true) throws -> EncoderClassifier {
        let network = try unloadedClassifier()
        try load(network, expanding: expands, expected: "ForSequenceClassification, which classifies texts")
        return network
    }

    private func unloadedClassifier() throws -> EncoderClassifier {
        let network = EncoderClassifier(unloaded: configuration, classCount: try labels().count)
        if configuration.family == .bert, configuration.tokenTypeCount > 1 {
            network.separator = try? textFrame(tokenizer()).end
        }
        return network
    }

    /// The encoder under the head that it has.
    ///
    /// - Throws: as ``maskedLanguageModel(expanding:)`` and ``classifier(expanding:)``.
    public func network(expanding expands: Bool = true) throws -> any EncoderNetwork {
        switch head {
        case .fillsGaps: try maskedLanguageModel(expanding: expands)
        case .classifies: try classifier(expanding: expands)
        }
    }

    /// The same without its weights.
    ///
    /// - Throws: as ``labels()``.
    package func unloadedNetwork() throws -> any EncoderNetwork {
        switch head {
        case .fillsGaps: MaskedLanguageEncoder(unloaded: configuration)
        case .classifies: try unloadedClassifier()
        }
    }
}

extension EncoderConfiguration {
    /// The tokens of a text or a pair of texts as an encoder reads them: `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]` of
    /// BERT, `<s> a </s>` and `<s> a </s></s> b </s>` of RoBERTa.
    ///
    /// A pair that is too long loses tokens at the end of the longer text until it fits or both are of one length, then
    /// of both, as `transformers` truncates (`longest_first`).
    ///
    /// - Parameters:
    ///   - texts: the tokens of one or two texts, without special ones.
    ///   - length: the most tokens of all.
    /// - Precondition: one or two texts, a length that holds what surrounds them.
    public func sequence(
        _ texts: [[Int]], frame: EncoderCheckpoint.TextFrame, length: Int
    ) -> (tokens: [Int], isTruncated: Bool) {
        precondition((1...2).contains(texts.count), "\(texts.count) texts")
        let separators = family == .roberta ? [frame.end, frame.end] : [frame.end]
        let room = length - 2 - (texts.count == 2 ? separators.count : 0)
        precondition(room >= 0, "\(length) tokens for \(texts.count) texts")
        guard texts.count == 2 else {
            return ([frame.begin] + texts[0].prefix(room) + [frame.end], texts[0].count > room)
        }
        let (shorter, longer) = (min(texts[0].count, texts[1].count), max(texts[0].count, texts[1].count))
        guard shorter + longer > room else {
            return ([frame.begin] + texts[0] + separators + texts[1] + [frame.end], false)
        }
        // Half for each, the rest to the longer; unless the shorter needs less.
        let least = min(shorter, room / 2)
        let counts = texts[0].count <= texts[1].count ? [least, room - least] : [room - least, least]
        return (
            [frame.begin] + texts[0].prefix(counts[0]) + separators + texts[1].prefix(counts[1]) + [frame.end], true
        )
    }
}
