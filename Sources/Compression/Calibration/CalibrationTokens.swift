/// The tokens of a calibration text.
public struct CalibrationTokens: Sendable, Hashable {
    public var tokens: [Int]
    /// The text's file, for error messages.
    public var source: String?

    public init(_ tokens: [Int], source: String? = nil) {
        self.tokens = tokens
        self.source = source
    }
}
