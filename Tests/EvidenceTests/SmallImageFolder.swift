import Foundation

/// A temporary folder with data sets of drawn noise, in the formats of the published ones.
final class SmallImageFolder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "coppice-images-" + UUID().uuidString
        try writeCIFAR()
        try writeFashion()
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    private func byte(_ place: Int) -> UInt8 {
        var value = UInt64(truncatingIfNeeded: place) &* 0x9E37_79B9_7F4A_7C15
        value ^= value >> 29
        return UInt8(truncatingIfNeeded: value &* 0xBF58_476D_1CE4_E5B9 >> 32)
    }

    private func write(_ bytes: [UInt8], _ name: String) throws {
        let file = URL(fileURLWithPath: path + "/" + name)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
    }

    /// Images of 3 × 32 × 32 behind their classes.
    private func writeCIFAR() throws {
        for (name, count) in [("train.bin", 60), ("test.bin", 20)] {
            var bytes: [UInt8] = []
            for image in 0..<count {
                bytes.append(UInt8(image % 10))
                bytes += (0..<3072).map { byte(image * 3072 + $0) }
            }
            try write(bytes, "cifar10-jpeg/" + name)
        }
    }

    /// Images of 28 × 28.
    private func writeFashion() throws {
        func header(_ magic: UInt8, _ extents: [Int]) -> [UInt8] {
            [0, 0, 8, magic] + extents.flatMap { [0, 0, UInt8($0 >> 8), UInt8($0 & 255)] }
        }
        for (name, count) in [("train", 60), ("t10k", 20)] {
            let pixels = (0..<count * 784).map { byte($0) }
            try write(header(3, [count, 28, 28]) + pixels, "fashion-mnist/\(name)-images-idx3-ubyte")
            try write(
                header(1, [count]) + (0..<count).map { UInt8($0 % 10) }, "fashion-mnist/\(name)-labels-idx1-ubyte")
        }
    }
}
