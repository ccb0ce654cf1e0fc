import CoppiceModels
import CoppiceTraining
import Foundation
import Testing

/// `coppice lottery`: tickets that other commands go on with, runs that go on where they stopped.
@Suite(.serialized) struct LotteryCommandTests {
    private let folder = TemporaryFolder()
    private let recipe: String

    init() throws {
        let images = folder.path + "/images"
        try FileManager.default.createDirectory(atPath: images, withIntermediateDirectories: true)
        for (prefix, set) in [("train", ImageDataSet.shapes(200, seed: 1)), ("t10k", .shapes(100, seed: 2))] {
            func write(_ name: String, _ shape: [Int], _ bytes: [UInt8]) throws {
                let extents = shape.flatMap { extent in (0..<4).map { UInt8(extent >> (24 - 8 * $0) & 255) } }
                try Data([0, 0, 8, UInt8(shape.count)] + extents + bytes)
                    .write(to: URL(fileURLWithPath: images + "/" + name))
            }
            let pixels = set.pixels.withElements(UInt8.self) { Array($0) }
            try write("\(prefix)-images-idx3-ubyte", [set.count, 28, 28], pixels)
            try write("\(prefix)-labels-idx1-ubyte", [set.count], set.labels.map { UInt8($0) })
        }
        recipe = try folder.file("recipe.yaml", Self.yaml(images, epochs: 3))
    }

    private static func yaml(_ images: String, epochs: Int) -> String {
        """
        seed: 1
        model: { architecture: lenet-300-100 }
        images: { directory: \(images), validation: 0 }
        optimizer: { learning_rate: 0.05 }
        schedule: { minimum_ratio: 0.1 }
        training: { epochs: \(epochs), batch_size: 20 }
        """
    }

    @Test func ticketsAreFoundAndGoneOnWith() throws {
        let output = folder.path + "/tickets"
        // run is what lottery does without a subcommand.
        let found = try Program.json(arguments: [
            "lottery", recipe, "--levels", "2", "--prune-fraction", "0.5", "--rewind", "0.5ep", "--branches",
            "shuffle,reinit", "--output", output,
        ])
        #expect(found["complete"] == .bool(true) && found["rewind_step"]?.intValue == 5)
        let levels = try #require(found["levels"]?.arrayValue)
        #expect(levels.count == 2 && levels[1]["density"]?.doubleValue.map { abs($0 - 0.25) < 1e-3 } == true)
        #expect(levels[0]["branches"]?["reinit"]?["accuracies"]?.arrayValue?.count == 1)
        for file in ["report.html", "accuracy.svg", "results.json", "results.csv", "run.json", "recipe.yaml"] {
            #expect(FileManager.default.fileExists(atPath: output + "/" + file), "\(file)")
        }
        // Evaluated, the trained ticket is as good as was said.
        let level = output + "/replicate-1/level-2"
        let accuracy = try Program.json(arguments: [
            "evaluate", level + "/trained", "--images", folder.path + "/images",
        ])["accuracy"]
        #expect(accuracy?.doubleValue == levels[1]["ticket"]?["accuracies"]?[0]?.doubleValue)
        // The ticket is sparse, stays so when it is trained, and can be compressed further.
        let recipe = try folder.file(
            "train.yaml",
            Self.yaml(folder.path + "/images", epochs: 1).replacingOccurrences(
                of: "architecture: lenet-300-100", with: "weights: \(level)/ticket"))
        _ = try Program.json(arguments: ["train", recipe, "--output", folder.path + "/trained"])
        for path in [level + "/ticket", folder.path + "/trained"] {
            let tensors = try #require(try Program.json(arguments: ["inspect", path])["tensors"]?.arrayValue)
            let formats = tensors.compactMap { $0["format"]?.stringValue }
            #expect(formats.filter { $0 == "sparse-bitmask-f32" }.count == 3, "\(formats)")
        }
        let mask = folder.path + "/own.safetensors"
        _ = try Program.json(arguments: ["mask", "extract", folder.path + "/trained", "--output", mask])
        let diff = try Program.json(arguments: ["mask", "diff", level + "/mask.safetensors", mask])
        #expect(diff["jaccard"]?.doubleValue == 1)
        let small = try folder.file("small.yaml", "stages: [{ prune: { method: magnitude, sparsity: 0.9 } }]\n")
        let compressed = try Program.json(arguments: [
            "compress", level + "/trained", "--recipe", small, "--output", folder.path + "/s",
        ])
        #expect(compressed["sparsity"]?.doubleValue.map { $0 > 0.85 } == true)
        // The mask belongs to the weights of step k, and makes the ticket of them.
        _ = try Program.json(arguments: [
            "mask", "apply", output + "/replicate-1/rewound", level + "/mask.safetensors", "--output",
            folder.path + "/again",
        ])
        let again = try Program.json(arguments: [
            "analyze", "sparsity-index", folder.path + "/again", "--scope", "global",
        ])
        let ticket = try Program.json(arguments: ["analyze", "sparsity-index", level + "/ticket", "--scope", "global"])
        #expect(again["total"] == ticket["total"] && ticket["total"]?["index"]?.doubleValue != nil)
    }

