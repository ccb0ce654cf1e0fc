import CoppiceTensors

/// What the header of a safetensors file says: which tensors there are and where their bytes lie.
///
/// A file is eight bytes with the header's length (little endian), the header (a JSON object, possibly padded with
/// spaces) and the tensors' bytes, which fill the rest without gap or overlap.
struct SafetensorsHeader: Sendable {
    struct Entry: Sendable {
        var name: String
        var dataType: DataType
        var shape: [Int]
        /// Bytes from the beginning of the data.
        var bytes: Range<Int>
    }

    /// In the order of their bytes.
    var entries: [Entry]
    var metadata: [String: String]
    /// Where the data begins in the file.
    var dataStart: Int

    /// Longer headers are refused, as by the format's reference implementation.
    static let largestLength = 100_000_000

    static let typeNames: [(name: String, dataType: DataType)] = [
        ("F64", .f64), ("F32", .f32), ("F16", .f16), ("BF16", .bf16), ("I64", .i64), ("I32", .i32), ("I8", .i8),
        ("U8", .u8), ("BOOL", .bool),
    ]

    /// Reads and checks a whole file's header.
    ///
    /// - Throws: `badData` that names the tensor and what was expected.
    init(_ file: UnsafeRawBufferPointer, source: String) throws {
        func failure(_ field: String?, _ message: String) -> CoppiceError {
            CoppiceError(.badData, source: source, field: field, message)
        }
        guard !file.isEmpty else { throw failure(nil, "is empty, expected a safetensors file") }
        guard file.count >= 8 else {
            throw failure(nil, "has \(file.count) bytes, expected a safetensors file of at least 8")
        }
        let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(Self.largestLength) else {
            throw failure(
                "header",
                "its length is \(length) bytes, expected at most \(Self.largestLength): not a safetensors file")
        }
        guard Int(length) <= file.count - 8 else {
            throw failure("header", "its length is \(length) bytes but only \(file.count - 8) follow: truncated?")
        }
        dataStart = 8 + Int(length)
        let text = UnsafeRawBufferPointer(rebasing: file[8..<dataStart])
        let json: JSON
        do {
            json = try JSON(parsing: text, source: source, duplicateKeys: .rejected)
        } catch let error as CoppiceError {
            throw failure("header", [error.field, error.message].compactMap { $0 }.joined(separator: ": "))
        }
        guard let members = json.objectValue else { throw failure("header", "expected a JSON object") }
        entries = []
        metadata = [:]
        for (name, value) in members {
            if name == "__metadata__" {
                guard let fields = value.objectValue else {
                    throw failure(name, "expected an object of strings")
                }
                for (key, value) in fields {
                    guard let text = value.stringValue else { throw failure("\(name).\(key)", "expected a string") }
                    metadata[key] = text
                }
            } else {
                entries.append(try Self.entry(name, value, failure))
            }
        }
        entries.sort { ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound) }
        try checkLayout(dataCount: file.count - dataStart, failure)
    }

    private static func entry(
        _ name: String, _ json: JSON, _ failure: (String?, String) -> CoppiceError
    ) throws -> Entry {
        guard let typeName = json["dtype"]?.stringValue else {
            throw failure(name, "dtype is missing, expected a string")
        }
        guard let dataType = typeNames.first(where: { $0.name == typeName })?.dataType else {
            let known = typeNames.map(\.name).joined(separator: ", ")
            throw failure(name, "dtype \(typeName.prefix(40)) is not supported, expected one of \(known)")
        }
        guard let extents = json["shape"]?.arrayValue else { throw failure(name, "shape is missing, expected a list") }
        var count = dataType.byteCount
        let shape = try extents.map {
            guard let extent = $0.intValue, extent >= 0 else {
                throw failure(name, "shape holds \($0.serialized().prefix(40)), expected whole numbers of at least 0")
            }
            return extent
        }
        for extent in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw failure(name, "shape \(shape) is too large") }
            count = product
        }
        guard let offsets = json["data_offsets"]?.arrayValue?.map(\.intValue), offsets.count == 2,
            let start = offsets[0], let end = offsets[1], start >= 0, end >= start
        else { throw failure(name, "data_offsets is missing or wrong, expected [begin, end] with 0 ≤ begin ≤ end") }
        guard end - start == count else {
            throw failure(
                name, "data_offsets span \(end - start) bytes, expected \(count) for \(typeName) of shape \(shape)")
        }
        return Entry(name: name, dataType: dataType, shape: shape, bytes: start..<end)
    }

    private func checkLayout(dataCount: Int, _ failure: (String?, String) -> CoppiceError) throws {
        var position = 0
        var previous: String?
        for entry in entries {
            if entry.bytes.lowerBound < position {
                throw failure(entry.name, "its data overlaps that of \(previous ?? "the header")")
            }
            if entry.bytes.lowerBound > position {
                throw failure(
                    entry.name,
                    "\(entry.bytes.lowerBound - position) unused bytes precede its data, expected none")
            }
            guard entry.bytes.upperBound <= dataCount else {
                throw failure(
                    entry.name,
                    "its data ends at byte \(entry.bytes.upperBound) but the file holds \(dataCount): truncated?")
            }
            position = entry.bytes.upperBound
            previous = entry.name
        }
        guard position == dataCount else {
            throw failure(nil, "\(dataCount - position) bytes follow the last tensor, expected none")
        }
    }
}
