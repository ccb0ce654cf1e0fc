import CoppiceTensors
import Foundation

/// The binary version of CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning multiple layers of features from tiny images",
/// 2009): records of a label (CIFAR-100: a coarse and a fine one) and the red, green and blue plane of 32 × 32 bytes.
struct CIFARFiles {
    static let home = "https://www.cs.toronto.edu/~kriz/cifar.html"
    private static let imageSize = 3 * 32 * 32
    private static let batches = (1...5).map { "data_batch_\($0).bin" }

    let folder: String
    /// All files of the folder.
    let names: [String]

    static func areIn(_ names: [String]) -> Bool {
        names.contains { isPart($0, of: "data_batch_") || isPart($0, of: "train") || isPart($0, of: "test") }
    }

    private static func isPart(_ name: String, of part: String) -> Bool {
        name.hasPrefix(part) && CompressedFile.plainName(name).hasSuffix(".bin")
    }

    func load(_ split: ImageDataSet.Split) throws -> ImageDataSet {
        let files = try find(split)
        let contents = try files.map { (name: $0, bytes: try CompressedFile.read(folder + "/" + $0, limit: 1 << 32)) }
        let hasFineLabels = try isHundred(contents)
        let recordSize = Self.imageSize + (hasFineLabels ? 2 : 1)
        let classNames = try classNames(hasFineLabels)
        let count = contents.reduce(0) { $0 + $1.bytes.count / recordSize }
        let pixels = Tensor(uninitialized: [count, 3, 32, 32], dataType: .u8)
        var labels: [Int] = []
        labels.reserveCapacity(count)
        for (name, bytes) in contents {
            let source = folder + "/" + name
            guard !bytes.isEmpty, bytes.count % recordSize == 0 else {
                throw CoppiceError(
                    .badData, source: source,
                    "has \(bytes.count) bytes, expected records of \(recordSize)\(bytes.isEmpty ? "" : "; is it cut off?")"
                )
            }
            try bytes.withUnsafeBytes { bytes in
                for record in 0..<(bytes.count / recordSize) {
                    let start = record * recordSize
                    let label = Int(bytes[start + (hasFineLabels ? 1 : 0)])
                    guard label < classNames.count else {
                        throw CoppiceError(
                            .badData, source: source, field: "label of image \(record)",
                            "\(label), expected less than \(classNames.count)")
                    }
                    let image = UnsafeRawBufferPointer(rebasing: bytes[(start + recordSize - Self.imageSize)...])
                    UnsafeMutableRawBufferPointer(
                        start: pixels.basePointer + labels.count * Self.imageSize, count: Self.imageSize
                    ).copyMemory(from: UnsafeRawBufferPointer(rebasing: image.prefix(Self.imageSize)))
                    labels.append(label)
                }
            }
        }
        return ImageDataSet(
            name: hasFineLabels ? "CIFAR-100" : "CIFAR-10", pixels: pixels, labels: labels, classNames: classNames,
            normalization: hasFineLabels ? .cifar100 : .cifar10)
    }

    private func find(_ split: ImageDataSet.Split) throws -> [String] {
        // Of the same file, plain before compressed.
        func present(_ plain: String) -> String? {
            names.filter { CompressedFile.plainName($0) == plain }.min()
        }
        if split == .train, names.contains(where: { Self.isPart($0, of: "data_batch_") }) {
            return try Self.batches.map { batch in
                guard let name = present(batch) else {
                    throw CoppiceError(
                        .noInput, source: folder + "/" + batch,
                        "is missing (plain, .gz or .xz); the set's home is \(Self.home); a part of it may be called "
                            + "train.bin")
                }
                return name
            }
        }
        let plain = Set(names.filter { Self.isPart($0, of: split.rawValue) }.map(CompressedFile.plainName))
        guard !plain.isEmpty else {
            let usual = split == .train ? "data_batch_1.bin (CIFAR-10) or train.bin (CIFAR-100)" : "test_batch.bin"
            throw CoppiceError(
                .noInput, source: folder,
                "has no images to \(split == .train ? "train with" : "test with"), expected \(usual), plain, .gz or .xz; "
                    + "the set's home is \(Self.home)")
        }
        return plain.sorted().compactMap(present)
    }

    /// Whether the records have a coarse and a fine label.
    private func isHundred(_ contents: [(name: String, bytes: Data)]) throws -> Bool {
        if names.contains("fine_label_names.txt") { return true }
        if names.contains("batches.meta.txt") { return false }
        let sizes = contents.map(\.bytes.count)
        if sizes.allSatisfy({ $0 % (Self.imageSize + 1) == 0 }) { return false }
        if sizes.allSatisfy({ $0 % (Self.imageSize + 2) == 0 }) { return true }
        let wrong = contents.first { $0.bytes.count % (Self.imageSize + 1) != 0 } ?? contents[0]
        throw CoppiceError(
            .badData, source: folder + "/" + wrong.name,
            "has \(wrong.bytes.count) bytes, expected records of \(Self.imageSize + 1) (CIFAR-10) or "
                + "\(Self.imageSize + 2) (CIFAR-100); is it cut off?")
    }

    private func classNames(_ hasFineLabels: Bool) throws -> [String] {
        guard hasFineLabels else {
            return ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
        }
        guard names.contains("fine_label_names.txt") else { return (0..<100).map(String.init) }
        let names = try ClassNames.read(folder + "/fine_label_names.txt")
        guard names.count == 100 else {
            throw CoppiceError(
                .badData, source: folder + "/fine_label_names.txt", "names \(names.count) classes, expected 100")
        }
        return names
    }
}
