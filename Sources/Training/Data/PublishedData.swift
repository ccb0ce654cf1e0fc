import CoppiceTensors
import Foundation

/// A data set that others publish, by the names that its folder or file usually has in a folder of data.
///
/// ```swift
/// let images = try ImageDataSet.open(PublishedData.fashionMNIST.locate(in: "data"), split: .train)
/// ```
public struct PublishedData: Sendable, Hashable {
    /// What a name is the name of.
    public enum Kind: String, Sendable, Hashable {
        case folder
        /// A text, plain or compressed (`.gz`, `.xz`).
        case file
    }

    /// What the set is called, for people.
    public let title: String
    /// Paths below a folder of data, that of the publisher first. Of files without the ending of a compression.
    public let names: [String]
    public let kind: Kind
    /// Where the set comes from: an address, a paper.
    public let home: String

    /// - Precondition: at least one name.
    public init(_ title: String, _ kind: Kind, names: [String], home: String) {
        precondition(!names.isEmpty, "\(title) without a name")
        self.title = title
        self.kind = kind
        self.names = names
        self.home = home
    }

    /// The path of the set: the first of its names that is there.
    ///
    /// - Throws: `.noInput` where none is, naming all of them and the set's home.
    public func locate(in folder: String) throws -> String {
        for path in names.map({ folder + "/" + $0 }) {
            for ending in endings where isThere(path + ending) { return path + ending }
        }
        throw CoppiceError(
            .noInput, source: folder,
            "holds no \(title), looked for the \(kind.rawValue)\(names.count == 1 ? "" : "s") "
                + names.joined(separator: ", ") + (kind == .file ? " (plain, .gz or .xz)" : "")
                + "; the set's home is \(home)")
    }

    private var endings: [String] { kind == .folder ? [""] : [""] + CompressedFile.programs.keys.sorted() }

    private func isThere(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
            && isFolder.boolValue == (kind == .folder)
    }
}

extension PublishedData {
    /// Images of digits, in IDX files.
    public static let mnist = PublishedData(
        "MNIST", .folder, names: ["mnist", "MNIST/raw", "MNIST"], home: IDXFiles.home)

    /// Images of clothes, in IDX files.
    public static let fashionMNIST = PublishedData(
        "Fashion-MNIST", .folder,
        names: ["fashion-mnist/data/fashion", "fashion-mnist", "FashionMNIST/raw", "FashionMNIST"],
        home: IDXFiles.fashionHome)

    /// Photographs of ten classes, in the binary version's files.
    public static let cifar10 = PublishedData(
        "CIFAR-10", .folder, names: ["cifar-10-batches-bin", "cifar-10", "cifar10", "cifar10-jpeg"],
        home: "\(CIFARFiles.home), the binary version")
}
