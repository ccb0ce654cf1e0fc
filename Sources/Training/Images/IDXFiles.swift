import CoppiceTensors
import Foundation

/// MNIST and sets of the same form: images and labels in IDX files.
///
/// An IDX file is a big-endian header (two zero bytes, the element type, the number of dimensions, each dimension in 32
/// bits) and the elements in row-major order (LeCun, Cortes and Burges, "The MNIST database of handwritten digits").
struct IDXFiles {
    static let home = "https://yann.lecun.com/exdb/mnist"
    static let fashionHome = "https://github.com/zalandoresearch/fashion-mnist"

    let folder: String
    /// All files of the folder.
    let names: [String]

    static func areIn(_ names: [String]) -> Bool {
        names.contains { isPart($0, of: "images") || isPart($0, of: "labels") }
    }

    private static func isPart(_ name: String, of part: String) -> Bool {
        let plain = CompressedFile.plainName(name)
        return plain.hasSuffix("-ubyte") && plain.contains(part)
    }

    /// The folder's name, or that of the folder around `raw`.
    private var setName: String {
        URL(fileURLWithPath: folder).standardized.pathComponents.last { $0 != "raw" } ?? "MNIST"
    }

    private var isFashion: Bool { setName.lowercased().contains("fashion") }

    private var source: String { isFashion ? Self.fashionHome : Self.home }

    func load(_ split: ImageDataSet.Split) throws -> ImageDataSet {
        let imageFile = try find(split)
        let labelFile = try labels(beside: imageFile)
        let images = try Self.read(folder + "/" + imageFile, dimensions: 3)
        let (count, rows, columns) = (images.shape[0], images.shape[1], images.shape[2])
        guard count > 0, rows > 0, columns > 0 else {
            throw CoppiceError(
                .badData, source: folder + "/" + imageFile,
                "holds \(count) images of \(rows) × \(columns), expected some")
        }
        let labels = try Self.read(folder + "/" + labelFile, dimensions: 1)
        guard labels.shape == [count] else {
            throw CoppiceError(
                .badData, source: folder + "/" + labelFile,
                "has \(labels.shape[0]) labels, expected the \(count) of \(imageFile)")
        }
        let classNames = try classNames()
        let numbers = labels.elements.map { Int($0) }
        if let wrong = numbers.firstIndex(where: { $0 >= classNames.count }) {
            throw CoppiceError(
                .badData, source: folder + "/" + labelFile, field: "label \(wrong)",
                "\(numbers[wrong]), expected less than \(classNames.count); a file classes.txt may name more classes, one "
                    + "a line")
        }
        return ImageDataSet(
            name: isFashion ? "Fashion-MNIST" : setName.uppercased(),
            pixels: Tensor(bytes: images.elements, shape: [count, 1, rows, columns]), labels: numbers,
            classNames: classNames, normalization: isFashion ? .fashionMNIST : .mnist)
    }

    // MARK: - Finding files

    private func find(_ split: ImageDataSet.Split) throws -> String {
        let found = names.filter { name in
            Self.isPart(name, of: "images") && name.contains("train") == (split == .train)
        }
        let distinct = Set(found.map(CompressedFile.plainName))
        guard distinct.count <= 1 else {
            throw CoppiceError(
                .badData, source: folder,
                "holds several sets (\(distinct.sorted().joined(separator: ", "))), expected one in each folder")
        }
        // Plain files sort before compressed ones.
        guard let name = found.min() else {
            let usual = split == .train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte"
            throw CoppiceError(
                .noInput, source: folder + "/" + usual, "is missing (plain, .gz or .xz); the set's home is \(source)")
        }
        return name
    }

