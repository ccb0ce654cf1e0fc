import CoppiceFormats
import CoppiceTensors

/// What matrices become when a model is written as GGUF.
public enum GGUFWeightType: String, Sendable, CaseIterable {
    case f32, f16, bf16, q4_0, q8_0, q4_k, q4_k_m, q6_k

    private var type: GGUFTensorType {
        switch self {
        case .f32: .dense(.f32)
        case .f16: .dense(.f16)
        case .bf16: .dense(.bf16)
        case .q4_0: .block(.q4_0)
        case .q8_0: .block(.q8_0)
        case .q4_k, .q4_k_m: .block(.q4_k)
        case .q6_k: .block(.q6_k)
        }
    }

    /// The type of one matrix.
    ///
    /// With 4 bits the output head (or the embeddings, where it is tied to them) has `q6_k`: its errors reach the
    /// logits directly. `q4_k_m` gives half of the value and down projections `q6_k` too, those of the layers that
    /// llama.cpp's Q4_K_M does. Rows that are not whole blocks of 256 have `q4_0` for `q4_k` and `q8_0` for `q6_k`, and
    /// rows that are not whole blocks of 32 f16.
    ///
    /// - Parameters:
    ///   - name: the checkpoint's.
    ///   - layers: of the model.
    package func type(of name: String, isHead: Bool, columns: Int, layers: Int) -> GGUFTensorType {
        guard case .block(var block) = type else { return type }
        if isHead, block == .q4_0 || block == .q4_k { block = .q6_k }
        if self == .q4_k_m, Self.hasMoreBits(name, layers: layers) { block = .q6_k }
        if columns % block.length != 0 { block = block == .q4_k ? .q4_0 : .q8_0 }
        return columns % block.length == 0 ? .block(block) : .dense(.f16)
    }

    /// Value and down projections of the first and last eighth of the layers, and of every third between them.
    private static func hasMoreBits(_ name: String, layers: Int) -> Bool {
        guard name.contains(".v_proj.") || name.contains(".down_proj.") else { return false }
        let parts = name.split(separator: ".")
        guard let place = parts.firstIndex(of: "layers"), place + 1 < parts.count, let layer = Int(parts[place + 1])
        else { return false }
        let eighth = layers / 8
        return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
    }

    /// The number by which `general.file_type` names the mixture.
    var fileType: Int {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4_0: 2
        case .q8_0: 7
        case .q4_k: 14
        case .q4_k_m: 15
        case .q6_k: 18
        case .bf16: 32
        }
    }
}
