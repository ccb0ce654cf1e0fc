/// Splits normalized text into the pieces that are tokenized each by itself.
struct PreTokenizer: Sendable {
    /// What becomes of the stretches that a split's pattern matches.
    enum Behavior: String, Sendable {
        case isolated = "Isolated"
        case removed = "Removed"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
        case contiguous = "Contiguous"
    }

    enum Prepending: Sendable {
        case always, first, never
    }

    enum Stage: Sendable {
        /// Every match and every stretch between matches is a piece.
        case pattern(SplitPattern)
        case split(Matcher, Behavior, inverted: Bool)
        /// BERT's: words between white space, and each punctuation mark by itself.
        case wordsAndPunctuation
        /// A space in front of a text that has none.
        case prefixSpace
        /// Spaces become `replacement`, one is put in front, and pieces begin at each.
        case metaspace(replacement: Unicode.Scalar, Prepending, splits: Bool)
        /// A piece begins at each run of these bytes. With a vocabulary that has them only at the start of pieces, it
        /// makes no difference to the tokens, and much to the time.
        case runStarts([UInt8])
    }

    /// What a split looks for.
    enum Matcher: Sendable {
        case pattern(SplitPattern)
        case literal([UInt8])
        /// Single characters of a class.
        case character(CharacterClass)
        /// Runs of characters of a class.
        case run(CharacterClass)
        /// `\w+|[^\w\s]+`.
        case wordsAndSymbols
    }

    var stages: [Stage]

    /// Calls `body` with each piece.
    ///
    /// - Parameter isFirst: whether `text` begins the whole input.
    func forEachPiece(
        _ text: UnsafeBufferPointer<UInt8>, isFirst: Bool, _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) {
        run(0, text, isFirst, body)
    }

    private func run(
        _ index: Int, _ text: UnsafeBufferPointer<UInt8>, _ isFirst: Bool,
        _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) {
        guard let base = text.baseAddress, text.count > 0 else { return }
        guard index < stages.count else { return body(text) }
        let isLast = index == stages.count - 1
        switch stages[index] {
        case .pattern(let pattern):
            if isLast {
                pattern.forEachPiece(text) { start, end, _ in
                    body(UnsafeBufferPointer(start: base + start, count: end - start))
                }
            } else {
                pattern.forEachPiece(text) { start, end, _ in
                    let piece = UnsafeBufferPointer(start: base + start, count: end - start)
                    run(index + 1, piece, isFirst && start == 0, body)
                }
            }
        case .split(let matcher, let behavior, let inverted):
            for range in Self.pieces(matcher.ranges(in: text), behavior, inverted: inverted) {
                run(index + 1, UnsafeBufferPointer(rebasing: text[range]), isFirst && range.lowerBound == 0, body)
            }
        case .wordsAndPunctuation:
            Self.forEachWord(in: base, text.count) { start, end in
                let piece = UnsafeBufferPointer(start: base + start, count: end - start)
                if isLast { body(piece) } else { run(index + 1, piece, isFirst && start == 0, body) }
            }
        case .prefixSpace:
            if text[0] == UInt8(ascii: " ") { return run(index + 1, text, isFirst, body) }
            let prefixed = [UInt8(ascii: " ")] + text
            prefixed.withUnsafeBufferPointer { run(index + 1, $0, isFirst, body) }
        case .runStarts(let mark):
            var start = 0
            var position = 0
            var wasMark = true
            while position < text.count {
                let isMark = Self.hasMark(mark, text, position)
                if isMark, !wasMark {
                    run(index + 1, UnsafeBufferPointer(rebasing: text[start..<position]), isFirst && start == 0, body)
                    start = position
                }
                wasMark = isMark
                position += isMark ? mark.count : 1
            }
            run(index + 1, UnsafeBufferPointer(rebasing: text[start...]), isFirst && start == 0, body)
        case .metaspace(let replacement, let prepending, let splits):
            let mark = Array(String(replacement).utf8)
            var marked: [UInt8] = []
            marked.reserveCapacity(text.count * 2 + mark.count)
            let isPrepended = prepending == .always || (prepending == .first && isFirst)
            if isPrepended, text[0] != UInt8(ascii: " "), !text.starts(with: mark) { marked += mark }
            for byte in text { if byte == UInt8(ascii: " ") { marked += mark } else { marked.append(byte) } }
            marked.withUnsafeBufferPointer { marked in
                guard splits else { return run(index + 1, marked, isFirst, body) }
                let ranges = Self.pieces(
                    Matcher.literal(mark).ranges(in: marked), .mergedWithNext, inverted: false)
                for range in ranges {
                    let piece = UnsafeBufferPointer(rebasing: marked[range])
                    run(index + 1, piece, isFirst && range.lowerBound == 0, body)
                }
            }
        }
    }

    @inline(__always)
    private static func hasMark(_ mark: [UInt8], _ text: UnsafeBufferPointer<UInt8>, _ position: Int) -> Bool {
        guard text[position] == mark[0], position + mark.count <= text.count else { return false }
        return text[position..<position + mark.count].elementsEqual(mark)
    }

