import CKernels

/// A block type of GGUF files: 32 or 256 consecutive inputs of a row lie together with their scales.
///
/// The raw value is the type's name in lower case. `docs/gguf.md` has the layouts.
public enum BlockType: String, Sendable, CaseIterable {
    case q4_0, q4_1, q5_0, q5_1, q8_0, iq4_nl, q2_k, q3_k, q4_k, q5_k, q6_k

    var kernel: coppice_block_type {
        switch self {
        case .q4_0: COPPICE_BLOCK_Q4_0
        case .q4_1: COPPICE_BLOCK_Q4_1
        case .q5_0: COPPICE_BLOCK_Q5_0
        case .q5_1: COPPICE_BLOCK_Q5_1
        case .q8_0: COPPICE_BLOCK_Q8_0
        case .iq4_nl: COPPICE_BLOCK_IQ4_NL
        case .q2_k: COPPICE_BLOCK_Q2_K
        case .q3_k: COPPICE_BLOCK_Q3_K
        case .q4_k: COPPICE_BLOCK_Q4_K
        case .q5_k: COPPICE_BLOCK_Q5_K
        case .q6_k: COPPICE_BLOCK_Q6_K
        }
    }

    /// Inputs of a block: 32 or 256. Rows have a whole number of blocks.
    public var length: Int { coppice_block_length(kernel) }

    /// Bytes of a block.
    public var byteCount: Int { coppice_block_bytes(kernel) }

    /// Bytes of a row of so many columns.
    ///
    /// - Precondition: `columns` is a multiple of ``length``.
    public func rowByteCount(columns: Int) -> Int {
        precondition(columns % length == 0, "\(columns) columns are not a multiple of \(length)")
        return columns / length * byteCount
    }

    /// The types that dense matrices can be encoded in.
    public static let encodable: [BlockType] = [.q4_0, .q8_0, .q4_k, .q6_k]
}
