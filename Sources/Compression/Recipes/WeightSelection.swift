import CoppiceTensors

/// Which matrices of a model a stage works on.
public struct WeightSelection: Sendable, Hashable {
    /// Patterns of which one must match. Nil: the projections of the decoder blocks (attention and feed-forward), the
    /// matrices that pruning and quantization literature counts; embeddings and output head are left alone.
    public var targets: [WeightPattern]?
    /// Patterns of which none may match.
    public var ignore: [WeightPattern]

    public init(targets: [WeightPattern]? = nil, ignore: [WeightPattern] = []) {
        self.targets = targets
        self.ignore = ignore
    }

    /// Whether a name is that of a projection of a decoder block.
    public static func isBlockProjection(_ name: String) -> Bool {
        let components = name.split(separator: ".")
        return components.contains("layers") && components.last == "weight"
            && components.dropLast().last.map { $0.hasSuffix("_proj") } ?? false
    }

    /// The selected ones of the model's matrices, in their order.
    ///
    /// - Parameters:
    ///   - matrices: names of the model's two-dimensional weights.
    ///   - field: the stage, for error messages.
    /// - Throws: `.badData` for a pattern that matches nothing (a misspelt name would silently compress nothing), or
    ///   when nothing is selected.
    public func select(from matrices: [String], field: String, source: String?) throws -> [String] {
        for (key, patterns) in [("targets", targets ?? []), ("ignore", ignore)] {
            for pattern in patterns where !matrices.contains(where: pattern.matches) {
                throw CoppiceError(
                    .badData, source: source, field: "\(field).\(key)",
                    "\"\(pattern)\" matches no matrix of the model; names look like "
                        + (matrices.first(where: Self.isBlockProjection) ?? matrices.first ?? "(there are none)"))
            }
        }
        let selected = matrices.filter { name in
            let isTarget = targets.map { $0.contains { $0.matches(name) } } ?? Self.isBlockProjection(name)
            return isTarget && !ignore.contains { $0.matches(name) }
        }
        if selected.isEmpty {
            throw CoppiceError(.badData, source: source, field: field, "selects no matrix of the model")
        }
        return selected
    }
}
