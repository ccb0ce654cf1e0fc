extension SplitPattern {
    /// Calls `body` with the range of every match, and of every stretch between matches, in order.
    ///
    /// `text` must be valid UTF-8. O(*n*) for the published expressions.
    @inline(__always)
    func forEachPiece(_ text: UnsafeBufferPointer<UInt8>, _ body: (_ start: Int, _ end: Int, _ isMatch: Bool) -> Void) {
        guard let base = text.baseAddress else { return }
        let scanner = Scanner(text: base, count: text.count, ascii: CharacterClass.asciiTable)
        alternatives.withUnsafeBufferPointer { alternatives in
            var position = 0
            var gapStart = 0
            while position < text.count {
                let end = scanner.matchEnd(at: position, alternatives)
                if end > position {
                    if gapStart < position { body(gapStart, position, false) }
                    body(position, end, true)
                    position = end
                    gapStart = end
                } else {
                    position += UTF8Text.length(leading: base[position])
                }
            }
            if gapStart < position { body(gapStart, position, false) }
        }
    }
}

/// Matches single alternatives. Positions are byte offsets; a result equal to the start means no match.
private struct Scanner {
    let text: UnsafePointer<UInt8>
    let count: Int
    let ascii: UnsafePointer<UInt8>

    private static let word: UInt8 = CharacterClass.letter.rawValue
    private static let number: UInt8 = CharacterClass.number.rawValue
    private static let space: UInt8 = CharacterClass.space.rawValue
    private static let lineEnd: UInt8 = CharacterClass.lineEnd.rawValue
    private static let nonSymbol: UInt8 = word | number | space

    @inline(__always)
    func matchEnd(at start: Int, _ alternatives: UnsafeBufferPointer<SplitPattern.Alternative>) -> Int {
        for alternative in alternatives {
            let end = matchEnd(at: start, alternative)
            if end > start { return end }
        }
        return start
    }

    @inline(__always)
    private func classAt(_ position: Int) -> (bits: UInt8, length: Int) {
        let (bits, length) = CharacterClass.at(text + position, ascii)
        return (bits.rawValue, length)
    }

    /// The end of the longest run of characters with any of `bits`.
    @inline(__always)
    private func run(of bits: UInt8, from start: Int) -> Int {
        var position = start
        while position < count {
            let (found, length) = classAt(position)
            if found & bits == 0 { break }
            position += length
        }
        return position
    }

    @inline(__always)
    private func run(without bits: UInt8, from start: Int) -> Int {
        var position = start
        while position < count {
            let (found, length) = classAt(position)
            if found & bits != 0 { break }
            position += length
        }
        return position
    }

    @inline(__always)
    private func matchEnd(at start: Int, _ alternative: SplitPattern.Alternative) -> Int {
        let afterSpace = start + (text[start] == 0x20 ? 1 : 0)
        switch alternative {
        case .contraction(let ignoresCase):
            return text[start] == UInt8(ascii: "'") ? contractionEnd(at: start, ignoresCase: ignoresCase) : start
        case .spacedLetters:
            let end = run(of: Self.word, from: afterSpace)
            return end > afterSpace ? end : start
        case .spacedNumbers:
            let end = run(of: Self.number, from: afterSpace)
            return end > afterSpace ? end : start
        case .prefixedLetters:
            let wordStart = afterPrefix(start)
            let end = run(of: Self.word, from: wordStart)
            return end > wordStart ? end : start
        case .capitalizedWord(let contraction):
            let end = wordEnd(at: start, requiresLower: true)
            return contraction && end > start ? contractionEnd(at: end, ignoresCase: true) : end
        case .upperCaseWord(let contraction):
            let end = wordEnd(at: start, requiresLower: false)
            return contraction && end > start ? contractionEnd(at: end, ignoresCase: true) : end
        case .numbers(let maximum):
            var position = start
            var seen = 0
            while position < count, seen < maximum {
                let (bits, length) = classAt(position)
                if bits & Self.number == 0 { break }
                position += length
                seen += 1
            }
            return position
        case .symbols(let lineEnds, let slashes):
            let end = run(without: Self.nonSymbol, from: afterSpace)
            if end == afterSpace { return start }
            guard lineEnds else { return end }
            var position = end
            while position < count,
                ascii(position, is: Self.lineEnd) || (slashes && text[position] == UInt8(ascii: "/"))
            {
                position += 1
            }
            return position
        case .spaceToLineEnd:
            var position = start
            var end = start
            while position < count {
                let (bits, length) = classAt(position)
                if bits & Self.space == 0 { break }
                position += length
                if bits & Self.lineEnd != 0 { end = position }
            }
            return end
        case .spaceAtEnd:
            let end = run(of: Self.space, from: start)
            return end == count ? end : start
        case .spaceBeforeSpace:
            var position = start
            var last = start
            while position < count {
                let (bits, length) = classAt(position)
                if bits & Self.space == 0 { return last }
                last = position
                position += length
            }
            return position
        case .spaces: return run(of: Self.space, from: start)
        case .space:
            let (bits, length) = classAt(start)
            return bits & Self.space != 0 ? start + length : start
        case .lineEnd: return ascii(start, is: Self.lineEnd) ? start + 1 : start
        case .anySpacedLetters:
            let wordStart = afterAnySpace(start)
            let end = run(of: Self.word, from: wordStart)
            return end > wordStart ? end : start
        case .anySpacedPunctuation:
            let runStart = afterAnySpace(start)
            let end = punctuationEnd(from: runStart, symbols: "")
            return end > runStart ? end : start
        case .ideographs: return ideographsEnd(from: start)
        case .punctuation: return punctuationEnd(from: start, symbols: "$+<=>^~|")
        case .threeDigits:
            let isNumber = start + 3 <= count && (0..<3).allSatisfy { text[start + $0] &- 0x30 < 10 }
            return isNumber ? start + 3 : start
        }
    }