    @inline(__always)
    private static func forEachWord(
        in text: UnsafePointer<UInt8>, _ count: Int, _ body: (_ start: Int, _ end: Int) -> Void
    ) {
        let ascii = CharacterClass.asciiTable
        var (start, position) = (0, 0)
        while position < count {
            let (kind, length) = CharacterClass.at(text + position, ascii)
            let next = position + length
            if !kind.isDisjoint(with: [.space, .punctuation]) {
                if start < position { body(start, position) }
                if kind.contains(.punctuation) { body(position, next) }
                start = next
            }
            position = next
        }
        if start < count { body(start, count) }
    }

    /// The pieces that `behavior` makes of matches and the stretches between them.
    static func pieces(_ parts: [(range: Range<Int>, isMatch: Bool)], _ behavior: Behavior, inverted: Bool)
        -> [Range<Int>]
    {
        var pieces: [Range<Int>] = []
        var lastWasMatch = false
        func joinLast(_ range: Range<Int>) {
            guard let last = pieces.popLast() else { return pieces.append(range) }
            pieces.append(last.lowerBound..<range.upperBound)
        }
        // With `mergedWithNext`, the match that waits for what follows it.
        var waiting: Range<Int>?
        for part in parts {
            let isMatch = part.isMatch != inverted
            switch behavior {
            case .isolated: pieces.append(part.range)
            case .removed: if !isMatch { pieces.append(part.range) }
            case .contiguous:
                if !pieces.isEmpty, isMatch == lastWasMatch { joinLast(part.range) } else { pieces.append(part.range) }
            case .mergedWithPrevious:
                if isMatch, !pieces.isEmpty, !lastWasMatch { joinLast(part.range) } else { pieces.append(part.range) }
            case .mergedWithNext:
                if isMatch {
                    if let waiting { pieces.append(waiting) }
                    waiting = part.range
                } else {
                    pieces.append((waiting?.lowerBound ?? part.range.lowerBound)..<part.range.upperBound)
                    waiting = nil
                }
            }
            lastWasMatch = isMatch
        }
        if let waiting { pieces.append(waiting) }
        return pieces
    }
}

extension PreTokenizer.Matcher {
    /// The text as matches and the stretches between them.
    func ranges(in text: UnsafeBufferPointer<UInt8>) -> [(range: Range<Int>, isMatch: Bool)] {
        var parts: [(range: Range<Int>, isMatch: Bool)] = []
        func add(_ start: Int, _ end: Int, _ isMatch: Bool) { parts.append((start..<end, isMatch)) }
        switch self {
        case .pattern(let pattern): pattern.forEachPiece(text, add)
        case .literal(let literal):
            guard let first = literal.first else { return [(0..<text.count, false)] }
            var (position, gapStart) = (0, 0)
            while position < text.count {
                let end = position + literal.count
                if text[position] == first, end <= text.count, text[position..<end].elementsEqual(literal) {
                    if gapStart < position { add(gapStart, position, false) }
                    add(position, end, true)
                    (position, gapStart) = (end, end)
                } else {
                    position += 1
                }
            }
            if gapStart < position { add(gapStart, position, false) }
        case .character(let wanted):
            classes(in: text) { $0.isDisjoint(with: wanted) ? 0 : 1 }
                .forEach { add($0.start, $0.end, $0.kind == 1) }
        case .run(let wanted):
            Self.joined(classes(in: text) { $0.isDisjoint(with: wanted) ? 0 : 1 }, all: true)
                .forEach { add($0.start, $0.end, $0.kind == 1) }
        case .wordsAndSymbols:
            var characters: [(start: Int, end: Int, kind: Int)] = []
            forEachScalar(in: text) { scalar, start, end in
                let kind = CharacterClass.isWord(scalar) ? 1 : CharacterClass.of(scalar).contains(.space) ? 0 : 2
                characters.append((start, end, kind))
            }
            Self.joined(characters, all: true).forEach { add($0.start, $0.end, $0.kind != 0) }
        }
        return parts
    }

    private func forEachScalar(
        in text: UnsafeBufferPointer<UInt8>, _ body: (Unicode.Scalar, _ start: Int, _ end: Int) -> Void
    ) {
        guard let base = text.baseAddress else { return }
        var position = 0
        while position < text.count {
            let (scalar, length) = UTF8Text.scalar(at: base + position)
            body(scalar, position, position + length)
            position += length
        }
    }

    /// The characters, each with a kind; those of kind 0 joined to runs.
    private func classes(in text: UnsafeBufferPointer<UInt8>, _ kind: (CharacterClass) -> Int)
        -> [(start: Int, end: Int, kind: Int)]
    {
        var characters: [(start: Int, end: Int, kind: Int)] = []
        forEachScalar(in: text) { scalar, start, end in characters.append((start, end, kind(.of(scalar)))) }
        return Self.joined(characters, all: false)
    }

    /// Neighbours of one kind joined: of every kind, or of kind 0 alone.
    private static func joined(_ characters: [(start: Int, end: Int, kind: Int)], all: Bool)
        -> [(start: Int, end: Int, kind: Int)]
    {
        var runs: [(start: Int, end: Int, kind: Int)] = []
        for character in characters {
            if let last = runs.last, last.kind == character.kind, all || last.kind == 0 {
                runs[runs.count - 1].end = character.end
            } else {
                runs.append(character)
            }
        }
        return runs
    }
}
