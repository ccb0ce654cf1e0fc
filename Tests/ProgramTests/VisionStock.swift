import CoppiceTraining
import Foundation
import Testing

/// Drawn figures as IDX files, and a network that was trained on them.
final class VisionStock: @unchecked Sendable {
    /// Made when it is first asked for.
    static let shared = VisionStock()

    private let folder = TemporaryFolder()
    var images: String { folder.path + "/images" }
    let model: String

    private init() {
        model = folder.path + "/model"
        do { try make() } catch { Issue.record("no stock: \(error)") }
    }

    private func make() throws {
        try FileManager.default.createDirectory(atPath: images, withIntermediateDirectories: true)
        let training = ImageDataSet.shapes(600, size: 28, seed: 1)
        for (prefix, set) in [("train", training), ("t10k", .shapes(200, size: 28, seed: 2))] {
            try write(
                "\(prefix)-images-idx3-ubyte", [set.count, 28, 28], set.pixels.withElements(UInt8.self) { Array($0) })
            try write("\(prefix)-labels-idx1-ubyte", [set.count], set.labels.map { UInt8($0) })
        }
        let recipe = try folder.file(
            "train.yaml",
            """
            seed: 1
            model: { architecture: lenet-300-100 }
            images: { directory: \(images), validation: 0 }
            optimizer: { learning_rate: 0.05 }
            training: { epochs: 6, batch_size: 30 }
            """)
        let run = try Program.run("train", recipe, "--output", model, "--json")
        #expect(run.status == 0, "\(run.errors)")
    }

    private func write(_ name: String, _ shape: [Int], _ bytes: [UInt8]) throws {
        let extents = shape.flatMap { extent in (0..<4).map { UInt8(extent >> (24 - 8 * $0) & 255) } }
        try Data([0, 0, 8, UInt8(shape.count)] + extents + bytes).write(to: URL(fileURLWithPath: images + "/" + name))
    }
}
