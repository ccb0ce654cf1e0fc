import CoppiceInference
import CoppiceTensors
import Testing

@Suite("Stop strings")
struct StopStringTests {
    /// What comes out of a text fed in pieces of `size` characters, and whether a stop string ended it.
    private func run(_ text: String, _ stops: [String], size: Int) -> (pieces: [String], isStopped: Bool) {
        var matcher = StopStrings(stops)
        var pieces: [String] = []
        var rest = Substring(text)
        while !rest.isEmpty {
            pieces.append(matcher.append(String(rest.prefix(size))))
            rest = rest.dropFirst(size)
        }
        pieces.append(matcher.finish())
        return (pieces, matcher.isStopped)
    }

    @Test("Are found across the borders of pieces of any size", arguments: 1...7)
    func borders(size: Int) {
        let cases: [(text: String, stops: [String], expected: String, isStopped: Bool)] = [
            ("one two three", ["two"], "one ", true),
            ("aaab", ["aab"], "a", true),
            ("ababac", ["abac"], "ab", true),
            ("the end", ["end.", "ending"], "the end", false),
            ("x\n\nUser: y", ["User:", "\n\n"], "x", true),
            ("über ärger", ["ä"], "über ", true),
            ("nothing", [], "nothing", false),
            ("stop", ["stop"], "", true),
            ("abcd", ["bc", "abcd"], "", true),
        ]
        for (text, stops, expected, isStopped) in cases {
            let found = run(text, stops, size: size)
            // Which of two overlapping stop strings is met first may depend on what has arrived.
            if stops != ["bc", "abcd"] { #expect(found.pieces.joined() == expected, "\(text)") }
            #expect(found.isStopped == isStopped, "\(text)")
        }
    }

    @Test("Only what may still become a stop string is held back")
    func holdBack() {
        var matcher = StopStrings(["<end>"])
        #expect(matcher.append("a<e") == "a")
        #expect(matcher.append("x<") == "<ex")
        #expect(matcher.append("end") == "")
        #expect(matcher.append(">tail") == "")
        #expect(matcher.isStopped)
        #expect(matcher.append("more") == "" && matcher.finish() == "")
    }

    @Test("End a generation without their own text, whatever the tokens' borders")
    func generation() throws {
        let model = try LanguageModel.random()
        let tokenizer = ByteTokenizer(vocabularySize: 96)
        let generator = TextGenerator(model, tokenizer: tokenizer)
        var request = GenerationRequest(
            promptTokens: [1, 2, 3], maximumTokens: 40, sampling: SamplingOptions(seed: 5), ignoresEndToken: true)
        let free = try generator.generate(request)
        #expect(free.text.count == 40 && free.finishReason == .length)
        let stop = String(Array(free.text)[10..<14])
        request.stopStrings = [stop]
        var streamed = ""
        let stopped = try generator.generate(request) { event in
            streamed += event.text
            return true
        }
        #expect(stopped.finishReason == .stop)
        let expected = String(free.text.prefix(while: { _ in true }).prefix(free.text.firstOffset(of: stop) ?? 0))
        #expect(stopped.text == expected && streamed == expected)
    }
}

extension String {
    /// Characters before the first occurrence.
    fileprivate func firstOffset(of part: String) -> Int? {
        let (all, part) = (Array(self), Array(part))
        return all.indices.first { all[$0...].starts(with: part) }
    }
}
