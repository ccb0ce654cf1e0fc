import OrderedCollections

/// The `quantization_config` of a model that is written for compressed-tensors.
struct CompressedTensorsDescription {
    private typealias Scheme = CompressedTensorsConfiguration.Scheme

    /// Layers by how they are written, in the model's order.
    private var layers: [(module: String, export: CompressedTensorsExport)] = []
    private var sparseEntries = 0
    private var sparseZeros = 0

    /// Adds a linear layer.
    mutating func add(_ module: String, _ export: CompressedTensorsExport) { layers.append((module, export)) }

    /// Counts what a sparse layer leaves out, for the model's global sparsity.
    mutating func count(entries: Int, zeros: Int) {
        sparseEntries += entries
        sparseZeros += zeros
    }

    /// Whether any layer is written in another layout than dense.
    var isCompressed: Bool { layers.contains { $0.export != .dense } }

    /// Whether the sparse layers, which share one layout, all are 2:4.
    var isTwoOfFour: Bool { !layers.contains { $0.export == .sparse(isTwoOfFour: false) } }

    /// Whether activations are rounded as well; integers then are all written alike.
    private var quantizesActivations: Bool { layers.contains { $0.export == .bytes } }

    var json: JSON {
        var members: OrderedDictionary<String, JSON> = ["quant_method": "compressed-tensors"]
        let schemes = layers.reduce(into: OrderedSet<Scheme>()) { schemes, layer in
            if let scheme = layer.export.scheme { schemes.append(scheme) }
        }
        if !schemes.isEmpty {
            members["format"] = .string(quantizesActivations ? "int-quantized" : "pack-quantized")
            members["quantization_status"] = "compressed"
            members["config_groups"] = .object(
                OrderedDictionary(
                    uniqueKeysWithValues: schemes.enumerated().map { index, scheme in
                        ("group_\(index)", group(scheme, isOnly: schemes.count == 1))
                    }))
            members["ignore"] = names { $0.scheme == nil }
            members["kv_cache_scheme"] = .null
            members["global_compression_ratio"] = .null
        }
        if sparseEntries > 0 {
            members["sparsity_config"] = [
                "format": .string(isTwoOfFour ? "sparse-24-bitmask" : "sparse-bitmask"),
                "targets": ["Linear"],
                "ignore": names { if case .sparse = $0 { false } else { true } },
                "global_sparsity": .number(Double(sparseZeros) / Double(sparseEntries)),
                "sparsity_structure": .string(isTwoOfFour ? "2:4" : "unstructured"),
            ]
        }
        return .object(members)
    }

    private func names(_ matches: (CompressedTensorsExport) -> Bool) -> JSON {
        .array(layers.filter { matches($0.export) }.map { .string($0.module) })
    }

    /// - Parameter isOnly: whether all layers that are not ignored have this scheme.
    private func group(_ scheme: Scheme, isOnly: Bool) -> JSON {
        var weights: OrderedDictionary<String, JSON> = [
            "num_bits": .integer(scheme.bits), "type": "int", "symmetric": .bool(scheme.isSymmetric),
            "strategy": "channel", "group_size": .null, "dynamic": false,
        ]
        if case .group(let size) = scheme.strategy {
            weights["strategy"] = "group"
            weights["group_size"] = .integer(size)
        }
        return [
            "targets": isOnly ? ["Linear"] : names { $0.scheme == scheme }, "weights": .object(weights),
            "input_activations": quantizesActivations ? Self.tokens : .null, "output_activations": .null,
        ]
    }

    /// Eight bits with a scale for each token, found as it comes.
    private static let tokens: JSON = [
        "num_bits": 8, "type": "int", "symmetric": true, "strategy": "token", "group_size": .null, "dynamic": true,
    ]
}

extension CompressedTensorsExport {
    /// How integers are described; nil for what is not written as integers.
    fileprivate var scheme: CompressedTensorsConfiguration.Scheme? {
        switch self {
        case .packed(let scheme): scheme
        case .bytes: CompressedTensorsConfiguration.Scheme(bits: 8, strategy: .channel, isSymmetric: true)
        case .dense, .sparse: nil
        }
    }
}
