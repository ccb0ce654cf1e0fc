import CoppiceFormats
import CoppiceTensors

/// A layout in which other tools store quantized or sparse matrices in safetensors files.
///
/// A layout is chosen by `quantization_config.quant_method` of a model's `config.json`. Whether it applies to a matrix
/// is seen from the tensors: lists of layers that a tool left dense need not be matched.
protocol ExchangeLayout: Sendable {
    /// The name in `quant_method`.
    static var method: String { get }

    /// Reads the options.
    ///
    /// - Throws: `badData` that names the option that is missing, wrong or not supported.
    init(_ fields: ConfigurationFields) throws

    /// How the files keep a matrix; nil where they keep it dense. Types and shapes are checked, weights not read.
    ///
    /// - Throws: `badData` that names the tensor, what was found and what was expected.
    func weight(_ tensors: ModuleTensors) throws -> ImportedWeight?

    /// Whether a tensor that no weight is made of can be left aside.
    func isRedundant(_ name: String, in files: SafetensorsSet) throws -> Bool
}

/// A matrix that another tool stored, brought into one of Coppice's formats each time that it is used.
struct ImportedWeight: Sendable {
    /// The tensors that it is made of, by their names in the file.
    var tensorNames: [String]
    /// The file that holds the codes.
    var file: String
    /// Makes the weight. O(weight) where the layouts differ, else O(1).
    var stored: @Sendable () throws -> StoredWeight
}

/// The layouts that are read.
enum ExchangeLayouts {
    static let all: [any ExchangeLayout.Type] = [CompressedTensorsLayout.self, GPTQLayout.self, AWQLayout.self]

    /// The layout that a model's configuration names; nil for a model that is not quantized.
    ///
    /// - Throws: `badData` for a method that is not known, or options that are wrong.
    static func layout(of configuration: JSON, source: String) throws -> (any ExchangeLayout)? {
        let whole = ConfigurationFields(json: configuration, source: source)
        // What llm-compressor called it in its first versions.
        guard let fields = try whole.object("quantization_config") ?? whole.object("compression_config") else {
            return nil
        }
        guard let type = all.first(where: { .string($0.method) == fields.value("quant_method") }) else {
            throw fields.mismatch("quant_method", "one of \(all.map { $0.method }.joined(separator: ", "))")
        }
        return try type.init(fields)
    }
}
