import CoppiceTensors

/// Every format that checkpoints may hold.
public enum WeightFormats {
    /// The conforming types. A new format adds itself here and nowhere else.
    public static let all: [any WeightFormat.Type] = [DenseWeight.self]

    /// The weight that a checkpoint stored.
    ///
    /// - Throws: `CoppiceError` of kind `badData` for an unknown format or parts that do not fit together.
    public static func decode(_ stored: StoredWeight) throws -> any WeightFormat {
        guard let type = all.first(where: { $0.name == stored.format }) else {
            let known = all.map(\.name).joined(separator: ", ")
            throw stored.failure("format", "expected one of \(known), found \"\(stored.format)\"")
        }
        return try make(type, stored)
    }

    private static func make<Format: WeightFormat>(
        _ type: Format.Type, _ stored: StoredWeight
    ) throws -> any WeightFormat { try Format(stored: stored) }
}
