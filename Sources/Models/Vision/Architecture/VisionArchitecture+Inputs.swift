import CoppiceTensors

/// What architectures take: images as they are, or as sequences that are read from them row by row.
extension VisionArchitecture {
    /// Whether inputs are sequences `[time, features]`.
    public var takesSequences: Bool { inputShape.count == 2 }

    /// One input, as reports name it.
    public var inputName: String { takesSequences ? "a sequence" : "an image" }

    /// Whether images `[channels, rows, columns]` go into the network: those of its own shape; where it takes sequences,
    /// all that have as many values as one of its sequences.
    public func takes(images shape: [Int]) -> Bool {
        inputShape == shape || takesSequences && inputShape.reduce(1, *) == shape.reduce(1, *)
    }

    /// Whether the images that go into the network may have so many channels.
    func takes(channels: Int) -> Bool {
        takesSequences ? channels > 0 && inputShape.reduce(1, *) % channels == 0 : channels == inputChannels
    }

    /// The architecture of a name for images of a shape.
    ///
    /// - Parameters:
    ///   - shape: `[channels, rows, columns]`.
    ///   - sequenceLength: steps in which a recurrent network reads an image; nil for one of each row. Must be nil for
    ///     other networks.
    ///   - widthMultiplier: nil for the architecture's own.
    /// - Throws: `.usage` for a name that is not known, with the nearest that is; `.badData` for impossible options, and
    ///   for steps that do not divide an image's values.
    public init(
        named name: String, images shape: [Int], classes: Int, sequenceLength: Int? = nil,
        widthMultiplier: Double? = nil
    ) throws {
        precondition(shape.count == 3, "images of \(shape.count) dimensions")
        let published = try VisionArchitecture(named: name, classes: classes)
        guard published.takesSequences else {
            guard sequenceLength == nil else {
                throw CoppiceError(
                    .badData, field: "sequence_length", "has no meaning for \(published.name), which takes images")
            }
            try self.init(
                named: name, classes: classes, inputChannels: shape[0], imageSize: [shape[1], shape[2]],
                widthMultiplier: widthMultiplier)
            return
        }
        let (steps, values) = (sequenceLength ?? shape[1], shape.reduce(1, *))
        guard steps > 0, values % steps == 0 else {
            throw CoppiceError(
                .badData, field: "sequence_length",
                "\(steps) steps do not divide the \(values) values of \(shape.map(String.init).joined(separator: " × ")), "
                    + "expected a divisor, such as \(shape[1]) for a row in each step")
        }
        try self.init(
            named: name, classes: classes, inputChannels: values / steps, imageSize: [steps, 1],
            widthMultiplier: widthMultiplier)
    }
}
