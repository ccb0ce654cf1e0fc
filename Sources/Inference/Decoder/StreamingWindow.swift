import CoppiceTensors

/// What a text that outgrows the model's context still sees: its first tokens, the attention sinks, and its last ones
/// (Xiao et al., Efficient Streaming Language Models with Attention Sinks, 2023).
///
/// A token at position p sees the sinks at positions 0 ..< ``sinks`` and positions p - ``recent`` + 1 ... p. As in the
/// paper (section 3.2), rotary angles go by places within what is seen, not by places in the text: the sinks are never
/// further away than ``visible`` - 1. Recent tokens are as far away as they are in the text, so their keys stay valid;
/// only the queries are turned a second time for the sinks.
///
/// Layers whose own sliding window is not longer than ``recent`` keep it, without sinks: so the model was trained.
public struct StreamingWindow: Sendable, Hashable {
    /// Tokens at the beginning that stay visible.
    public let sinks: Int
    /// Last tokens that are visible, the current one included.
    public let recent: Int

    /// Tokens visible at once.
    public var visible: Int { sinks + recent }
}

extension LanguageModel {
    /// A window for texts of any length.
    ///
    /// - Parameters:
    ///   - recent: last tokens that are visible, the current one included; at least 1.
    ///   - sinks: tokens at the beginning that stay visible. Four are enough for models trained without (section 4.1 of
    ///     the paper).
    /// - Throws: `usage` where a number is out of range or both together exceed the model's context.
    public func streamingWindow(recent: Int, sinks: Int = 4) throws -> StreamingWindow {
        guard recent >= 1 else {
            throw CoppiceError(.usage, field: "window", "expected at least 1 token, found \(recent)")
        }
        guard sinks >= 0 else {
            throw CoppiceError(.usage, field: "sinks", "expected at least 0 tokens, found \(sinks)")
        }
        guard recent <= maximumContext, sinks <= maximumContext - recent else {
            throw CoppiceError(
                .usage, field: "window",
                "\(recent) tokens and \(sinks) sinks together do not fit the model's context of \(maximumContext)")
        }
        return StreamingWindow(sinks: sinks, recent: recent)
    }
}
