import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// The text that the compression of a model of language looks at, or trains on.
struct CalibrationFile {
    /// What the text that comes with the program is called.
    private static let sampleName = "sample tales"

    /// What to say where methods look at the text that comes with the program.
    static let defaultNote =
        "methods look at the \(sampleName) that come with the program, --calibration names another text"

    /// The file as the user named it; nil for the sample tales.
    private let asked: String?
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
        self.asked = asked
        text = try TextFile.read(asked ?? BuiltInModel.sampleText)
        trains = training != nil
    }

    /// What is to be said where nobody named the text.
    var note: String? { asked == nil ? Self.defaultNote : nil }

    func tokens(by tokenizer: any Tokenizer) -> CalibrationTokens {
        CalibrationTokens(tokenizer.encode(text, addingSpecialTokens: false), source: asked ?? Self.sampleName)
    }

    /// What is to be said where methods look at the text that the model is measured on, or it trains on it.
    ///
    /// - Parameter evaluated: the file that perplexity is measured on; nil for the sample tales.
    func warning(evaluatedOn evaluated: String?) throws -> String? {
        guard try TextFile.read(evaluated ?? BuiltInModel.sampleText) == text else { return nil }
        let names = (
            calibration: asked == nil ? "the calibration text" : "--calibration",
            evaluation: evaluated == nil ? "the \(Self.sampleName)" : "--evaluate"
        )
        return "\(names.calibration) is the text that perplexity is measured on (\(names.evaluation)): "
            + (trains ? "the model trains on it" : "methods look at it")
            + ", and what is measured says little of other texts"
    }
}
