import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

@Suite struct TrainingRunTests {
    /// A run on the letters a-h with the bigram table; its export writes the table and the card.
    private struct Fixture {
        let folder: TemporaryFolder
        var recipe: TrainingRecipe
        var learner = BigramLearner(vocabularySize: 9)

        init() throws {
            folder = try TemporaryFolder()
            var text = ""
            for document in 0..<20 {
                text += (0..<60).map { String(UnicodeScalar(UInt8(97 + ($0 * $0 + document * $0) % 8))) }.joined()
                text += "\n<|endoftext|>\n"
            }
            try folder.write("train.txt", text)
            try folder.write("valid.txt", String(text.prefix(200)))
            recipe = try TrainingRecipe(
                yaml: """
                    name: letters
                    seed: 3
                    data: { train: train.txt, validation: valid.txt }
                    optimizer: { learning_rate: 0.05 }
                    schedule: { warmup_steps: 2 }
                    training: { batch_size: 2, sequence_length: 16, steps: 20, validate_every: 4, checkpoint_every: 5, log_every: 2 }
                    """, source: "letters.yaml")
        }

        func run(resumes: Bool = false, output: String = "out", learner: BigramLearner? = nil) -> TrainingRun {
            let learner = learner ?? BigramLearner(vocabularySize: 9)
            return TrainingRun(
                recipe: recipe,
                options: .init(
                    output: folder.path + "/" + output, resumes: resumes, dataFolder: folder.path,
                    historyPath: folder.path + "/runs.sqlite"),
                parts: .init(
                    tokenizer: { _, _, _, _ in
                        TrainingTokenizer(
                            vocabularySize: 9, beginToken: nil, endToken: 8, digest: "letters", folder: "",
                            encode: { $0.utf8.map { Int($0) - 97 } })
                    },
                    learner: { _, _, _ in learner },
                    export: { model, output in
                        let folder = try OutputFolder(at: output)
                        try AtomicFile.write(model.card, to: folder.path(for: "README.md"))
                        let bits = model.parameters[0].tensor.floats().map { "\($0.bitPattern)" }
                        try AtomicFile.write(bits.joined(separator: "\n"), to: folder.path(for: "table.txt"))
                        try folder.commit()
                    }))
        }

