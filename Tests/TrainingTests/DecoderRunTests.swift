import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Whole runs of tiny decoders, from text to a model's folder.
@Suite struct DecoderRunTests {
    private static let yaml = """
        name: Tiny
        seed: 5
        model: { hidden_size: 16, intermediate_size: 24, layers: 2, heads: 4, key_value_heads: 2, context: 32, dropout: 0.1 }
        tokenizer: { train: 300 }
        data: { train: train.txt, validation: valid.txt }
        optimizer: { learning_rate: 1.0e-2 }
        schedule: { warmup_steps: 3 }
        training: { batch_size: 2, sequence_length: 16, steps: 20, validate_every: 5, checkpoint_every: 10, log_every: 5 }
        """

    /// Sentences of a few words, so that there is something to learn.
    private static func text(_ count: Int, seed: UInt64) -> String {
        var state = seed
        func pick(_ words: [String]) -> String {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return words[Int(state >> 33) % words.count]
        }
        return (0..<count).map { index in
            let animals = ["fox", "hen", "owl", "hare"]
            let sentence =
                "The \(pick(["old", "young", "sly"])) \(pick(animals)) \(pick(["saw", "met"])) the \(pick(animals))."
            return sentence + (index % 10 == 9 ? "\n<|endoftext|>\n" : "\n")
        }.joined()
    }

