import CoppiceModels
import Foundation
import Testing

/// Commands and the folders that they write.
@Suite(.serialized) struct OutputCommandTests {
    private let folder = TemporaryFolder()
    private static let stock = VisionStock.shared

    private func half() throws -> String {
        try folder.file("half.yaml", "stages: [{ prune: { method: magnitude, sparsity: 0.5 } }]\n")
    }

    /// No command writes over what it reads, by whatever name it is given.
    @Test func inputsAreSpared() throws {
        let (model, recipe) = (try folder.lenet("model"), try half())
        let (mask, link, file) = (folder.path + "/mask", folder.path + "/link", model + "/model.safetensors")
        _ = try Program.json("mask", "extract", model, "--sparsity", "0.5", "--output", mask)
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: model)
        let before = try #require(FileManager.default.contents(atPath: file))
        for arguments in [
            ["compress", model, "--recipe", recipe], ["compress", link, "--recipe", recipe],
            ["compress", file, "--recipe", recipe, "--sparsity", "0.5,0.6"],
            ["compare", model, "--recipe", recipe, "--seeds", "1"], ["prune-channels", model, "--remove", "0.3"],
            ["precrop", model, "--params", "50%", "--materialize"], ["mask", "apply", model, mask], ["convert", model],
            ["prune-blocks", model, "--criterion", "l1", "--count", "1"],
        ] {
            try Program.expectFailure(64, "would take the place of", arguments + ["--output", model])
        }
        #expect(FileManager.default.contents(atPath: file) == before)
        // An earlier result is replaced.
        let small = folder.path + "/small"
        for _ in 0..<2 { _ = try Program.json("compress", model, "--recipe", recipe, "--output", small) }
        try Program.expectFailure(73, "\"\": is not the name", ["compress", model, "--recipe", recipe, "--output", ""])
    }

    /// What cannot be written or measured is found out about before the work, which leaves nothing.
    @Test func mistakesAreFoundBeforeTheWork() throws {
        let (model, recipe) = (try folder.lenet("model"), try half())
        let taken = try folder.file("taken", "")
        for arguments in [
            ["prune-channels", model, "--remove", "0.3", "--data", "/nowhere"],
            ["precrop", model, "--params", "50%", "--density-from", "snip", "--data", "/nowhere"],
            ["reproduce", "bip", "--data", "/nowhere"],
            ["compress", "tales", "--recipe", recipe, "--evaluate", "/nowhere"],
        ] {
            try Program.expectFailure(73, "taken: exists and is not a folder", arguments + ["--output", taken])
        }
        let output = folder.path + "/out"
        try Program.expectFailure(
            66, "/nowhere", ["compress", "tales", "--recipe", recipe, "--evaluate", "/nowhere", "--output", output])
        #expect(!FileManager.default.fileExists(atPath: output))
    }

    /// What follows an interrupted training in a script does not follow a part of it.
    @Test func anInterruptedTrainingEndsByItsSignal() async throws {
        let recipe = try folder.file(
            "long.yaml",
            """
            model: { architecture: lenet-300-100 }
            images: { directory: \(Self.stock.images), validation: 0.1 }
            optimizer: { learning_rate: 0.01 }
            training: { epochs: 100000, batch_size: 30 }
            """)
        let output = folder.path + "/out"
        FileManager.default.createFile(atPath: folder.path + "/said", contents: nil)
        let process = try Program.start(
            ["train", recipe, "--output", output, "--threads", "1", "--json"],
            output: FileHandle(forWritingAtPath: folder.path + "/said"))
        for _ in 0..<2000 where !FileManager.default.fileExists(atPath: output + ".run/latest") {
            try await Task.sleep(for: .milliseconds(5))
        }
        process.interrupt()
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal && process.terminationStatus == SIGINT)
        let said = try JSON(
            text: String(contentsOfFile: folder.path + "/said", encoding: .utf8), source: "standard output")
        #expect(said["outcome"]?.stringValue == "interrupted")
        #expect(!FileManager.default.fileExists(atPath: output))
    }

    /// Where a set has no test images, channels are judged on a tenth of the others, as by other commands.
    @Test func setsWithoutTestImagesAreEnough() throws {
        let (model, images) = (Self.stock.model, folder.path + "/images")
        try FileManager.default.createDirectory(atPath: images, withIntermediateDirectories: true)
        for name in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"] {
            try FileManager.default.copyItem(atPath: Self.stock.images + "/" + name, toPath: images + "/" + name)
        }
        let cut = try Program.json("prune-channels", model, "--remove", "0.3", "--data", images)
        #expect(cut["accuracy_before"]?.doubleValue ?? 0 > 0.3)
        let small = try Program.json(
            "compress", model, "--recipe", half(), "--data", images, "--output", folder.path + "/small")
        #expect(small["part"]?.stringValue == "held-out")
        #expect(try Program.run("prune-channels", model, "--remove", "1").errors.contains("--remove: expected"))
        for name in ["slimming", "bn-scale"] {
            try Program.expectFailure(
                65, "slimming: takes scales of batch normalizations, and the network has none",
                ["prune-channels", model, "--remove", "0.3", "--criterion", name])
        }
        let group = try Program.json("prune-channels", model, "--remove", "0.3", "--criterion", "group")
        let byRecipe = try Program.json("prune-channels", model, "--remove", "0.3", "--criterion", "group-l2")
        #expect(group["groups"] != nil && group["groups"] == byRecipe["groups"])
    }
}
