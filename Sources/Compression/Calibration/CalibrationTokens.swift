import CoppiceModels

/// The tokens of a calibration text.
public struct CalibrationTokens: Sendable, Hashable {
    public var tokens: [Int]
    /// The text's file or what else it is called, for reports and error messages.
    public var source: String?

    public init(_ tokens: [Int], source: String? = nil) {
        self.tokens = tokens
        self.source = source
    }

    /// The tokens of a text as one running text, without begin and end tokens: windows start anywhere in it.
    public init(_ text: CalibrationText, tokenizer: any Tokenizer) {
        self.init(tokenizer.encode(text.text, addingSpecialTokens: false), source: text.source)
    }
}
