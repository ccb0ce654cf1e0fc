import ArgumentParser
import CoppiceInference
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// `coppice evaluate`: perplexity on a text, or accuracy on images or labelled texts.
struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure how well a model predicts a text (perplexity) or classifies images or texts (accuracy).",
        discussion: """
            Encoders (BERT, RoBERTa) are measured by 15 % of the text's tokens that are hidden from them; those that \
            classify texts by --labelled, a file of tab- or comma-separated values with a line of names, or of JSON \
            objects, one a line.
            """)

    @OptionGroup var model: ModelArgument
    @Option(help: ArgumentHelp("The text (default: the sample tales that come with the program).", valueName: "file"))
    var text: String?
    @Option(help: ArgumentHelp("Tokens of a window (default: the model's context, at most 2048).", valueName: "n"))
    var context: Int?
    @Option(help: ArgumentHelp("Tokens between windows (default: the context).", valueName: "n"))
    var stride: Int?
    @Option(
        help: ArgumentHelp(
            "Classify the images or series of this folder instead: IDX, CIFAR, a folder for each class, or UCR's TSV.",
            valueName: "folder"))
    var images: String?
    @Option(help: ArgumentHelp("The part of the images: train or test (default: test).", valueName: "part"))
    var split: ImageDataSet.Split?
    @Option(
        help: ArgumentHelp("Classify the texts of this file instead: TSV, CSV or JSON lines.", valueName: "file"))
    var labelled: String?
    @OptionGroup var labels: LabelledArguments
    @OptionGroup var mask: MaskArgument
    @OptionGroup var cache: CacheArguments
    @OptionGroup var visible: WindowArguments
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if images == nil, split != nil { throw ValidationError("--split: expected --images beside it") }
        let ofTexts = [("--text", text != nil), ("--context", context != nil), ("--stride", stride != nil)]
        if images != nil, let (name, _) = ofTexts.first(where: \.1) {
            throw ValidationError("\(name): does not go with --images")
        }
        let others = [("--images", images != nil), ("--text", text != nil), ("--stride", stride != nil)]
        if labelled != nil, let (name, _) = others.first(where: \.1) {
            throw ValidationError("\(name): does not go with --labelled")
        }
        if labelled == nil, let (name, _) = labels.given.first(where: \.isGiven) {
            throw ValidationError("\(name): expected --labelled beside it")
        }
    }

    func run() throws {
        common.apply()
        if let images { return try classify(images) }
        if let labelled { return try classifyTexts(labelled) }
        if EncoderCheckpoint.isMeant(try model.path) { return try fillGaps(.open(model.path)) }
        let (result, file) = try Self.measure(
            path: model.path, mask: mask, text: text, context: context, stride: stride,
            cacheElement: cache.exactType, visible: visible, progress: common.progress)
        if common.json {
            try Output.json(
                .object([
                    "model": .string(model.model), "mask": mask.json, "text": .string(file),
                    "perplexity": .number(result.perplexity),
                    "bits_per_byte": result.bitsPerByte.map { .number($0) } ?? .null, "loss": .number(result.meanLoss),
                    "tokens": .integer(result.tokens), "tokens_per_second": .number(result.tokensPerSecond),
                    "cache_type": .string(cache.exactType.rawValue),
                ]))
        } else {
            try Output.line(
                "perplexity \(Output.number(result.perplexity, digits: 3))  bits per byte "
                    + "\(result.bitsPerByte.map { Output.number($0, digits: 4) } ?? "-")  (\(result.tokens) tokens, "
                    + "\(Output.number(result.tokensPerSecond, digits: 0)) tokens/s)")
        }
    }

    /// Measures accuracy and loss on the images of a folder.
    private func classify(_ folder: String) throws {
        let checkpoint = try VisionCheckpoint.open(model.path)
        let data = try ImageDataSet.open(
            folder, split: split ?? .test, for: checkpoint.architecture, normalization: checkpoint.normalization)
        let network = try mask.masked(checkpoint.network(), of: .vision(checkpoint))
        let progress = common.progress
        progress.begin("evaluate", total: data.count, unit: data.noun)
        let start = DispatchTime.now().uptimeNanoseconds
        let result =
            Classification.measure(network, on: data) { done in
                progress.advance(to: done, note: "")
                return true
            } ?? Classification()
        progress.end("")
        try result.checkFinite(source: model.model)
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        let rate = Double(result.count) / max(seconds, 1e-9)
        if common.json {
            try Output.json(
                .object([
                    "model": .string(model.model), "mask": mask.json,
                    "architecture": .string(checkpoint.architecture.name),
                    "images": .string(folder), "split": .string((split ?? .test).rawValue),
                    "count": .integer(result.count), "correct": .integer(result.correct),
                    "accuracy": .number(result.accuracy), "loss": .number(result.loss),
                    "images_per_second": .number(rate),
                ]))
        } else {
            try Output.line(
                "accuracy \(Output.number(result.accuracy, digits: 4))  loss \(Output.number(result.loss, digits: 4))  "
                    + "(\(result.correct) of \(result.count) \(data.noun), \(Output.number(rate, digits: 0)) "
                    + "\(data.noun)/s)")
        }
    }

    /// Evaluates the model at a path.
    static func measure(
        path: String, mask: MaskArgument? = nil, text: String?, context: Int? = nil, stride: Int? = nil,
        cacheElement: KeyValueCache.Element = .f32, visible: WindowArguments? = nil, progress: any ProgressReporter
    ) throws -> (result: PerplexityEvaluator.Result, file: String) {
        guard case .languageModel(let checkpoint) = try AnyCheckpoint.open(path) else {
            throw CoppiceError(.usage, source: path, "is a vision network, expected --images with a folder of images")
        }
        try checkpoint.checkFinite()
        return try measure(
            mask?.languageModel(checkpoint) ?? LanguageModel(checkpoint), checkpoint.tokenizer(), text: text,
            context: context, stride: stride, cacheElement: cacheElement, visible: visible, progress: progress)
    }

    /// Evaluates a model.
    static func measure(
        _ model: LanguageModel, _ tokenizer: any Tokenizer, text: String?, context: Int? = nil, stride: Int? = nil,
        cacheElement: KeyValueCache.Element = .f32, visible: WindowArguments? = nil, progress: any ProgressReporter
    ) throws -> (result: PerplexityEvaluator.Result, file: String) {
        let evaluator = try PerplexityEvaluator(
            model, context: context, stride: stride, cacheElement: cacheElement,
            visible: visible?.streamingWindow(of: model))
        let file = try text ?? BuiltInModel.sampleText
        let content = try TextFile.read(file)
        var hasBegun = false
        let result = try evaluator.evaluate(content, tokenizer: tokenizer, source: file) { done, total in
            if !hasBegun { progress.begin("evaluate", total: total, unit: "tokens") }
            hasBegun = true
            progress.advance(to: done, note: "")
        }
        progress.end("")
        return (result, file)
    }
}

extension ImageDataSet.Split: ExpressibleByArgument {}