    private func labels(beside imageFile: String) throws -> String {
        let plain = CompressedFile.plainName(imageFile).replacingOccurrences(of: "images", with: "labels")
            .replacingOccurrences(of: "idx3", with: "idx1")
        guard let name = names.filter({ CompressedFile.plainName($0) == plain }).min() else {
            throw CoppiceError(
                .noInput, source: folder + "/" + plain,
                "is missing (plain, .gz or .xz), expected it beside \(imageFile); the set's home is \(source)")
        }
        return name
    }

    private func classNames() throws -> [String] {
        if names.contains("classes.txt") { return try ClassNames.read(folder + "/classes.txt") }
        return isFashion
            ? [
                "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
                "Ankle boot",
            ] : (0..<10).map(String.init)
    }

    // MARK: - The file format

    /// Reads one file of unsigned bytes.
    ///
    /// - Throws: `.badData` where the header is not that of bytes in so many dimensions, or the size is not what the
    ///   header says. Nothing is allocated by the header's word.
    static func read(_ path: String, dimensions: Int) throws -> (shape: [Int], elements: Data.SubSequence) {
        let data = try CompressedFile.read(path, limit: 1 << 32)
        let headerSize = 4 + 4 * dimensions
        guard data.count >= 4 else {
            throw CoppiceError(.badData, source: path, "has \(data.count) bytes, expected an IDX file")
        }
        let magic = data.prefix(4).map { $0 }
        guard magic == [0, 0, 8, UInt8(dimensions)] else {
            throw CoppiceError(
                .badData, source: path, field: "magic number",
                "\(magic.map { String($0) }.joined(separator: " ")), expected 0 0 8 \(dimensions): unsigned bytes in "
                    + "\(dimensions) dimension\(dimensions == 1 ? "" : "s")")
        }
        guard data.count >= headerSize else {
            throw CoppiceError(
                .badData, source: path, "is cut off: \(data.count) bytes, expected a header of \(headerSize)")
        }
        let shape = (0..<dimensions).map { dimension in
            data.dropFirst(4 + 4 * dimension).prefix(4).reduce(0) { $0 << 8 | Int($1) }
        }
        var expected = 1
        for extent in shape {
            let (product, isTooLarge) = expected.multipliedReportingOverflow(by: extent)
            guard !isTooLarge else {
                throw CoppiceError(.badData, source: path, "declares \(shape) bytes, more than there can be")
            }
            expected = product
        }
        guard data.count - headerSize == expected else {
            throw CoppiceError(
                .badData, source: path,
                "has \(data.count - headerSize) bytes behind its header, expected \(expected) for "
                    + shape.map(String.init).joined(separator: " × "))
        }
        return (shape, data.dropFirst(headerSize))
    }
}

/// Names of classes in a text file, one a line.
enum ClassNames {
    /// - Throws: `.noInput`; `.badData` when the file is empty, not UTF-8, or names a class twice.
    static func read(_ path: String) throws -> [String] {
        guard let text = String(data: try CompressedFile.read(path, limit: 1 << 20), encoding: .utf8) else {
            throw CoppiceError(.badData, source: path, "is not UTF-8 text, expected the names of classes")
        }
        var names = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map {
            $0.trimmingCharacters(in: .whitespaces)
        }
        while names.last?.isEmpty == true { names.removeLast() }
        guard !names.isEmpty, !names.contains("") else {
            throw CoppiceError(.badData, source: path, "has an empty line, expected the name of a class in each")
        }
        var seen: Set<String> = []
        for name in names where !seen.insert(name).inserted {
            throw CoppiceError(.badData, source: path, "names the class \(name.prefix(40)) twice")
        }
        return names
    }
}

extension Tensor {
    /// A u8 tensor of some bytes.
    ///
    /// - Precondition: as many bytes as the shape has elements.
    init(bytes: some DataProtocol, shape: [Int]) {
        self.init(uninitialized: shape, dataType: .u8)
        precondition(bytes.count == count, "\(bytes.count) bytes do not fill shape \(shape)")
        bytes.copyBytes(to: UnsafeMutableRawBufferPointer(start: basePointer, count: count))
    }
}
