import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation

/// A folder with small data sets of drawn figures in the files of Fashion-MNIST and CIFAR-10, removed with the value.
final class DrawnImages {
    let path: String

    init(training: Int = 300, test: Int = 100) throws {
        path = FileManager.default.temporaryDirectory.path + "/coppice-drawn-\(UUID().uuidString)"
        for folder in ["fashion-mnist", "cifar10-jpeg"] {
            try FileManager.default.createDirectory(atPath: path + "/" + folder, withIntermediateDirectories: true)
        }
        for (part, count, seed) in [("train", training, UInt64(1)), ("t10k", test, 2)] {
            let images = ImageDataSet.shapes(count, noise: 0.1, seed: seed)
            try write(
                "fashion-mnist/\(part)-images-idx3-ubyte",
                [0, 0, 8, 3] + number(count) + number(28) + number(28) + bytes(images))
            try write(
                "fashion-mnist/\(part)-labels-idx1-ubyte",
                [0, 0, 8, 1] + number(count) + images.labels.map { UInt8($0) })
            let photographs = ImageDataSet.shapes(count, size: 32, noise: 0.1, seed: seed)
            let planes = bytes(photographs)
            let records = (0..<count).flatMap { index -> [UInt8] in
                let plane = planes[(index * 1_024)..<((index + 1) * 1_024)]
                return [UInt8(photographs.labels[index])] + plane + plane + plane
            }
            try write("cifar10-jpeg/\(part == "train" ? "train" : "test").bin", records)
        }
    }

    /// Adds a residual network of a quarter of ResNet-20's widths, with initial weights, in the file of the trained one.
    func addResidualNetwork() throws {
        let folder = path + "/resnet-cifar"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let network = try VisionArchitecture(named: "resnet20", widthMultiplier: 0.25).makeNetwork(seed: 1)
        let parameters = network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) }
        let state = network.stateTensors.map { ($0.name, $0.state.wrappedValue) }
        try SafetensorsWriter.write(parameters + state, to: folder + "/resnet20.safetensors")
    }

    /// Moves a set to another of its names.
    func rename(_ name: String, to other: String) throws {
        let target = URL(fileURLWithPath: path + "/" + other)
        try FileManager.default.createDirectory(
            at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
        try FileManager.default.moveItem(at: URL(fileURLWithPath: path + "/" + name), to: target)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    private func bytes(_ images: ImageDataSet) -> [UInt8] { images.pixels.withElements(UInt8.self) { Array($0) } }

    private func number(_ value: Int) -> [UInt8] { (0..<4).reversed().map { UInt8(value >> (8 * $0) & 255) } }

    private func write(_ name: String, _ bytes: [UInt8]) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name))
    }
}
