import CoppiceFormats
import CoppiceTensors

/// How a GGUF file stores a tensor: plain numbers, or blocks.
public enum GGUFTensorType: Sendable, Hashable, CustomStringConvertible {
    case dense(DataType)
    case block(BlockType)

    private static let numbers: [(number: UInt32, type: GGUFTensorType)] = [
        (0, .dense(.f32)), (1, .dense(.f16)), (2, .block(.q4_0)), (3, .block(.q4_1)), (6, .block(.q5_0)),
        (7, .block(.q5_1)), (8, .block(.q8_0)), (10, .block(.q2_k)), (11, .block(.q3_k)), (12, .block(.q4_k)),
        (13, .block(.q5_k)), (14, .block(.q6_k)), (20, .block(.iq4_nl)), (24, .dense(.i8)), (26, .dense(.i32)),
        (27, .dense(.i64)), (28, .dense(.f64)), (30, .dense(.bf16)),
    ]

    /// Types that exist but are not read, so that errors can name them.
    private static let others: [UInt32: String] = [
        9: "q8_1", 15: "q8_k", 16: "iq2_xxs", 17: "iq2_xs", 18: "iq3_xxs", 19: "iq1_s", 21: "iq3_s", 22: "iq2_s",
        23: "iq4_xs", 25: "i16", 29: "iq1_m", 34: "tq1_0", 35: "tq2_0", 39: "mxfp4",
    ]

    /// - Parameter number: as files have it.
    init?(number: UInt32) {
        guard let type = Self.numbers.first(where: { $0.number == number })?.type else { return nil }
        self = type
    }

    /// The number in files; nil for an element type that GGUF has not.
    var number: UInt32? { Self.numbers.first { $0.type == self }?.number }

    /// What a number that is not read stands for.
    static func nameOfUnsupported(_ number: UInt32) -> String { others[number] ?? "\(number)" }

    static var supportedNames: String { numbers.map { $0.type.description }.joined(separator: ", ") }

    public var description: String {
        switch self {
        case .dense(let type): type.description
        case .block(let type): type.rawValue
        }
    }

    /// Elements that are stored together; the innermost extent is a multiple of it.
    var blockLength: Int { if case .block(let type) = self { type.length } else { 1 } }

    /// Bytes of ``blockLength`` elements.
    var blockByteCount: Int {
        switch self {
        case .dense(let type): type.byteCount
        case .block(let type): type.byteCount
        }
    }
}
