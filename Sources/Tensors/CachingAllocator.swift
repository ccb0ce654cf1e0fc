import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Keeps freed blocks for reuse, so that a training step does not ask the system for memory.
///
/// Sizes are rounded up to eight classes per power of two, which wastes at most one eighth. Blocks are aligned
/// to 64 bytes. Thread-safe; both operations are O(1).
public final class CachingAllocator: Sendable {
    public static let shared = CachingAllocator()

    private struct State {
        var free: [Int: [UInt]] = [:]
        var cachedBytes = 0
        var liveBytes = 0
        var peakBytes = 0
    }

    private let state = Mutex(State())
    /// Freed memory kept at most; beyond it blocks go back to the system.
    private let cacheLimit = 4 << 30

    /// Bytes in use now, rounded up to size classes.
    public var liveBytes: Int { state.withLock { $0.liveBytes } }

    /// The largest value that ``liveBytes`` had since the last ``resetPeak()``.
    public var peakBytes: Int { state.withLock { $0.peakBytes } }

    /// Starts a new measurement of ``peakBytes``.
    public func resetPeak() { state.withLock { $0.peakBytes = $0.liveBytes } }

    /// The size class of a request: the capacity that an allocation of `byteCount` bytes really has.
    static func capacity(for byteCount: Int) -> Int {
        if byteCount <= 64 { return 64 }
        let step = max(64, (1 << (Int.bitWidth - 1 - (byteCount - 1).leadingZeroBitCount)) / 8)
        return (byteCount + step - 1) / step * step
    }

    func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
        precondition(byteCount >= 0, "negative allocation")
        let capacity = Self.capacity(for: byteCount)
        let reused: UInt? = state.withLock { state in
            state.liveBytes += capacity
            state.peakBytes = max(state.peakBytes, state.liveBytes)
            guard let address = state.free[capacity]?.popLast() else { return nil }
            state.cachedBytes -= capacity
            return address
        }
        if let reused, let pointer = UnsafeMutableRawPointer(bitPattern: reused) { return pointer }
        if let pointer = Self.systemMemory(capacity) { return pointer }
        releaseCache()
        guard let pointer = Self.systemMemory(capacity) else { fatalError("out of memory: \(capacity) bytes") }
        return pointer
    }

    /// Blocks from this size on are mappings of their own, so that what is released leaves the process at once, wherever
    /// other blocks lie.
    private static let smallestMapping = 1 << 20

    /// Uninitialized memory from the system, aligned to 64 bytes; nil where there is none.
    private static func systemMemory(_ capacity: Int) -> UnsafeMutableRawPointer? {
        if capacity >= smallestMapping {
            let pointer = mmap(nil, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            return pointer == MAP_FAILED ? nil : pointer
        }
        var pointer: UnsafeMutableRawPointer?
        return posix_memalign(&pointer, 64, capacity) == 0 ? pointer : nil
    }

    /// Gives memory of ``systemMemory(_:)`` back.
    private static func giveBack(_ pointer: UnsafeMutableRawPointer, capacity: Int) {
        if capacity >= smallestMapping { munmap(pointer, capacity) } else { posixFree(pointer) }
    }

    func free(_ pointer: UnsafeMutableRawPointer, byteCount: Int) {
        let capacity = Self.capacity(for: byteCount)
        let kept = state.withLock { state in
            state.liveBytes -= capacity
            guard state.cachedBytes + capacity <= cacheLimit else { return false }
            state.cachedBytes += capacity
            state.free[capacity, default: []].append(UInt(bitPattern: pointer))
            return true
        }
        if !kept { Self.giveBack(pointer, capacity: capacity) }
    }

    /// Gives all cached blocks back to the system where they are more than a limit: for work that goes through blocks of
    /// many sizes and is to need little memory.
    package func releaseCache(above limit: Int) {
        guard state.withLock({ $0.cachedBytes > limit }) else { return }
        releaseCache()
    }

    /// Gives all cached blocks back to the system.
    public func releaseCache() {
        let blocks = state.withLock { state in
            defer {
                state.free = [:]
                state.cachedBytes = 0
            }
            return state.free
        }
        for (capacity, addresses) in blocks {
            for address in addresses {
                if let pointer = UnsafeMutableRawPointer(bitPattern: address) {
                    Self.giveBack(pointer, capacity: capacity)
                }
            }
        }
    }
}

private func posixFree(_ pointer: UnsafeMutableRawPointer) { free(pointer) }
