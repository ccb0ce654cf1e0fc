import Foundation

/// The README of a trained model: what it is, what it was trained on and how, and how good it is.
public enum ModelCard {
    /// Rows of the loss curve that a card shows at most.
    static let largestCurve = 30

    /// The card as Markdown. A function of the run alone: the same run gives the same card.
    public static func markdown(_ result: TrainingResult, recipe: TrainingRecipe) -> String {
        var lines = ["# \(oneLine(recipe.name ?? "A small language model"))", ""]
        lines += [
            "A decoder language model (\(recipe.model.family.rawValue) architecture) with "
                + "\(grouped(result.parameters)) parameters, trained from random weights by Coppice.", "",
        ]
        lines += table(modelRows(result, recipe)) + [""]
        lines += ["## Data", ""] + dataTable(result)
        lines += [
            "",
            "Documents end at lines that equal `\(recipe.data.separator)`. Tokens include one end token a document.",
            "", "## Training", "",
        ]
        lines += table(trainingRows(result, recipe)) + [""]
        lines += resultSection(result) + curveSection(result)
        lines += ["## Recipe", "", "SHA-256 `\(recipe.hash)`", ""]
        lines += ["```yaml", recipe.text.trimmingSuffixNewlines, "```", ""]
        return lines.joined(separator: "\n")
    }

    private static func modelRows(_ result: TrainingResult, _ recipe: TrainingRecipe) -> [(String, String)] {
        let model = recipe.model
        return [
            ("Layers", "\(model.layers)"), ("Hidden size", "\(model.hiddenSize)"),
            ("Feed-forward size", "\(model.intermediateSize)"),
            ("Heads", "\(model.heads) of \(model.headSize), \(model.keyValueHeads) for keys and values"),
            ("Context", "\(model.context) tokens"),
            ("Vocabulary", "\(result.vocabularySize) tokens\(tokenizerNote(recipe))"),
            ("Embeddings", model.tiesEmbeddings ? "tied to the output head" : "separate from the output head"),
            ("Weights", "bfloat16"),
        ]
    }

    private static func tokenizerNote(_ recipe: TrainingRecipe) -> String {
        switch recipe.tokenizer {
        case .trained: ", a byte-level BPE trained on the training text"
        case .existing: ""
        }
    }

    private static func dataTable(_ result: TrainingResult) -> [String] {
        let texts = [("training", Optional(result.training)), ("validation", result.validationText)]
        let rows = texts.compactMap { name, facts in
            facts.map { facts in
                let files = facts.files.map { URL(fileURLWithPath: $0).lastPathComponent }.joined(separator: ", ")
                return "| \(name) | \(oneLine(files)) | \(facts.documents) | \(grouped(facts.bytes)) "
                    + "| \(grouped(facts.tokens)) | `\(facts.digest)` |"
            }
        }
        return ["| text | files | documents | bytes | tokens | SHA-256 |", "|---|---|---:|---:|---:|---|"] + rows
    }

    private static func trainingRows(_ result: TrainingResult, _ recipe: TrainingRecipe) -> [(String, String)] {
        let (loop, optimizer, schedule) = (recipe.loop, recipe.optimizer, recipe.schedule)
        let floor = schedule.kind == .constant ? "" : ", down to \(number(schedule.minimumRatio)) of the peak"
        let decayed =
            switch optimizer.decay {
            case .projections: "the projections"
            case .matrices: "all matrices"
            case .all: "all parameters"
            }
        var rows = [
            (
                "Tokens seen",
                "\(grouped(result.state.tokens)) (\(number(result.epochs, digits: 2)) passes over the text)"
            ),
            ("Steps", "\(result.state.step) of \(result.totalSteps)\(endNote(result))"),
            (
                "Batch",
                "\(loop.batchSize * loop.accumulation) windows of \(loop.sequenceLength) tokens"
                    + (loop.accumulation > 1 ? ", in \(loop.accumulation) parts" : "")
            ),
            (
                "Optimizer",
                "AdamW, β₁ \(number(optimizer.beta1)), β₂ \(number(optimizer.beta2)), ε \(optimizer.epsilon), "
                    + "weight decay \(number(optimizer.weightDecay)) on \(decayed)"
            ),
            (
                "Learning rate",
                "peak \(optimizer.learningRate), \(schedule.kind.rawValue), warm-up \(schedule.warmupSteps) steps\(floor)"
            ),
            ("Gradient clipping", optimizer.clipNorm.map { "global norm \(number($0))" } ?? "none"),
            ("Seed", "\(recipe.seed)"),
        ]
        if let pruning = result.pruning {
            let (schedule, window) = (pruning.schedule, pruning.schedule.window)
            rows.append(
                (
                    "Pruning",
                    "\(number(100 * pruning.sparsity)) % of the projections' \(grouped(pruning.prunableCount)) weights, "
                        + "by magnitude, \(schedule.ramp.rawValue) ramp from \(number(window.start)) to "
                        + "\(number(window.end)) of the compute of \(grouped(schedule.denseSteps)) dense steps "
                        + "(steps \(grouped(schedule.startStep)) to \(grouped(schedule.endStep))); "
                        + "\(grouped(Int(pruning.averageCount.rounded()))) weights in use on average"
                ))
        }
        if recipe.model.dropout > 0 { rows.insert(("Dropout", number(recipe.model.dropout)), at: 6) }
        return rows
    }

