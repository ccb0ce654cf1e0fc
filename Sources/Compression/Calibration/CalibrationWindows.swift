import CoppiceNetworks
import CoppiceTensors

/// Windows of consecutive tokens that a calibration runs through the model.
public struct CalibrationWindows: Sendable, Hashable {
    /// Token ids; all windows of a running text are of one length.
    public let windows: [[Int]]

    /// Texts as they are.
    init(_ windows: [[Int]]) { self.windows = windows }

    /// Draws windows from a text's tokens, each start equally likely, with replacement.
    ///
    /// - Parameters:
    ///   - tokens: the calibration text's token ids.
    ///   - seed: the same seed gives the same windows on every machine.
    ///   - source: the text's file, for error messages.
    ///   - option: what gives the length, for error messages.
    /// - Throws: `.badData` when the text is shorter than one window.
    public init(
        tokens: [Int], count: Int, length: Int, seed: UInt64, source: String? = nil,
        option: String = "calibration.sequence_length"
    ) throws {
        precondition(count > 0 && length > 0, "no window")
        guard tokens.count >= length else {
            throw CoppiceError(
                .badData, source: source,
                "the calibration text has \(tokens.count) tokens, expected at least one window of \(length) "
                    + "(\(option))")
        }
        var generator = RandomGenerator(seed: seed)
        windows = (0..<count).map { _ in
            let start = Int.random(in: 0...(tokens.count - length), using: &generator)
            return Array(tokens[start..<(start + length)])
        }
    }

    /// Tokens in all windows.
    public var tokenCount: Int { windows.reduce(0) { $0 + $1.count } }

    /// The windows with the token that follows each; the last one of a window has no label (−1).
    ///
    /// - Parameter size: windows of a batch.
    /// - Throws: `.badData` for a token that a model with this vocabulary does not know.
    public func batches(of size: Int, vocabularySize: Int) throws -> [LabeledBatch] {
        if let unknown = windows.joined().first(where: { !(0..<vocabularySize).contains($0) }) {
            throw CoppiceError(
                .badData,
                "the tokenizer gives token \(unknown), expected one of the model's \(vocabularySize)")
        }
        return stride(from: 0, to: windows.count, by: size).map { first in
            let own = windows[first..<min(first + size, windows.count)]
            let shape = [own.count, own.first?.count ?? 0]
            return LabeledBatch(
                inputs: Tensor(own.flatMap { $0 }, shape: shape),
                targets: Tensor(own.flatMap { $0.dropFirst() + [-1] }, shape: shape))
        }
    }
}
