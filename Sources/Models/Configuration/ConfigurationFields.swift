import CoppiceTensors

/// Reads typed fields of a JSON object and says which file and field is wrong. A null counts as absent.
struct ConfigurationFields {
    let json: JSON
    let source: String
    /// What stands before field names in errors: `rope_scaling.`.
    var prefix = ""

    /// Extents beyond this are refused, so that no product of two of them and an element size overflows.
    static let largestExtent = 1 << 28

    func value(_ key: String) -> JSON? {
        guard let value = json[key], !value.isNull else { return nil }
        return value
    }

    func error(_ key: String, _ message: String) -> CoppiceError {
        CoppiceError(.badData, source: source, field: prefix + key, message)
    }

    func mismatch(_ key: String, _ expected: String) -> CoppiceError {
        guard let value = value(key) else { return error(key, "is missing, expected \(expected)") }
        let text = value.serialized()
        return error(key, "expected \(expected), found \(text.count > 60 ? text.prefix(60) + "…" : text[...])")
    }

    /// A whole number that must be there.
    func integer(_ key: String, in range: ClosedRange<Int> = 1...largestExtent) throws -> Int {
        guard let number = value(key)?.intValue, range.contains(number) else {
            throw mismatch(key, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// A whole number that may be absent.
    func optionalInteger(_ key: String, in range: ClosedRange<Int> = 1...largestExtent) throws -> Int? {
        value(key) == nil ? nil : try integer(key, in: range)
    }

    /// A finite number greater than zero (or at least zero) that must be there.
    func positive(_ key: String, orZero: Bool = false) throws -> Double {
        guard let number = value(key)?.doubleValue, number.isFinite, orZero ? number >= 0 : number > 0 else {
            throw mismatch(key, orZero ? "a number of at least 0" : "a number greater than 0")
        }
        return number
    }

    func optionalPositive(_ key: String, orZero: Bool = false) throws -> Double? {
        value(key) == nil ? nil : try positive(key, orZero: orZero)
    }

    func flag(_ key: String, default standard: Bool) throws -> Bool {
        guard let value = value(key) else { return standard }
        guard let flag = value.boolValue else { throw mismatch(key, "true or false") }
        return flag
    }

    func optionalString(_ key: String) throws -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.stringValue else { throw mismatch(key, "a string") }
        return text
    }

    /// A token, a list of tokens or nothing, as `eos_token_id` is written.
    func tokens(_ key: String) throws -> [Int] {
        guard let value = value(key) else { return [] }
        let expected = "a token id or a list of token ids"
        if let elements = value.arrayValue {
            return try elements.map {
                guard let token = $0.intValue, token >= 0 else { throw mismatch(key, expected) }
                return token
            }
        }
        guard let token = value.intValue, token >= 0 else { throw mismatch(key, expected) }
        return [token]
    }

    /// The fields of an object under a key; nil when absent.
    func object(_ key: String) throws -> ConfigurationFields? {
        guard let value = value(key) else { return nil }
        guard value.objectValue != nil else { throw mismatch(key, "an object") }
        return ConfigurationFields(json: value, source: source, prefix: "\(prefix)\(key).")
    }
}
