/// What went wrong with something outside the program's control: a file, a field, an option.
///
/// Its description is one line that names the source, the field and what was expected, ready to be shown. The
/// kind decides the program's exit status (sysexits).
public struct CoppiceError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The classes of failure that callers can act on.
    public enum Kind: Sendable, Hashable, CaseIterable {
        /// The request itself is wrong: an option, a combination of options.
        case usage
        /// Input was read but is malformed, inconsistent or out of range.
        case badData
        /// Input does not exist or cannot be opened.
        case noInput
        /// A service or resource is not to be had now (a port in use, a full queue).
        case unavailable
        /// A fault of this program.
        case `internal`
        /// Output cannot be created.
        case cannotCreate
        /// Reading or writing failed under way (a full disk).
        case inputOutput

        /// The process exit status for this kind.
        public var exitStatus: Int32 {
            switch self {
            case .usage: 64
            case .badData: 65
            case .noInput: 66
            case .unavailable: 69
            case .internal: 70
            case .cannotCreate: 73
            case .inputOutput: 74
            }
        }
    }

    public var kind: Kind
    /// The file, folder or request that the error is about.
    public var source: String?
    /// The field, tensor, key or line within the source.
    public var field: String?
    /// What is wrong and what was expected, without a final period.
    public var message: String

    public init(_ kind: Kind, source: String? = nil, field: String? = nil, _ message: String) {
        self.kind = kind
        self.source = source
        self.field = field
        self.message = message
    }

    public var description: String {
        [source, field, message].compactMap { $0 }.joined(separator: ": ")
            .split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}
