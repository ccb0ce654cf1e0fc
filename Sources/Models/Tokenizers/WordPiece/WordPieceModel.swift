import CoppiceTensors

/// WordPiece: from left to right a word is cut into the longest pieces of the vocabulary; a word that cannot be cut to
/// its end is unknown as a whole (Devlin et al., "BERT", 2019).
struct WordPieceModel: TokenModel {
    /// What a vocabulary says beside its pieces.
    struct Rules: Sendable, Hashable {
        var unknown = "[UNK]"
        /// In front of the pieces that continue a word.
        var continuation = "##"
        /// Longer words are unknown, in characters.
        var longestWord = 100
    }

    /// Whole pieces: most words are one.
    private let table: ByteStringTable
    private let identifiers: [Int32]
    private let trie: PairTable
    /// The token that ends at each node of the trie, or -1.
    private let tokenAtNode: [Int32]
    private let unknown: Int
    private let longestWord: Int
    // Words begin at node 0, what continues them at node 1.
    private static let continuing: Int32 = 1

    /// - Parameters:
    ///   - table: the pieces as the vocabulary spells them.
    ///   - identifiers: their numbers.
    ///   - unknown: the number of the unknown token.
    /// - Complexity: O(bytes of the vocabulary).
    init(_ table: ByteStringTable, _ identifiers: [Int32], unknown: Int, _ rules: Rules) {
        let trie = PairTable(minimumCapacity: table.count * 4)
        var tokenAtNode: [Int32] = [-1, -1]
        func insert(_ piece: some Sequence<UInt8>, from root: Int32, _ token: Int32) {
            var node = root
            for byte in piece {
                let key = PairTable.key(node, Int32(byte))
                if let next = trie.find(key) {
                    node = Int32(next)
                } else {
                    node = Int32(tokenAtNode.count)
                    trie.set(key, UInt64(node))
                    tokenAtNode.append(-1)
                }
            }
            if node != root { tokenAtNode[Int(node)] = token }
        }
        let continuation = Array(rules.continuation.utf8)
        for index in 0..<table.count {
            let piece = table[index]
            insert(piece, from: 0, identifiers[index])
            if piece.starts(with: continuation) {
                insert(piece.dropFirst(continuation.count), from: Self.continuing, identifiers[index])
            }
        }
        self.table = table
        self.identifiers = identifiers
        self.trie = trie
        self.tokenAtNode = tokenAtNode
        self.unknown = unknown
        longestWord = rules.longestWord
    }

    /// Nothing is kept between words.
    final class Workspace {}

    func makeWorkspace() -> Workspace { Workspace() }

    /// O(*n* · longest piece) at worst, and O(*n*) for a word of the vocabulary.
    func append(_ word: UnsafeBufferPointer<UInt8>, to tokens: inout [Int], _ workspace: Workspace) {
        guard let base = word.baseAddress, word.count > 0 else { return }
        // A word has no more characters than bytes, and those that continue a character begin with the bits 10.
        if word.count > longestWord, word.count(where: { $0 & 0xc0 != 0x80 }) > longestWord {
            return tokens.append(unknown)
        }
        if let index = table.find(base, word.count) { return tokens.append(Int(identifiers[index])) }
        let first = tokens.count
        var start = 0
        while start < word.count {
            guard let (token, end) = longestPiece(word, from: start) else {
                tokens.removeLast(tokens.count - first)
                return tokens.append(unknown)
            }
            tokens.append(token)
            start = end
        }
    }

    private func longestPiece(_ word: UnsafeBufferPointer<UInt8>, from start: Int) -> (token: Int, end: Int)? {
        var node: Int32 = start == 0 ? 0 : Self.continuing
        var found: (token: Int, end: Int)?
        var position = start
        while position < word.count, let next = trie.find(PairTable.key(node, Int32(word[position]))) {
            node = Int32(next)
            position += 1
            let token = tokenAtNode[Int(node)]
            if token >= 0 { found = (Int(token), position) }
        }
        return found
    }
}
