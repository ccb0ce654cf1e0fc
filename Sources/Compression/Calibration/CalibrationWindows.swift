import CoppiceTensors

/// Windows of consecutive tokens that a calibration runs through the model.
public struct CalibrationWindows: Sendable, Hashable {
    /// Token ids, all windows of one length.
    public let windows: [[Int]]

    /// Draws windows from a text's tokens, each start equally likely, with replacement.
    ///
    /// - Parameters:
    ///   - tokens: the calibration text's token ids.
    ///   - seed: the same seed gives the same windows on every machine.
    ///   - source: the text's file, for error messages.
    /// - Throws: `.badData` when the text is shorter than one window.
    public init(tokens: [Int], count: Int, length: Int, seed: UInt64, source: String? = nil) throws {
        precondition(count > 0 && length > 0, "no window")
        guard tokens.count >= length else {
            throw CoppiceError(
                .badData, source: source,
                "the calibration text has \(tokens.count) tokens, expected at least one window of \(length) "
                    + "(calibration.sequence_length)")
        }
        var generator = RandomGenerator(seed: seed)
        windows = (0..<count).map { _ in
            let start = Int.random(in: 0...(tokens.count - length), using: &generator)
            return Array(tokens[start..<(start + length)])
        }
    }

    /// Tokens in all windows.
    public var tokenCount: Int { windows.reduce(0) { $0 + $1.count } }
}