        func data(_ name: String) throws -> Data {
            try Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + name))
        }
    }

    @Test func aRunLeavesModelLogHistoryAndCheckpoints() throws {
        let fixture = try Fixture()
        let result = try fixture.run().execute()
        #expect(result.outcome == .completed && result.state.step == 20)
        let validation = try #require(result.validation)
        #expect(abs(validation.perplexity - exp(validation.loss)) < 1e-9)
        let text = try #require(result.validationText)
        #expect(
            abs(validation.bitsPerByte - validation.loss * Double(text.tokens - 1) / log(2) / Double(text.bytes)) < 1e-9
        )
        #expect(result.json["perplexity"]?.doubleValue == validation.perplexity)
        #expect(result.description.contains("trained 20 steps on 640 tokens"))
        #expect(result.description.contains(String(format: "perplexity %.2f", validation.perplexity)))

        let card = try fixture.folder.text("out/README.md")
        #expect(card.hasPrefix("# letters\n"))
        #expect(card.contains("| Tokens seen | 640 "))
        #expect(card.contains("| Validation perplexity | \(String(format: "%.2f", validation.perplexity)) |"))
        #expect(card.contains("| Validation bits per byte | \(String(format: "%.4f", validation.bitsPerByte)) |"))
        #expect(card.contains("training: { batch_size: 2") && card.contains(fixture.recipe.hash))
        #expect(card.components(separatedBy: "\n").filter { $0.hasPrefix("| 20 | 640 |") }.count == 1)
        #expect(card.contains(result.training.digest) && card.contains(text.digest))

        let log = TrainingLog.read(fixture.folder.path + "/out.run/log.jsonl")
        #expect(log.filter { $0.event == "validation" }.map(\.step) == [4, 8, 12, 16, 20])
        #expect(log.filter { $0.event == "checkpoint" }.map(\.step) == [5, 10, 15, 20])
        #expect(log.last?.outcome == .completed)
        let runs = try RunHistory(path: fixture.folder.path + "/runs.sqlite").runs()
        #expect(runs.count == 1 && runs[0].status == "completed" && runs[0].step == 20 && runs[0].name == "letters")
        #expect(runs[0].bestValidationLoss == validation.loss)
        #expect(try fixture.folder.text("out.run/recipe.yaml") == fixture.recipe.text)
    }

    @Test(arguments: [1, 4, 5, 11])
    func killedAndResumedGivesTheSameBytes(step: Int) throws {
        let fixture = try Fixture()
        let whole = try fixture.run(output: "whole").execute()

        // A process that dies: the learner throws in the middle of a step, and only what is on disk goes on.
        struct Killed: Error {}
        let dying = BigramLearner(vocabularySize: 9)
        dying.failure = (step + 1, .nan)
        #expect(throws: (any Error).self) { try fixture.run(output: "out", learner: dying).execute() }
        #expect(!FileManager.default.fileExists(atPath: fixture.folder.path + "/out"))
        let resumed = try fixture.run(resumes: true, output: "out").execute()

        #expect(resumed.outcome == .completed && resumed.state == whole.state)
        for name in [
            "/table.txt", "/README.md", ".run/latest/state.safetensors", ".run/latest/state.json",
            ".run/best/parameters.safetensors",
        ] {
            #expect(try fixture.data("out" + name) == fixture.data("whole" + name), "\(name)")
        }
        // Log and history have each step once.
        let steps = TrainingLog.read(fixture.folder.path + "/out.run/log.jsonl").filter { $0.event == "progress" }.map(
            \.step)
        #expect(steps == Array(stride(from: 2, through: 20, by: 2)))
        let history = try RunHistory(path: fixture.folder.path + "/runs.sqlite")
        #expect(try history.runs().count == 2 && history.runs().allSatisfy { $0.status == "completed" })
    }

    @Test func interruptedRunWritesNoModelAndGoesOn() throws {
        let fixture = try Fixture()
        let learner = BigramLearner(vocabularySize: 9)
        let interruption = TrainingInterruption()
        learner.willRun = { if learner.seeds.count == 6 { interruption.request() } }
        let result = try fixture.run(learner: learner).execute(interruption: interruption)
        #expect(result.outcome == .interrupted && result.state.step == 7)
        #expect(result.description.hasPrefix("interrupted at step 7 of 20; --resume"))
        #expect(!FileManager.default.fileExists(atPath: fixture.folder.path + "/out"))
        // Without --resume the unfinished run is not overwritten.
        #expect { try fixture.run().execute() } throws: {
            ($0 as? CoppiceError)?.kind == .cannotCreate && "\($0)".contains("unfinished")
        }
        #expect(try fixture.run(resumes: true).execute().outcome == .completed)
        // A finished run may be repeated, and gives the same.
        let first = try fixture.data("out/table.txt")
        #expect(try fixture.run().execute().outcome == .completed)
        #expect(try fixture.data("out/table.txt") == first)
    }

    @Test func aSignalEndsTheRunAfterItsStep() throws {
        let fixture = try Fixture()
        let learner = BigramLearner(vocabularySize: 9)
        let interruption = TrainingInterruption()
        learner.willRun = {
            guard learner.seeds.count == 6 else { return }
            kill(getpid(), SIGTERM)
            // Another thread may be the one to handle it, when the system lets it.
            while !interruption.isRequested { usleep(1000) }
        }
        let result = try interruption.listeningToSignals {
            try fixture.run(learner: learner).execute(interruption: interruption)
        }
        #expect(result.outcome == .interrupted && result.state.step == 7)
        #expect(interruption.isRequested)
        #expect(!TrainingInterruption().isRequested)
    }

    @Test func anotherRecipeOrTextCannotResume() throws {
        var fixture = try Fixture()
        let learner = BigramLearner(vocabularySize: 9)
        learner.failure = (8, .nan)
        #expect(throws: CoppiceError.self) { try fixture.run(learner: learner).execute() }
        let recipe = fixture.recipe
        fixture.recipe.optimizer.learningRate = 0.06
        #expect { try fixture.run(resumes: true).execute() } throws: {
            ($0 as? CoppiceError)?.kind == .badData && "\($0)".contains("differs from the recipe")
        }
        fixture.recipe = recipe
        fixture.recipe.loop.logEvery = 1
        let text = try fixture.folder.text("train.txt")
        try fixture.folder.write("train.txt", text + "abc")
        #expect { try fixture.run(resumes: true).execute() } throws: {
            ($0 as? CoppiceError)?.kind == .badData && "\($0)".hasPrefix("train.txt: is not the text")
        }
        // The way a run logs may change.
        try fixture.folder.write("train.txt", text)
        #expect(try fixture.run(resumes: true).execute().outcome == .completed)
    }

    @Test func foldersOfOthersAreLeftAlone() throws {
        let fixture = try Fixture()
        let files = FileManager.default
        try files.createDirectory(atPath: fixture.folder.path + "/out.run", withIntermediateDirectories: true)
        try fixture.folder.write("out.run/thesis.txt", "years of work")
        #expect { try fixture.run().execute() } throws: { ($0 as? CoppiceError)?.kind == .cannotCreate }
        #expect(try fixture.folder.text("out.run/thesis.txt") == "years of work")
        // An output that could not be written is found before the training, not after it.
        try files.createDirectory(atPath: fixture.folder.path + "/mine", withIntermediateDirectories: true)
        try fixture.folder.write("mine/thesis.txt", "years of work")
        #expect { try fixture.run(output: "mine").execute() } throws: { ($0 as? CoppiceError)?.kind == .cannotCreate }
        #expect(!files.fileExists(atPath: fixture.folder.path + "/mine.run"))
    }

    @Test func damagedCheckpointIsNamed() throws {
        let fixture = try Fixture()
        let learner = BigramLearner(vocabularySize: 9)
        learner.failure = (8, .nan)
        #expect(throws: CoppiceError.self) { try fixture.run(learner: learner).execute() }
        let path = "out.run/latest/state.safetensors"
        let bytes = try fixture.data(path)
        try fixture.folder.write(path, bytes: Array(bytes.prefix(bytes.count / 2)))
        #expect { try fixture.run(resumes: true).execute() } throws: {
            ($0 as? CoppiceError)?.kind == .badData && "\($0)".contains("state.safetensors")
        }
        try fixture.folder.write("out.run/latest/state.json", "{")
        #expect { try fixture.run(resumes: true).execute() } throws: {
            ($0 as? CoppiceError)?.kind == .badData && "\($0)".contains("state.json")
        }
    }
}
