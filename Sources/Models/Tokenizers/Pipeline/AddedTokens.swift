/// Finds the tokens that are matched as whole strings before a text is normalized and split.
struct AddedTokens: Sendable {
    struct Token: Sendable {
        var id: Int
        var content: [UInt8]
        var isSpecial = false
        /// Matched in the normalized text rather than in the original.
        var isNormalized = false
        /// Takes the white space before it along.
        var stripsLeft = false
        /// Takes the white space after it along.
        var stripsRight = false
        /// Matched only where no letter, digit or underscore touches it.
        var isSingleWord = false
    }

    /// A found token with the bytes of the text it takes.
    struct Match {
        var range: Range<Int>
        var id: Int
    }

    private var byFirstByte: [[Token]] = Array(repeating: [], count: 256)
    private(set) var isEmpty = true

    init(_ tokens: [Token]) {
        for token in tokens {
            guard let first = token.content.first else { continue }
            byFirstByte[Int(first)].append(token)
            isEmpty = false
        }
        for first in byFirstByte.indices { byFirstByte[first].sort { $0.content.count > $1.content.count } }
    }

    /// The matches in order, the leftmost and of those the longest first, none overlapping.
    func matches(in text: UnsafeBufferPointer<UInt8>) -> [Match] {
        if isEmpty { return [] }
        var found: [Match] = []
        var free = 0
        var position = 0
        byFirstByte.withUnsafeBufferPointer { byFirstByte in
            while position < text.count {
                let candidates = byFirstByte[Int(text[position])]
                guard !candidates.isEmpty, let token = candidates.first(where: { fits($0, text, position) }) else {
                    position += 1
                    continue
                }
                var range = position..<position + token.content.count
                if token.stripsLeft { range = leftSpaceStart(text, range.lowerBound, free)..<range.upperBound }
                if token.stripsRight { range = range.lowerBound..<rightSpaceEnd(text, range.upperBound) }
                found.append(Match(range: range, id: token.id))
                position = range.upperBound
                free = position
            }
        }
        return found
    }

    private func fits(_ token: Token, _ text: UnsafeBufferPointer<UInt8>, _ start: Int) -> Bool {
        let end = start + token.content.count
        guard end <= text.count, text[start..<end].elementsEqual(token.content) else { return false }
        guard token.isSingleWord else { return true }
        if start > 0, CharacterClass.isWord(scalarBefore(text, start).scalar) { return false }
        if end < text.count, let base = text.baseAddress, CharacterClass.isWord(UTF8Text.scalar(at: base + end).0) {
            return false
        }
        return true
    }

    private func scalarBefore(_ text: UnsafeBufferPointer<UInt8>, _ end: Int) -> (scalar: Unicode.Scalar, start: Int) {
        var start = end - 1
        while start > 0, text[start] & 0xc0 == 0x80 { start -= 1 }
        guard let base = text.baseAddress else { return (" ", start) }
        return (UTF8Text.scalar(at: base + start).0, start)
    }

    private func leftSpaceStart(_ text: UnsafeBufferPointer<UInt8>, _ end: Int, _ limit: Int) -> Int {
        var position = end
        while position > limit {
            let (scalar, start) = scalarBefore(text, position)
            guard CharacterClass.of(scalar).contains(.space) else { break }
            position = start
        }
        return position
    }

    private func rightSpaceEnd(_ text: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int {
        guard let base = text.baseAddress else { return start }
        var position = start
        while position < text.count {
            let (scalar, length) = UTF8Text.scalar(at: base + position)
            guard CharacterClass.of(scalar).contains(.space) else { break }
            position += length
        }
        return position
    }
}
