import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

@Suite struct ClassificationRunTests {
    /// Drawn figures as a set like MNIST, and a recipe of a few steps on them.
    private struct Fixture {
        let folder: TemporaryFolder

        init() throws {
            folder = try TemporaryFolder()
            try folder.makeFolder("figures")
            for (prefix, count, seed) in [("train", 600, UInt64(1)), ("t10k", 200, 2)] {
                let set = ImageDataSet.shapes(count, size: 12, seed: seed)
                try folder.writeIDX("figures/\(prefix)-images-idx3-ubyte", shape: [count, 12, 12], set.pixels.bytes)
                try folder.writeIDX(
                    "figures/\(prefix)-labels-idx1-ubyte", shape: [count], set.labels.map { UInt8($0) })
            }
        }

        /// - Parameter changes: texts of the recipe and what stands in their place.
        func recipe(_ changes: KeyValuePairs<String, String> = [:]) throws -> ClassificationRecipe {
            let text = """
                name: figures
                seed: 3
                model: { architecture: lenet-300-100 }
                images: { directory: figures, augmentation: { padding: 1 }, normalization: computed }
                optimizer: { kind: sgd, learning_rate: 0.05, weight_decay: 1e-4, clip_norm: 5 }
                schedule: { warmup_epochs: 0.5 }
                training: { batch_size: 32, epochs: 4, validate_every: 0.5, log_every: 3, label_smoothing: 0.05 }
                """
            let changed = changes.reduce(text) { text, change in
                precondition(text.contains(change.key), change.key)
                return text.replacingOccurrences(of: change.key, with: change.value)
            }
            return try ClassificationRecipe(yaml: changed, source: "figures.yaml")
        }

        func run(
            _ recipe: ClassificationRecipe, _ output: String, resumes: Bool = false, keep: [RewindPoint] = []
        ) -> ClassificationRun {
            ClassificationRun(
                recipe: recipe,
                options: .init(
                    output: folder.path + "/" + output, resumes: resumes, dataFolder: folder.path,
                    historyPath: folder.path + "/runs.sqlite", keep: keep))
        }