    private func fixture() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.write("train.txt", Self.text(300, seed: 1))
        try folder.write("valid.txt", Self.text(40, seed: 2))
        return folder
    }

    private func run(
        _ folder: TemporaryFolder, _ output: String, resumes: Bool = false, yaml: String = yaml,
        keep: [RewindPoint] = []
    ) throws -> TrainingRun {
        TrainingRun(
            recipe: try TrainingRecipe(yaml: yaml, source: "tiny.yaml"),
            options: .init(output: folder.path + "/" + output, resumes: resumes, dataFolder: folder.path, keep: keep))
    }

    @Test func aRunWritesAModelThatOpens() throws {
        let folder = try fixture()
        let result = try run(folder, "tiny").execute()
        #expect(result.outcome == .completed && result.vocabularySize <= 300 && result.vocabularySize > 257)
        let checkpoint = try Checkpoint.open(folder.path + "/tiny")
        #expect(checkpoint.configuration.hiddenSize == 16 && checkpoint.configuration.keyValueHeadCount == 2)
        #expect(checkpoint.configuration.vocabularySize == result.vocabularySize)
        #expect(checkpoint.configuration.endTokens == [0] && checkpoint.configuration.tiesEmbeddings)
        let tokenizer = try TokenizerLoader.load(folder: folder.path + "/tiny")
        let tokens = tokenizer.encode("The old fox met the owl.", addingSpecialTokens: false)
        #expect(tokenizer.decode(tokens, skippingSpecialTokens: true) == "The old fox met the owl.")
        #expect(tokens.count < 20)

        // The weights in the folder are those of the best validation: they give its loss again, but for bfloat16.
        let network = DecoderNetwork(checkpoint.configuration)
        try network.load { try checkpoint.tensor($0) }
        let recipe = try TrainingRecipe(yaml: Self.yaml)
        let text = try TrainingText(try folder.text("valid.txt"), separator: recipe.data.separator)
        let stream = TokenStream(text, endToken: 0) { tokenizer.encode($0, addingSpecialTokens: false) }
        let learner = DecoderLearner(network, recipe: recipe)
        let loss = try #require(
            try Trainer.meanLoss(of: TokenBatch.covering(stream, batchSize: 2, length: 16), learner))
        #expect(abs(loss - (try #require(result.validation).loss)) < 0.02)
        let first = try #require(result.state.curve.first?.validationLoss)
        #expect(loss < first)

        let card = try folder.text("tiny/README.md")
        #expect(card.hasPrefix("# Tiny\n") && card.contains("## Loss curve") && card.contains("bits per byte"))
        #expect(try folder.text("tiny/recipe.yaml") == Self.yaml)
    }

    @Test func interruptedAndResumedWritesTheSameBytes() throws {
        let folder = try fixture()
        _ = try run(folder, "whole").execute()
        final class Stop: ProgressReporter {
            let interruption = TrainingInterruption()
            func begin(_ title: String, total: Int, completed: Int, unit: String) {}
            func advance(to completed: Int, note: String) {
                if note.hasPrefix("loss"), completed == 10 { interruption.request() }
            }
            func report(_ line: String) {}
            func end(_ summary: String) {}
        }
        let stop = Stop()
        let part = try run(folder, "part").execute(progress: stop, interruption: stop.interruption)
        #expect(part.outcome == .interrupted && part.state.step == 10)
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/part"))
        let rest = try run(folder, "part", resumes: true).execute()
        #expect(rest.outcome == .completed)
        for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"] {
            let parts = try ["whole", "part"].map { output in
                try Data(contentsOf: URL(fileURLWithPath: folder.path + "/\(output)/\(name)"))
            }
            #expect(parts[0] == parts[1], "\(name)")
        }
        for name in ["latest/state.safetensors", "best/parameters.safetensors"] {
            let parts = try ["whole", "part"].map { output in
                try Data(contentsOf: URL(fileURLWithPath: folder.path + "/\(output).run/\(name)"))
            }
            #expect(parts[0] == parts[1], "\(name)")
        }
    }

    /// What a run keeps on its way is bit for bit what it has there, and changes nothing of its end.
    @Test func keepsWeightsOfEarlierSteps() throws {
        let folder = try fixture()
        let whole = try run(folder, "whole", keep: [.step(0), .step(7), .share(1)]).execute()
        let short = try run(folder, "plain").execute()
        #expect(whole.state == short.state)
        let shapes = try Checkpoint.open(folder.path + "/whole").configuration.tensorShapes
        func weights(_ run: String) throws -> [String: [Float]] {
            try RunCheckpoint(folder.path + "/" + run).tensors(like: shapes).mapValues { $0.floats() }
        }
        final class Stop: ProgressReporter {
            let interruption = TrainingInterruption()
            func begin(_ title: String, total: Int, completed: Int, unit: String) {}
            func advance(to completed: Int, note: String) {
                if note.hasPrefix("loss"), completed == 7 { interruption.request() }
            }
            func report(_ line: String) {}
            func end(_ summary: String) {}
        }
        let stop = Stop()
        _ = try run(folder, "part").execute(progress: stop, interruption: stop.interruption)
        #expect(try weights("part.run") == weights("whole.run@7it"))
        #expect(try weights("plain.run") == weights("whole.run@20it"))
        let checkpoint = try RunCheckpoint(folder.path + "/whole.run@0")
        #expect(checkpoint.step == 0)
        #expect(try weights("whole.run@0") != weights("whole.run@7it"))
        #expect { _ = try checkpoint.tensors(like: [("model.norm.weight", [17])]) } throws: {
            "\($0)".contains("model.norm.weight: has shape [16], expected shape [17]")
        }
        #expect { _ = try run(folder, "part", resumes: true, keep: [.step(3)]).execute() } throws: {
            "\($0)".contains("did not keep step 3")
        }
        #expect { _ = try RunCheckpoint(folder.path + "/whole.run@1ep") } throws: {
            "\($0)".contains("expected one of: step 0, epoch 0.0; step 7, epoch ")
        }
    }

    @Test func anExistingTokenizerIsUsedAndCopied() throws {
        let folder = try fixture()
        _ = try run(folder, "first").execute()
        let yaml = Self.yaml.replacingOccurrences(
            of: "tokenizer: { train: 300 }", with: "tokenizer: { path: \(folder.path)/first }")
        let result = try run(folder, "second", yaml: yaml).execute()
        #expect(result.outcome == .completed)
        #expect(try folder.text("second/tokenizer.json") == folder.text("first/tokenizer.json"))
        // The same tokens, seed and order: the same model.
        #expect(
            try Data(contentsOf: URL(fileURLWithPath: folder.path + "/second/model.safetensors"))
                == Data(contentsOf: URL(fileURLWithPath: folder.path + "/first/model.safetensors")))
        let missing = Self.yaml.replacingOccurrences(
            of: "tokenizer: { train: 300 }", with: "tokenizer: { path: \(folder.path)/nowhere }")
        #expect { try run(folder, "third", yaml: missing).execute() } throws: {
            ($0 as? CoppiceError)?.kind == .noInput && "\($0)".contains("nowhere")
        }
    }
}
