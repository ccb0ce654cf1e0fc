import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// What compressions of a model look at, train on and are measured on: texts, or images.
struct CompressionData: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Text for what methods look at and train on (default: the sample tales that come with the program); of a "
                + "classifier of texts, texts with labels.",
            valueName: "file"))
    var calibration: String?
    @Option(
        help: ArgumentHelp(
            "Text to measure perplexity on, before and after; texts with labels, for a classifier's accuracy.",
            valueName: "file"))
    var evaluate: String?
    @OptionGroup var labels: LabelledArguments
    @Option(
        help: ArgumentHelp(
            "Images of a vision network: what methods learn from and accuracy is measured on.", valueName: "folder"))
    var data: String?
    @Flag(help: "Do not measure perplexity, or a classifier's accuracy.")
    var skipEvaluation = false

    /// The model at a path, with the data that some recipes need, ready for the neediest of them; the others take its
    /// place (``ModelCompression/replacing(_:)``).
    ///
    /// - Precondition: at least one recipe.
    /// - Throws: `.usage` for data of the other kind of model and for a training without a text; what opening model and
    ///   data throws; `.badData` for a recipe that does not fit the model.
    func open(_ path: String, for recipes: [Recipe]) throws -> any ModelCompression {
        let model = try AnyCheckpoint.open(path)
        let needy = recipes.first(where: \.trains) ?? recipes.first(where: \.needsCalibration) ?? recipes[0]
        if case .encoder(let checkpoint) = model, checkpoint.head == .classifies {
            try refuseImages()
            return try ClassifierCompression(
                checkpoint, needy, calibration: calibration, evaluation: skipEvaluation ? nil : evaluate,
                columns: labels)
        }
        if let (name, _) = labels.given.first(where: \.isGiven) {
            throw CoppiceError(.usage, field: name, "is for classifiers of texts, this model is none")
        }
        switch model {
        case .vision(let checkpoint):
            for (name, value) in [("--calibration", calibration), ("--evaluate", evaluate)] where value != nil {
                throw CoppiceError(.usage, field: name, "is for language models; --data names images")
            }
            return try VisionCompression(checkpoint, needy, folder: data)
        case .languageModel(let checkpoint):
            return try text(
                needy, checkpoint.path, checkpoint.tokenizer, { try Compressor(checkpoint, recipe: $0) },
                perplexity: { [evaluate] path, progress in
                    try Evaluate.measure(path: path, text: evaluate, progress: progress).result.perplexity
                })
        case .encoder(let checkpoint):
            return try text(
                needy, checkpoint.path, checkpoint.tokenizer, { try EncoderCompressor(checkpoint, recipe: $0) },
                perplexity: { [evaluate] path, progress in
                    try Evaluate.measure(.open(path), text: evaluate, progress: progress).result.perplexity
                })
        }
    }

    private func text(
        _ recipe: Recipe, _ path: String, _ tokenizer: () throws -> any Tokenizer,
        _ compressor: @escaping (Recipe) throws -> any TextCompressor,
        perplexity: @escaping (_ path: String, any ProgressReporter) throws -> Double
    ) throws -> TextCompression {
        try refuseImages()
        return try TextCompression(
            path, recipe, calibration: calibration, text: evaluate, measures: !skipEvaluation, tokenizer: tokenizer,
            compressor: compressor, perplexity: perplexity)
    }

    private func refuseImages() throws {
        guard data == nil else {
            throw CoppiceError(
                .usage, field: "--data", "is for vision networks, this is none; --calibration names a text")
        }
    }

    /// Reads `0.5,0.8,0.9`; ascending, without repetitions.
    static func sparsities(_ text: String) throws -> [Double] {
        let numbers = try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            guard let number = Double(part.trimmingCharacters(in: .whitespaces)), number >= 0, number < 1 else {
                throw CoppiceError(
                    .usage, field: "--sparsity", "expected numbers from 0 to below 1, found \"\(part.prefix(20))\"")
            }
            return number
        }
        return Set(numbers).sorted()
    }
}
