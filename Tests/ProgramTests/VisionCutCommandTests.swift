import CoppiceModels
import Foundation
import Testing

/// `precrop` and `prune-blocks`.
@Suite(.serialized) struct VisionCutCommandTests {
    @Test func widthsAreChosenAndWritten() throws {
        let folder = TemporaryFolder()
        let run = try Program.run(
            "precrop", "resnet20-projected", "--params", "30%", "--flops", "20M", "--round", "4", "--output",
            folder.path + "/small", "--json")
        #expect(run.status == 0, "\(run.errors)")
        let json = try run.json()
        let (before, after) = (json["parameters_before"]?.intValue ?? 0, json["parameters_after"]?.intValue ?? 0)
        #expect(before == 272_474 && after > 0 && 10 * after <= 3 * before)
        #expect((json["multiplications_after"]?.intValue ?? .max) <= 20_000_000)
        for width in json["widths"]?.arrayValue ?? [] { #expect((width["new"]?.intValue ?? 1) % 4 == 0) }
        let written = try VisionCheckpoint.open(folder.path + "/small")
        #expect(written.architecture.parameterCount == after)
        // A written network can be cut further, with its weights.
        let further = try Program.run(
            "precrop", folder.path + "/small", "--flops", "50%", "--materialize", "--output", folder.path + "/tiny")
        #expect(further.status == 0 && further.output.contains("MACs"), "\(further.errors)")
        let (wide, narrow) = (try written.network(), try VisionCheckpoint.open(folder.path + "/tiny").network())
        func first(_ network: any VisionNetwork) -> Float? {
            network.parameters.first { $0.name == "conv1.weight" }?.parameter.wrappedValue.withElements(Float.self) {
                $0[0]
            }
        }
        #expect(first(wide) == first(narrow) && narrow.parameterCount < wide.parameterCount)
    }

    @Test func blocksAreRemoved() throws {
        let folder = TemporaryFolder()
        let run = try Program.run(
            "prune-blocks", "resnet20", "--criterion", "l1", "--count", "2", "--output", folder.path + "/shallow",
            "--json")
        #expect(run.status == 0, "\(run.errors)")
        let json = try run.json()
        #expect(json["removed"]?.arrayValue?.count == 2 && json["blocks"]?.arrayValue?.count == 5)
        let written = try VisionCheckpoint.open(folder.path + "/shallow")
        #expect(json["parameters_after"]?.intValue == written.architecture.parameterCount)
        let cheap = try Program.run("prune-blocks", "resnet20", "--criterion", "random", "--flops", "75%")
        #expect(cheap.status == 0 && cheap.output.contains("removed"), "\(cheap.errors)")
    }

    /// Kept blocks start from early weights: those of a stored network, or of a run that was interrupted.
    @Test func blocksAreRewound() throws {
        let folder = TemporaryFolder()
        func network(_ seed: UInt64) throws -> any VisionNetwork {
            try VisionArchitecture(named: "resnet20", widthMultiplier: 0.25).makeNetwork(seed: seed)
        }
        let (trained, early) = (try network(1), try network(2))
        try VisionCheckpoint.write(trained, folder: folder.path + "/trained")
        try VisionCheckpoint.write(early, folder: folder.path + "/early")
        let run = folder.path + "/long.run"
        try FileManager.default.createDirectory(atPath: run + "/latest", withIntermediateDirectories: true)
        try "{}".write(toFile: run + "/run.json", atomically: true, encoding: .utf8)
        try #"{"version": 1, "state": {"step": 70}}"#.write(
            toFile: run + "/latest/state.json", atomically: true, encoding: .utf8)
        let tensors = early.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) }
        try SafetensorsWriter.write(
            tensors + early.stateTensors.map { ($0.name, $0.state.wrappedValue) },
            to: run + "/latest/state.safetensors")
        for source in [folder.path + "/early", run] {
            let output = folder.path + "/shallow"
            let command = [
                "prune-blocks", folder.path + "/trained", "--criterion", "l1", "--count", "1", "--rewind", source,
                "--output", output, "--json",
            ]
            let result = try Program.run(arguments: command)
            #expect(result.status == 0, "\(result.errors)")
            let json = try result.json()
            #expect(json["rewound_step"]?.intValue == (source == run ? 70 : nil))
            // The blocks that the trained weights choose, with the early ones.
            let removed = try #require(json["removed"]?[0]?.stringValue)
            let expected = try BlockRemoval(of: [removed], from: VisionArchitecture(early.configuration))(early)
            let written = try VisionCheckpoint.open(output).network()
            for (a, b) in zip(written.parameters, expected.parameters) {
                #expect(a.parameter.wrappedValue.floats() == b.parameter.wrappedValue.floats(), "\(a.name)")
            }
        }
        let wide = ["prune-blocks", "resnet20", "--criterion", "l1", "--count", "1", "--rewind"]
        try Program.expectFailure(65, "early: architecture: ", wide + [folder.path + "/early"])
        try Program.expectFailure(65, "conv1.weight", wide + [run])
        try FileManager.default.removeItem(atPath: run + "/latest/state.json")
        try Program.expectFailure(66, "has no checkpoint yet", wide + [run])
    }

    @Test func latencyAndEnergyAreMeasured() throws {
        let small = ["prune-blocks", "resnet8", "--width-multiplier", "0.25", "--image-size", "8", "--criterion", "l1"]
        let idle = try Program.run(
            arguments: small + ["--latency", "100000", "--measure", "--watts", "20", "--json"])
        #expect(idle.status == 0, "\(idle.errors)")
        let json = try idle.json()
        #expect(json["removed"]?.arrayValue?.isEmpty == true && json["watts"]?.doubleValue == 20)
        let seconds = try #require(json["seconds"]?["training_step_before"]?.doubleValue)
        #expect(abs(try #require(json["joules"]?["training_step_before"]?.doubleValue) - 20 * seconds) < 1e-9)
        #expect(json["multiplications_ratio"]?.doubleValue == 1 && json["expected_ratio"]?.doubleValue == 0.85)
        let two = [
            "prune-blocks", "resnet20", "--width-multiplier", "0.25", "--image-size", "8", "--criterion", "l1",
            "--count", "2", "--measure",
        ]
        let shallow = try Program.run(arguments: two + ["--json"])
        let ratios = try shallow.json()
        func ratio(_ before: JSON?, _ after: JSON?) throws -> Double {
            try #require(before?.doubleValue) / #require(after?.doubleValue)
        }
        let fewer = try ratio(ratios["multiplications_before"], ratios["multiplications_after"])
        let step = try ratio(ratios["seconds"]?["training_step_before"], ratios["seconds"]?["training_step_after"])
        #expect(fewer > 1.1)
        #expect(abs(try #require(ratios["multiplications_ratio"]?.doubleValue) - fewer) < 1e-9)
        #expect(abs(try #require(ratios["expected_ratio"]?.doubleValue) - 0.85 * fewer) < 1e-9)
        #expect(abs(try #require(ratios["training_step_ratio"]?.doubleValue) - step) < 1e-6 * step)
        let lines = try Program.run(arguments: two)
        #expect(lines.output.contains("times fewer multiplications at least 0.85 of that"), "\(lines.output)")
        try Program.expectFailure(65, "latency: 1e-06 ms, expected at least", small + ["--latency", "0.000001"])
        try Program.expectFailure(64, "--latency: expected a number above 0", small + ["--latency", "0"])
        try Program.expectFailure(64, "--watts", small + ["--count", "1", "--watts", "-1"])
        let crop = try Program.run(
            "precrop", "resnet8", "--image-size", "16", "--params", "10%", "--proxy", "residual", "--measure",
            "--json")
        #expect(crop.status == 0, "\(crop.errors)")
        let cropped = try crop.json()
        let bytes = try #require(cropped["bytes"])
        for part in ["training_step", "inference"] {
            let (before, after) = (bytes[part + "_before"]?.intValue, bytes[part + "_after"]?.intValue)
            #expect(try #require(after) > 0 && #require(after) < #require(before), "\(part)")
        }
        #expect((cropped["log_signal"]?.doubleValue ?? 0) < 0)
        for key in ["training_step_before", "training_step_after"] {
            #expect((cropped["seconds"]?[key]?.doubleValue ?? 0) > 0, "\(key)")
        }
        #expect((cropped["allocation_seconds"]?.doubleValue ?? 0) > 0)
        let flow = try Program.run(
            "precrop", "resnet8", "--width-multiplier", "0.25", "--image-size", "8", "--params", "30%",
            "--density-from", "synflow", "--measure")
        #expect(flow.status == 0 && flow.output.contains("widths by synflow: "), "\(flow.errors)")
        #expect(flow.output.contains("training step of 32 images: ") && flow.output.contains("memory"))
    }

    @Test func mistakesAreSaidInOneLine() throws {
        let folder = TemporaryFolder()
        try Program.expectFailure(64, "--params, --flops", ["precrop", "resnet20"])
        for budget in ["many", "0", "0%"] {
            try Program.expectFailure(64, "--params", ["precrop", "resnet20", "--params", budget])
        }
        try Program.expectFailure(64, "resnet20", ["precrop", "resnet2O", "--params", "50%"])
        try Program.expectFailure(65, "expected at least", ["precrop", "resnet20", "--params", "100"])
        try Program.expectFailure(64, "--materialize", ["precrop", "resnet20", "--params", "50%", "--materialize"])
        try Program.expectFailure(64, "--data", ["precrop", "resnet20", "--params", "50%", "--density-from", "snip"])
        let uniform = ["--density-from", "uniform", "--proxy", "residual"]
        try Program.expectFailure(64, "--proxy residual", ["precrop", "resnet20", "--params", "50%"] + uniform)
        try Program.expectFailure(66, "no such file", ["precrop", folder.path + "/none", "--params", "50%"])
        try Program.expectFailure(
            65, "no identity path", ["prune-blocks", "vgg11-bn", "--criterion", "l1", "--count", "1"])
        try Program.expectFailure(
            64, "expected 1 to the 5 blocks", ["prune-blocks", "resnet20", "--criterion", "l1", "--count", "6"])
        try Program.expectFailure(
            64, "the network has no block that may be removed",
            ["prune-blocks", "resnet8", "--criterion", "l1", "--count", "1"])
        try Program.expectFailure(
            64, "--count, --flops and --latency", ["prune-blocks", "resnet20", "--criterion", "l1"])
    }
}
