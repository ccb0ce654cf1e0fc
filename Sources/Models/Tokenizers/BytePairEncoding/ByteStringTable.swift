/// A set of byte strings numbered in the order of their insertion: a vocabulary, or the words seen so far.
///
/// Open addressing over one block of bytes. A class, so that a hot loop can read it without reference counting of its
/// parts; reading from several threads is safe while nobody inserts.
final class ByteStringTable: @unchecked Sendable {
    private(set) var count = 0
    // A slot is 0 when empty, else the upper half of the hash and the string's number plus one.
    private var slots: UnsafeMutablePointer<UInt64>
    private var mask: Int
    private var starts: UnsafeMutablePointer<Int>
    private var startCapacity: Int
    private var text: UnsafeMutablePointer<UInt8>
    private var textCapacity: Int

    init(minimumCapacity: Int = 64, averageLength: Int = 8) {
        var size = 16
        while size < minimumCapacity * 2 { size *= 2 }
        slots = .allocate(capacity: size)
        slots.initialize(repeating: 0, count: size)
        mask = size - 1
        startCapacity = size / 2 + 1
        starts = .allocate(capacity: startCapacity)
        starts[0] = 0
        textCapacity = max(64, minimumCapacity * averageLength)
        text = .allocate(capacity: textCapacity)
    }

    deinit {
        slots.deallocate()
        starts.deallocate()
        text.deallocate()
    }

    /// The bytes held, of all strings together.
    var byteCount: Int { starts[count] }

    func removeAll() {
        slots.update(repeating: 0, count: mask + 1)
        count = 0
    }

    /// The string numbered `index`; valid until the next insertion.
    subscript(index: Int) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: text + starts[index], count: starts[index + 1] - starts[index])
    }

    /// The number of the string, or nil. O(length).
    @inline(__always)
    func find(_ key: UnsafePointer<UInt8>, _ length: Int) -> Int? {
        let hash = Self.hash(key, length)
        var slot = Int(truncatingIfNeeded: hash) & mask
        while true {
            let entry = slots[slot]
            if entry == 0 { return nil }
            if (entry ^ hash) >> 32 == 0 {
                let index = Int(truncatingIfNeeded: entry & 0xffff_ffff) - 1
                if equals(index, key, length) { return index }
            }
            slot = (slot + 1) & mask
        }
    }

    func find(_ key: [UInt8]) -> Int? {
        key.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return find(text, 0) }
            return find(base, buffer.count)
        }
    }

    /// Adds the string unless it is there; returns its number. Amortized O(length).
    @discardableResult
    func insert(_ key: UnsafePointer<UInt8>, _ length: Int) -> (index: Int, isNew: Bool) {
        if let index = find(key, length) { return (index, false) }
        if count + 1 >= startCapacity { growSlots() }
        if starts[count] + length > textCapacity { growText(by: length) }
        (text + starts[count]).update(from: key, count: length)
        starts[count + 1] = starts[count] + length
        place(Self.hash(key, length), count)
        count += 1
        return (count - 1, true)
    }

    @discardableResult
    func insert(_ key: [UInt8]) -> (index: Int, isNew: Bool) {
        key.withUnsafeBufferPointer { buffer in insert(buffer.baseAddress ?? UnsafePointer(text), buffer.count) }
    }

    private func place(_ hash: UInt64, _ index: Int) {
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = (hash & 0xffff_ffff_0000_0000) | UInt64(index + 1)
    }

    private func growSlots() {
        let size = (mask + 1) * 2
        slots.deallocate()
        slots = .allocate(capacity: size)
        slots.initialize(repeating: 0, count: size)
        mask = size - 1
        let moved = UnsafeMutablePointer<Int>.allocate(capacity: size / 2 + 1)
        moved.update(from: starts, count: count + 1)
        starts.deallocate()
        starts = moved
        startCapacity = size / 2 + 1
        for index in 0..<count { place(Self.hash(text + starts[index], starts[index + 1] - starts[index]), index) }
    }

    private func growText(by length: Int) {
        textCapacity = max(textCapacity * 2, textCapacity + length)
        let moved = UnsafeMutablePointer<UInt8>.allocate(capacity: textCapacity)
        moved.update(from: text, count: starts[count])
        text.deallocate()
        text = moved
    }

    @inline(__always)
    private func equals(_ index: Int, _ key: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        let start = starts[index]
        guard starts[index + 1] - start == length else { return false }
        let own = UnsafeRawPointer(text + start)
        let other = UnsafeRawPointer(key)
        var offset = 0
        while offset + 8 <= length {
            if own.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                != other.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            {
                return false
            }
            offset += 8
        }
        return Self.tail(own + offset, length - offset) == Self.tail(other + offset, length - offset)
    }

    // MARK: Hashing

    // Random in each process, so that no text can be made to collide on purpose.
    private static let seed = UInt64.random(in: .min ... .max) | 1

    @inline(__always)
    private static func hash(_ key: UnsafePointer<UInt8>, _ length: Int) -> UInt64 {
        let bytes = UnsafeRawPointer(key)
        var state = seed &+ UInt64(truncatingIfNeeded: length)
        var offset = 0
        while offset + 8 <= length {
            state = mix(state ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        return mix(state ^ tail(bytes + offset, length - offset))
    }

    @inline(__always)
    private static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        return product.high ^ product.low
    }

    /// The last `length` bytes (0 to 7) as a number that differs whenever they do.
    @inline(__always)
    private static func tail(_ bytes: UnsafeRawPointer, _ length: Int) -> UInt64 {
        if length >= 4 {
            let low = bytes.loadUnaligned(as: UInt32.self)
            let high = bytes.loadUnaligned(fromByteOffset: length - 4, as: UInt32.self)
            return UInt64(high) << 32 | UInt64(low)
        }
        if length == 0 { return 0 }
        let first = UInt64(bytes.load(as: UInt8.self))
        let middle = UInt64(bytes.load(fromByteOffset: length >> 1, as: UInt8.self))
        let last = UInt64(bytes.load(fromByteOffset: length - 1, as: UInt8.self))
        return first | middle << 8 | last << 16
    }
}
