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

    @Test func mistakesAreSaidInOneLine() throws {
        let folder = TemporaryFolder()
        try Program.expectFailure(64, "--params, --flops", ["precrop", "resnet20"])
        try Program.expectFailure(64, "--params", ["precrop", "resnet20", "--params", "many"])
        try Program.expectFailure(64, "resnet20", ["precrop", "resnet2O", "--params", "50%"])
        try Program.expectFailure(65, "expected at least", ["precrop", "resnet20", "--params", "100"])
        try Program.expectFailure(64, "--materialize", ["precrop", "resnet20", "--params", "50%", "--materialize"])
        try Program.expectFailure(64, "--data", ["precrop", "resnet20", "--params", "50%", "--density-from", "snip"])
        try Program.expectFailure(66, "no such file", ["precrop", folder.path + "/none", "--params", "50%"])
        try Program.expectFailure(
            65, "no identity path", ["prune-blocks", "vgg11-bn", "--criterion", "l1", "--count", "1"])
        try Program.expectFailure(
            64, "expected 1 to the 5 blocks", ["prune-blocks", "resnet20", "--criterion", "l1", "--count", "6"])
        try Program.expectFailure(64, "--count or --flops", ["prune-blocks", "resnet20", "--criterion", "l1"])
    }
}
