import CoppiceModels
import Foundation
import Testing

/// `coppice grok`: options that a task or a model would not read are refused.
@Suite(.serialized) struct GrokCommandTests {
    private let folder = TemporaryFolder()

    @Test(arguments: ["run", "controls"])
    func optionsWithoutMeaningAreRefused(command: String) throws {
        let output = folder.path + "/" + command
        let refused: [(arguments: [String], message: String)] = [
            (["--model", "transformer", "--hidden", "16"], "--hidden: does not go with --model transformer"),
            (["--task", "mnist", "--p", "11"], "--p: does not go with --task mnist"),
            (["--task", "mnist", "--frac", "0.4"], "--frac: does not go with --task mnist"),
            (["--task", "mnist", "--all-pairs"], "--all-pairs: does not go with --task mnist"),
            (["--task", "mnist", "--model", "mlp"], "--model: does not go with --task mnist"),
            (["--task", "mnist", "--embedding", "16"], "--embedding: does not go with --task mnist"),
            (["--task", "mnist", "--hidden", "16"], "--hidden: does not go with --task mnist"),
            (["--images", "100"], "--images: expected --task mnist beside it"),
            (["--task", "sub", "--images", "100"], "--images: expected --task mnist beside it"),
        ]
        for (arguments, message) in refused {
            try Program.expectFailure(
                64, message, ["grok", command] + arguments + ["--steps", "2", "--output", output])
            #expect(!FileManager.default.fileExists(atPath: output), "\(arguments)")
        }
    }

    /// What is read counts.
    @Test func sizesAreThoseThatAreAskedFor() throws {
        let small = ["--p", "7", "--frac", "0.6", "--embedding", "12", "--steps", "2"]
        for (model, name) in [("mlp", "perceptron 12-10"), ("transformer", "transformer 12")] {
            let arguments = ["--model", model] + (model == "mlp" ? ["--hidden", "10"] : [])
            let found = try Program.json(
                arguments: ["grok", "run"] + small + arguments + ["--output", folder.path + "/" + model])
            #expect(found["task"]?.stringValue == "add modulo 7, " + name)
            #expect(found["last_step"]?.intValue == 2)
        }
    }
}
