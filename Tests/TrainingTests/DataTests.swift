import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

@Suite struct WindowOrderTests {
    @Test(arguments: [(11, 10), (20, 10), (21, 10), (1000, 7), (4096, 1), (100_003, 64)])
    func eachEpochVisitsEveryWindowOnce(tokens: Int, length: Int) {
        let order = WindowOrder(tokenCount: tokens, length: length, seed: 5)
        for epoch in 0..<3 {
            let starts = (0..<order.windowsPerEpoch).map { order.start(ofSample: epoch * order.windowsPerEpoch + $0) }
            let offset = starts.map { $0 % length }
            #expect(Set(offset).count == 1)
            #expect(Set(starts).count == starts.count)
            #expect(starts.allSatisfy { $0 >= 0 && $0 + length + 1 <= tokens })
        }
        #expect(order.windowsPerEpoch >= max(1, tokens / length - 1))
    }

    @Test func epochsAndSeedsDiffer() {
        let order = WindowOrder(tokenCount: 10_000, length: 10, seed: 1)
        let other = WindowOrder(tokenCount: 10_000, length: 10, seed: 2)
        let epoch = { (order: WindowOrder, number: Int) in
            (0..<50).map { order.start(ofSample: number * order.windowsPerEpoch + $0) }
        }
        #expect(epoch(order, 0) != epoch(order, 1))
        #expect(epoch(order, 0) != epoch(other, 0))
        #expect(epoch(order, 0) != epoch(order, 0).sorted())
    }

    /// The order is part of what a seed means: it must not change between versions or machines.
    @Test func orderIsFixed() {
        let order = WindowOrder(tokenCount: 1000, length: 10, seed: 42)
        #expect((0..<6).map { order.start(ofSample: $0) } == WindowOrderTests.golden)
    }

    static let golden = [97, 697, 967, 27, 667, 797]

    @Test func shuffleIsEven() {
        // Each window's mean position over many epochs is near the middle.
        let order = WindowOrder(tokenCount: 330, length: 10, seed: 9)
        var sums = [Int](repeating: 0, count: order.windowsPerEpoch)
        let epochs = 2000
        for epoch in 0..<epochs {
            for position in 0..<order.windowsPerEpoch {
                sums[order.start(ofSample: epoch * order.windowsPerEpoch + position) / 10] += position
            }
        }
        let middle = Double(order.windowsPerEpoch - 1) / 2
        // Standard error of a mean of 2000 uniform positions among 32 is 0.2.
        for sum in sums { #expect(abs(Double(sum) / Double(epochs) - middle) < 1) }
    }
}

@Suite struct TrainingTextTests {
    @Test func documentsEndAtSeparatorLines() throws {
        let text = try TrainingText(
            "\nOne.\n\nStill one.\r\n<|endoftext|>\r\n\n<|endoftext|>\nTwo <|endoftext|> inside.\n<|endoftext|>",
            separator: "<|endoftext|>")
        #expect(text.documents == ["One.\n\nStill one.", "Two <|endoftext|> inside."])
        #expect(text.byteCount == text.documents.reduce(0) { $0 + $1.utf8.count })
    }

    @Test func otherSeparators() throws {
        #expect(try TrainingText("a\n***\nb", separator: "***").documents == ["a", "b"])
        #expect(try TrainingText("a\n<|endoftext|>\nb", separator: "***").documents.count == 1)
    }

    @Test(arguments: ["", " \n\t\n", "<|endoftext|>\n<|endoftext|>\n"])
    func textWithoutDocumentsIsRefused(text: String) {
        #expect {
            try TrainingText(text, separator: "<|endoftext|>", source: "tales.txt")
        } throws: { error in
            (error as? CoppiceError)?.kind == .badData && "\(error)".hasPrefix("tales.txt: ")
        }
    }

    @Test func filesAreReadAndNamedInErrors() throws {
        let folder = try TemporaryFolder()
        try folder.write("a.txt", "Once.")
        try folder.write("b.txt", "Twice.")
        try folder.write("empty.txt", "")
        try folder.write("latin.txt", bytes: [0x63, 0x61, 0x66, 0xE9])
        let text = try TrainingText.load(["a.txt", "b.txt"], separator: "-", folder: folder.path)
        #expect(text.documents == ["Once.", "Twice."])
        // What `printf 'Once.Twice.' | sha256sum` prints.
        #expect(text.digest == "6211232ef162ac29a5847e68971ae61b2b1844c9f5aca66424759809656b005a")
        #expect { try TrainingText.load(["/dev/zero"], separator: "-") } throws: {
            "\($0)" == "/dev/zero: is not a regular file, expected a text file"
        }
        for (file, words) in [
            ("empty.txt", "empty"), ("latin.txt", "UTF-8"), ("none.txt", "no such file"), (".", "folder"),
        ] {
            #expect("\(file)") {
                try TrainingText.load([folder.path + "/" + file], separator: "-")
            } throws: { "\($0)".contains(words) && "\($0)".contains(file) }
        }
    }

    @Test func compressedFilesAreRead() throws {
        let folder = try TemporaryFolder()
        try folder.write("tale.txt", "Once upon a time.\n")
        for (program, name) in [("gzip", "tale.txt.gz"), ("xz", "tale.txt.xz")] {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = [program, "-k", folder.path + "/tale.txt"]
            try process.run()
            process.waitUntilExit()
            // Not every machine has both programs.
            guard process.terminationStatus == 0 else { continue }
            #expect(
                try TrainingText.load([folder.path + "/" + name], separator: "-").documents == ["Once upon a time."])
        }
        try folder.write("broken.gz", "no gzip")
        #expect { try TrainingText.load([folder.path + "/broken.gz"], separator: "-") } throws: {
            ($0 as? CoppiceError)?.kind == .badData
        }
    }
}

