import CoppiceFormats
import CoppiceModels
import CoppiceTensors

/// A language model's checkpoint under masks: their matrices are sparse, in memory; all others are the checkpoint's own,
/// which many masked ones share.
///
/// ```swift
/// let masked = try MaskedCheckpoint(checkpoint, masks: .read("mask.safetensors"))
/// let model = try LanguageModel(checkpoint.configuration, weights: masked, source: checkpoint.path)
/// ```
public struct MaskedCheckpoint: Sendable {
    public let checkpoint: Checkpoint
    private let formats: [String: any WeightFormat]

    /// Makes the sparse matrices.
    ///
    /// - Parameters:
    ///   - preference: what their formats are chosen for.
    ///   - source: what errors call the masks.
    /// - Throws: `.badData` where the masks belong to other weights, and for weights that are not finite.
    /// - Complexity: O(weights under masks) in time; in memory what the formats take.
    public init(
        _ checkpoint: Checkpoint, masks: MaskFile, preference: FormatPlanner.Preference = .speed,
        source: String? = nil
    ) throws {
        let weights = try StoredWeights(.languageModel(checkpoint))
        try masks.check(against: weights, source: source)
        let planner = FormatPlanner(preference: preference)
        var formats: [String: any WeightFormat] = [:]
        for entry in masks.entries {
            formats[entry.name] = try entry.format(
                of: weights, type: checkpoint.denseType(of: entry.name), planner: planner)
            weights.releasePages(of: entry.name)
        }
        self.checkpoint = checkpoint
        self.formats = formats
    }

    /// A matrix in the format that holds it.
    ///
    /// - Throws: as `Checkpoint.weight(_:)`.
    public func weight(_ name: String) throws -> any WeightFormat {
        if let format = formats[name] { return format }
        return try checkpoint.weight(name)
    }

    /// A parameter as dense numbers.
    ///
    /// - Throws: as `Checkpoint.tensor(_:)`.
    public func tensor(_ name: String) throws -> Tensor {
        if let format = formats[name] { return format.dense() }
        return try checkpoint.tensor(name)
    }
}
