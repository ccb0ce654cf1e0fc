import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// Three collections of texts as letters and spaces, each split for pre-training, for the examples of a task and for
/// testing it.
///
/// Everything but the letters a to z becomes a space, and marks of unknown words go, so that no punctuation, digit or markup
/// tells the collections apart.
package struct LetterTexts: Sendable {
    /// Tokens: padding and gaps, then the space and the letters.
    package static let (pad, mask, space, firstLetter) = (0, 1, 2, 3)
    package static let vocabularySize = 29
    /// The loss of guessing, in nats a token.
    static let chanceLoss = log(Double(vocabularySize))
    static let masking = TokenMasking(mask: mask, ordinary: space..<vocabularySize)

    package struct Collection: Sendable {
        package var name: String
        /// The first 80 %.
        package var pretraining: [Int]
        /// The next 10 %.
        package var tuning: [Int]
        /// The last 10 %.
        package var heldOut: [Int]
    }

    package var collections: [Collection]

    static let files = [
        ("stories", [tinyStories]), ("encyclopedia", [wikiText("valid"), wikiText("test")]),
        ("fairy tales", [fairyTales]),
    ]

    private static let tinyStories = PublishedData(
        "TinyStories", .file, names: ["TinyStories-valid.txt", "text/tinystories_2m.txt"],
        home: "Eldan and Li 2023, arXiv:2305.07759")

    /// One of the two smaller parts; the largest is not needed.
    private static func wikiText(_ part: String) -> PublishedData {
        PublishedData(
            "WikiText-2 (\(part))", .file,
            names: ["wikitext-2/wiki.\(part).tokens", "text/wikitext2_\(part).txt"],
            home: "Merity et al. 2016, arXiv:1609.07843")
    }

    /// Whoever has other books takes them: they are nobody's standard.
    private static let fairyTales = PublishedData(
        "fairy tales", .file, names: ["text/fairytales.txt", "text/fairytales_train.txt"],
        home: "https://www.gutenberg.org, children's books that are in the public domain")

    /// Of all files, for people.
    static var titles: String { files.flatMap(\.1).map(\.title).joined(separator: ", ") }

    /// Whether a folder of data has them.
    static func areThere(in folder: String) -> Bool {
        files.flatMap(\.1).allSatisfy { (try? $0.locate(in: folder)) != nil }
    }

    /// Reads the collections; all give as many letters as the smallest has, or `limit`.
    ///
    /// - Throws: `.noInput` where one is missing, what reading the texts throws; `.badData` for a text that is too short.
    init(folder: String, limit: Int) throws {
        let texts = try Self.files.map { name, files in
            let paths = try files.map { try $0.locate(in: folder) }
            let text = try TrainingText.load(paths, separator: "<|endoftext|>")
            return (name: name, tokens: Self.tokens(text.documents))
        }
        self.init(texts, limit: limit)
        if let short = collections.first(where: { $0.heldOut.count < 1_000 }) {
            throw CoppiceError(
                .badData, source: folder,
                "the \(short.name) leave \(short.heldOut.count) letters for testing, expected at least 1000")
        }
    }

    package init(_ texts: [(name: String, tokens: [Int])], limit: Int) {
        let count = min(limit, texts.map(\.tokens.count).min() ?? 0)
        collections = texts.map { name, tokens in
            Collection(
                name: name, pretraining: Array(tokens[..<(count * 8 / 10)]),
                tuning: Array(tokens[(count * 8 / 10)..<(count * 9 / 10)]),
                heldOut: Array(tokens[(count * 9 / 10)..<count]))
        }
    }

    /// The letters of documents, words apart by one space. O(bytes).
    package static func tokens(_ documents: [String]) -> [Int] {
        var tokens: [Int] = []
        let unknownWord = Array("<unk>".utf8)
        for document in documents {
            let bytes = Array(document.utf8)
            var index = 0
            if tokens.last != space { tokens.append(space) }
            while index < bytes.count {
                if bytes[index] == unknownWord[0], bytes[index...].starts(with: unknownWord) {
                    index += unknownWord.count
                    continue
                }
                switch bytes[index] | 0x20 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"):
                    tokens.append(firstLetter + Int((bytes[index] | 0x20) - UInt8(ascii: "a")))
                default: if tokens.last != space { tokens.append(space) }
                }
                index += 1
            }
        }
        return tokens
    }

    /// The texts for pre-training, or the first part of each.
    func pretraining(part: Double = 1) -> [[Int]] {
        collections.map { Array($0.pretraining[..<Int(Double($0.pretraining.count) * part)]) }
    }
}

/// Windows of texts with gaps to fill in, as a pure function of the step.
package struct MaskedLetters: BatchSource {
    /// Windows are drawn from all of these alike.
    let texts: [[Int]]
    /// Tokens of a window.
    let length: Int
    let batchSize: Int
    let seed: UInt64

    package init(texts: [[Int]], length: Int, batchSize: Int, seed: UInt64) {
        self.texts = texts
        self.length = length
        self.batchSize = batchSize
        self.seed = seed
    }

    package var batchesPerEpoch: Int { max(1, texts.reduce(0) { $0 + $1.count } / (batchSize * length)) }

    package func batch(at step: Int) -> LabeledBatch {
        var generator = RandomGenerator(seed: seed, stream: UInt32(truncatingIfNeeded: step))
        var (inputs, targets): ([Int], [Int]) = ([], [])
        for row in 0..<batchSize {
            let text = texts[(step * batchSize + row) % texts.count]
            var window = LetterTexts.window(of: text, length: length, using: &generator)
            targets += LetterTexts.masking.hide(in: &window, using: &generator)
            inputs += window
        }
        return LabeledBatch(
            inputs: Tensor(inputs, shape: [batchSize, length]), targets: Tensor(targets, shape: [batchSize, length]))
    }
}

extension LetterTexts {
    /// A window from a random place of a text.
    static func window(of text: [Int], length: Int, using generator: inout RandomGenerator) -> [Int] {
        let start = Int.random(in: 0...(text.count - length), using: &generator)
        return Array(text[start..<(start + length)])
    }
}
