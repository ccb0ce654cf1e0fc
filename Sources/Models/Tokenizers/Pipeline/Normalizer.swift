import Foundation

/// A step that rewrites text before it is split.
indirect enum Normalizer: Sendable {
    case canonicalComposition
    case canonicalDecomposition
    case compatibilityComposition
    case compatibilityDecomposition
    case lowercase
    case stripAccents
    case strip(left: Bool, right: Bool)
    case prepend(String)
    case replace(String, with: String)
    /// Each run of two or more spaces.
    case replaceSpaceRuns(with: String)
    case characterMap(CharacterMap)
    case sentencePiece(SentencePieceNormalizer)
    case bert(BertNormalizer)
    case sequence([Normalizer])

    /// Whether the text stays as it is, which saves copying it.
    var isIdentity: Bool {
        if case .sequence(let steps) = self { steps.allSatisfy(\.isIdentity) } else { false }
    }

    func apply(_ text: String) -> String {
        switch self {
        case .canonicalComposition:
            // Below U+0300 every text is its own composition.
            text.unicodeScalars.allSatisfy { $0.value < 0x300 } ? text : text.precomposedStringWithCanonicalMapping
        case .canonicalDecomposition: Self.isASCII(text) ? text : text.decomposedStringWithCanonicalMapping
        case .compatibilityComposition: Self.isASCII(text) ? text : text.precomposedStringWithCompatibilityMapping
        case .compatibilityDecomposition: Self.isASCII(text) ? text : text.decomposedStringWithCompatibilityMapping
        case .lowercase: text.lowercased()
        case .stripAccents: Self.filter(text) { $0.properties.generalCategory != .nonspacingMark }
        case .strip(let left, let right): Self.strip(text, left: left, right: right)
        case .prepend(let prefix): text.isEmpty ? text : prefix + text
        case .replace(let pattern, let replacement): Self.replace(pattern, in: text, with: replacement)
        case .replaceSpaceRuns(let replacement): Self.replaceSpaceRuns(in: text, with: replacement)
        case .characterMap(let map): map.apply(text)
        case .sentencePiece(let normalizer): normalizer.apply(text)
        case .bert(let normalizer): normalizer.apply(text)
        case .sequence(let steps): steps.reduce(text) { $1.apply($0) }
        }
    }

    private static func isASCII(_ text: String) -> Bool { text.utf8.allSatisfy { $0 < 0x80 } }

    private static func filter(_ text: String, _ isKept: (Unicode.Scalar) -> Bool) -> String {
        var kept = String.UnicodeScalarView()
        for scalar in text.unicodeScalars where isKept(scalar) { kept.append(scalar) }
        return String(kept)
    }

    private static func strip(_ text: String, left: Bool, right: Bool) -> String {
        var rest = text.unicodeScalars[...]
        if left { rest = rest.drop { $0.properties.isWhitespace } }
        if right {
            while let last = rest.last, last.properties.isWhitespace { rest.removeLast() }
        }
        return String(rest)
    }

    // By bytes: Swift's characters would join a combining mark to the text before it and miss matches.
    static func replace(_ pattern: String, in text: String, with replacement: String) -> String {
        let (pattern, replacement) = (Array(pattern.utf8), Array(replacement.utf8))
        guard let first = pattern.first else { return text }
        var text = text
        return text.withUTF8 { bytes in
            guard bytes.contains(first) else { return String(decoding: bytes, as: UTF8.self) }
            var result: [UInt8] = []
            result.reserveCapacity(bytes.count * 2)
            var position = 0
            while position < bytes.count {
                let end = position + pattern.count
                if bytes[position] == first, end <= bytes.count, bytes[position..<end].elementsEqual(pattern) {
                    result += replacement
                    position = end
                } else {
                    result.append(bytes[position])
                    position += 1
                }
            }
            return String(decoding: result, as: UTF8.self)
        }
    }

    private static func replaceSpaceRuns(in text: String, with replacement: String) -> String {
        let space = UInt8(ascii: " ")
        var result: [UInt8] = []
        var run = 0
        func endRun() {
            if run >= 2 { result += replacement.utf8 } else if run == 1 { result.append(space) }
            run = 0
        }
        for byte in text.utf8 {
            if byte == space {
                run += 1
            } else {
                endRun()
                result.append(byte)
            }
        }
        endRun()
        return String(decoding: result, as: UTF8.self)
    }
}
