import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// An encoder with the texts that its compression looks at and is measured on.
struct EncoderCompression: ModelCompression {
    private let checkpoint: EncoderCheckpoint
    private var compressor: EncoderCompressor
    private let tokens: CalibrationTokens?
    private let text: String?
    private let measures: Bool
    let warning: String?

    init(_ checkpoint: EncoderCheckpoint, _ recipe: Recipe, calibration: String?, text: String?, measures: Bool) throws
    {
        self.checkpoint = checkpoint
        self.text = text
        self.measures = measures
        compressor = try EncoderCompressor(checkpoint, recipe: recipe)
        let calibration = try CalibrationFile(recipe, asked: calibration)
        tokens = try calibration?.tokens(by: checkpoint.tokenizer())
        warning = try measures ? calibration?.warning(evaluatedOn: text) : nil
    }

    var recipe: Recipe { compressor.recipe }

    func replacing(_ recipe: Recipe) throws -> any ModelCompression {
        var other = self
        other.compressor = try EncoderCompressor(checkpoint, recipe: recipe)
        return other
    }

    func run(
        _ output: String, earlier: CompressionResult?, _ progress: any ProgressReporter
    ) throws -> CompressionResult {
        let report = try compressor.run(output: output, calibration: tokens, progress: progress)
        var result = CompressionResult(output: output, recipe: recipe, report: report)
        guard measures else { return result }
        let before: Double
        if case .perplexity(let known, _) = earlier?.measure {
            before = known
        } else {
            before = try Evaluate.measure(checkpoint, text: text, progress: progress).result.perplexity
        }
        let after = try Evaluate.measure(.open(output), text: text, progress: progress).result.perplexity
        result.measure = .perplexity(before: before, after: after)
        return result
    }
}
