import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// What compresses a model of language by a recipe.
protocol TextCompressor {
    func run(
        output: String, calibration: CalibrationTokens?, progress: any ProgressReporter
    ) throws -> CompressionReport
}

extension Compressor: TextCompressor {}
extension EncoderCompressor: TextCompressor {}

/// A language model or an encoder with the texts that its compression looks at and is measured on.
struct TextCompression: ModelCompression {
    let recipe: Recipe
    let note: String?
    let warning: String?
    let isOfLanguage = true
    let isClassifier = false
    private let compressor: any TextCompressor
    private let path: String
    private let tokens: CalibrationTokens?
    private let measures: Bool
    private let makeCompressor: (Recipe) throws -> any TextCompressor
    private let perplexity: (_ path: String, any ProgressReporter) throws -> Double

    /// - Parameters:
    ///   - path: of the model.
    ///   - text: the file to measure on; nil for the sample tales.
    ///   - measures: whether perplexity is measured.
    ///   - compressor: matches a recipe with the model.
    ///   - perplexity: of the model at a path.
    init(
        _ path: String, _ recipe: Recipe, calibration: String?, text: String?, measures: Bool,
        tokenizer: () throws -> any Tokenizer, compressor: @escaping (Recipe) throws -> any TextCompressor,
        perplexity: @escaping (_ path: String, any ProgressReporter) throws -> Double
    ) throws {
        self.path = path
        self.recipe = recipe
        self.measures = measures
        self.perplexity = perplexity
        makeCompressor = compressor
        self.compressor = try compressor(recipe)
        let calibration = try CalibrationFile(recipe, asked: calibration)
        // A model without a tokenizer should not be found out about after the work.
        let tokenizer = measures || calibration != nil ? try tokenizer() : nil
        tokens = tokenizer.flatMap { calibration?.tokens(by: $0) }
        note = calibration?.note
        warning = try measures ? calibration?.warning(evaluatedOn: text) : nil
    }

    private init(_ other: TextCompression, _ recipe: Recipe) throws {
        self.recipe = recipe
        (path, tokens, measures) = (other.path, other.tokens, other.measures)
        (note, warning) = (other.note, other.warning)
        (makeCompressor, perplexity) = (other.makeCompressor, other.perplexity)
        compressor = try makeCompressor(recipe)
    }

    func replacing(_ recipe: Recipe) throws -> any ModelCompression { try TextCompression(self, recipe) }

    func run(
        _ output: String, earlier: CompressionResult?, _ progress: any ProgressReporter
    ) throws -> CompressionResult {
        // First, since what cannot be written or measured should not be found out about after the work.
        try Output.check(folder: output)
        let before: Double? =
            if case .perplexity(let known, _) = earlier?.measure {
                known
            } else {
                try measures ? perplexity(path, progress) : nil
            }
        let start = ContinuousClock.now
        let report = try compressor.run(output: output, calibration: tokens, progress: progress)
        var result = CompressionResult(output: output, recipe: recipe, report: report)
        result.seconds = (ContinuousClock.now - start) / .seconds(1)
        guard let before else { return result }
        result.measure = .perplexity(before: before, after: try perplexity(output, progress))
        return result
    }
}
