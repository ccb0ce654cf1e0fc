import CoppiceFormats
import CoppiceTensors

/// What matrices become when a model is written as GGUF.
public enum GGUFWeightType: String, Sendable, CaseIterable {
    case f32, f16, bf16, q4_0, q8_0, q4_k, q6_k

    private var type: GGUFTensorType {
        switch self {
        case .f32: .dense(.f32)
        case .f16: .dense(.f16)
        case .bf16: .dense(.bf16)
        case .q4_0: .block(.q4_0)
        case .q8_0: .block(.q8_0)
        case .q4_k: .block(.q4_k)
        case .q6_k: .block(.q6_k)
        }
    }

    /// The type of one matrix.
    ///
    /// With 4 bits the output head (or the embeddings, where it is tied to them) has `q6_k`: its errors reach the
    /// logits directly. Rows that are not whole blocks of 256 have `q4_0` for `q4_k` and `q8_0` for `q6_k`, and rows
    /// that are not whole blocks of 32 f16.
    func type(isHead: Bool, columns: Int) -> GGUFTensorType {
        guard case .block(var block) = type else { return type }
        if isHead, block == .q4_0 || block == .q4_k { block = .q6_k }
        if columns % block.length != 0 { block = block == .q4_k ? .q4_0 : .q8_0 }
        return columns % block.length == 0 ? .block(block) : .dense(.f16)
    }

    /// The number by which `general.file_type` names the mixture.
    var fileType: Int {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4_0: 2
        case .q8_0: 7
        case .q4_k: 14
        case .q6_k: 18
        case .bf16: 32
        }
    }
}
