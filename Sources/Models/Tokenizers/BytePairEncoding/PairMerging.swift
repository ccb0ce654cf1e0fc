/// The merging loop of ``BPETrainer``: pair counts, a queue of pairs, and the words as they stand.
///
/// It follows the bookkeeping of Hugging Face's trainer to the letter, because its oddities show in the result: the
/// count of a merged pair is not reset, and a token that comes about in two ways (`a`+`bc`, `ab`+`c`) has one number,
/// so that a pair with it can be queued, and merged, twice.
struct PairMerging {
    /// The byte-level text of each token, special tokens first.
    private(set) var tokens: [[UInt8]]
    private(set) var merges: [(left: Int32, right: Int32)] = []

    private var numbers: [[UInt8]: Int32] = [:]
    private var symbols: [Int32] = []
    private var words: [Word] = []
    // What is known of each pair, numbered as met; `indices` finds the number.
    private let indices = PairTable(minimumCapacity: 1 << 16)
    private var pairs: [UInt64] = []
    private var counts: [Int] = []
    private var newPlaces: [[Int32]] = []
    private var touched: [Int] = []
    private var queue = PairQueue()
    private let tieBreaking: BPETrainer.TieBreaking

    private struct Word {
        var start: Int
        var length: Int
        var count: Int
    }

    init(_ wordCounts: WordCounts, specialTokens: [String], tieBreaking: BPETrainer.TieBreaking) {
        self.tieBreaking = tieBreaking
        tokens = specialTokens.map { Array($0.utf8) }
        for (number, token) in tokens.enumerated() { numbers[token] = Int32(number) }
        var byteNumbers = [Int32](repeating: 0, count: 256)
        // A special token of one character takes that byte's place, as in the original.
        for (byte, character) in ByteAlphabet.characters.enumerated().sorted(by: { $0.element < $1.element }) {
            byteNumbers[byte] = number(of: Array(String(character).utf8))
        }
        for index in 0..<wordCounts.table.count {
            let bytes = wordCounts.table[index]
            words.append(Word(start: symbols.count, length: bytes.count, count: wordCounts.counts[index]))
            for byte in bytes { symbols.append(byteNumbers[Int(byte)]) }
        }
    }

    private mutating func number(of token: [UInt8]) -> Int32 {
        if let number = numbers[token] { return number }
        let number = Int32(tokens.count)
        tokens.append(token)
        numbers[token] = number
        return number
    }

    mutating func run(upTo size: Int, minimumFrequency: Int) {
        for (index, word) in words.enumerated() where word.length > 1 {
            for position in word.start..<word.start + word.length - 1 {
                change(symbols[position], symbols[position + 1], by: word.count, in: Int32(index))
            }
        }
        enqueueTouched()
        while tokens.count < size, var top = queue.removeFirst() {
            if top.count != counts[top.index] {
                top.count = counts[top.index]
                queue.insert(top)
                continue
            }
            if top.count < 1 || top.count < minimumFrequency { break }
            let pair = pairs[top.index]
            let left = Int32(truncatingIfNeeded: pair >> 32)
            let right = Int32(truncatingIfNeeded: pair)
            let merged = number(of: tokens[Int(left)] + tokens[Int(right)])
            merges.append((left, right))
            for word in top.places { merge(left, right, into: merged, in: word) }
            enqueueTouched()
        }
    }

    private func bytes(_ token: Int32) -> [UInt8] {
        let text = tokens[Int(token)]
        return ByteAlphabet.bytes(of: String(decoding: text, as: UTF8.self)) ?? text
    }

    private mutating func merge(_ left: Int32, _ right: Int32, into merged: Int32, in index: Int32) {
        let word = words[Int(index)]
        let end = word.start + word.length
        var (from, to) = (word.start, word.start)
        while from < end {
            guard symbols[from] == left, from + 1 < end, symbols[from + 1] == right else {
                symbols[to] = symbols[from]
                from += 1
                to += 1
                continue
            }
            if to > word.start {
                change(symbols[to - 1], left, by: -word.count, in: index)
                change(symbols[to - 1], merged, by: word.count, in: index)
            }
            if from + 2 < end {
                change(right, symbols[from + 2], by: -word.count, in: index)
                change(merged, symbols[from + 2], by: word.count, in: index)
            }
            symbols[to] = merged
            from += 2
            to += 1
        }
        words[Int(index)].length = to - word.start
    }

    private mutating func change(_ left: Int32, _ right: Int32, by amount: Int, in word: Int32) {
        let key = PairTable.key(left, right)
        let index: Int
        if let known = indices.find(key) {
            index = Int(known)
        } else {
            index = pairs.count
            indices.set(key, UInt64(index))
            pairs.append(key)
            counts.append(0)
            newPlaces.append([])
        }
        counts[index] += amount
        if amount > 0 {
            if newPlaces[index].isEmpty { touched.append(index) }
            if newPlaces[index].last != word { newPlaces[index].append(word) }
        }
    }

    private mutating func enqueueTouched() {
        for index in touched {
            var places: [Int32] = []
            swap(&places, &newPlaces[index])
            if counts[index] > 0 {
                var entry = PairQueue.Entry(
                    count: counts[index], pair: pairs[index], index: index, places: places, bytes: nil)
                if tieBreaking == .greatestBytes {
                    let pair = pairs[index]
                    entry.bytes = (bytes(Int32(truncatingIfNeeded: pair >> 32)), bytes(Int32(truncatingIfNeeded: pair)))
                }
                queue.insert(entry)
            }
        }
        touched.removeAll(keepingCapacity: true)
    }
}

/// Pairs by falling count, equal counts by ``BPETrainer/TieBreaking``: a binary heap.
struct PairQueue {
    struct Entry {
        var count: Int
        var pair: UInt64
        var index: Int
        var places: [Int32]
        /// The bytes of the two tokens, where those break ties.
        var bytes: (left: [UInt8], right: [UInt8])?

        func precedes(_ other: Entry) -> Bool {
            if count != other.count { return count > other.count }
            guard let bytes, let others = other.bytes else { return pair < other.pair }
            return bytes.left == others.left
                ? others.right.lexicographicallyPrecedes(bytes.right)
                : others.left.lexicographicallyPrecedes(bytes.left)
        }
    }

    private var heap: [Entry] = []

    mutating func insert(_ entry: Entry) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0, heap[child].precedes(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeFirst() -> Entry? {
        guard let last = heap.popLast() else { return nil }
        guard let first = heap.first else { return last }
        heap[0] = last
        var parent = 0
        while true {
            var best = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].precedes(heap[best]) {
                best = child
            }
            if best == parent { return first }
            heap.swapAt(parent, best)
            parent = best
        }
    }
}
