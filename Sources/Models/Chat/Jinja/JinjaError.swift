import CoppiceTensors

/// A fault in a template, at a line.
struct JinjaError {
    static func at(_ line: Int, _ message: String) -> CoppiceError {
        CoppiceError(.badData, source: "chat template", field: "line \(line)", message)
    }
}

/// What a template may use up.
enum JinjaLimits {
    static let nesting = 100
    static let steps = 2_000_000
    /// Bytes of the output, and of any text on the way.
    static let text = 1 << 24
    /// Elements of any list.
    static let elements = 100_000
    static let calls = 60
}