    private static func endNote(_ result: TrainingResult) -> String {
        result.outcome == .stoppedEarly ? " (stopped: validation no longer improved)" : ""
    }

    private static func resultSection(_ result: TrainingResult) -> [String] {
        guard let validation = result.validation else { return [] }
        return ["## Results", ""]
            + table([
                ("Validation loss", "\(number(validation.loss, digits: 4)) nats a token"),
                ("Validation perplexity", number(validation.perplexity, digits: 2)),
                ("Validation bits per byte", number(validation.bitsPerByte, digits: 4)),
                ("Weights of step", "\(validation.step)"),
            ]) + [
                "",
                "Measured in f32 during training, in windows of the training length that do not overlap; every token "
                    + "but the first is predicted once.", "",
            ]
    }

    private static func curveSection(_ result: TrainingResult) -> [String] {
        guard !result.state.curve.isEmpty else { return [] }
        var lines = [
            "## Loss curve", "", "Nats a token; the training loss is the mean since the previous validation.", "",
            "| step | tokens | training loss | validation loss | perplexity | bits per byte |",
            "|---:|---:|---:|---:|---:|---:|",
        ]
        for point in thinned(result.state.curve, keeping: result.validation?.step) {
            var cells = ["\(point.step)", grouped(point.tokens), number(point.trainingLoss, digits: 4)]
            if let loss = point.validationLoss, let text = result.validationText {
                let bits = TrainingResult.Validation.bitsPerByte(loss: loss, text: text)
                let mark = point.step == result.validation?.step ? "**" : ""
                cells += [
                    mark + number(loss, digits: 4) + mark, number(exp(loss), digits: 2), number(bits, digits: 4),
                ]
            } else {
                cells += ["", "", ""]
            }
            lines.append("| " + cells.joined(separator: " | ") + " |")
        }
        return lines + [""]
    }

    /// Rows evenly spread over the curve, the first, the last and the best among them.
    static func thinned(_ curve: [TrainingState.CurvePoint], keeping best: Int?) -> [TrainingState.CurvePoint] {
        guard curve.count > largestCurve else { return curve }
        let spread = Set((0..<largestCurve).map { $0 * (curve.count - 1) / (largestCurve - 1) })
        return curve.enumerated().filter { spread.contains($0.offset) || $0.element.step == best }.map(\.element)
    }

    // MARK: - Text

    private static func table(_ rows: [(String, String)]) -> [String] {
        ["| | |", "|---|---|"] + rows.map { "| \($0.0) | \($0.1) |" }
    }

    private static func oneLine(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: " ").replacingOccurrences(of: "|", with: "\\|")
    }

    private static func number(_ value: Double, digits: Int) -> String { String(format: "%.\(digits)f", value) }

    private static func number(_ value: Double) -> String { String(format: "%g", value) }

    /// A whole number with thin groups of three digits: 3,141,592.
    private static func grouped(_ value: Int) -> String {
        var text = ""
        for (position, digit) in String(value).reversed().enumerated() {
            if position > 0, position % 3 == 0, digit != "-" { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }
}

extension String {
    fileprivate var trimmingSuffixNewlines: String {
        var text = Substring(self)
        while text.last?.isNewline == true { text.removeLast() }
        return String(text)
    }
}
