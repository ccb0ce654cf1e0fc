extension ConfigurationFields {
    /// Bits of a code: 4 or 8.
    func codeBits(_ key: String) throws -> Int {
        guard let bits = value(key)?.intValue, bits == 4 || bits == 8 else { throw mismatch(key, "4 or 8") }
        return bits
    }

    /// A group's inputs; nil for -1 or none, when all of a row are one group.
    func groupSize(_ key: String) throws -> Int? {
        guard let value = value(key), value.intValue != -1 else { return nil }
        guard let size = value.intValue, size > 0, size % 16 == 0, size <= Self.largestExtent else {
            throw mismatch(key, "-1 or a multiple of 16")
        }
        return size
    }
}
