import CoppiceTensors

/// A precompiled character map of SentencePiece: which sequences of bytes are rewritten to which text.
///
/// Its form: the size in bytes of a double-array trie (as a 32-bit number), the trie's units, then the replacements,
/// each ended by a zero byte; the trie's values are offsets into them. Units are those of the Darts-clone library.
struct CharacterMap: Sendable {
    private let units: [UInt32]
    private let replacements: [UInt8]

    /// - Throws: ``CoppiceError`` (`badData`) for a map that is cut off.
    init(_ bytes: [UInt8]) throws {
        func word(_ index: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[index + $1]) << UInt32(8 * $1) }
        }
        guard bytes.count >= 4, case let size = Int(word(0)), size % 4 == 0, size <= bytes.count - 4 else {
            throw CoppiceError(.badData, field: "precompiled_charsmap", "the map is cut off")
        }
        units = stride(from: 4, to: 4 + size, by: 4).map(word)
        replacements = Array(bytes[(4 + size)...])
    }

    func apply(_ text: String) -> String {
        var text = text
        return text.withUTF8 { bytes in
            var result: [UInt8] = []
            var position = 0
            while position < bytes.count { position += append(bytes, position, to: &result) }
            return String(decoding: result, as: UTF8.self)
        }
    }

    /// Appends the replacement of the longest mapped sequence at `position`, or the character there; returns the bytes
    /// taken.
    func append(_ text: UnsafeBufferPointer<UInt8>, _ position: Int, to result: inout [UInt8]) -> Int {
        if let (length, start) = longestMatch(text, position) {
            var index = start
            while index < replacements.count, replacements[index] != 0 {
                result.append(replacements[index])
                index += 1
            }
            return length
        }
        let length = min(UTF8Text.length(leading: text[position]), text.count - position)
        result.append(contentsOf: text[position..<position + length])
        return length
    }

    private func longestMatch(_ text: UnsafeBufferPointer<UInt8>, _ position: Int) -> (length: Int, start: Int)? {
        guard let root = units.first else { return nil }
        var node = Self.offset(root)
        var best: (Int, Int)?
        for index in position..<text.count {
            node ^= Int(text[index])
            guard node < units.count, case let unit = units[node], unit & 0x8000_00ff == UInt32(text[index]) else {
                break
            }
            node ^= Self.offset(unit)
            guard node < units.count else { break }
            if unit >> 8 & 1 == 1 { best = (index - position + 1, Int(units[node] & 0x7fff_ffff)) }
        }
        return best
    }

    private static func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & 1 << 9) >> 6) }
}

/// What SentencePiece does to a text before it looks for pieces.
struct SentencePieceNormalizer: Sendable {
    var map: CharacterMap?
    var addsDummyPrefix = true
    var removesExtraWhitespace = true
    var escapesWhitespace = true
    var treatsWhitespaceAsSuffix = false
    /// Kept as they are.
    var userDefined = AddedTokens([])

    func apply(_ text: String) -> String {
        var text = text
        return text.withUTF8 { bytes in
            let kept = userDefined.matches(in: bytes)
            var result: [UInt8] = []
            var chunk: [UInt8] = []
            let space = UInt8(ascii: " ")
            let mark: [UInt8] = escapesWhitespace ? [0xe2, 0x96, 0x81] : [space]
            var next = 0
            var position = 0
            var afterSpace = removesExtraWhitespace
            var hasBegun = false
            while position < bytes.count {
                chunk.removeAll(keepingCapacity: true)
                if next < kept.count, kept[next].range.lowerBound == position {
                    chunk += bytes[kept[next].range]
                    position = kept[next].range.upperBound
                    next += 1
                } else if let map {
                    position += map.append(bytes, position, to: &chunk)
                } else {
                    let length = UTF8Text.length(leading: bytes[position])
                    chunk += bytes[position..<position + length]
                    position += length
                }
                var part = chunk[...]
                if afterSpace { part = part.drop { $0 == space } }
                if part.isEmpty { continue }
                if !hasBegun, addsDummyPrefix, !treatsWhitespaceAsSuffix { result += mark }
                hasBegun = true
                for byte in part { if byte == space { result += mark } else { result.append(byte) } }
                afterSpace = removesExtraWhitespace && part.last == space
            }
            if removesExtraWhitespace {
                while result.count >= mark.count, result.suffix(mark.count).elementsEqual(mark) {
                    result.removeLast(mark.count)
                }
            }
            if hasBegun, addsDummyPrefix, treatsWhitespaceAsSuffix { result += mark }
            return String(decoding: result, as: UTF8.self)
        }
    }
}
