import Foundation

/// The normalization of BERT's tokenizers (Devlin et al., "BERT", 2019): control characters go, white space becomes
/// spaces, each ideograph stands alone, and accents and capitals go where a model was trained without them.
///
/// Each character is looked up in a table that grows as texts need it. O(text).
struct BertNormalizer: Sendable {
    /// Control, format and private characters are left out, and white space becomes spaces.
    var cleansText = true
    /// Spaces are put around ideographs.
    var separatesIdeographs = true
    /// Canonical decomposition without nonspacing marks.
    var stripsAccents = true
    var lowercases = true

    private let cache = CharacterCache()

    init(cleansText: Bool = true, separatesIdeographs: Bool = true, stripsAccents: Bool = true, lowercases: Bool = true)
    {
        self.cleansText = cleansText
        self.separatesIdeographs = separatesIdeographs
        self.stripsAccents = stripsAccents
        self.lowercases = lowercases
    }

    // MARK: The definition

    /// What the normalization is defined as, step by step over the whole text.
    func applyDefinition(_ text: String) -> String {
        finished(decomposed(prepared(text)))
    }

    private func prepared(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { prepare(scalar, into: &result) }
        return String(result)
    }

    private func prepare(_ scalar: Unicode.Scalar, into result: inout String.UnicodeScalarView) {
        if cleansText {
            if Self.isRemoved(scalar) { return }
            if scalar.properties.isWhitespace { return result.append(" ") }
        }
        guard separatesIdeographs, Self.isIdeograph(scalar) else { return result.append(scalar) }
        result.append(" ")
        result.append(scalar)
        result.append(" ")
    }

    private func decomposed(_ text: String) -> String {
        stripsAccents ? text.decomposedStringWithCanonicalMapping : text
    }

    private func finished(_ text: String) -> String {
        guard stripsAccents || lowercases else { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if stripsAccents, scalar.properties.generalCategory == .nonspacingMark { continue }
            if lowercases, scalar.properties.changesWhenLowercased {
                result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }

    private static func isRemoved(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "\t", "\n", "\r": return false
        case "\u{fffd}": return true
        default: break
        }
        switch scalar.properties.generalCategory {
        case .control, .format, .privateUse: return true
        default: return false
        }
    }

    private static func isIdeograph(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x3400...0x4dbf, 0x4e00...0x9fff, 0xf900...0xfaff, 0x20000...0x2a6df, 0x2a700...0x2b81f,
            0x2b920...0x2ceaf, 0x2f800...0x2fa1f:
            return true
        default: return false
        }
    }

    // MARK: By table

    func apply(_ text: String) -> String {
        var text = text
        return text.withUTF8 { bytes in
            // Only characters of many planes up, and rare marks, need more than the table.
            guard let base = bytes.baseAddress else { return "" }
            guard let table = cache.table(for: base, bytes.count, rules: self) else {
                return applyDefinition(String(decoding: bytes, as: UTF8.self))
            }
            let size = table.outputSize(base, bytes.count)
            return String(unsafeUninitializedCapacity: size) { output in
                guard let target = output.baseAddress else { return 0 }
                return table.write(base, bytes.count, to: target)
            }
        }
    }

    /// The spelling of each character of a page of 256, and whether it may have to change places with a neighbour.
    fileprivate func spellings(ofPage page: Int) -> [(text: String, reorders: Bool)] {
        // One decomposition for all: a line each, since nothing is reordered across a line's end.
        let lineEnd = Int(UInt8(ascii: "\n"))
        var lines = String.UnicodeScalarView()
        for value in page << 8..<(page + 1) << 8 {
            if value != lineEnd, let scalar = Unicode.Scalar(UInt32(value)) { prepare(scalar, into: &lines) }
            lines.append("\n")
        }
        let spelled = decomposed(String(lines)).utf8.split(
            separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        return spelled.prefix(256).enumerated().map { index, line in
            let text = page << 8 + index == lineEnd ? applyDefinition("\n") : finished(String(Substring(line)))
            let isMark = text.unicodeScalars.contains { $0.properties.canonicalCombiningClass != .notReordered }
            return (text, isMark && stripsAccents)
        }
    }
}

/// How each character of the pages of text met so far is spelled by itself.
private struct CharacterTable: Sendable {
    /// Characters beyond the first two planes are not in the table.
    static let pageCount = 0x200
    /// Set in the start of a mark that is kept and may have to change places.
    private static let reorders: UInt32 = 1 << 31
    // Where the 257 starts of a page begin, or -1.
    private(set) var pages = [Int32](repeating: -1, count: pageCount)
    // Where each spelling begins in `spellings`.
    private var starts: [UInt32] = []
    private var spellings: [UInt8] = []

    mutating func add(_ page: Int, _ rules: BertNormalizer) {
        pages[page] = Int32(starts.count)
        for (text, reorders) in rules.spellings(ofPage: page) {
            starts.append(UInt32(spellings.count) | (reorders ? Self.reorders : 0))
            spellings += text.utf8
        }
        starts.append(UInt32(spellings.count))
    }

    func reorders(_ value: Int) -> Bool {
        starts[Int(pages[value >> 8]) + value & 0xff] & Self.reorders != 0
    }

    func outputSize(_ text: UnsafePointer<UInt8>, _ count: Int) -> Int {
        var size = 0
        forEachSpelling(text, count) { _, length in size += length }
        return size
    }

    func write(_ text: UnsafePointer<UInt8>, _ count: Int, to output: UnsafeMutablePointer<UInt8>) -> Int {
        var written = 0
        forEachSpelling(text, count) { spelling, length in
            if length == 1 {
                output[written] = spelling[0]
            } else {
                (output + written).update(from: spelling, count: length)
            }
            written += length
        }
        return written
    }

    @inline(__always)
    private func forEachSpelling(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ body: (UnsafePointer<UInt8>, _ length: Int) -> Void
    ) {
        pages.withUnsafeBufferPointer { pages in
            starts.withUnsafeBufferPointer { starts in
                spellings.withUnsafeBufferPointer { spellings in
                    guard let base = spellings.baseAddress else { return }
                    let ascii = Int(pages[0])
                    var position = 0
                    while position < count {
                        var (place, length) = (ascii + Int(text[position]), 1)
                        if text[position] >= 0x80 {
                            let (scalar, bytes) = UTF8Text.scalar(at: text + position)
                            let value = Int(scalar.value)
                            (place, length) = (Int(pages[value >> 8]) + value & 0xff, bytes)
                        }
                        let start = Int(starts[place] & ~Self.reorders)
                        body(base + start, Int(starts[place + 1] & ~Self.reorders) - start)
                        position += length
                    }
                }
            }
        }
    }
}

/// The table so far, which grows as texts need it. Any number of threads may ask at once.
private final class CharacterCache: @unchecked Sendable {
    // Reached only through the lock.
    private let lock = NSLock()
    private var table = CharacterTable()

    /// A table that has every character of the text; nil where their spellings in a row are not its normalization.
    func table(for text: UnsafePointer<UInt8>, _ count: Int, rules: BertNormalizer) -> CharacterTable? {
        lock.withLock {
            if table.pages[0] < 0 { table.add(0, rules) }
            var position = 0
            while position < count {
                if text[position] < 0x80 {
                    position += 1
                    continue
                }
                let (scalar, length) = UTF8Text.scalar(at: text + position)
                let value = Int(scalar.value)
                guard value >> 8 < CharacterTable.pageCount else { return nil }
                if table.pages[value >> 8] < 0 { table.add(value >> 8, rules) }
                if table.reorders(value) { return nil }
                position += length
            }
            return table
        }
    }
}
