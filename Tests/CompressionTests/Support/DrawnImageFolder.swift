import CoppiceTraining
import Foundation

/// A folder of drawn figures in IDX files: training images and, where asked for, test images.
enum DrawnImageFolder {
    static func write(_ count: Int, test: Int, size: Int = 28, to path: String) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for (prefix, count, seed) in [("train", count, 1), ("t10k", test, 2)] where count > 0 {
            let set = ImageDataSet.shapes(count, size: size, seed: UInt64(seed))
            func file(_ name: String, _ shape: [Int], _ bytes: [UInt8]) throws {
                let extents = shape.flatMap { extent in (0..<4).map { UInt8(extent >> (24 - 8 * $0) & 255) } }
                try Data([0, 0, 8, UInt8(shape.count)] + extents + bytes)
                    .write(to: URL(fileURLWithPath: path + "/" + name))
            }
            try file(
                "\(prefix)-images-idx3-ubyte", [count, size, size], set.pixels.withElements(UInt8.self) { Array($0) })
            try file("\(prefix)-labels-idx1-ubyte", [count], set.labels.map { UInt8($0) })
        }
    }
}