    /// `\s?`.
    private func afterAnySpace(_ start: Int) -> Int {
        let (bits, length) = classAt(start)
        return bits & Self.space != 0 ? start + length : start
    }

    /// The end of a run of `\p{P}` and, of ASCII's symbols, those given.
    private func punctuationEnd(from start: Int, symbols: StaticString) -> Int {
        var position = start
        while position < count {
            let (bits, length) = classAt(position)
            guard bits & CharacterClass.punctuation.rawValue != 0 else { break }
            if length == 1 {
                let isSymbol = Self.contains("$+<=>^`|~", text[position])
                guard !isSymbol || Self.contains(symbols, text[position]) else { break }
            }
            position += length
        }
        return position
    }

    private static func contains(_ symbols: StaticString, _ byte: UInt8) -> Bool {
        UnsafeBufferPointer(start: symbols.utf8Start, count: symbols.utf8CodeUnitCount).contains(byte)
    }

    /// `[一-龥ࠀ-一가-퟿]+`.
    private func ideographsEnd(from start: Int) -> Int {
        var position = start
        while position < count, text[position] >= 0xe0 {
            let (scalar, length) = UTF8Text.scalar(at: text + position)
            guard (0x800...0x9fa5).contains(scalar.value) || (0xac00...0xd7ff).contains(scalar.value) else { break }
            position += length
        }
        return position
    }

    @inline(__always)
    private func ascii(_ position: Int, is bits: UInt8) -> Bool {
        text[position] < 0x80 && ascii[Int(text[position])] & bits != 0
    }

    /// `[^\r\n\p{L}\p{N}]?`.
    @inline(__always)
    private func afterPrefix(_ start: Int) -> Int {
        let (bits, length) = classAt(start)
        return bits & (Self.lineEnd | Self.word | Self.number) == 0 ? start + length : start
    }

    /// The end of an optional contraction at `start`.
    private func contractionEnd(at start: Int, ignoresCase: Bool) -> Int {
        guard start + 1 < count, text[start] == UInt8(ascii: "'") else { return start }
        let fold: UInt8 = ignoresCase ? 0x20 : 0
        let first = text[start + 1] | fold
        switch first {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return start + 2
        default: break
        }
        guard start + 2 < count else { return start }
        // The long s folds to s.
        if ignoresCase, text[start + 1] == 0xc5, text[start + 2] == 0xbf { return start + 3 }
        switch (first, text[start + 2] | fold) {
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
            (UInt8(ascii: "l"), UInt8(ascii: "l")):
            return start + 3
        default: return start
        }
    }

    private func wordEnd(at start: Int, requiresLower: Bool) -> Int {
        let prefixEnd = afterPrefix(start)
        let end = caseWordEnd(at: prefixEnd, requiresLower: requiresLower)
        if end > prefixEnd { return end }
        let bare = prefixEnd > start ? caseWordEnd(at: start, requiresLower: requiresLower) : start
        return bare > start ? bare : start
    }

    /// `U*L+` or, without `requiresLower`, `U+L*`, where letters without case and marks belong to both U and L.
    private func caseWordEnd(at start: Int, requiresLower: Bool) -> Int {
        var position = start
        // Where the match ends if the upper-case run must give characters back: after its last run of caseless ones.
        var fallback = start
        while position < count {
            let (bits, length) = classAt(position)
            guard isUpperOrCaseless(bits) else { break }
            position += length
            if isLowerOrCaseless(bits) { fallback = position }
        }
        if !requiresLower, position == start { return start }
        let upperEnd = position
        while position < count {
            let (bits, length) = classAt(position)
            guard isLowerOrCaseless(bits) else { break }
            position += length
        }
        return requiresLower && position == upperEnd ? fallback : position
    }

    private func isUpperOrCaseless(_ bits: UInt8) -> Bool {
        let classes = CharacterClass(rawValue: bits)
        return (classes.contains(.letter) && !classes.contains(.lower)) || classes.contains(.mark)
    }

    private func isLowerOrCaseless(_ bits: UInt8) -> Bool {
        let classes = CharacterClass(rawValue: bits)
        return (classes.contains(.letter) && !classes.contains(.upper)) || classes.contains(.mark)
    }
}
