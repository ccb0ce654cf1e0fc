/// What `quantization_config` says for the method `compressed-tensors`.
struct CompressedTensorsConfiguration: Sendable {
    /// How the weights of some layers are quantized.
    struct Scheme: Sendable, Hashable {
        enum Strategy: Sendable, Hashable {
            /// One scale for the matrix.
            case tensor
            /// One for each row.
            case channel
            /// One for each group of inputs of a row.
            case group(Int)
        }

        /// 4 or 8.
        var bits: Int
        var strategy: Strategy
        var isSymmetric: Bool

        /// `4 bits with a scale for each group of 32, symmetric`.
        var description: String {
            let scale =
                switch strategy {
                case .tensor: "one scale"
                case .channel: "a scale for each row"
                case .group(let size): "a scale for each group of \(size)"
                }
            return "\(bits) bits with \(scale), \(isSymmetric ? "symmetric" : "with zero points")"
        }
    }

    /// The layouts of values that are read. The first that a group names counts, else that of the whole model.
    static let formats = ["pack-quantized", "int-quantized", "naive-quantized", "dense", "mixed-precision"]
    /// Those of sparse matrices, which versions until 0.14 wrote.
    static let sparseFormats = ["sparse-24-bitmask", "sparse-bitmask", "dense"]

    /// The schemes of the groups, in their order and each once; layers that none of them fits are errors.
    let schemes: [Scheme]

    /// - Throws: `badData` for what cannot be read: floating-point codes, blocks, rotations that are applied while the
    ///   model runs, layouts that are not known.
    init(_ fields: ConfigurationFields) throws {
        try Self.checkFormat(fields)
        if let sparsity = try fields.object("sparsity_config"), let format = sparsity.value("format") {
            guard let name = format.stringValue, Self.sparseFormats.contains(name) else {
                throw sparsity.mismatch("format", "one of \(Self.sparseFormats.joined(separator: ", "))")
            }
        }
        if let transforms = try fields.object("transform_config")?.object("config_groups"),
            transforms.json.objectValue?.isEmpty == false
        {
            throw fields.error("transform_config", "rotations at run time are not supported, expected none")
        }
        var schemes: [Scheme] = []
        if let groups = try fields.object("config_groups") {
            for name in groups.json.objectValue?.keys.elements ?? [] {
                guard let scheme = try Self.scheme(name, groups), !schemes.contains(scheme) else { continue }
                schemes.append(scheme)
            }
        }
        self.schemes = schemes
    }

    private static func checkFormat(_ fields: ConfigurationFields) throws {
        guard let format = try fields.optionalString("format"), !formats.contains(format) else { return }
        // A sparse format may stand here too, where nothing is quantized.
        guard !sparseFormats.contains(format) else { return }
        throw fields.mismatch("format", "one of \(formats.joined(separator: ", "))")
    }

    private static func scheme(_ name: String, _ groups: ConfigurationFields) throws -> Scheme? {
        guard let group = try groups.object(name) else { return nil }
        try checkFormat(group)
        guard let weights = try group.object("weights") else { return nil }
        if let type = try weights.optionalString("type"), type.lowercased() != "int" {
            throw weights.mismatch("type", "int")
        }
        if let dynamic = weights.value("dynamic"), dynamic.boolValue != false {
            throw weights.mismatch("dynamic", "false")
        }
        // A file may leave out what it takes from the standard.
        let bits = weights.value("num_bits") == nil ? 8 : try weights.codeBits("num_bits")
        return Scheme(
            bits: bits, strategy: try strategy(weights), isSymmetric: try weights.flag("symmetric", default: true))
    }

    private static func strategy(_ weights: ConfigurationFields) throws -> Scheme.Strategy {
        switch try weights.optionalString("strategy")?.lowercased() {
        case "tensor": return .tensor
        case "channel": return .channel
        case nil where weights.value("group_size") == nil: return .tensor
        case "group", nil:
            guard let size = try weights.groupSize("group_size") else {
                guard weights.value("strategy") == nil else {
                    throw weights.mismatch("group_size", "a multiple of 16")
                }
                return .channel
            }
            return .group(size)
        default: throw weights.mismatch("strategy", "one of tensor, channel, group")
        }
    }
}
