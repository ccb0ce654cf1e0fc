import CKernels
import CoppiceModels
import CoppiceTensors
import Foundation

/// The keys and values of the texts that a model is working on.
///
/// Each sequence has a table of blocks of 64 positions, taken from a common pool as the text grows and given back when
/// it is removed, so a pool's memory is never more than what the longest moment needed. A reservation guarantees that
/// a sequence can grow that far. With a ``StreamingWindow`` blocks are given back as soon as no token to come sees them,
/// so a text of any length fits.
///
/// What the cache holds for a position depends on that position's key and value alone, in every ``Element``.
///
/// A cache, with the buffers that a forward pass works in, belongs to one thread at a time.
public final class KeyValueCache: @unchecked Sendable {
    /// How keys and values are stored.
    ///
    /// `int8` and `int4` keep groups of 32 channels of each position with a scale and a minimum of their own, 9 and 5
    /// bits a channel; keys are turned by a Hadamard matrix first, which spreads channels that are far larger than the
    /// others (`attention.h` states layout and error). Attention to them computes with integers, to the others in f32.
    public enum Element: String, Sendable, CaseIterable {
        case f32, f16, bf16, int8, int4

        var kernel: coppice_cache_element {
            switch self {
            case .f32: COPPICE_CACHE_F32
            case .f16: COPPICE_CACHE_F16
            case .bf16: COPPICE_CACHE_BF16
            case .int8: COPPICE_CACHE_INT8
            case .int4: COPPICE_CACHE_INT4
            }
        }
    }

    /// Positions in one block.
    public static let blockSize = Int(COPPICE_CACHE_BLOCK)

    private struct Sequence {
        var table: UnsafeMutablePointer<UnsafeMutableRawPointer?>
        var tableCount: Int
        /// Blocks that the text has begun, those given back included.
        var blockCount = 0
        /// The first block behind the sinks that is still there; those between have been given back.
        var firstKeptBlock = 0
        var reservedBlocks: Int
        var length = 0
        var plannedLength = 0
    }

    public let element: Element
    /// What texts see once they are longer than it; nil: everything.
    public let window: StreamingWindow?
    /// Positions that all sequences together can hold, a multiple of ``blockSize``.
    public let capacity: Int
    /// Bytes of one position in all layers that have attention, padding included.
    public let bytesPerPosition: Int
    /// Working memory of the passes over this cache.
    let workspace = ForwardWorkspace()

    let layerBytes: Int
    private let blockBytes: Int
    private let sinkBlocks: Int
    private var sequences: [SequenceID: Sequence] = [:]
    private var freeBlocks: [UnsafeMutableRawPointer] = []
    private var allocatedBlocks = 0
    private var reservedBlocks = 0

    init(_ configuration: DecoderConfiguration, element: Element, capacity: Int, window: StreamingWindow?) {
        self.element = element
        self.window = window
        sinkBlocks = Self.blocks(window?.sinks ?? 0)
        layerBytes = coppice_cache_layer_bytes(
            configuration.keyValueHeadCount, configuration.headSize, element.kernel)
        // A model without any attention has empty blocks, of one layer's size.
        blockBytes = layerBytes * max(1, configuration.layers(with: .attention).count)
        let blocks = max(1, Self.blocks(capacity))
        self.capacity = blocks * Self.blockSize
        bytesPerPosition = blockBytes / Self.blockSize
    }

    deinit {
        for sequence in sequences.values {
            for index in 0..<sequence.blockCount { free(sequence.table[index]) }  // nil where given back
            sequence.table.deallocate()
        }
        for block in freeBlocks { free(block) }
    }

    static func blocks(_ positions: Int) -> Int { (positions + blockSize - 1) / blockSize }

    /// Positions that nobody has reserved.
    public var freePositions: Int { capacity - reservedBlocks * Self.blockSize }

    /// Positions that the sequences have filled and not given back.
    public var usedPositions: Int {
        sequences.values.reduce(0) { $0 + $1.length - releasedBlocks($1) * Self.blockSize }
    }