        func data(_ name: String) throws -> Data {
            try Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + name))
        }
    }

    /// Asks for the end of a run when it has come to a step.
    private struct StopAt: ProgressReporter {
        let step: Int
        let interruption: TrainingInterruption
        func begin(_ title: String, total: Int, completed: Int, unit: String) {}
        func advance(to completed: Int, note: String) { if completed == step { interruption.request() } }
        func report(_ line: String) {}
        func end(_ summary: String) {}
    }

    @Test func learnsAndWritesANetworkThatOpensAgain() throws {
        let fixture = try Fixture()
        let result = try fixture.run(fixture.recipe(), "out").execute()
        #expect(result.outcome == .completed && result.trainingImages == 540 && result.validationImages == 60)
        #expect(result.totalSteps == 68 && result.state.step == 68)
        let best = try #require(result.state.best)
        let accuracy = try #require(best.accuracy)
        #expect(accuracy > 0.4)
        #expect(result.state.curve.compactMap(\.accuracy).max() == accuracy)
        // 540 images are 16.875 steps an epoch; each half one is validated when it is complete.
        #expect(result.state.curve.map(\.step) == [9, 17, 26, 34, 43, 51, 60, 68])
        let test = try #require(result.test)
        #expect(test.count == 200 && test.accuracy > 0.4)
        // What was written classifies the test images as was reported, bit for bit.
        let checkpoint = try VisionCheckpoint.open(fixture.folder.path + "/out")
        #expect(checkpoint.architecture.name == "lenet-300-100" && checkpoint.architecture.inputShape == [1, 12, 12])
        var images = try ImageDataSet.open(fixture.folder.path + "/figures", split: .test)
        try images.check(fits: checkpoint.architecture)
        images.normalization = try #require(checkpoint.normalization)
        #expect(Classification.measure(try checkpoint.network(), on: images) == test)
        let log = TrainingLog.read(result.runFolder + "/log.jsonl")
        #expect(log.filter { $0.event == "validation" }.count == 8 && log.last?.outcome == .completed)
        #expect(log.filter { $0.event == "progress" }.allSatisfy { ($0.imagesPerSecond ?? 0) > 0 })
        let history = try RunHistory(path: fixture.folder.path + "/runs.sqlite")
        let run = try #require(try history.runs().first)
        #expect(run.status == "completed" && run.bestStep == best.step)
        #expect(try history.metrics(run.id, name: "validation_accuracy").count == 8)
        let card = try fixture.folder.text("out/README.md")
        #expect(card.contains("| Test accuracy |") && card.contains("architecture: lenet-300-100"))
    }

    /// A folder is not written over the network that it is trained from, and one class is nothing to learn.
    @Test func whatCannotBeTrainedIsNamed() throws {
        let fixture = try Fixture()
        let short: KeyValuePairs = ["epochs: 4": "epochs: 0.6"]
        _ = try fixture.run(fixture.recipe(short), "out").execute()
        let onward = try fixture.recipe([
            "architecture: lenet-300-100": "weights: \(fixture.folder.path)/out", "epochs: 4": "epochs: 0.6",
        ])
        let before = try fixture.data("out/model.safetensors")
        #expect { try fixture.run(onward, "out").execute() } throws: {
            "\($0)".hasSuffix("/out would take the place of \(fixture.folder.path)/out; name another output")
        }
        #expect(try fixture.data("out/model.safetensors") == before)
        #expect(try fixture.run(onward, "other").execute().outcome == .completed)
        try fixture.folder.writeIDX(
            "figures/train-labels-idx1-ubyte", shape: [600], [UInt8](repeating: 0, count: 600))
        try fixture.folder.write("figures/classes.txt", "one\n")
        #expect { try fixture.run(fixture.recipe(short), "none").execute() } throws: {
            "\($0)".hasSuffix("has training images of one class, expected at least two classes")
        }
    }

    /// Interrupted and resumed, twice and not at a validation, a run gives the same bits as one that was not.
    @Test(arguments: [
        ("lenet-300-100", "kind: sgd, learning_rate: 0.05"),
        ("resnet8, width_multiplier: 0.5", "kind: sgd, nesterov: true, learning_rate: 0.05"),
        ("mobilenet-v2, width_multiplier: 0.25", "kind: adamw, learning_rate: 1e-3"),
        ("resnet8, width_multiplier: 0.25", "kind: mfac, gradients: 4, dampening: 1e-3"),
        ("lenet-300-100", "kind: mfac, gradients: 4, dampening: 1e-3, storage: bf16"),
        ("fastgrnn-16", "kind: adamw, learning_rate: 1e-2"),
        ("fastgrnn-12-w4-u4, sequence_length: 36", "kind: sgd, learning_rate: 0.05"),
    ])
    func resumesBitForBit(architecture: String, optimizer: String) throws {
        let fixture = try Fixture()
        let recipe = try fixture.recipe([
            "lenet-300-100": architecture, "kind: sgd, learning_rate: 0.05": optimizer, "epochs: 4": "epochs: 0.6",
            "{ padding: 1 }": "{ padding: 2, flips: true, cutout: 4 }",
        ])
        let whole = try fixture.run(recipe, "whole").execute()
        for stop in [3, 7] {
            let interruption = TrainingInterruption()
            let part = try fixture.run(recipe, "parts", resumes: true).execute(
                progress: StopAt(step: stop, interruption: interruption), interruption: interruption)
            #expect(part.outcome == .interrupted && part.state.step == stop)
            #expect(!FileManager.default.fileExists(atPath: fixture.folder.path + "/parts"))
        }
        let parts = try fixture.run(recipe, "parts", resumes: true).execute()
        #expect(parts.state == whole.state && parts.test == whole.test)
        for name in ["model.safetensors", "README.md", "config.json"] {
            #expect(try fixture.data("whole/" + name) == fixture.data("parts/" + name), "\(name)")
        }
        let finished = try fixture.data("whole.run/latest/state.safetensors")
        #expect(try finished == fixture.data("parts.run/latest/state.safetensors"))
    }

    /// The window of M-FAC is told before the run, refused before there is one, and missed where it is gone.
    @Test func memoryOfGradientsIsToldAndRefused() throws {
        let fixture = try Fixture()
        let mfac: KeyValuePairs = [
            "kind: sgd, learning_rate: 0.05": "kind: mfac, gradients: 4", "epochs: 4": "epochs: 0.6",
        ]
        let interruption = TrainingInterruption()
        let told = StopAt(step: 3, interruption: interruption)
        _ = try fixture.run(try fixture.recipe(mfac), "told").execute(progress: told, interruption: interruption)
        let file = fixture.folder.path + "/told.run/latest/state.safetensors"
        let tensors = try TensorFile.read(file).tensors
        #expect(tensors["optimizer.window.next_row"]?.integers() == [3])
        try TensorFile.write(
            tensors.filter { !$0.key.hasPrefix("optimizer.window") }.map { NamedTensor($0.key, $0.value.copied()) },
            to: file)
        #expect { _ = try fixture.run(try fixture.recipe(mfac), "told", resumes: true).execute() } throws: {
            "\($0)".contains("state.safetensors: optimizer.window: is missing")
        }
        let large = try fixture.recipe(["kind: sgd, learning_rate: 0.05": "kind: mfac, gradients: 65536"])
        #expect { _ = try fixture.run(large, "large").execute() } throws: {
            "\($0)".contains("optimizer.gradients: 65536 of ") && "\($0)".contains("expected at most ")
        }
        #expect(!FileManager.default.fileExists(atPath: fixture.folder.path + "/large.run"))
    }

    /// What a run keeps on its way is bit for bit what it has there, and changes nothing of its end.
    @Test func keepsWeightsOfEarlierSteps() throws {
        let fixture = try Fixture()
        let recipe = try fixture.recipe([
            "lenet-300-100": "resnet8, width_multiplier: 0.5", "epochs: 4": "epochs: 0.6",
        ])
        let whole = try fixture.run(recipe, "whole").execute()
        let kept = try fixture.run(recipe, "kept", keep: [.step(0), .epochs(0.25), .share(0.7)]).execute()
        #expect(kept.state == whole.state)
        #expect(try fixture.data("whole/model.safetensors") == fixture.data("kept/model.safetensors"))
        #expect(
            try fixture.data("whole.run/latest/state.safetensors") == fixture.data("kept.run/latest/state.safetensors"))
        // 16.875 steps an epoch, 11 in all: steps 4 and 8.
        let names = ["step-0", "step-4", "step-8"]
        let folder = fixture.folder.path + "/kept.run/kept"
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == names)
        // Interrupted there, and resumed before the last.
        let network = try VisionCheckpoint.open(fixture.folder.path + "/whole").network()
        func weights(_ run: String) throws -> [[Float]] {
            try RunCheckpoint(fixture.folder.path + "/" + run).load(into: network)
            return network.parameters.map { $0.parameter.wrappedValue.floats() }
                + network.stateTensors.map { $0.state.wrappedValue.floats() }
        }
        for (stop, point) in [(4, "0.25ep"), (8, "70%")] {
            let interruption = TrainingInterruption()
            _ = try fixture.run(recipe, "parts", resumes: true, keep: [.step(8)]).execute(
                progress: StopAt(step: stop, interruption: interruption), interruption: interruption)
            #expect(try weights("parts.run") == weights("kept.run@" + point), "step \(stop)")
            #expect(try RunCheckpoint(fixture.folder.path + "/kept.run@" + point).step == stop)
        }
        _ = try fixture.run(recipe, "parts", resumes: true, keep: [.step(8)]).execute()
        #expect(
            try fixture.data("parts.run/kept/step-8/state.safetensors")
                == fixture.data("kept.run/kept/step-8/state.safetensors"))
        #expect(try weights("kept.run@4it") != weights("kept.run@8it"))
        #expect { _ = try fixture.run(recipe, "parts", resumes: true, keep: [.step(4)]).execute() } throws: {
            "\($0)".contains("--keep: the run is at step 11 and did not keep step 4, which is behind it")
        }
    }

    @Test func stopsEarlyAndGoesOnFromTrainedWeights() throws {
        let fixture = try Fixture()
        // A rate of nearly nothing: the first validation stays the best.
        let recipe = try fixture.recipe([
            "learning_rate: 0.05": "learning_rate: 1e-12", "epochs: 4": "epochs: 4, patience: 2",
        ])
        let result = try fixture.run(recipe, "trained-before").execute()
        #expect(result.outcome == .stoppedEarly && result.state.curve.count == 3)
        let next = try fixture.recipe([
            "lenet-300-100": "lenet-300-100, weights: trained-before",
            "directory: figures": "directory: figures, validation: test",
            "epochs: 4": "epochs: 1",
        ])
        let further = try fixture.run(next, "next").execute()
        #expect(further.test == nil && further.validationImages == 200 && further.trainingImages == 600)
    }

    @Test func goesOnFromANetworkOfAnyShape() throws {
        let fixture = try Fixture()
        let narrow = try VisionArchitecture(
            named: "lenet-300-100", inputChannels: 1, imageSize: 12, widths: ["fc1": 17, "fc2": 9])
        try VisionCheckpoint.write(narrow.makeNetwork(seed: 3), folder: fixture.folder.path + "/narrow")
        let recipe = try fixture.recipe([
            "architecture: lenet-300-100": "weights: narrow", "epochs: 4": "epochs: 1",
        ])
        #expect(try fixture.run(recipe, "trained").execute().outcome == .completed)
        #expect(try VisionCheckpoint.open(fixture.folder.path + "/trained").architecture == narrow)
        let other = try VisionArchitecture(named: "lenet-300-100", inputChannels: 1, imageSize: 14)
        try VisionCheckpoint.write(other.makeNetwork(), folder: fixture.folder.path + "/narrow-2")
        let wrong = try fixture.recipe(["architecture: lenet-300-100": "weights: narrow-2"])
        #expect(failure { _ = try fixture.run(wrong, "b").execute() }.contains("expected 1 × 14 × 14"))
    }

    @Test func refusesWhatDoesNotGoTogether() throws {
        let fixture = try Fixture()
        func message(
            _ output: String, resumes: Bool = false, _ changes: KeyValuePairs<String, String>
        ) throws -> String {
            let recipe = try fixture.recipe(changes)
            return failure { _ = try fixture.run(recipe, output, resumes: resumes).execute() }
        }
        #expect(
            try message("a", ["directory: figures": "directory: elsewhere"]).contains(
                "elsewhere: no such file or folder (nor in"))
        #expect(
            try message("a", ["lenet-300-100": "lenet-300-100, weights: elsewhere"]).contains(
                "expected a trained network"))
        #expect(try message("a", ["lenet-300-100": "vgg16-bn"]).contains("image_size"))
        #expect(
            try message("a", ["lenet-300-100": "fastgrnn, sequence_length: 7"]).contains(
                "figures.yaml: sequence_length: 7 steps do not divide the 144 values of 1 × 12 × 12"))
        #expect(
            try message(
                "b",
                [
                    "0.05, weight_decay: 1e-4, clip_norm: 5": "100, weight_decay: 100",
                    "warmup_epochs: 0.5": "warmup_epochs: 0",
                ]
            ).contains("figures.yaml: the loss of training step"))
        _ = try fixture.run(fixture.recipe(["epochs: 4": "epochs: 0.1"]), "c").execute()
        #expect(try message("c", resumes: true, ["epochs: 4": "epochs: 0.2"]).contains("differs from the recipe"))
        let other = ImageDataSet.shapes(600, size: 12, seed: 5)
        try fixture.folder.writeIDX("figures/train-images-idx3-ubyte", shape: [600, 12, 12], other.pixels.bytes)
        #expect(
            try message("c", resumes: true, ["epochs: 4": "epochs: 0.1"]).contains(
                "does not hold the images that the run was started with"))
        try fixture.folder.writeIDX(
            "figures/t10k-images-idx3-ubyte", shape: [200, 6, 24], [UInt8](repeating: 0, count: 28_800))
        #expect(try message("d", [:]).contains("has test images of"))
    }

    /// Scales of batch normalizations shrink under their penalty; a network without any is refused before any work.
    @Test func scalesArePenalized() throws {
        let fixture = try Fixture()
        func scales(_ penalty: String, _ output: String) throws -> Double {
            _ = try fixture.run(
                fixture.recipe([
                    "architecture: lenet-300-100": "architecture: resnet8, width_multiplier: 0.25",
                    "epochs: 4": "epochs: 1\(penalty)",
                ]), output
            ).execute()
            return try VisionCheckpoint.open(fixture.folder.path + "/" + output).network().parameters
                .filter { $0.name.contains("bn") && $0.name.hasSuffix("weight") }
                .reduce(0) { $0 + $1.parameter.wrappedValue.abs().mean().doubles()[0] }
        }
        #expect(try scales(", bn_scale_l1: 0.5", "sparse") < 0.9 * scales("", "free"))
        let recipe = try fixture.recipe(["epochs: 4": "epochs: 4, bn_scale_l1: 1.0e-4"])
        #expect { _ = try fixture.run(recipe, "none").execute() } throws: {
            "\($0)".hasSuffix("bn_scale_l1: is of batch normalizations, and the network has none; leave it out")
        }
        #expect(!FileManager.default.fileExists(atPath: fixture.folder.path + "/none.run"))
    }

    /// A recurrent network reads figures row by row, and is the same network for images in other pieces.
    @Test func aRecurrentNetworkLearnsFromRows() throws {
        let fixture = try Fixture()
        let recipe = try fixture.recipe([
            "lenet-300-100": "fastgrnn-24", "kind: sgd, learning_rate: 0.05": "kind: adamw, learning_rate: 2e-2",
        ])
        let result = try fixture.run(recipe, "rows").execute()
        #expect(result.architecture == "fastgrnn-24" && (result.test?.accuracy ?? 0) > 0.25, "\(result)")
        let checkpoint = try VisionCheckpoint.open(fixture.folder.path + "/rows")
        #expect(checkpoint.architecture.inputShape == [12, 12] && checkpoint.normalization?.channels == 1)
        let images = try ImageDataSet.open(
            fixture.folder.path + "/figures", split: .test, for: checkpoint.architecture,
            normalization: checkpoint.normalization)
        #expect(Classification.measure(try checkpoint.network(), on: images) == result.test)
        // It goes on, and no other network does.
        let further = try fixture.recipe(["architecture: lenet-300-100": "weights: rows", "epochs: 4": "epochs: 0.1"])
        #expect(try fixture.run(further, "further").execute().architecture == "fastgrnn-24")
        let pixels = try fixture.recipe([
            "lenet-300-100": "fastgrnn-24, sequence_length: 144, weights: rows", "epochs: 4": "epochs: 0.1",
        ])
        #expect(failure { _ = try fixture.run(pixels, "pixels").execute() }.contains("cell.W"))
    }

    /// Series are trained on as images are, without what is of images.
    @Test func seriesAreTrainedOn() throws {
        let folder = try TemporaryFolder()
        try folder.makeFolder("steps")
        for (name, count) in [("TRAIN", 60), ("TEST", 30)] {
            let lines = (0..<count).map { index in
                // A step up or down, at a place of its own.
                let values = (0..<16).map { step in
                    (step < 4 + index % 7 ? 0.0 : index % 2 == 0 ? 1 : -1) + 0.1 * sin(Double(7 * index + step))
                }
                return "\(index % 2 == 0 ? "up" : "down")\t" + values.map { "\($0)" }.joined(separator: "\t")
            }
            try folder.write("steps/Steps_\(name).tsv", lines.joined(separator: "\n"))
        }
        func run(_ more: String, _ output: String) throws -> ClassificationResult {
            let recipe = try ClassificationRecipe(
                yaml: """
                    seed: 1
                    model: { architecture: fastgrnn-8 }
                    images: { directory: steps\(more) }
                    optimizer: { kind: adamw, learning_rate: 3e-2 }
                    training: { batch_size: 10, epochs: 8 }
                    """, source: "steps.yaml")
            return try ClassificationRun(
                recipe: recipe, options: .init(output: folder.path + "/" + output, dataFolder: folder.path)
            ).execute()
        }
        let result = try run("", "out")
        #expect((result.test?.accuracy ?? 0) > 0.9 && result.noun == "series", "\(result)")
        #expect("\(result)".contains("trained 44 steps on 54 series") && "\(result)".contains("(30 series)"))
        #expect(try folder.text("out/README.md").contains("on 54 series of Steps: 16 steps, 2 classes."))
        #expect(try VisionCheckpoint.open(folder.path + "/out").architecture.inputShape == [16, 1])
        #expect(
            failure { _ = try run(", augmentation: standard", "augmented") }.contains(
                "has series, and augmentation is of images; leave it out"))
    }

    @Test func imagesMustFitTheNetwork() throws {
        let set = ImageDataSet.shapes(10, size: 16, seed: 1)
        let fits = try VisionArchitecture(named: "resnet20", inputChannels: 1, imageSize: 16)
        try set.check(fits: fits)
        for (channels, size, classes) in [(3, 16, 10), (1, 32, 10), (1, 16, 11)] {
            let other = try VisionArchitecture(
                named: "resnet20", classes: classes, inputChannels: channels, imageSize: [size, size])
            #expect(throws: CoppiceError.self) { try set.check(fits: other) }
        }
    }
}
