import CoppiceTensors

/// Reads typed metadata of a GGUF file and says which file and key is wrong.
struct GGUFFields {
    let file: GGUFFile
    /// What stands before keys: `llama.`, or nothing.
    var prefix = ""

    func value(_ key: String) -> GGUFValue? { file.metadata[prefix + key] }

    func error(_ key: String, _ message: String) -> CoppiceError {
        CoppiceError(.badData, source: file.path, field: prefix + key, message)
    }

    func mismatch(_ key: String, _ expected: String) -> CoppiceError {
        guard let value = value(key) else { return error(key, "is missing, expected \(expected)") }
        return error(key, "expected \(expected), found \(value.summary)")
    }

    func integer(_ key: String, in range: ClosedRange<Int> = 1...ConfigurationFields.largestExtent) throws -> Int {
        guard let number = value(key)?.intValue, range.contains(number) else {
            throw mismatch(key, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func optionalInteger(
        _ key: String, in range: ClosedRange<Int> = 1...ConfigurationFields.largestExtent
    ) throws -> Int? {
        value(key) == nil ? nil : try integer(key, in: range)
    }

    /// A whole number, or a list that has the same one for every layer.
    func uniform(_ key: String) throws -> Int? {
        guard let list = value(key)?.arrayValue else { return try optionalInteger(key) }
        guard let numbers = list.integers, let first = numbers.first, first > 0,
            first <= ConfigurationFields.largestExtent, numbers.allSatisfy({ $0 == first })
        else { throw error(key, "expected one number for all layers (layers that differ are not supported)") }
        return first
    }

    func positive(_ key: String, orZero: Bool = false) throws -> Double? {
        guard let value = value(key) else { return nil }
        guard let number = value.doubleValue, number.isFinite, orZero ? number >= 0 : number > 0 else {
            throw mismatch(key, orZero ? "a number of at least 0" : "a number greater than 0")
        }
        // 1e-5 was rounded to f32 when it was written: take the shortest number that is rounded to the same.
        if case .f32(let rounded) = value { return Double(rounded.description) ?? number }
        return number
    }

    func string(_ key: String) throws -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.stringValue else { throw mismatch(key, "a string") }
        return text
    }

    func flag(_ key: String) throws -> Bool? {
        guard let value = value(key) else { return nil }
        guard let flag = value.boolValue else { throw mismatch(key, "true or false") }
        return flag
    }
}
