import CoppiceTensors

/// A pre-tokenization regular expression, run by a hand-written scanner.
///
/// Published tokenizers split text with a handful of expressions: those of GPT-2, of cl100k (Llama 3), of Qwen 2 and of
/// o200k, in several spellings. Each is an alternation; the scanner knows every alternative that occurs in them and
/// tries them in their order, as a regular-expression engine does. Other expressions are refused.
public struct SplitPattern: Sendable, Hashable {
    let alternatives: [Alternative]

    /// One alternative of the expression.
    enum Alternative: Sendable, Hashable {
        /// `'s|'t|'re|'ve|'m|'ll|'d`, in `(?i:…)` in either case.
        case contraction(ignoresCase: Bool)
        /// ` ?\p{L}+`.
        case spacedLetters
        /// ` ?\p{N}+`.
        case spacedNumbers
        /// `[^\r\n\p{L}\p{N}]?\p{L}+`.
        case prefixedLetters
        /// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`, with a contraction or not.
        case capitalizedWord(contraction: Bool)
        /// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`, with a contraction or not.
        case upperCaseWord(contraction: Bool)
        /// `\p{N}{1,n}`.
        case numbers(maximum: Int)
        /// ` ?[^\s\p{L}\p{N}]+` and then `[\r\n]*` or `[\r\n/]*`.
        case symbols(lineEnds: Bool, slashes: Bool)
        /// `\s*[\r\n]+`.
        case spaceToLineEnd
        /// `\s+$`.
        case spaceAtEnd
        /// `\s+(?!\S)`: white space but for its last character before something else.
        case spaceBeforeSpace
        /// `\s+`.
        case spaces
        /// `\s`.
        case space
        /// `[\r\n]`.
        case lineEnd
        /// `\s?\p{L}+`.
        case anySpacedLetters
        /// `\s?\p{P}+`.
        case anySpacedPunctuation
        /// `[一-龥ࠀ-一가-퟿]+`.
        case ideographs
        /// `[\p{P}\$\+<=>\^~\|]+`.
        case punctuation
        /// `[0-9][0-9][0-9]`.
        case threeDigits
    }

    /// GPT-2's: contractions, words, numbers and symbols, each with the one space before it.
    public static let gpt2 = SplitPattern(alternatives: [
        .contraction(ignoresCase: false), .spacedLetters, .spacedNumbers, .symbols(lineEnds: false, slashes: false),
        .spaceBeforeSpace, .spaces,
    ])

    /// cl100k's and Llama 3's: words with any one symbol before them, numbers of up to three digits.
    public static let llama3 = SplitPattern(alternatives: [
        .contraction(ignoresCase: true), .prefixedLetters, .numbers(maximum: 3),
        .symbols(lineEnds: true, slashes: false), .spaceToLineEnd, .spaceBeforeSpace, .spaces,
    ])

    /// Qwen 2's: as ``llama3``, with every digit by itself.
    public static let qwen2 = SplitPattern(alternatives: [
        .contraction(ignoresCase: true), .prefixedLetters, .numbers(maximum: 1),
        .symbols(lineEnds: true, slashes: false), .spaceToLineEnd, .spaceBeforeSpace, .spaces,
    ])

    /// tiktoken's `cl100k_base`: as ``llama3``, but white space at the end of the text stays whole.
    static let cl100k = SplitPattern(alternatives: [
        .contraction(ignoresCase: true), .prefixedLetters, .numbers(maximum: 3),
        .symbols(lineEnds: true, slashes: false), .spaceAtEnd, .spaceToLineEnd, .spaceBeforeSpace, .space,
    ])

    init(alternatives: [Alternative]) {
        self.alternatives = alternatives
    }

    /// Recognises the regular expression `expression`.
    ///
    /// - Throws: ``CoppiceError`` (`badData`) that quotes the first alternative that is not known.
    public init(_ expression: String) throws {
        var rest = Self.canonical(expression)
        var alternatives: [Alternative] = []
        for (spelling, ignoresCase) in Self.contractions where rest.hasPrefix(spelling) {
            alternatives.append(.contraction(ignoresCase: ignoresCase))
            rest.removeFirst(spelling.count)
            guard rest.isEmpty || rest.hasPrefix("|") else { throw Self.unknown(expression) }
            rest = String(rest.dropFirst())
            break
        }
        for part in Self.split(rest) {
            guard let alternative = Self.known[part] else { throw Self.unknown(part) }
            alternatives.append(alternative)
        }
        guard !alternatives.isEmpty else { throw Self.unknown(expression) }
        self.alternatives = alternatives
    }

    /// The regular expression, in the spelling of published tokenizers.
    var expression: String {
        alternatives.map { alternative in
            switch alternative {
            case .contraction(let ignoresCase): return Self.contractions[ignoresCase ? 3 : 0].0
            case .spaceToLineEnd: return #"\s*[\r\n]+"#
            default: return Self.known.first { $0.value == alternative }?.key ?? ""
            }
        }.joined(separator: "|")
    }

