/// How text is split before byte-pair encoding, by the names that `tokenizer.ggml.pre` has for it.
///
/// The splitting is llama.cpp's; names of models that split alike share an entry.
struct GGUFPreTokenizer: Sendable {
    /// The first is the one that is written.
    let names: [String]
    let stages: [PreTokenizer.Stage]
    /// Whether a piece that is a token stays whole whatever the merges say.
    var ignoresMerges = false
    /// Whether texts begin with the begin token where the file does not say.
    var addsBegin = false

    static let all: [GGUFPreTokenizer] = [
        GGUFPreTokenizer(
            names: ["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"], stages: [.pattern(.llama3)],
            ignoresMerges: true, addsBegin: true),
        GGUFPreTokenizer(names: ["qwen2", "deepseek-r1-qwen", "stablelm2", "megrez"], stages: [.pattern(.qwen2)]),
        GGUFPreTokenizer(names: ["gpt-2", "phi-2", "olmo", "mpt", "jais", "gigachat"], stages: [.pattern(.gpt2)]),
        GGUFPreTokenizer(names: ["dbrx", "smaug-bpe"], stages: [.pattern(.llama3)]),
        GGUFPreTokenizer(
            names: ["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
            stages: [.split(.character(.number), .isolated, inverted: false), .pattern(.gpt2)]),
        GGUFPreTokenizer(
            names: ["tekken"], stages: [.pattern(.cased(contraction: false, digits: 1))], ignoresMerges: true,
            addsBegin: true),
        GGUFPreTokenizer(names: ["gpt-4o"], stages: [.pattern(.cased(contraction: true, digits: 3))]),
        GGUFPreTokenizer(
            names: ["deepseek-coder"],
            stages: [.lineEnd, .anySpacedLetters, .anySpacedPunctuation, .ideographs, .numbers(maximum: 1)].map(
                isolated)),
        // What llama.cpp does for files that name nothing.
        GGUFPreTokenizer(
            names: ["default"],
            stages: [
                isolated(.punctuation), .pattern(.gpt2), isolated(.numbers(maximum: .max)), isolated(.threeDigits),
            ]),
    ]

    private static func isolated(_ alternative: SplitPattern.Alternative) -> PreTokenizer.Stage {
        .split(.pattern(SplitPattern(alternatives: [alternative])), .isolated, inverted: false)
    }

    static func named(_ name: String) -> GGUFPreTokenizer? { all.first { $0.names.contains(name) } }

    /// The entry that splits as these stages do; nil when there is none.
    static func matching(_ stages: [PreTokenizer.Stage], ignoresMerges: Bool) -> GGUFPreTokenizer? {
        let alike = all.filter { Self.signature($0.stages) == Self.signature(stages) }
        return alike.first { $0.ignoresMerges == ignoresMerges } ?? alike.first
    }

    /// The stages as text that can be compared; nil for stages that no entry has.
    private static func signature(_ stages: [PreTokenizer.Stage]) -> [SplitPattern]? {
        var patterns: [SplitPattern] = []
        for stage in stages {
            switch stage {
            case .pattern(let pattern), .split(.pattern(let pattern), .isolated, inverted: false):
                patterns.append(pattern)
            case .split(.character(.number), .isolated, inverted: false):
                patterns.append(SplitPattern(alternatives: [.numbers(maximum: 1)]))
            default: return nil
            }
        }
        return patterns
    }
}

extension SplitPattern {
    /// o200k's and Tekken's: words that begin with capitals or have none, with the symbol before them.
    static func cased(contraction: Bool, digits: Int) -> SplitPattern {
        SplitPattern(alternatives: [
            .capitalizedWord(contraction: contraction), .upperCaseWord(contraction: contraction),
            .numbers(maximum: digits), .symbols(lineEnds: true, slashes: true), .spaceToLineEnd, .spaceBeforeSpace,
            .spaces,
        ])
    }
}
