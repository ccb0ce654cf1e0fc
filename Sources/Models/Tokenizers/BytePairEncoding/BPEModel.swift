import CoppiceTensors

/// Byte-pair encoding: a piece starts as its bytes or characters, and the pair of lowest rank is merged until none is
/// left; of equal pairs the leftmost goes first.
struct BPEModel: TokenModel {
    /// What a piece starts from.
    enum Symbols: Sendable {
        /// The token of each byte, or -1.
        case bytes([Int32])
        case characters
    }

    /// What a character (or byte) without a token becomes.
    struct Fallback: Sendable {
        /// The tokens of the 256 bytes.
        var bytes: [Int32]?
        var unknown: Int32?
        /// Whether neighbouring unknown characters become one token.
        var joinsUnknown = false
    }

    /// The bytes of tokens, in the spelling of the pieces, and their numbers.
    let table: ByteStringTable
    let identifiers: [Int32]
    /// For a pair of tokens: the rank in the upper and the merged token in the lower half.
    let merges: PairTable
    let symbols: Symbols
    let fallback: Fallback
    /// Whether a piece that is itself a token is that token, whatever the merges.
    let ignoresMerges: Bool
    /// Strings that stay one token within a piece.
    var userDefined = AddedTokens([])

    func makeWorkspace() -> BPEWorkspace { BPEWorkspace() }

    func append(_ piece: UnsafeBufferPointer<UInt8>, to tokens: inout [Int], _ workspace: BPEWorkspace) {
        guard let base = piece.baseAddress, piece.count > 0 else { return }
        // Long pieces are rarely seen twice.
        guard piece.count <= BPEWorkspace.longestCached else {
            return merge(base, piece.count, workspace) { tokens.append(Int($0)) }
        }
        if let index = workspace.cache.find(base, piece.count) {
            workspace.appendCached(index, to: &tokens)
            return
        }
        workspace.beginEntry(base, piece.count)
        merge(base, piece.count, workspace) {
            tokens.append(Int($0))
            workspace.cachedTokens.append($0)
        }
        workspace.endEntry()
    }

    private func merge(
        _ piece: UnsafePointer<UInt8>, _ length: Int, _ workspace: BPEWorkspace, _ emit: (Int32) -> Void
    ) {
        if ignoresMerges, let index = table.find(piece, length) { return emit(identifiers[index]) }
        loadSymbols(piece, length, workspace)
        workspace.merge(merges)
        var lastWasUnknown = false
        workspace.forEachSymbol { symbol, start, end in
            if symbol >= 0 {
                lastWasUnknown = false
                return emit(symbol)
            }
            if let bytes = fallback.bytes {
                for position in start..<end { emit(bytes[Int(piece[position])]) }
            } else if let unknown = fallback.unknown {
                if !(fallback.joinsUnknown && lastWasUnknown) { emit(unknown) }
                lastWasUnknown = true
            }
        }
    }

    private func loadSymbols(_ piece: UnsafePointer<UInt8>, _ length: Int, _ workspace: BPEWorkspace) {
        workspace.removeAll()
        switch symbols {
        case .bytes(let numbers):
            numbers.withUnsafeBufferPointer { numbers in
                for position in 0..<length { workspace.add(numbers[Int(piece[position])], position, position + 1) }
            }
        case .characters:
            var position = 0
            let kept = userDefined.matches(in: UnsafeBufferPointer(start: piece, count: length))
            var next = 0
            while position < length {
                if next < kept.count, kept[next].range.lowerBound == position {
                    workspace.add(Int32(kept[next].id), position, kept[next].range.upperBound, isFixed: true)
                    position = kept[next].range.upperBound
                    next += 1
                    continue
                }
                let end = position + UTF8Text.length(leading: piece[position])
                let index = table.find(piece + position, end - position)
                workspace.add(index.map { identifiers[$0] } ?? -1, position, end)
                position = end
            }
        }
    }
}

extension BPEModel {
    /// The stage that cuts text at words, if no token reaches from one word into the next: then pieces can be short.
    static func wordStage(_ table: ByteStringTable, mark: Unicode.Scalar) -> PreTokenizer.Stage? {
        let mark = Array(String(mark).utf8)
        for index in 0..<table.count {
            let piece = table[index]
            var position = 0
            var wasMark = true
            while position < piece.count {
                let isMark = piece[position...].starts(with: mark)
                if isMark, !wasMark { return nil }
                wasMark = isMark
                position += isMark ? mark.count : 1
            }
        }
        return .runStarts(mark)
    }

    /// The merges that ranks of whole tokens imply: two tokens merge when their concatenation is a token, the one of
    /// lowest rank first (tiktoken's and SentencePiece's rule).
    ///
    /// - Parameter rank: the rank of the token at each index of `table`; nil for one that is not made by merging.
    static func impliedMerges(
        _ table: ByteStringTable, _ identifiers: [Int32], atCharacters: Bool, rank: (Int) -> UInt32?
    ) -> PairTable {
        let merges = PairTable(minimumCapacity: table.count * 2)
        for index in 0..<table.count {
            guard let rank = rank(index) else { continue }
            let bytes = table[index]
            guard let base = bytes.baseAddress, bytes.count > 1 else { continue }
            for border in 1..<bytes.count where !(atCharacters && bytes[border] & 0xc0 == 0x80) {
                guard let left = table.find(base, border),
                    let right = table.find(base + border, bytes.count - border)
                else { continue }
                let key = PairTable.key(identifiers[left], identifiers[right])
                merges.set(key, UInt64(rank) << 32 | UInt64(UInt32(bitPattern: identifiers[index])))
            }
        }
        return merges
    }
}