    private static func unknown(_ part: String) -> CoppiceError {
        CoppiceError(
            .badData, field: "pre_tokenizer",
            "the pattern \(part.prefix(120)) is not known; expected those of GPT-2, Llama 3, Qwen 2 or o200k")
    }

    private static let contractions: [(String, Bool)] = [
        ("'s|'t|'re|'ve|'m|'ll|'d", false), ("(?:'s|'t|'re|'ve|'m|'ll|'d)", false),
        ("'(?:[sdmt]|ll|ve|re)", false), ("(?i:'s|'t|'re|'ve|'m|'ll|'d)", true), ("'(?i:[sdmt]|ll|ve|re)", true),
    ]

    private static let known: [String: Alternative] = {
        let prefix = #"[^\r\n\p{L}\p{N}]?"#
        let (upper, lower) = (#"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#, #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#)
        let contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        return [
            #" ?\p{L}+"#: .spacedLetters,
            #" ?\p{N}+"#: .spacedNumbers,
            prefix + #"\p{L}+"#: .prefixedLetters,
            prefix + upper + "*" + lower + "+": .capitalizedWord(contraction: false),
            prefix + upper + "*" + lower + "+" + contraction: .capitalizedWord(contraction: true),
            prefix + upper + "+" + lower + "*": .upperCaseWord(contraction: false),
            prefix + upper + "+" + lower + "*" + contraction: .upperCaseWord(contraction: true),
            #"\p{N}"#: .numbers(maximum: 1),
            #"\p{N}{1,2}"#: .numbers(maximum: 2),
            #"\p{N}{1,3}"#: .numbers(maximum: 3),
            #"\p{N}+"#: .numbers(maximum: .max),
            #" ?[^\s\p{L}\p{N}]+"#: .symbols(lineEnds: false, slashes: false),
            #" ?[^\s\p{L}\p{N}]+[\r\n]*"#: .symbols(lineEnds: true, slashes: false),
            #" ?[^\s\p{L}\p{N}]+[\r\n/]*"#: .symbols(lineEnds: true, slashes: true),
            #"\s*[\r\n]+"#: .spaceToLineEnd,
            #"\s*[\r\n]"#: .spaceToLineEnd,
            #"\s+$"#: .spaceAtEnd,
            #"\s+(?!\S)"#: .spaceBeforeSpace,
            #"\s+"#: .spaces,
            #"\s"#: .space,
            #"[\r\n]"#: .lineEnd,
            #"\s?\p{L}+"#: .anySpacedLetters,
            #"\s?\p{P}+"#: .anySpacedPunctuation,
            "[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+": .ideographs,
            #"[\p{P}\$\+<=>\^~\|]+"#: .punctuation,
            "[0-9][0-9][0-9]": .threeDigits,
        ]
    }()

    /// The expression without possessive quantifiers (these alternatives match the same with them) and with single
    /// classes out of their brackets.
    private static func canonical(_ expression: String) -> String {
        var result = expression
        for (from, to) in [("++", "+"), ("?+", "?"), ("*+", "*"), ("}+|", "}|")] {
            result = replacing(from, with: to, in: result, except: from == "}+|" ? [#"\p{L}+|"#, #"\p{N}+|"#] : [])
        }
        for name in ["L", "N"] { result = replacing("[\\p{\(name)}]", with: "\\p{\(name)}", in: result) }
        return result
    }

    private static func replacing(_ from: String, with to: String, in text: String, except: [String] = []) -> String {
        var result = ""
        var rest = Substring(text)
        while let next = rest.first {
            if rest.hasPrefix(from), !except.contains(where: { (result + rest.prefix(from.count)).hasSuffix($0) }) {
                result += to
                rest = rest.dropFirst(from.count)
            } else {
                result.append(next)
                rest = rest.dropFirst()
            }
        }
        return result
    }

    /// The alternatives: split at every `|` outside brackets and parentheses.
    private static func split(_ expression: String) -> [String] {
        var parts: [String] = []
        var part = ""
        var (depth, isEscaped) = (0, false)
        for character in expression {
            if isEscaped {
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "(" || character == "[" {
                depth += 1
            } else if character == ")" || character == "]" {
                depth -= 1
            } else if character == "|", depth == 0 {
                parts.append(part)
                part = ""
                continue
            }
            part.append(character)
        }
        if !expression.isEmpty { parts.append(part) }
        return parts
    }
}

extension SplitPattern {
    /// Whether every text is matched without gaps: letters, numbers, symbols and white space all have an alternative.
    var matchesEverything: Bool {
        let isSpace = alternatives.contains(.spaces) || alternatives.contains(.space)
        let isLetter = alternatives.contains { alternative in
            switch alternative {
            case .spacedLetters, .prefixedLetters: true
            default: false
            }
        }
        let isNumber = alternatives.contains { alternative in
            switch alternative {
            case .spacedNumbers, .numbers: true
            default: false
            }
        }
        let isSymbol = alternatives.contains { if case .symbols = $0 { true } else { false } }
        return isSpace && isLetter && isNumber && isSymbol
    }
}
