import CoppiceTensors
import Foundation

/// Small files of image sets, made by the tests.
extension TemporaryFolder {
    /// An IDX file of unsigned bytes.
    func writeIDX(_ name: String, shape: [Int], _ elements: [UInt8]) throws {
        try write(name, bytes: [0, 0, 8, UInt8(shape.count)] + shape.flatMap(bigEndian) + elements)
    }

    /// A set like MNIST: image k is filled with the byte k, and has class k mod 10.
    func writeDigits(_ count: Int, prefix: String = "train") throws {
        try writeIDX(
            "\(prefix)-images-idx3-ubyte", shape: [count, 3, 2],
            (0..<count).flatMap { [UInt8](repeating: UInt8($0), count: 6) })
        try writeIDX("\(prefix)-labels-idx1-ubyte", shape: [count], (0..<count).map { UInt8($0 % 10) })
    }

    /// A CIFAR batch: the planes of image k are filled with k, k + 1 and k + 2.
    func writeCIFAR(_ name: String, labels: [[UInt8]]) throws {
        try write(
            name,
            bytes: labels.enumerated().flatMap { index, label in
                label + (0..<3).flatMap { [UInt8](repeating: UInt8(index + $0), count: 1024) }
            })
    }

    func makeFolder(_ name: String) throws {
        try FileManager.default.createDirectory(atPath: path + "/" + name, withIntermediateDirectories: true)
    }

    func compress(_ name: String, with program: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program, path + "/" + name]
        try process.run()
        process.waitUntilExit()
    }

    private func bigEndian(_ value: Int) -> [UInt8] { (0..<4).reversed().map { UInt8(value >> (8 * $0) & 255) } }
}

/// A PNG file of 8-bit samples `[rows, columns, channels]` without compression (stored blocks), from its definition.
func png(rows: Int, columns: Int, channels: Int, _ samples: [UInt8]) -> [UInt8] {
    func number(_ value: UInt32) -> [UInt8] { (0..<4).reversed().map { UInt8(value >> (8 * $0) & 255) } }
    func chunk(_ type: String, _ data: [UInt8]) -> [UInt8] {
        let body = Array(type.utf8) + data
        var crc: UInt32 = ~0
        for byte in body {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return number(UInt32(data.count)) + body + number(~crc)
    }
    let width = columns * channels
    let raw = (0..<rows).flatMap { [0] + samples[($0 * width)..<(($0 + 1) * width)] }
    var (a, b): (UInt32, UInt32) = (1, 0)
    for byte in raw { (a, b) = ((a + UInt32(byte)) % 65_521, (b + a + UInt32(byte)) % 65_521) }
    let size = [UInt8(raw.count & 255), UInt8(raw.count >> 8)]
    let stream = [0x78, 0x01, 1] + size + size.map { ~$0 } + raw + number(b << 16 | a)
    return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        + chunk("IHDR", number(UInt32(columns)) + number(UInt32(rows)) + [8, channels == 3 ? 2 : 0, 0, 0, 0])
        + chunk("IDAT", stream) + chunk("IEND", [])
}

/// The one line that something fails with.
func failure(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no failure"
    } catch {
        return "\(error)"
    }
}

extension Tensor {
    /// The elements of a u8 tensor.
    var bytes: [UInt8] { withElements(UInt8.self) { Array($0) } }
}
