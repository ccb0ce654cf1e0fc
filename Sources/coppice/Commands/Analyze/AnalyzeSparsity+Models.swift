import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// What is measured of a model of each kind, and on what.
extension AnalyzeSparsity {
    /// What was found of a model, and on what, for people.
    typealias Found = (result: SparsityAnalysis.Result, measuredOn: String)

    /// - Throws: `.usage` for options of other kinds of models; what opening model and data throws.
    func analyze(_ path: String) throws -> Found {
        switch try AnyCheckpoint.open(path) {
        case .vision(let checkpoint): return try classifyImages(checkpoint)
        case .languageModel(let checkpoint):
            try checkRunningText()
            return try predict(checkpoint)
        case .encoder(let checkpoint):
            guard checkpoint.head == .fillsGaps else { return try classifyTexts(checkpoint) }
            try checkRunningText()
            return try fillGaps(checkpoint)
        }
    }

    // MARK: - Kinds

    private func classifyImages(_ checkpoint: VisionCheckpoint) throws -> Found {
        try refuse(
            [("--text", text != nil), ("--windows", windows != nil), ("--length", length != nil)] + labels.given,
            "is for texts; --data names the images of a vision network")
        try refuse(
            [("--fine-tune", fineTune != nil)],
            "names a text; --protocol fine-tune trains a vision network on the training images of --data")
        try refuse(
            [("--pattern", pattern == .heads)],
            "heads are of language models and encoders, expected unstructured or n:M for a vision network")
        guard let data else {
            throw CoppiceError(
                .usage, field: "--data", "is missing: a vision network is measured on the images of a folder")
        }
        let images = try CompressionImages(folder: data, for: checkpoint, seed: seed)
        var analysis = analysis
        if course == .fineTune || normBatches != nil {
            guard let training = images.training else {
                throw CoppiceError(
                    .usage, field: course == .fineTune ? "--protocol" : "--norm-batches",
                    "needs training images, and \(data) has none")
            }
            let batches = ImageBatches(training, batchSize: batchSize ?? 64, seed: seed)
            if course == .fineTune { analysis.fineTuning = fineTuning(on: batches, rate: 1e-3) }
            analysis.normStatistics = normBatches.map { .init(of: batches, batchCount: $0) }
        }
        let network = try checkpoint.network()
        if normBatches != nil, MaskFile.statistics(of: network).isEmpty {
            throw CoppiceError(
                .usage, field: "--norm-batches",
                "\(checkpoint.architecture) has no batch norms with running statistics")
        }
        let set = images.evaluation
        let result = try showing {
            try analysis.run(
                network, on: set, by: eval ?? .accuracy, aliases: checkpoint.aliases, progress: $0)
        }
        return (result, "\(set.count) \(images.evaluatedOn.rawValue) \(set.noun) of \(set.name)")
    }

    private func classifyTexts(_ checkpoint: EncoderCheckpoint) throws -> Found {
        try refuseImages()
        try refuse([("--windows", windows != nil)], "is for running texts, and a classifier reads texts with labels")
        guard let text else {
            throw CoppiceError(
                .usage, field: "--text", "is missing: a classifier is measured on a file of texts with labels")
        }
        func read(_ file: String) throws -> (labelled: LabelledTexts, encoded: EncodedTexts) {
            let labelled = try labels.read(file, for: checkpoint)
            let encoded = try EncodedTexts(labelled, for: checkpoint, length: length ?? Self.standardLength)
            if let note = encoded.note { common.progress.report("note: \(file): \(note)") }
            return (labelled, encoded)
        }
        let texts = try read(text)
        var analysis = analysis
        if let file = try fineTuningText() {
            let training = try read(file)
            if training.labelled.examples == texts.labelled.examples {
                common.progress.report(
                    "warning: --fine-tune has the texts that accuracy is measured on (--text): what is measured says "
                        + "little of other texts")
            }
            analysis.fineTuning = fineTuning(
                on: EncodedTextBatches(training.encoded, batchSize: batchSize ?? 64, seed: seed))
        }
        let network = try checkpoint.classifier()
        let result = try showing {
            try analysis.run(network, on: texts.encoded, by: eval ?? .accuracy, progress: $0)
        }
        return (result, "\(texts.encoded.count) texts of \(text)")
    }

