import CoppiceTensors

/// The tensors of one layer in a checkpoint: `model.layers.0.mlp.up_proj` with its `.qweight`, `.scales` and so on.
struct ModuleTensors: Sendable {
    /// The matrix's name, `model.layers.0.mlp.up_proj.weight`.
    let weight: String
    /// The matrix's extents by the model's configuration.
    let rows: Int
    let columns: Int
    private let module: String
    private let files: SafetensorsSet

    /// Nil for a parameter that is not a layer's matrix.
    init?(_ weight: String, shape: [Int], in files: SafetensorsSet) {
        guard shape.count == 2, weight.hasSuffix(".weight") else { return nil }
        self.weight = weight
        (rows, columns) = (shape[0], shape[1])
        module = String(weight.dropLast(".weight".count))
        self.files = files
    }

    func name(_ part: String) -> String { "\(module).\(part)" }

    func contains(_ part: String) -> Bool { files.file(of: name(part)) != nil }

    /// Type and shape of a part; nil where there is none.
    func description(_ part: String) -> (dataType: DataType, shape: [Int])? {
        files.file(of: name(part))?.description(of: name(part))
    }

    /// The file that holds a part; where there is none, what the files are called together.
    func file(_ part: String) -> String { files.file(of: name(part))?.path ?? files.source }

    /// A part of one of some types and shapes.
    ///
    /// - Throws: `badData` that says what was expected, when the part is missing or different.
    func tensor(_ part: String, _ types: [DataType], _ shapes: [[Int]]) throws -> Tensor {
        let expected =
            types.map(\.description).joined(separator: " or ") + " "
            + shapes.map(\.description).joined(separator: " or ")
        guard let file = files.file(of: name(part)), let (type, shape) = file.description(of: name(part)) else {
            throw failure(part, "is missing, expected \(expected)")
        }
        guard types.contains(type), shapes.contains(shape) else {
            throw failure(part, "expected \(expected), found \(type) \(shape)")
        }
        return try file.tensor(name(part))
    }

    func failure(_ part: String, _ message: String) -> CoppiceError {
        CoppiceError(.badData, source: file(part), field: name(part), message)
    }
}
