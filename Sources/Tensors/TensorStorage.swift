/// A reference-counted block of memory that tensors view.
///
/// Owned blocks come from the caching allocator and are aligned to 64 bytes. Borrowed blocks (a memory-mapped
/// file) stay alive through `owner` and are never written.
public final class TensorStorage: @unchecked Sendable {
    /// The first byte. Writable only where ``isReadOnly`` is false.
    public let pointer: UnsafeMutableRawPointer
    /// Usable bytes from ``pointer``.
    public let byteCount: Int
    /// Whether the memory belongs to somebody else and must not be written.
    public let isReadOnly: Bool
    /// What keeps borrowed memory alive; nil for own memory.
    package let owner: AnyObject?

    /// Uninitialized memory of at least `byteCount` bytes from the caching allocator.
    public init(byteCount: Int) {
        pointer = CachingAllocator.shared.allocate(byteCount: byteCount)
        self.byteCount = byteCount
        isReadOnly = false
        owner = nil
    }

    /// Memory that `owner` keeps alive, for reading.
    public init(borrowing pointer: UnsafeRawPointer, byteCount: Int, owner: AnyObject) {
        self.pointer = UnsafeMutableRawPointer(mutating: pointer)
        self.byteCount = byteCount
        isReadOnly = true
        self.owner = owner
    }

    deinit {
        if owner == nil { CachingAllocator.shared.free(pointer, byteCount: byteCount) }
    }
}
