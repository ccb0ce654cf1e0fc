import CoppiceTensors
import Foundation

/// The keys that a server accepts.
///
/// A key file holds one key a line; blank lines and lines that begin with `#` are skipped.
public struct APIKeys: Sendable, CustomStringConvertible {
    private let keys: [[UInt8]]

    /// The number of distinct keys.
    public var count: Int { keys.count }

    /// Never shows a key, so that a configuration can be printed.
    public var description: String { "\(count) API keys" }

    /// Accepts `keys`.
    ///
    /// - Throws: `CoppiceError` of kind `.badData` when there is none, or one is empty or has white space in it.
    public init(_ keys: [String], source: String = "API keys") throws {
        for (index, key) in keys.enumerated() where key.isEmpty || !key.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) {
            throw CoppiceError(
                .badData, source: source, field: "key \(index + 1)",
                "expected printable ASCII characters without spaces")
        }
        guard !keys.isEmpty else { throw CoppiceError(.badData, source: source, "holds no key") }
        self.keys = Set(keys).sorted().map { Array($0.utf8) }
    }

    /// Reads a key file.
    ///
    /// - Throws: `CoppiceError`: `.noInput` when the file cannot be read, `.badData` when it is not UTF-8, holds no key
    ///   or holds a malformed one.
    public init(contentsOfFile path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CoppiceError(.noInput, source: path, "cannot read the API key file")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw CoppiceError(.badData, source: path, "is not UTF-8 text")
        }
        let lines = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
        try self.init(lines.filter { !$0.isEmpty && !$0.hasPrefix("#") }, source: path)
    }

    /// Whether `candidate` is one of the keys.
    ///
    /// Takes the same time whichever key it is and however many of its characters are right, so that a key cannot be
    /// found piece by piece. Complexity: O(keys × length).
    public func accepts(_ candidate: some StringProtocol) -> Bool {
        let bytes = Array(candidate.utf8)
        var accepted = false
        for key in keys {
            var difference = key.count ^ bytes.count
            for (index, byte) in key.enumerated() {
                difference |= Int(byte ^ (bytes.isEmpty ? 0 : bytes[index % bytes.count]))
            }
            accepted = (difference == 0) || accepted
        }
        return accepted
    }
}
