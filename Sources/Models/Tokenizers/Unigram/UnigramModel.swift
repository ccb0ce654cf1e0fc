/// The unigram language model: of all ways to cut a piece into tokens the one of greatest probability (Kudo, "Subword
/// Regularization", 2018), found by the Viterbi algorithm.
struct UnigramModel: TokenModel {
    struct Piece: Sendable {
        var text: [UInt8]
        var id: Int
        /// The natural logarithm of its probability.
        var score: Double
        /// Preferred to every other cut.
        var isUserDefined = false
    }

    private let trie: PairTable
    /// The piece that ends at each node of the trie, or -1.
    private let pieceAtNode: [Int32]
    private let scores: [Double]
    private let identifiers: [Int]
    private let unknown: Int?
    private let unknownScore: Double
    private let byteTokens: [Int]?
    /// Scores added up in single precision, as SentencePiece does, which decides between near-equal cuts.
    private let usesSinglePrecision: Bool

    init(_ pieces: [Piece], unknown: Int?, byteTokens: [Int]?, usesSinglePrecision: Bool) {
        let trie = PairTable(minimumCapacity: pieces.count * 4)
        var pieceAtNode: [Int32] = [-1]
        for (index, piece) in pieces.enumerated() {
            var node: Int32 = 0
            for byte in piece.text {
                let key = PairTable.key(node, Int32(byte))
                if let next = trie.find(key) {
                    node = Int32(next)
                } else {
                    node = Int32(pieceAtNode.count)
                    trie.set(key, UInt64(node))
                    pieceAtNode.append(-1)
                }
            }
            if node > 0 { pieceAtNode[Int(node)] = Int32(index) }
        }
        let plain = pieces.filter { !$0.isUserDefined }.map(\.score)
        let (least, greatest) = (plain.min() ?? 0, plain.max() ?? 0)
        scores = pieces.map { piece in
            piece.isUserDefined ? Double(piece.text.count) * greatest - 0.1 : piece.score
        }
        identifiers = pieces.map(\.id)
        unknownScore = least - 10
        self.trie = trie
        self.pieceAtNode = pieceAtNode
        self.unknown = unknown
        self.byteTokens = byteTokens
        self.usesSinglePrecision = usesSinglePrecision
    }

    /// The best cut that ends at each byte.
    final class Workspace {
        fileprivate var score: [Double] = []
        fileprivate var start: [Int] = []
        fileprivate var piece: [Int32] = []
    }

    func makeWorkspace() -> Workspace { Workspace() }

    /// O(*n* · longest piece).
    func append(_ text: UnsafeBufferPointer<UInt8>, to tokens: inout [Int], _ workspace: Workspace) {
        let count = text.count
        workspace.score = Array(repeating: 0, count: count + 1)
        workspace.start = Array(repeating: -1, count: count + 1)
        workspace.piece = Array(repeating: -1, count: count + 1)
        var position = 0
        while position < count {
            let character = min(UTF8Text.length(leading: text[position]), count - position)
            extend(from: position, character: character, text, workspace)
            position += character
        }
        backtrack(text, to: &tokens, workspace)
    }

    private func extend(
        from start: Int, character: Int, _ text: UnsafeBufferPointer<UInt8>, _ workspace: Workspace
    ) {
        let before = workspace.score[start]
        func offer(_ end: Int, _ score: Double, _ piece: Int32) {
            let total = usesSinglePrecision ? Double(Float(before + score)) : before + score
            guard workspace.start[end] < 0 || total > workspace.score[end] else { return }
            workspace.score[end] = total
            workspace.start[end] = start
            workspace.piece[end] = piece
        }
        var hasCharacter = false
        var node: Int32 = 0
        var end = start
        while end < text.count, let next = trie.find(PairTable.key(node, Int32(text[end]))) {
            node = Int32(next)
            end += 1
            let piece = pieceAtNode[Int(node)]
            if piece >= 0 {
                offer(end, scores[Int(piece)], piece)
                if end - start == character { hasCharacter = true }
            }
        }
        if !hasCharacter { offer(start + character, unknownScore, -1) }
    }

    private func backtrack(_ text: UnsafeBufferPointer<UInt8>, to tokens: inout [Int], _ workspace: Workspace) {
        let first = tokens.count
        var end = text.count
        var lastWasUnknown = false
        while end > 0 {
            let start = workspace.start[end]
            let piece = workspace.piece[end]
            if piece >= 0 {
                tokens.append(identifiers[Int(piece)])
            } else if let byteTokens {
                for position in (start..<end).reversed() { tokens.append(byteTokens[Int(text[position])]) }
            } else if let unknown, !lastWasUnknown {
                tokens.append(unknown)
            }
            lastWasUnknown = piece < 0
            end = start
        }
        tokens[first...].reverse()
    }
}
