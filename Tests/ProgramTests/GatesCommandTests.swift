import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// `train` with gates, and `gates extract`.
@Suite(.serialized) struct GatesCommandTests {
    private let folder = TemporaryFolder()

    private func recipe(_ gates: String) throws -> String {
        let images = folder.path + "/images"
        if !FileManager.default.fileExists(atPath: images) {
            try FileManager.default.createDirectory(atPath: images, withIntermediateDirectories: true)
            for (prefix, count, seed) in [("train", 200, UInt64(1)), ("t10k", 60, 2)] {
                let set = ImageDataSet.shapes(count, size: 12, seed: seed)
                func write(_ name: String, _ shape: [Int], _ bytes: [UInt8]) throws {
                    let extents: [UInt8] = shape.flatMap { [0, 0, UInt8($0 >> 8), UInt8($0 & 255)] }
                    try Data([0, 0, 8, UInt8(shape.count)] + extents + bytes).write(
                        to: URL(fileURLWithPath: "\(images)/\(prefix)-\(name)"))
                }
                try write("images-idx3-ubyte", [count, 12, 12], set.pixels.withElements(UInt8.self) { Array($0) })
                try write("labels-idx1-ubyte", [count], set.labels.map { UInt8($0) })
            }
        }
        return try folder.file(
            "gates.yaml",
            """
            seed: 3
            model: { architecture: resnet14, width_multiplier: 0.25 }
            images: { directory: \(images), normalization: computed }
            training: { batch_size: 20, epochs: 2 }
            gates: { mode: layer, max_disagreement: 0.25, \(gates) }
            """)
    }

    @Test func trainsCutsAndCutsAgain() throws {
        let output = folder.path + "/out"
        let run = try Program.run("train", recipe("keep: 0.5"), "--output", output, "--json")
        #expect(run.status == 0, "\(run.errors)")
        let trained = try run.json()
        let kept = try #require(trained["gates"]?["kept"]?.intValue)
        #expect((trained["gates"]?["difference"]?.doubleValue ?? 1) <= 1e-5)
        let cut = try Program.run(
            "gates", "extract", output + ".run", "--force", "--output", folder.path + "/again", "--measure", "--json")
        #expect(cut.status == 0, "\(cut.errors)")
        let json = try cut.json()
        #expect(json["kept"]?.intValue == kept && json["step"]?.intValue == trained["steps"]?.intValue)
        #expect((json["seconds"]?["inference_after"]?.doubleValue ?? 0) > 0)
        for name in ["/model.safetensors", "/config.json"] {
            let files = try [output, folder.path + "/again"].map {
                try Data(contentsOf: URL(fileURLWithPath: $0 + name))
            }
            #expect(files[0] == files[1], "\(name)")
        }
        let table = try Program.run("gates", "extract", output + ".run", "--force")
        #expect(table.status == 0 && table.output.contains("layer2.1") && table.output.contains("multiplications"))
    }

    @Test func failuresAreOneLine() throws {
        try Program.expectFailure(66, "no such folder", ["gates", "extract", folder.path + "/none.run"])
        try Program.expectFailure(65, "expected OUTPUT.run", ["gates", "extract", folder.path])
        try Program.expectFailure(
            64, "--max-disagreement", ["gates", "extract", folder.path, "--max-disagreement", "0.3"])
        try Program.expectFailure(
            65, "gates.lambda_polar: expected a number",
            ["train", recipe("lambda_polar: -1"), "--output", folder.path + "/x"])
    }
}
