/// A map from a pair of token numbers to one 64-bit value, by open addressing.
///
/// Reading from several threads is safe while nobody inserts.
final class PairTable: @unchecked Sendable {
    private var keys: UnsafeMutablePointer<UInt64>
    private var values: UnsafeMutablePointer<UInt64>
    private var mask: Int
    private(set) var count = 0

    // No pair of two tokens has this key: token numbers stay below 2³¹.
    private static let empty = UInt64.max

    init(minimumCapacity: Int = 64) {
        var size = 16
        while size < minimumCapacity * 2 { size *= 2 }
        keys = .allocate(capacity: size)
        keys.initialize(repeating: Self.empty, count: size)
        values = .allocate(capacity: size)
        values.initialize(repeating: 0, count: size)
        mask = size - 1
    }

    deinit {
        keys.deallocate()
        values.deallocate()
    }

    @inline(__always)
    static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    @inline(__always)
    func find(_ key: UInt64) -> UInt64? {
        let slot = self.slot(of: key)
        return keys[slot] == key ? values[slot] : nil
    }

    func set(_ key: UInt64, _ value: UInt64) {
        var slot = self.slot(of: key)
        if keys[slot] != key {
            if (count + 1) * 2 > mask + 1 {
                grow()
                slot = self.slot(of: key)
            }
            keys[slot] = key
            count += 1
        }
        values[slot] = value
    }

    /// Where `key` is, or would go.
    @inline(__always)
    private func slot(of key: UInt64) -> Int {
        let product = (key ^ key >> 29) &* 0x9e37_79b9_7f4a_7c15
        var slot = Int(truncatingIfNeeded: product >> 32) & mask
        while keys[slot] != key, keys[slot] != Self.empty { slot = (slot + 1) & mask }
        return slot
    }

    private func grow() {
        let (oldKeys, oldValues, oldSize) = (keys, values, mask + 1)
        let size = oldSize * 2
        keys = .allocate(capacity: size)
        keys.initialize(repeating: Self.empty, count: size)
        values = .allocate(capacity: size)
        values.initialize(repeating: 0, count: size)
        mask = size - 1
        for old in 0..<oldSize where oldKeys[old] != Self.empty {
            let slot = self.slot(of: oldKeys[old])
            keys[slot] = oldKeys[old]
            values[slot] = oldValues[old]
        }
        oldKeys.deallocate()
        oldValues.deallocate()
    }
}
