import CoppiceModels
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
    ///   - aliases: other names of matrices, which patterns may use that match none of their own.
    ///   - isStandard: whether a stage without targets works on a matrix.
    ///   - field: the stage, for error messages.
    /// - Throws: `.badData` for a pattern that matches nothing (a misspelt name would silently compress nothing), or
    ///   when nothing is selected.
    public func select(
        from matrices: [String], aliases: [String: String] = [:],
        isStandard: (_ name: String) -> Bool = WeightSelection.isBlockProjection, field: String, source: String?
    ) throws -> [String] {
        func resolved(_ patterns: [WeightPattern]) -> [WeightPattern] {
            patterns.flatMap { $0.resolved(among: matrices, aliases: aliases) }
        }
        let (targets, ignore) = (targets.map(resolved), resolved(ignore))
        for (key, patterns) in [("targets", targets ?? []), ("ignore", ignore)] {
            for pattern in patterns where !matrices.contains(where: pattern.matches) {
                throw CoppiceError(
                    .badData, source: source, field: "\(field).\(key)",
                    "\"\(pattern)\" matches no matrix of the model; " + Self.hint(pattern.text, matrices, isStandard))
            }
        }
        let selected = matrices.filter { name in
            let isTarget = targets.map { $0.contains { $0.matches(name) } } ?? isStandard(name)
            return isTarget && !ignore.contains { $0.matches(name) }
        }
        if selected.isEmpty {
            throw CoppiceError(.badData, source: source, field: field, "selects no matrix of the model")
        }
        return selected
    }

    /// The nearest name that a pattern could have meant; an example where none is near.
    static func hint(
        _ pattern: String, _ names: [String], _ isStandard: (String) -> Bool = { _ in true }
    ) -> String {
        // As patterns are written: whole names, those of modules, and their parts.
        let modules = names.map { $0.hasSuffix(".weight") ? String($0.dropLast(7)) : $0 }
        let parts = modules.flatMap { $0.split(separator: ".").map(String.init) }.filter { Int($0) == nil }
        let letters = Array(pattern.lowercased().prefix(60))
        let ranked = (modules + names + parts).map { name in
            (name: name, distance: Spelling.distance(letters, Array(name.lowercased())))
        }
        if let nearest = ranked.min(by: { $0.distance < $1.distance }),
            nearest.distance <= min(letters.count, nearest.name.count) / 3
        {
            return "did you mean \"\(nearest.name)\"?"
        }
        return "names look like " + (names.first(where: isStandard) ?? names.first ?? "(there are none)")
    }
}