/// Checks on real texts, in the folder that the environment variable COPPICE_DATA names.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["COPPICE_DATA"] != nil)) struct RealTextTests {
    @Test func fairyTalesAreOneDocumentABook() throws {
        let folder = ProcessInfo.processInfo.environment["COPPICE_DATA"]
        for (name, bytes) in [("train", 11_900_931), ("valid", 463_077)] {
            let text = try TrainingText.load(
                ["text/fairytales_\(name).txt.xz"], separator: "<|endoftext|>", folder: folder)
            #expect(text.documents.count == 31 && text.byteCount == bytes)
            #expect(text.documents.allSatisfy { !$0.contains("<|endoftext|>") })
        }
    }
}

@Suite struct TokenStreamTests {
    private func stream(_ count: Int) -> TokenStream {
        TokenStream(tokens: (0..<Int32(count)).map { $0 }, byteCount: count)
    }

    @Test func documentsAreFollowedByTheEndToken() throws {
        let text = try TrainingText("ab\n-\ncd", separator: "-")
        let stream = TokenStream(text, endToken: 0) { $0.utf8.map(Int.init) }
        #expect(stream.tokens == [97, 98, 0, 99, 100, 0])
        #expect(stream.byteCount == 4)
    }

    @Test func longDocumentsAreCutAtParagraphs() throws {
        let paragraph = String(repeating: "word ", count: 2000) + "\n\n"
        let document = String(repeating: paragraph, count: 80)
        var pieces: [String] = []
        let text = try TrainingText(document, separator: "-")
        var bytes = 0
        let stream = TokenStream(
            text, endToken: 0,
            encode: { piece in
                pieces.append(piece)
                return [piece.utf8.count]
            }
        ) {
            bytes = $0
        }
        #expect(pieces.joined() == text.documents[0])
        #expect(pieces.count == 3 && stream.tokens.count == 4)
        #expect(pieces.dropLast().allSatisfy { $0.hasSuffix("\n\n") })
        #expect(bytes == text.byteCount)
    }

    @Test func targetsFollowInputs() {
        let batch = TokenBatch(stream(100).tokens, starts: [3, 50], length: 4)
        #expect(batch.inputs == [3, 4, 5, 6, 50, 51, 52, 53])
        #expect(batch.targets == [4, 5, 6, 7, 51, 52, 53, 54])
    }

    @Test(arguments: [2, 5, 6, 7, 9, 11, 21, 22, 23, 100])
    func validationPredictsEveryTokenButTheFirstOnce(count: Int) {
        let batches = TokenBatch.covering(stream(count), batchSize: 2, length: 5)
        #expect(batches.flatMap(\.targets) == (1..<Int32(count)).map { $0 })
        #expect(batches.allSatisfy { $0.rows <= 2 && $0.columns <= 5 && $0.inputs.count == $0.rows * $0.columns })
    }

    @Test func batchesOfAStepFollowFromItsNumber() {
        let stream = stream(1000)
        let order = WindowOrder(tokenCount: 1000, length: 8, seed: 3)
        let whole = TokenBatch.training(stream, order: order, step: 7, batchSize: 6, accumulation: 1)
        let parts = TokenBatch.training(stream, order: order, step: 7, batchSize: 2, accumulation: 3)
        #expect(whole.flatMap(\.inputs) == parts.flatMap(\.inputs))
        #expect(whole.count == 1 && parts.count == 3)
    }

    @Test func tooShortAndOutOfRangeStreamsAreRefused() {
        #expect { try stream(8).check(length: 8, vocabularySize: 100, source: "t") } throws: {
            "\($0)" == "t: has 8 tokens, expected at least 9 (the sequence length and one)"
        }
        #expect { try stream(20).check(length: 8, vocabularySize: 10, source: "t") } throws: {
            "\($0)".contains("token 10")
        }
        #expect(throws: Never.self) { try stream(9).check(length: 8, vocabularySize: 9, source: "t") }
    }
}
