import CoppiceTensors

/// Every format that checkpoints may hold.
public enum WeightFormats {
    /// A conforming type as a value: its name and how it reads a stored weight.
    public struct Family: Sendable {
        public let name: String
        let decode: @Sendable (StoredWeight) throws -> any WeightFormat

        init<Format: WeightFormat>(_ type: Format.Type) {
            name = Format.name
            decode = { try Format(stored: $0) }
        }
    }

    /// The conforming types. A new format adds itself here and nowhere else.
    public static let all: [Family] = [
        Family(DenseWeight.self), Family(IntegerGroupWeight.self), Family(SemiStructuredWeight.self),
        Family(BitmaskSparseWeight.self), Family(GroupSparseWeight.self), Family(LowRankWeight.self),
        Family(SharedPoolWeight.self), Family(ColumnPermutedWeight.self), Family(BlockWeight.self),
        Family(BitPlaneWeight.self), Family(CodebookWeight.self),
    ]

    /// The weight that a checkpoint stored.
    ///
    /// - Throws: `CoppiceError` of kind `badData` for an unknown format or parts that do not fit together.
    public static func decode(_ stored: StoredWeight) throws -> any WeightFormat {
        guard let family = all.first(where: { $0.name == stored.format }) else {
            let known = all.map(\.name).joined(separator: ", ")
            throw stored.failure("format", "expected one of \(known), found \"\(stored.format)\"")
        }
        return try family.decode(stored)
    }
}