    private func releasedBlocks(_ entry: Sequence) -> Int { max(0, entry.firstKeptBlock - sinkBlocks) }

    /// The most positions that a sequence takes with a window, computed in rows of at most ``longestStreamingRow``.
    static func positions(for window: StreamingWindow) -> Int {
        // Neither end of what is visible need be the end of a block, and one block is kept for shortening the text.
        (blocks(window.sinks) + blocks(window.recent + longestStreamingRow) + 3) * blockSize
    }

    /// Tokens of a row that the reservation of a sequence with a window accounts for.
    static let longestStreamingRow = 512

    /// Bytes of memory that blocks take, free ones included.
    public var byteCount: Int { allocatedBlocks * blockBytes }

    /// Positions that a sequence takes of the cache which may grow to `positions`: whole blocks, and with a window no
    /// more than it needs.
    func reservation(_ positions: Int) -> Int {
        let most = window.map { Self.positions(for: $0) } ?? .max
        return max(1, Self.blocks(min(positions, most))) * Self.blockSize
    }

    /// Adds an empty sequence that may grow to `positions`. With a window it takes no more than the window needs.
    ///
    /// - Throws: `unavailable` when so many positions are not free.
    /// - Precondition: the sequence is not in the cache.
    public func add(_ sequence: SequenceID, reserving positions: Int) throws {
        precondition(sequences[sequence] == nil, "\(sequence) is in the cache already")
        let blocks = reservation(positions) / Self.blockSize
        guard blocks * Self.blockSize <= freePositions else {
            throw CoppiceError(
                .unavailable, field: "cache",
                "\(positions) positions do not fit, \(freePositions) of \(capacity) are free")
        }
        reservedBlocks += blocks
        let table = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: blocks)
        table.initialize(repeating: nil, count: blocks)
        sequences[sequence] = Sequence(
            table: table, tableCount: blocks, reservedBlocks: blocks)
    }

    /// Tells the length that the sequence's prompt will have. Dynamic rotary scaling depends on the length of the text:
    /// with this a prompt that is computed in chunks has the same angles as in one piece.
    public func plan(_ sequence: SequenceID, length: Int) { sequences[sequence]?.plannedLength = length }

    /// Whether the sequence is in the cache.
    public func contains(_ sequence: SequenceID) -> Bool { sequences[sequence] != nil }

    /// Positions that the sequence has filled; 0 for one that is not in the cache.
    public func length(of sequence: SequenceID) -> Int { sequences[sequence]?.length ?? 0 }

    /// Forgets everything from a position on. O(blocks given back).
    ///
    /// - Returns: the length that is left: the one asked for, or 0 where blocks that the next token would see have been
    ///   given back. A text can always be shortened by ``blockSize`` positions.
    @discardableResult
    public func truncate(_ sequence: SequenceID, to length: Int) -> Int {
        guard var entry = sequences[sequence] else { return 0 }
        guard length < entry.length else { return entry.length }
        entry.length = max(0, length)
        if let window, releasedBlocks(entry) > 0,
            entry.length - window.recent + 1 < entry.firstKeptBlock * Self.blockSize
        {
            entry.length = 0
        }
        let kept = Self.blocks(entry.length)
        for index in kept..<max(kept, entry.blockCount) { release(&entry, index) }
        entry.blockCount = kept
        entry.firstKeptBlock = min(entry.firstKeptBlock, kept)
        sequences[sequence] = entry
        return entry.length
    }

    private func release(_ entry: inout Sequence, _ index: Int) {
        if let block = entry.table[index] { freeBlocks.append(block) }
        entry.table[index] = nil
    }

    /// Gives back the sequence's blocks and its reservation. O(blocks).
    public func remove(_ sequence: SequenceID) {
        guard var entry = sequences.removeValue(forKey: sequence) else { return }
        for index in 0..<entry.blockCount { release(&entry, index) }
        entry.table.deallocate()
        reservedBlocks -= entry.reservedBlocks
    }

    /// One position's keys and values in a layer, read back as f32 `[kv heads · head size]` each; empty where the
    /// cache does not hold them or the layer has no attention.
    package func keysAndValues(
        of sequence: SequenceID, position: Int, layer: Int, _ configuration: DecoderConfiguration
    ) -> (keys: [Float], values: [Float]) {
        guard let entry = sequences[sequence], position < entry.length,
            entry.table[position / Self.blockSize] != nil,
            let index = configuration.layers(with: .attention).firstIndex(of: layer)
        else { return ([], []) }
        let count = configuration.keyValueHeadCount * configuration.headSize
        var shape = coppice_attention_shape()
        shape.heads = configuration.headCount
        shape.kv_heads = configuration.keyValueHeadCount
        shape.head_size = configuration.headSize
        shape.layer_offset = index * layerBytes
        shape.element = element.kernel
        var keys = [Float](repeating: 0, count: count)
        var values = keys
        coppice_cache_read(&shape, entry.table, position, &keys, &values)
        return (keys, values)
    }

    // MARK: For a forward pass

    /// Makes room for a row and returns its sequence's block table.
    ///
    /// - Throws: `unavailable` where the row outgrows the reservation and no block is free, or memory is short.
    func prepare(_ row: Row) throws -> UnsafeMutablePointer<UnsafeMutableRawPointer?> {
        guard var entry = sequences[row.sequence] else { preconditionFailure("\(row.sequence) is not in the cache") }
        precondition(row.start == entry.length, "\(row.sequence) holds \(entry.length) positions, not \(row.start)")
        let needed = Self.blocks(row.start + row.count)
        let held = needed - releasedBlocks(entry)
        if held > entry.reservedBlocks {
            guard (held - entry.reservedBlocks) * Self.blockSize <= freePositions else {
                throw CoppiceError(.unavailable, field: "cache", "all \(capacity) positions are taken")
            }
            reservedBlocks += held - entry.reservedBlocks
            entry.reservedBlocks = held
        }
        if needed > entry.tableCount {
            let count = max(needed, entry.tableCount * 2)
            let table = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: count)
            table.initialize(repeating: nil, count: count)
            table.update(from: entry.table, count: entry.tableCount)
            entry.table.deallocate()
            entry.table = table
            entry.tableCount = count
        }
        defer { sequences[row.sequence] = entry }
        while entry.blockCount < needed {
            entry.table[entry.blockCount] = try takeBlock()
            entry.blockCount += 1
        }
        return entry.table
    }

    /// The length of text that the row's rotary angles depend on.
    func rotaryLength(of row: Row) -> Int {
        let length = max(row.start + row.count, sequences[row.sequence]?.plannedLength ?? 0)
        return window.map { min($0.visible, length) } ?? length
    }

    /// Records that the row's positions are filled, and gives back blocks that no later token sees.
    func complete(_ row: Row) {
        guard var entry = sequences[row.sequence] else { return }
        entry.length = row.start + row.count
        if let window {
            let firstVisible = entry.length - window.recent + 1
            let kept = max(sinkBlocks, (firstVisible - Self.blockSize) / Self.blockSize)
            let first = max(sinkBlocks, entry.firstKeptBlock)
            for index in first..<max(first, kept) { release(&entry, index) }
            entry.firstKeptBlock = max(first, kept)
        }
        sequences[row.sequence] = entry
    }

    private func takeBlock() throws -> UnsafeMutableRawPointer {
        if let block = freeBlocks.popLast() { return block }
        var memory: UnsafeMutableRawPointer?
        guard posix_memalign(&memory, 64, blockBytes) == 0, let memory else {
            throw CoppiceError(.unavailable, field: "cache", "no memory for a block of \(blockBytes) bytes")
        }
        // Masked lanes of a block's keys are computed with before they are dropped: let them be numbers.
        memset(memory, 0, blockBytes)
        allocatedBlocks += 1
        return memory
    }
}
