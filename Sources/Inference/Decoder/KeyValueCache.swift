import CKernels
import CoppiceModels
import CoppiceTensors
import Foundation

/// The keys and values of the texts that a model is working on.
///
/// Each sequence has a table of blocks of 64 positions, taken from a common pool as the text grows and given back when
/// it is removed, so a pool's memory is never more than what the longest moment needed. A reservation guarantees that
/// a sequence can grow that far.
///
/// A cache, with the buffers that a forward pass works in, belongs to one thread at a time.
public final class KeyValueCache: @unchecked Sendable {
    /// How keys and values are stored. Attention computes in f32 in any case.
    public enum Element: String, Sendable, CaseIterable {
        case f32, f16, bf16

        var kernel: coppice_cache_element {
            switch self {
            case .f32: COPPICE_CACHE_F32
            case .f16: COPPICE_CACHE_F16
            case .bf16: COPPICE_CACHE_BF16
            }
        }
    }

    /// Positions in one block.
    public static let blockSize = Int(COPPICE_CACHE_BLOCK)

    private struct Sequence {
        var table: UnsafeMutablePointer<UnsafeMutableRawPointer?>
        var tableCount: Int
        var blockCount = 0
        var reservedBlocks: Int
        var length = 0
        var plannedLength = 0
    }

    public let element: Element
    /// Positions that all sequences together can hold, a multiple of ``blockSize``.
    public let capacity: Int
    /// Bytes of one position in all layers, padding included.
    public let bytesPerPosition: Int
    /// Working memory of the passes over this cache.
    let workspace = ForwardWorkspace()

    let layerBytes: Int
    private let blockBytes: Int
    private var sequences: [SequenceID: Sequence] = [:]
    private var freeBlocks: [UnsafeMutableRawPointer] = []
    private var allocatedBlocks = 0
    private var reservedBlocks = 0

    init(_ configuration: DecoderConfiguration, element: Element, capacity: Int) {
        self.element = element
        layerBytes = coppice_cache_layer_bytes(
            configuration.keyValueHeadCount, configuration.headSize, element.kernel)
        blockBytes = layerBytes * configuration.layerCount
        let blocks = max(1, Self.blocks(capacity))
        self.capacity = blocks * Self.blockSize
        bytesPerPosition = blockBytes / Self.blockSize
    }

    deinit {
        for sequence in sequences.values {
            for index in 0..<sequence.blockCount { free(sequence.table[index]) }
            sequence.table.deallocate()
        }
        for block in freeBlocks { free(block) }
    }

    static func blocks(_ positions: Int) -> Int { (positions + blockSize - 1) / blockSize }

    /// Positions that nobody has reserved.
    public var freePositions: Int { capacity - reservedBlocks * Self.blockSize }

    /// Positions that the sequences have filled.
    public var usedPositions: Int { sequences.values.reduce(0) { $0 + $1.length } }

    /// Bytes of memory that blocks take, free ones included.
    public var byteCount: Int { allocatedBlocks * blockBytes }

    /// Adds an empty sequence that may grow to `positions`.
    ///
    /// - Throws: `unavailable` when so many positions are not free.
    /// - Precondition: the sequence is not in the cache.
    public func add(_ sequence: SequenceID, reserving positions: Int) throws {
        precondition(sequences[sequence] == nil, "\(sequence) is in the cache already")
        let blocks = max(1, Self.blocks(positions))
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
    public func truncate(_ sequence: SequenceID, to length: Int) {
        guard var entry = sequences[sequence], length < entry.length else { return }
        entry.length = max(0, length)
        let kept = Self.blocks(entry.length)
        for index in kept..<entry.blockCount {
            if let block = entry.table[index] { freeBlocks.append(block) }
            entry.table[index] = nil
        }
        entry.blockCount = kept
        sequences[sequence] = entry
    }

    /// Gives back the sequence's blocks and its reservation. O(blocks).
    public func remove(_ sequence: SequenceID) {
        guard let entry = sequences.removeValue(forKey: sequence) else { return }
        for index in 0..<entry.blockCount {
            if let block = entry.table[index] { freeBlocks.append(block) }
        }
        entry.table.deallocate()
        reservedBlocks -= entry.reservedBlocks
    }

    /// One position's keys and values in a layer, read back as f32 `[kv heads · head size]` each.
    package func keysAndValues(
        of sequence: SequenceID, position: Int, layer: Int, _ configuration: DecoderConfiguration
    ) -> (keys: [Float], values: [Float]) {
        guard let entry = sequences[sequence], position < entry.length else { return ([], []) }
        let count = configuration.keyValueHeadCount * configuration.headSize
        var shape = coppice_attention_shape()
        shape.heads = configuration.headCount
        shape.kv_heads = configuration.keyValueHeadCount
        shape.head_size = configuration.headSize
        shape.layer_offset = layer * layerBytes
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
        if needed > entry.reservedBlocks {
            guard (needed - entry.reservedBlocks) * Self.blockSize <= freePositions else {
                throw CoppiceError(.unavailable, field: "cache", "all \(capacity) positions are taken")
            }
            reservedBlocks += needed - entry.reservedBlocks
            entry.reservedBlocks = needed
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
        max(row.start + row.count, sequences[row.sequence]?.plannedLength ?? 0)
    }

    /// Records that the row's positions are filled.
    func complete(_ row: Row) { sequences[row.sequence]?.length = row.start + row.count }

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
