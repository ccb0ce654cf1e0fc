import CoppiceNetworks
import CoppiceTensors
import OrderedCollections

extension VisionArchitecture {
    /// The fields of a configuration file that describe the architecture.
    public var json: OrderedDictionary<String, JSON> {
        let options = configuration.options
        var fields: OrderedDictionary<String, JSON> = [
            "architecture": .string(name),
            "classes": .integer(options.classes),
            "input_channels": .integer(options.inputChannels),
            "image_size": .array([.integer(options.imageSize.rows), .integer(options.imageSize.columns)]),
        ]
        if options.widthMultiplier != 1 { fields["width_multiplier"] = .number(options.widthMultiplier) }
        fields.merge(configuration.details) { $1 }
        if !options.widths.isEmpty {
            // In the order of the network.
            let own = widths.filter { options.widths[$0.key] != nil }
            fields["widths"] = .object(
                OrderedDictionary(uniqueKeysWithValues: own.map { ($0.key, .integer($0.value)) }))
        }
        return fields
    }

    /// Reads ``json``. What is absent is as published; fields of others are ignored.
    ///
    /// - Throws: `.badData` naming the file and the field that is missing, unknown or impossible.
    public init(json: JSON, source: String) throws {
        guard json.objectValue != nil else {
            throw CoppiceError(.badData, source: source, "expected a JSON object with the network's configuration")
        }
        let fields = ConfigurationFields(json: json, source: source)
        guard let name = try fields.optionalString("architecture") else {
            throw fields.mismatch("architecture", "a name such as resnet20")
        }
        do {
            var own = try Self.configuration(named: name)
            own.options = try Self.options(fields, standard: own.options)
            try own.read(DetailFields(fields: fields))
            try self.init(own)
        } catch var error as CoppiceError {
            (error.kind, error.source) = (.badData, source)
            throw error
        }
    }

    private static func options(
        _ fields: ConfigurationFields, standard: ClassifierOptions
    ) throws -> ClassifierOptions {
        var options = standard
        options.classes = try fields.optionalInteger("classes") ?? options.classes
        options.inputChannels = try fields.optionalInteger("input_channels") ?? options.inputChannels
        if let size = fields.value("image_size") {
            let extents = (size.intValue.map { [$0, $0] } ?? size.arrayValue?.compactMap(\.intValue)) ?? []
            guard extents.count == 2, size.arrayValue.map({ $0.count == 2 }) ?? true else {
                throw fields.mismatch("image_size", "a whole number, or two: rows and columns")
            }
            options.imageSize = [extents[0], extents[1]]
        }
        options.widthMultiplier = try fields.optionalPositive("width_multiplier") ?? options.widthMultiplier
        if let widths = try fields.object("widths") {
            for (layer, _) in widths.json.objectValue ?? [:] { options.widths[layer] = try widths.integer(layer) }
        }
        return options
    }
}
