import CoppiceTensors

/// Learns a byte-level byte-pair encoding from text.
///
/// ```swift
/// let trainer = BPETrainer(vocabularySize: 4096, specialTokens: ["<|endoftext|>"])
/// let encoding = try trainer.train([text])
/// try write(encoding.tokenizerJSON().serialized(pretty: true), to: "tokenizer.json")
/// ```
///
/// Starting from the 256 bytes, the most frequent pair of neighbouring tokens within a word becomes a token, again and
/// again (Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016, over bytes as in
/// GPT-2). Pair counts are kept up to date instead of being counted anew. Vocabulary and merges are those of the
/// `BpeTrainer` of Hugging Face `tokenizers` over the same pieces.
public struct BPETrainer: Sendable {
    /// The number of tokens to end with, special tokens and the 256 bytes included.
    public var vocabularySize: Int
    /// Pairs that occur less often are not merged.
    public var minimumFrequency: Int
    /// Tokens that stand for no text; they get the first numbers. Where the training text contains one, it is a border.
    public var specialTokens: [String]
    /// How text is split into the pieces within which pairs are counted.
    public var pattern: SplitPattern
    public var tieBreaking: TieBreaking

    /// Which of several equally frequent pairs is merged first.
    public enum TieBreaking: Sendable {
        /// The pair with the smaller token numbers, that is the older tokens, as in Hugging Face `tokenizers`.
        case oldestTokens
        /// The pair whose bytes come last in lexicographic order, left token first.
        case greatestBytes
    }

    public init(
        vocabularySize: Int, minimumFrequency: Int = 0, specialTokens: [String] = [], pattern: SplitPattern = .gpt2,
        tieBreaking: TieBreaking = .oldestTokens
    ) {
        self.vocabularySize = vocabularySize
        self.minimumFrequency = minimumFrequency
        self.specialTokens = specialTokens
        self.pattern = pattern
        self.tieBreaking = tieBreaking
    }

    /// Learns from `texts`; a piece never reaches from one text into the next.
    ///
    /// The result has fewer tokens than asked for when the text has no more pairs. O(*n* + *p* log *p*) in the bytes of
    /// text and the pair occurrences in its distinct words.
    ///
    /// - Throws: ``CoppiceError`` (`usage`) when `vocabularySize` has no room for the bytes and special tokens, or a
    ///   special token is empty or given twice; (`badData`) when there is no text.
    public func train(_ texts: some Sequence<String>) throws -> BytePairEncoding {
        guard !specialTokens.contains(""), Set(specialTokens.map { Array($0.utf8) }).count == specialTokens.count else {
            throw CoppiceError(.usage, field: "specialTokens", "expected different, non-empty texts")
        }
        let smallest = specialTokens.count + 256
        guard vocabularySize >= smallest, vocabularySize <= Int(Int32.max) / 2 else {
            throw CoppiceError(
                .usage, field: "vocabularySize",
                "expected at least \(smallest) (256 bytes and the special tokens), found \(vocabularySize)")
        }
        var words = WordCounts()
        for text in texts { count(text, into: &words) }
        guard words.table.count > 0 else { throw CoppiceError(.badData, "the training text is empty") }
        var merging = PairMerging(words, specialTokens: specialTokens, tieBreaking: tieBreaking)
        merging.run(upTo: vocabularySize, minimumFrequency: minimumFrequency)
        return BytePairEncoding(
            tokens: merging.tokens, merges: merging.merges, specialTokens: specialTokens, pattern: pattern)
    }

    private func count(_ text: String, into words: inout WordCounts) {
        var text = text
        text.withUTF8 { bytes in
            var start = 0
            for border in Self.occurrences(of: specialTokens.map { Array($0.utf8) }, in: bytes) {
                count(UnsafeBufferPointer(rebasing: bytes[start..<border.lowerBound]), into: &words)
                start = border.upperBound
            }
            count(UnsafeBufferPointer(rebasing: bytes[start...]), into: &words)
        }
    }

    private func count(_ text: UnsafeBufferPointer<UInt8>, into words: inout WordCounts) {
        guard let base = text.baseAddress else { return }
        pattern.forEachPiece(text) { start, end, _ in words.add(base + start, end - start) }
    }

    /// Where the `borders` occur, the longest at each place, none overlapping.
    private static func occurrences(of borders: [[UInt8]], in text: UnsafeBufferPointer<UInt8>) -> [Range<Int>] {
        guard !borders.isEmpty else { return [] }
        let firsts = Set(borders.compactMap(\.first))
        var isFirst = [Bool](repeating: false, count: 256)
        for first in firsts { isFirst[Int(first)] = true }
        let byLength = borders.sorted { $0.count > $1.count }
        var found: [Range<Int>] = []
        var position = 0
        while position < text.count {
            if isFirst[Int(text[position])],
                let border = byLength.first(where: {
                    position + $0.count <= text.count && text[position..<position + $0.count].elementsEqual($0)
                })
            {
                found.append(position..<position + border.count)
                position += border.count
            } else {
                position += 1
            }
        }
        return found
    }
}

/// How often each distinct piece of the training text occurs.
struct WordCounts {
    let table = ByteStringTable(minimumCapacity: 1 << 16)
    private(set) var counts: [Int] = []

    mutating func add(_ word: UnsafePointer<UInt8>, _ length: Int) {
        let (index, isNew) = table.insert(word, length)
        if isNew { counts.append(1) } else { counts[index] += 1 }
    }
}
