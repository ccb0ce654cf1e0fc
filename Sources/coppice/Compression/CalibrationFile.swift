import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// The text that the compression of a model of language looks at, or trains on.
struct CalibrationFile {
    private let path: String
    private let text: String
    private let trains: Bool

    /// - Parameter asked: the file that the user names; nil for the sample tales, unless something trains on them.
    /// - Returns: nil for a recipe that needs no text.
    /// - Throws: `.usage` where a stage trains and no text is given; what reading the file throws.
    init?(_ recipe: Recipe, asked: String?) throws {
        guard recipe.needsCalibration else { return nil }
        let training = recipe.stages.lazy.compactMap { stage -> String? in
            if case .prune(let options) = stage { return options.training }
            return nil
        }.first
        if asked == nil, let training {
            throw CoppiceError(
                .usage, field: "--calibration",
                "\(training), expected a text to train on; the sample tales are what perplexity is measured on")
        }
        path = try asked ?? BuiltInModel.sampleText
        text = try TextFile.read(path)
        trains = training != nil
    }

    func tokens(by tokenizer: any Tokenizer) -> CalibrationTokens {
        CalibrationTokens(tokenizer.encode(text, addingSpecialTokens: false), source: path)
    }

    /// What is to be said where the model trains on the text that it is measured on.
    ///
    /// - Parameter evaluated: the file that perplexity is measured on; nil for the sample tales.
    func warning(evaluatedOn evaluated: String?) throws -> String? {
        guard trains, try TextFile.read(evaluated ?? BuiltInModel.sampleText) == text else { return nil }
        return "--calibration is the text that perplexity is measured on "
            + "(\(evaluated == nil ? "the sample tales" : "--evaluate")): the model trains on it, and what is measured says "
            + "little of other texts"
    }
}
