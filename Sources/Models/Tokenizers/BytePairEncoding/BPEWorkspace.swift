/// The symbols of the piece at hand, the merging of their pairs, and the words met before with their tokens.
final class BPEWorkspace {
    // MARK: Words met before

    static let longestCached = 64
    private static let largestCache = 1 << 22

    let cache = ByteStringTable(minimumCapacity: 1 << 13)
    var cachedTokens: [Int32] = []
    private var cachedEnds: [Int] = []

    @inline(__always)
    func appendCached(_ index: Int, to tokens: inout [Int]) {
        let start = index == 0 ? 0 : cachedEnds[index - 1]
        for position in start..<cachedEnds[index] { tokens.append(Int(cachedTokens[position])) }
    }

    /// Adds a word whose tokens are then appended to ``cachedTokens``; a full cache starts afresh.
    func beginEntry(_ word: UnsafePointer<UInt8>, _ length: Int) {
        if cache.byteCount > Self.largestCache {
            cache.removeAll()
            cachedTokens.removeAll(keepingCapacity: true)
            cachedEnds.removeAll(keepingCapacity: true)
        }
        cache.insert(word, length)
    }

    func endEntry() { cachedEnds.append(cachedTokens.count) }

    // MARK: Symbols

    private struct Symbol {
        var token: Int32
        var start: Int32
        var end: Int32
        var previous: Int32
        var next: Int32
        var isFixed: Bool
        /// Rank and result of the merge with the next symbol, or ``none``.
        var merge: UInt64
    }

    private static let none = UInt64.max
    private static let removed: Int32 = -2
    private var symbols: [Symbol] = []

    func removeAll() { symbols.removeAll(keepingCapacity: true) }

    /// Adds a symbol for the bytes `start..<end`; a token of -1 is unknown, a fixed one is never merged.
    @inline(__always)
    func add(_ token: Int32, _ start: Int, _ end: Int, isFixed: Bool = false) {
        let index = Int32(symbols.count)
        symbols.append(
            Symbol(
                token: token, start: Int32(start), end: Int32(end), previous: index - 1, next: index + 1,
                isFixed: isFixed, merge: Self.none))
    }

    func forEachSymbol(_ body: (_ token: Int32, _ start: Int, _ end: Int) -> Void) {
        for symbol in symbols where symbol.token != Self.removed {
            body(symbol.token, Int(symbol.start), Int(symbol.end))
        }
    }

    /// Merges until no pair of neighbours has a merge.
    func merge(_ merges: PairTable) {
        let count = symbols.count
        guard count > 1 else { return }
        symbols.withUnsafeMutableBufferPointer { symbols in
            for index in 0..<count - 1 { symbols[index].merge = Self.merge(symbols, index, merges) }
        }
        // A scan for the best pair each time is quicker than a queue as long as there are few.
        if count <= 48 { mergeByScanning(merges) } else { mergeByQueue(merges) }
    }

    @inline(__always)
    private static func merge(_ symbols: UnsafeMutableBufferPointer<Symbol>, _ index: Int, _ merges: PairTable)
        -> UInt64
    {
        let next = Int(symbols[index].next)
        guard next < symbols.count, symbols[index].token >= 0, symbols[next].token >= 0, !symbols[index].isFixed,
            !symbols[next].isFixed
        else { return none }
        return merges.find(PairTable.key(symbols[index].token, symbols[next].token)) ?? none
    }

    /// Joins the symbol at `index` with the next and looks up the merges of its new neighbourhoods.
    @inline(__always)
    private static func join(_ symbols: UnsafeMutableBufferPointer<Symbol>, _ index: Int, _ merges: PairTable) {
        let next = Int(symbols[index].next)
        symbols[index].token = Int32(truncatingIfNeeded: symbols[index].merge)
        symbols[index].end = symbols[next].end
        symbols[index].next = symbols[next].next
        symbols[next].token = removed
        symbols[next].merge = none
        let following = Int(symbols[index].next)
        if following < symbols.count { symbols[following].previous = Int32(index) }
        symbols[index].merge = merge(symbols, index, merges)
        let previous = Int(symbols[index].previous)
        if previous >= 0 { symbols[previous].merge = merge(symbols, previous, merges) }
    }

    private func mergeByScanning(_ merges: PairTable) {
        symbols.withUnsafeMutableBufferPointer { symbols in
            while true {
                var best = Self.none
                var place = 0
                var index = 0
                while index < symbols.count {
                    if symbols[index].merge < best {
                        best = symbols[index].merge
                        place = index
                    }
                    index = Int(symbols[index].next)
                }
                if best == Self.none { return }
                Self.join(symbols, place, merges)
            }
        }
    }

    // Entries are the rank above the place, so that they order as the merges do; those overtaken by another merge are
    // recognised by their rank.
    private var queue: [UInt64] = []

    private func mergeByQueue(_ merges: PairTable) {
        queue.removeAll(keepingCapacity: true)
        for index in symbols.indices where symbols[index].merge != Self.none {
            enqueue((symbols[index].merge & 0xffff_ffff_0000_0000) | UInt64(index))
        }
        while let entry = dequeue() {
            let index = Int(entry & 0xffff_ffff)
            guard symbols[index].merge != Self.none, symbols[index].merge >> 32 == entry >> 32 else { continue }
            symbols.withUnsafeMutableBufferPointer { Self.join($0, index, merges) }
            let previous = Int(symbols[index].previous)
            for changed in [previous, index] where changed >= 0 && symbols[changed].merge != Self.none {
                enqueue((symbols[changed].merge & 0xffff_ffff_0000_0000) | UInt64(changed))
            }
        }
    }

    private func enqueue(_ entry: UInt64) {
        queue.append(entry)
        var child = queue.count - 1
        while child > 0, entry < queue[(child - 1) / 2] {
            queue[child] = queue[(child - 1) / 2]
            child = (child - 1) / 2
        }
        queue[child] = entry
    }

    private func dequeue() -> UInt64? {
        guard let last = queue.popLast() else { return nil }
        guard let first = queue.first else { return last }
        var parent = 0
        while true {
            var child = 2 * parent + 1
            if child >= queue.count { break }
            if child + 1 < queue.count, queue[child + 1] < queue[child] { child += 1 }
            if queue[child] >= last { break }
            queue[parent] = queue[child]
            parent = child
        }
        queue[parent] = last
        return first
    }
}
