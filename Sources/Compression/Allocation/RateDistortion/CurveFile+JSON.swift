import CoppiceModels
import CoppiceTensors

/// Writing and reading.
extension CurveFile {
    static let (format, version) = ("distortion-curves", 2)

    /// Entries of a layer, and multiplications with one of them, of which no network has more.
    private static let largestCount = 1 << 40
    /// So that sums of distortions are numbers.
    private static let largestDistortion = 1e100
    /// Points of a layer: more than a grid has, and with those between them no more options than a layer may have.
    private static let largestPointCount = 1 << 14

    /// The file as JSON.
    public var json: JSON {
        .object([
            "format": .string(Self.format), "version": .integer(Self.version), "model": .string(modelDigest),
            "method": .string(method.rawValue), "scope": .string(scope.rawValue),
            "distortion": .string(distortion.rawValue), "calibration": .string(calibration.rawValue),
            "samples": .integer(samples), "seed": .integer(Int(clamping: seed)),
            "layers": .array(layers.map(Self.json)),
        ])
    }

    private static func json(_ layer: Layer) -> JSON {
        var members: [(String, JSON)] = [
            ("name", .string(layer.curve.name)), ("count", .integer(layer.curve.count)),
        ]
        if let count = layer.multiplications { members.append(("multiplications", .integer(count))) }
        members.append(("kept", .array(layer.curve.points.map { .integer($0.kept) })))
        members.append(("distortion", .array(layer.curve.points.map { .number($0.distortion) })))
        return .object(.init(uniqueKeysWithValues: members))
    }

    /// Writes a file that appears when it is complete.
    ///
    /// - Throws: `.cannotCreate`, `.inputOutput`.
    public func write(to path: String) throws { try AtomicFile.write(json.serialized() + "\n", to: path) }

    /// Reads a file.
    ///
    /// - Throws: `.noInput`; `.badData` for a file that is damaged or holds no curves, naming the field.
    public static func read(_ path: String) throws -> CurveFile {
        try CurveFile(JSON(parsing: MappedFile.contents(path), source: path), source: path)
    }

    /// - Throws: `.badData` naming the field.
    public init(_ json: JSON, source: String) throws {
        let fields = Fields(json: json, source: source, path: "")
        guard json["format"]?.stringValue == Self.format else {
            throw CoppiceError(
                .badData, source: source,
                "is no file of curves, expected format \"\(Self.format)\" as analyze curves writes it")
        }
        guard json["version"]?.intValue == Self.version else {
            throw fields.failure(
                "version",
                json["version"]?.intValue == 1
                    ? "1 does not say which biases and statistics the curves are of, expected \(Self.version): measure them "
                        + "anew (analyze curves)"
                    : "expected \(Self.version), the only one that there is")
        }
        let digest = json["model"]?.stringValue ?? ""
        guard digest.utf8.count == 64, digest.allSatisfy({ $0.isHexDigit && !$0.isUppercase }) else {
            throw fields.failure("model", "expected a SHA-256 digest in lower-case hexadecimal")
        }
        guard let elements = json["layers"]?.arrayValue, !elements.isEmpty else {
            throw fields.failure("layers", "expected a list of at least one layer")
        }
        let layers = try elements.enumerated().map { index, element in
            try Self.layer(Fields(json: element, source: source, path: "layers[\(index)]."))
        }
        var names = Set<String>()
        // The cost of everything must be a number too.
        var cost = 0
        for (index, layer) in layers.enumerated() {
            guard names.insert(layer.curve.name).inserted else {
                throw fields.failure("layers[\(index)].name", "\(layer.curve.name) occurs twice")
            }
            let (own, isTooLarge) = layer.curve.count.multipliedReportingOverflow(by: layer.multiplications ?? 1)
            let (sum, isTooMuch) = cost.addingReportingOverflow(own)
            guard !isTooLarge, !isTooMuch, sum < 1 << 62 else {
                throw fields.failure("layers[\(index)].count", "the model's cost is more than can be counted")
            }
            cost = sum
        }
        self.init(layers, modelDigest: digest)
        method = try fields.word("method")
        scope = try fields.word("scope")
        distortion = try fields.word("distortion")
        calibration = try fields.word("calibration")
        samples = try fields.integer("samples", in: 1...Self.largestCount)
        seed = UInt64(try fields.integer("seed", in: 0...Int.max))
    }

    private static func layer(_ fields: Fields) throws -> Layer {
        guard let name = fields.json["name"]?.stringValue, !name.isEmpty else {
            throw fields.failure("name", "expected the name of a weight")
        }
        let count = try fields.integer("count", in: 1...largestCount)
        let kept = try fields.list("kept", of: "counts")
        let distortion = try fields.list("distortion", of: "numbers")
        guard (1...largestPointCount).contains(kept.count) else {
            throw fields.failure("kept", "has \(kept.count) counts, expected 1 to \(largestPointCount)")
        }
        guard kept.count == distortion.count else {
            throw fields.failure(
                "distortion", "has \(distortion.count) numbers, expected \(kept.count), one for each of kept")
        }
        var points: [DistortionCurve.Point] = []
        for (index, (kept, distortion)) in zip(kept, distortion).enumerated() {
            let most = points.last.map { $0.kept - 1 } ?? count
            guard let kept = kept.intValue, kept >= 0, kept <= most else {
                throw fields.failure(
                    "kept[\(index)]",
                    "expected "
                        + (most < 0
                            ? "nothing after a 0" : "a whole number from 0 to \(most): counts fall from point to point")
                )
            }
            guard let distortion = distortion.doubleValue, distortion >= 0, distortion <= largestDistortion else {
                throw fields.failure("distortion[\(index)]", "expected a number from 0 to 1e100")
            }
            points.append(.init(kept: kept, distortion: distortion))
        }
        let multiplications = try fields.json["multiplications"].map { _ in
            try fields.integer("multiplications", in: 1...largestCount)
        }
        return Layer(DistortionCurve(name: name, count: count, points: points), multiplications: multiplications)
    }
}

/// Members of an object, with errors that name them.
private struct Fields {
    let json: JSON
    let source: String
    /// What precedes the name of a member.
    let path: String

    func failure(_ name: String, _ message: String) -> CoppiceError {
        CoppiceError(.badData, source: source, field: path + name, message)
    }

    func integer(_ name: String, in range: ClosedRange<Int>) throws -> Int {
        guard let value = json[name]?.intValue, range.contains(value) else {
            throw failure(name, "expected a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func list(_ name: String, of elements: String) throws -> [JSON] {
        guard let list = json[name]?.arrayValue else { throw failure(name, "expected a list of \(elements)") }
        return list
    }

    func word<Word: RawRepresentable<String> & CaseIterable>(_ name: String) throws -> Word {
        guard let word = json[name]?.stringValue.flatMap(Word.init(rawValue:)) else {
            throw failure(name, "expected one of " + Word.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return word
    }
}
