import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// A network is trained, keeps early weights, is judged on images and loses blocks.
@Suite(.serialized) struct BlockRewindCommandTests {
    private let folder = TemporaryFolder()
    private var images: String { folder.path + "/images" }

    private func writeImages(_ parts: [(prefix: String, count: Int)]) throws {
        try FileManager.default.createDirectory(atPath: images, withIntermediateDirectories: true)
        for (prefix, count) in parts {
            let set = ImageDataSet.shapes(count, size: 12, seed: UInt64(count))
            func write(_ name: String, _ shape: [Int], _ bytes: [UInt8]) throws {
                let extents: [UInt8] = shape.flatMap { [0, 0, UInt8($0 >> 8), UInt8($0 & 255)] }
                try Data([0, 0, 8, UInt8(shape.count)] + extents + bytes).write(
                    to: URL(fileURLWithPath: "\(images)/\(prefix)-\(name)"))
            }
            try write("images-idx3-ubyte", [count, 12, 12], set.pixels.withElements(UInt8.self) { Array($0) })
            try write("labels-idx1-ubyte", [count], set.labels.map { UInt8($0) })
        }
    }

    private func recipe() throws -> String {
        try folder.file(
            "train.yaml",
            """
            seed: 3
            model: { architecture: resnet14, width_multiplier: 0.25 }
            images: { directory: \(images), normalization: computed, validation: 0 }
            training: { batch_size: 20, epochs: 3 }
            """)
    }

    @Test func blocksGoBackToAnEpochThatARunKept() throws {
        try writeImages([("train", 200), ("t10k", 60)])
        let (recipe, trained) = (try recipe(), folder.path + "/trained")
        _ = try Program.json(arguments: ["train", recipe, "--output", trained, "--keep", "0,1ep,25it"])
        let kept = try FileManager.default.contentsOfDirectory(atPath: trained + ".run/kept").sorted()
        #expect(kept == ["step-0", "step-10", "step-25"])
        let base = ["prune-blocks", trained, "--data", images, "--criterion", "snip", "--count", "1"]
        let output = folder.path + "/ticket"
        let report = try Program.json(arguments: base + ["--rewind", trained + ".run@1ep", "--output", output])
        #expect(report["rewound_step"]?.intValue == 10)
        let removed = try #require(report["removed"]?[0]?.stringValue)
        // What the run had at step 10, without the block.
        let checkpoint = try VisionCheckpoint.open(trained)
        let early = checkpoint.architecture.makeNetwork(seed: 9)
        try RunCheckpoint(trained + ".run@10it").load(into: early)
        let expected = try BlockRemoval(of: [removed], from: checkpoint.architecture)(early)
        for (a, b) in zip(try VisionCheckpoint.open(output).network().parameters, expected.parameters) {
            #expect(a.parameter.wrappedValue.floats() == b.parameter.wrappedValue.floats(), "\(a.name)")
        }
        // At step 0 are the weights that training began with.
        let initial = checkpoint.architecture.makeNetwork(seed: 3)
        try RunCheckpoint(trained + ".run@0ep").load(into: early)
        for (a, b) in zip(early.parameters, initial.parameters) {
            #expect(a.parameter.wrappedValue.floats() == b.parameter.wrappedValue.floats(), "\(a.name)")
        }
        // The accuracy is that of the weights that were judged, with and without the block.
        let whole = try Program.json(arguments: ["evaluate", trained, "--images", images])
        #expect(report["accuracy_before"]?.doubleValue == whole["accuracy"]?.doubleValue)
        #expect(report["part"]?.stringValue == "test" && report["images"]?.intValue == 60)
        _ = try Program.json(arguments: base + ["--output", output])
        let cut = try Program.json(arguments: ["evaluate", output, "--images", images])
        #expect(report["accuracy_after"]?.doubleValue == cut["accuracy"]?.doubleValue)
        #expect(report["loss_after"]?.doubleValue == cut["loss"]?.doubleValue)
        try Program.expectFailure(
            66, "did not keep step 20, expected one of: step 0, epoch 0.0; step 10, epoch 1.0; step 25, epoch 2.5",
            base + ["--rewind", trained + ".run@2ep"])
        try Program.expectFailure(
            64, "expected iterations such as 500it", base + ["--rewind", trained + ".run@first"])
        try Program.expectFailure(
            64, "--keep: 4.0ep is step 40, expected at most the last of training, 30",
            ["train", recipe, "--output", folder.path + "/late", "--keep", "4ep"])
    }

    @Test func withoutTestImagesATenthIsHeldOut() throws {
        try writeImages([("train", 100)])
        let model = folder.path + "/model"
        try VisionCheckpoint.write(
            VisionArchitecture(
                named: "resnet14", classes: ImageDataSet.shapes(1, size: 12, seed: 1).classCount, inputChannels: 1,
                imageSize: 12, widthMultiplier: 0.25
            ).makeNetwork(seed: 1), folder: model)
        let base = ["prune-blocks", model, "--count", "1"]
        for criterion in ["l1", "grasp"] {
            let report = try Program.json(arguments: base + ["--criterion", criterion, "--data", images])
            #expect(report["part"]?.stringValue == "held-out" && report["images"]?.intValue == 10)
            #expect(report["accuracy_before"]?.doubleValue != nil && report["accuracy_after"]?.doubleValue != nil)
        }
        let unmeasured = try Program.json(arguments: base + ["--criterion", "l1"])
        #expect(unmeasured["accuracy_before"]?.isNull == true && unmeasured["accuracy_after"]?.isNull == true)
        try Program.expectFailure(
            64, "--data: is not looked at with --criterion l1 of a new network",
            ["prune-blocks", "resnet20", "--criterion", "l1", "--count", "1", "--data", images])
        let run = try emptyRun()
        try Program.expectFailure(
            66, "the run kept no weights on its way", base + ["--criterion", "l1", "--rewind", run + "@1ep"])
    }

    private func emptyRun() throws -> String {
        let path = folder.path + "/empty.run"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        _ = try folder.file("empty.run/run.json", "{}")
        return path
    }
}