    /// The weights of step k may be those that a training run kept: of the same recipe they give the same search.
    @Test func weightsThatARunKeptAreRewoundTo() throws {
        let trained = folder.path + "/trained"
        _ = try Program.json(arguments: ["train", recipe, "--output", trained, "--keep", "5it,1ep"])
        func search(_ k: String, _ name: String) throws -> JSON {
            try Program.json(arguments: [
                "lottery", recipe, "--levels", "1", "--prune-fraction", "0.5", "--rewind", k, "--branches", "finetune",
                "--output", folder.path + "/" + name,
            ])
        }
        let (own, kept) = (try search("1ep", "own"), try search(trained + ".run@1ep", "kept"))
        #expect(kept["rewind_step"]?.intValue == 10 && own["rewind_step"]?.intValue == 10)
        #expect(kept["levels"] == own["levels"] && kept["dense"] == own["dense"])
        func weights(_ path: String) throws -> Data {
            try Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + path + "/model.safetensors"))
        }
        for piece in ["rewound", "level-1/ticket", "level-1/trained"] {
            #expect(try weights("own/replicate-1/" + piece) == weights("kept/replicate-1/" + piece), "\(piece)")
        }
        #expect(try search(trained + ".run@5it", "earlier")["rewind_step"]?.intValue == 5)
        #expect(try weights("earlier/replicate-1/rewound") != weights("kept/replicate-1/rewound"))
        let stability = try Program.json(arguments: [
            "lottery", "stability", recipe, "--levels", "1", "--prune-fraction", "0.5", "--ks",
            "0,\(trained).run@1ep", "--output", folder.path + "/stability",
        ])
        #expect(stability["complete"] == .bool(true))
        #expect(
            try weights("stability/k-10/replicate-1/rewound") == weights("kept/replicate-1/rewound"))
        let base = ["lottery", recipe, "--levels", "1", "--output", folder.path + "/bad", "--rewind"]
        try Program.expectFailure(66, "did not keep step 20, expected one of: step 5", base + [trained + ".run@2ep"])
        try Program.expectFailure(66, "there is no such run", base + [folder.path + "/none.run@1ep"])
        let other = try folder.file(
            "other.yaml",
            Self.yaml(folder.path + "/images", epochs: 3).replacingOccurrences(of: "lenet-300-100", with: "lenet-5"))
        try Program.expectFailure(
            65, "state.safetensors", ["lottery", other] + base.dropFirst(2) + [trained + ".run@1ep"])
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/bad"))
    }

    /// A signal ends a run with all that was done kept; resumed, it is what it would have been.
    @Test func interruptedByASignalAndResumed() async throws {
        let output = folder.path + "/tickets"
        let arguments = ["lottery", "run", recipe, "--levels", "2", "--branches", "one-shot", "--output"]
        let process = try Program.start(arguments + [output, "--threads", "1"])
        for _ in 0..<400 where !FileManager.default.fileExists(atPath: output + "/replicate-1/dense") {
            try await Task.sleep(for: .milliseconds(5))
        }
        process.interrupt()
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal && process.terminationStatus == SIGINT)
        try Program.expectFailure(73, "go on with it by --resume", arguments + [output])
        let run = try Program.run(arguments: arguments + [output, "--resume"])
        #expect(run.status == 0 && run.output.contains("level") && run.output.hasSuffix("/report.html\n"), "\(run)")
        let whole = folder.path + "/whole"
        #expect(try Program.json(arguments: arguments + [whole])["complete"] == .bool(true))
        for file in [
            "replicate-1/level-2/trained/model.safetensors", "replicate-1/level-2/one-shot/model.safetensors",
            "results.csv",
        ] {
            let both = [output, whole].map { FileManager.default.contents(atPath: $0 + "/" + file) }
            #expect(both[0] != nil && both[0] == both[1], "\(file)")
        }
    }

    @Test func stabilityByStep() throws {
        let output = folder.path + "/stability"
        let arguments = [
            "lottery", "stability", recipe, "--ks", "0,10%", "--levels", "1", "--prune-fraction", "0.8", "--output",
            output,
        ]
        let found = try Program.json(arguments: arguments)
        let ks = try #require(found["ks"]?.arrayValue)
        #expect(ks.compactMap { $0["k"]?.intValue } == [0, 3])
        for mask in ["ticket", "shuffled"] {
            for key in ["l2_pruning", "angle_pruning", "l2_data_order", "angle_data_order", "barrier"] {
                #expect(ks.allSatisfy { $0[mask]?[key]?.doubleValue != nil }, "\(mask) \(key)")
            }
        }
        for file in ["report.html", "distances.svg", "results.json", "results.csv"] {
            #expect(FileManager.default.fileExists(atPath: output + "/" + file), "\(file)")
        }
        let text = try Program.run(arguments: arguments + ["--resume"])
        #expect(text.status == 0 && text.output.contains("shuffled") && text.output.contains("10.00 %"), "\(text)")
        try Program.expectFailure(
            64, "--levels: is \"2\", and was \"1\"", arguments.map { $0 == "1" ? "2" : $0 } + ["--resume"])
    }

    @Test func mistakesAreNamed() throws {
        let output = folder.path + "/out"
        func fails(_ status: Int32, _ text: String, _ arguments: String..., recipe: String? = nil) throws {
            try Program.expectFailure(
                status, text, ["lottery", "run", recipe ?? self.recipe, "--output", output] + arguments)
            #expect(!FileManager.default.fileExists(atPath: output), "\(text)")
        }
        try fails(64, "rewind: 30, expected a step of training, from 0 to 29", "--rewind", "30")
        try fails(64, "rewind: \"5x\", expected iterations such as 500it", "--rewind", "5x")
        try fails(64, "prune-fraction: 1.0, expected a number between 0 and 1", "--prune-fraction", "1")
        try fails(64, "levels: 0, expected 1 to 1000", "--levels", "0")
        try fails(64, "--branches: \"best\", expected some of reinit, shuffle", "--branches", "reinit,best")
        try fails(64, "pruning-strategy", "--pruning-strategy", "row")
        try fails(65, "\"fd3\" matches no prunable weight", "--ignore", "fd3")
        try fails(66, "/nowhere.yaml", recipe: "/nowhere.yaml")
        let language = Program.root.path + "/Recipes/train-tales.yaml"
        try fails(65, "trains a language model, expected a recipe with the key \"images\"", recipe: language)
        try Program.expectFailure(
            64, "ks: \"x\"", ["lottery", "stability", recipe, "--ks", "0,x", "--output", output])
        let file = try folder.file("taken", "mine")
        try Program.expectFailure(73, "is not a folder", ["lottery", recipe, "--output", file])
        try Program.expectFailure(73, "/proc/x", ["lottery", recipe, "--output", "/proc/x"])
    }
}