    private func fillGaps(_ checkpoint: EncoderCheckpoint) throws -> Found {
        let network = try checkpoint.maskedLanguageModel()
        let tokenizer = try checkpoint.tokenizer()
        let frame = try checkpoint.textFrame(tokenizer)
        // Two places are for the tokens that begin and end a text.
        let size = min(length ?? Self.standardLength, checkpoint.configuration.longestText - 2)
        guard size > 0 else {
            throw CoppiceError(
                .badData, source: checkpoint.path, field: "max_position_embeddings",
                "leaves \(checkpoint.configuration.longestText) tokens for a text, expected at least 3")
        }
        let text = try evaluationWindows(tokenizer, length: size - 1)
        var analysis = analysis
        if let fineTune = try fineTuningText() {
            let tokens = tokenizer.encode(try TextFile.read(fineTune), addingSpecialTokens: false)
            guard tokens.count >= size else {
                throw CoppiceError(
                    .badData, source: fineTune, "has \(tokens.count) tokens, expected at least \(size), a window")
            }
            analysis.fineTuning = fineTuning(
                on: MaskedWindows(
                    tokens, length: size + 2, batchSize: batchSize ?? 8, frame: frame,
                    vocabularySize: checkpoint.configuration.vocabularySize, seed: seed))
        }
        let result = try showing { try analysis.run(network, windows: text.windows, frame: frame, progress: $0) }
        return (result, text.name)
    }

    private func predict(_ checkpoint: Checkpoint) throws -> Found {
        let tokenizer = try checkpoint.tokenizer()
        let configuration = checkpoint.configuration
        let size = min(length ?? Self.standardLength, configuration.maximumPositions - 1)
        let network = DecoderNetwork(configuration)
        try network.load(source: checkpoint.path) { try checkpoint.tensor($0) }
        var analysis = analysis
        if let fineTune = try fineTuningText() {
            let tokens = tokenizer.encode(try TextFile.read(fineTune), addingSpecialTokens: false).map { Int32($0) }
            let stream = TokenStream(tokens: tokens, byteCount: 0)
            try stream.check(length: size, vocabularySize: configuration.vocabularySize, source: fineTune)
            analysis.fineTuning = fineTuning(
                on: TokenWindows(stream, length: size, batchSize: batchSize ?? 8, seed: seed))
        }
        let text = try evaluationWindows(tokenizer, length: size)
        let result = try showing { try analysis.run(network, windows: text.windows, progress: $0) }
        return (result, text.name)
    }

    // MARK: - Parts

    private static let standardLength = 256

    /// Windows of the text that is measured on.
    private func evaluationWindows(
        _ tokenizer: any Tokenizer, length: Int
    ) throws -> (windows: [[Int]], name: String) {
        let file = try text ?? BuiltInModel.sampleText
        let windows = try SparsityAnalysis.windows(
            of: tokenizer.encode(try TextFile.read(file), addingSpecialTokens: false), count: windows ?? 24,
            length: length, source: file)
        return (windows, "\(windows.count) windows of \(text ?? "the sample tales")")
    }

    /// Refuses what a running text is not measured by.
    private func checkRunningText() throws {
        try refuseImages()
        try refuse(labels.given, "is for classifiers of texts, this model is none")
        try refuse(
            [("--eval", eval == .accuracy)],
            "accuracy needs labels, and this model is measured on a running text, expected loss")
    }

    private func refuseImages() throws {
        try refuse([("--data", data != nil)], "is for vision networks, this is none; --text names a text")
        try refuse([("--norm-batches", normBatches != nil)], "is for vision networks, which have batch norms")
    }

    private func refuse(_ options: [(name: String, isGiven: Bool)], _ message: String) throws {
        if let (name, _) = options.first(where: \.isGiven) { throw CoppiceError(.usage, field: name, message) }
    }

    /// The text to train on; nil in the zero-shot protocol.
    ///
    /// - Throws: `.usage` where it is missing.
    private func fineTuningText() throws -> String? {
        guard course == .fineTune else { return nil }
        guard let fineTune else {
            throw CoppiceError(.usage, field: "--fine-tune", "is missing: --protocol fine-tune trains on its text")
        }
        return fineTune
    }

    private func fineTuning(on source: any BatchSource, rate: Double = 2e-5) -> SparsityAnalysis.FineTuning {
        .init(
            SparsityAnalysis.FineTuning.training(steps: steps ?? 100, learningRate: learningRate ?? rate), on: source)
    }

    /// All but what is trained and measured on.
    private var analysis: SparsityAnalysis {
        var analysis = SparsityAnalysis()
        (analysis.pattern, analysis.scope, analysis.sparsities) = (pattern, scope, grid)
        (analysis.refinesKnee, analysis.comparesRandom) = (refine, random)
        (analysis.tolerance, analysis.seed) = (tolerance, seed)
        analysis.selection = WeightSelection(
            targets: targets.map(NameList.patterns), ignore: ignore.map(NameList.patterns) ?? [])
        return analysis
    }

    /// Runs an analysis with progress shown.
    private func showing<Result>(_ body: ((SparsitySweep.Progress) -> Void) throws -> Result) rethrows -> Result {
        let progress = common.progress
        progress.begin("prune and evaluate", total: 0, unit: "evaluations")
        defer { progress.end("") }
        return try body { step in
            progress.report(
                "\(step.completed) of \(step.total): \(step.label) \(Output.number(100 * step.sparsity, digits: 0)) % "
                    + "\(step.measure.rawValue) \(Output.number(step.measure.value(step.loss), digits: 4))")
        }
    }
}
