import CoppiceFormats
import CoppiceTensors

extension Checkpoint {
    /// Opens a GGUF file: dense tensors and blocks are used where they lie in the mapped file.
    ///
    /// Files of the architecture `llama` have the rows of query and key projections in the order of neighbouring rotary
    /// pairs; they are brought into the order of half heads when they are used, without being decoded.
    static func open(gguf path: String, folder: String) throws -> Checkpoint {
        let file = try GGUFFile(path: path)
        let configuration = try DecoderConfiguration(gguf: file)
        let isInterleaved = configuration.family.ggufArchitecture == "llama"
        var rest = Set(file.tensors.keys)
        var entries: [String: Entry] = [:]
        for (name, shape) in configuration.tensorShapes {
            let stored = GGUFTensorNames.name(of: name)
            guard let info = file.tensors[stored] else {
                throw CoppiceError(.badData, source: path, field: stored, "is missing, expected shape \(shape)")
            }
            guard info.shape == shape else {
                throw CoppiceError(
                    .badData, source: path, field: stored,
                    "has shape \(info.shape), expected \(shape) by the metadata")
            }
            rest.remove(stored)
            let isRotated = isInterleaved && (name.contains(".q_proj.") || name.contains(".k_proj."))
            entries[name] = try entry(
                name, info, try file.tensor(stored), path, rotated: isRotated ? configuration.headSize : nil)
        }
        if let name = rest.filter({ !GGUFTensorNames.isRedundant($0) }).min() {
            throw CoppiceError(
                .badData, source: path, field: GGUFCursor.short(name),
                "has shape \(file.tensors[name]?.shape ?? []) but a \(configuration.family.rawValue) model of this "
                    + "configuration has no such tensor")
        }
        return Checkpoint(path: path, folder: folder, configuration: configuration, entries: entries, gguf: file)
    }

    private static func entry(
        _ name: String, _ info: GGUFFile.TensorInfo, _ tensor: Tensor, _ path: String, rotated headSize: Int?
    ) throws -> Entry {
        switch info.type {
        case .dense(let type):
            guard [.f32, .bf16, .f16].contains(type) else {
                throw CoppiceError(
                    .badData, source: path, field: info.name, "has type \(type), expected f32, bf16, f16 or blocks")
            }
            return headSize.map { .interleaved(tensor, headSize: $0, file: path) } ?? .dense(tensor, file: path)
        case .block(let type):
            guard info.shape.count == 2 else {
                throw CoppiceError(
                    .badData, source: path, field: info.name, "has type \(type), expected f32, bf16 or f16 for a vector"
                )
            }
            let weight = BlockWeight(blocks: tensor, type: type, columns: info.shape[1])
            var stored = weight.stored()
            stored.name = name
            return .compressed(stored, file: path, rotated: headSize)
        }
    }
}
