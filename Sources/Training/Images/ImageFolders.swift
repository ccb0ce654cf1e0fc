import CKernels
import CoppiceTensors
import Foundation

/// Images in folders: each class is a folder of images, and the folders of a split lie in a folder of its name.
struct ImageFolders {
    let path: String
    /// The folder of each split.
    private let roots: [ImageDataSet.Split: String]

    private static let trainNames = ["train", "training"]
    private static let testNames = ["test", "testing", "val", "valid", "validation"]

    /// - Returns: nil for a folder without images in folders.
    init?(_ path: String) throws {
        self.path = path
        let entries = try Self.folders(in: path)
        var roots: [ImageDataSet.Split: String] = [:]
        for (split, names) in [(ImageDataSet.Split.train, Self.trainNames), (.test, Self.testNames)] {
            if let name = names.first(where: { name in entries.contains { $0.lowercased() == name } }),
                let entry = entries.first(where: { $0.lowercased() == name })
            {
                roots[split] = path + "/" + entry
            }
        }
        if roots.isEmpty { roots[.train] = path }
        self.roots = roots
        let candidates = roots.values.sorted()
        guard
            try candidates.contains(where: { root in
                try Self.folders(in: root).contains { try !Self.images(in: root + "/" + $0).isEmpty }
            })
        else { return nil }
    }

    /// Reads a split. Images of one set have one size; grey and colour ones together become colour.
    func load(_ split: ImageDataSet.Split) throws -> ImageDataSet {
        guard let root = roots[split] else {
            let names = split == .train ? "train" : "test or val"
            throw CoppiceError(
                .noInput, source: path, "has no folder \(names), expected one with a folder for each class")
        }
        let classNames = try Self.folders(in: roots[.train] ?? root)
        let ownNames = try Self.folders(in: root)
        if let unknown = ownNames.first(where: { !classNames.contains($0) }) {
            throw CoppiceError(
                .badData, source: root + "/" + unknown,
                "is no class of the training images, expected \(classNames.prefix(20))"
            )
        }
        var files: [(path: String, label: Int)] = []
        for (label, name) in classNames.enumerated() where ownNames.contains(name) {
            files += try Self.images(in: root + "/" + name).map { (root + "/" + name + "/" + $0, label) }
        }
        guard !files.isEmpty else {
            throw CoppiceError(.noInput, source: root, "has no images, expected PNG, PPM or PGM files in folders")
        }
        let pixels = try Self.read(files.map(\.path))
        return ImageDataSet(
            name: URL(fileURLWithPath: path).standardized.lastPathComponent, pixels: pixels, labels: files.map(\.label),
            classNames: classNames,
            normalization: pixels.shape[1] == 3 ? .imageNet : .centred(channels: pixels.shape[1]))
    }

    /// The pixels of image files: u8 `[files, channels, rows, columns]`. Threaded over files.
    private static func read(_ paths: [String]) throws -> Tensor {
        var sizes = [Result<ImageFile.Size, CoppiceError>](repeating: .success(.init()), count: paths.count)
        each(&sizes) { index, size in size = Result { () throws(CoppiceError) in try ImageFile.size(of: paths[index]) }
        }
        let first = try sizes[0].get()
        var channels = first.channels
        for (path, size) in zip(paths, sizes) {
            let size = try size.get()
            guard size.rows == first.rows, size.columns == first.columns else {
                throw CoppiceError(
                    .badData, source: path,
                    "is \(size.columns) × \(size.rows) pixels, expected \(first.columns) × \(first.rows) as \(paths[0])"
                )
            }
            channels = max(channels, size.channels)
        }
        let size = ImageFile.Size(channels: channels, rows: first.rows, columns: first.columns)
        let pixels = Tensor(uninitialized: [paths.count, channels, size.rows, size.columns], dataType: .u8)
        nonisolated(unsafe) let base = pixels.basePointer
        var failures = [CoppiceError?](repeating: nil, count: paths.count)
        each(&failures) { index, failure in
            let place = UnsafeMutableRawBufferPointer(start: base + index * size.byteCount, count: size.byteCount)
            do throws(CoppiceError) {
                try ImageFile.read(paths[index], size, into: place)
            } catch {
                failure = error
            }
        }
        if let failure = failures.lazy.compactMap({ $0 }).first { throw failure }
        return pixels
    }

    /// Sets every element by its index, on the thread pool.
    private static func each<Element>(
        _ elements: inout [Element], _ body: @escaping (Int, inout Element) -> Void
    ) {
        elements.withUnsafeMutableBufferPointer { elements in
            let slots = elements
            var task: (Int) -> Void = { body($0, &slots[$0]) }
            withUnsafeMutablePointer(to: &task) { task in
                coppice_parallel_for(slots.count, task) { context, index in
                    context?.assumingMemoryBound(to: ((Int) -> Void).self).pointee(index)
                }
            }
        }
    }

    // MARK: - Entries

    /// Names of the folders in a folder, in order; hidden ones are left out.
    private static func folders(in path: String) throws -> [String] {
        try entries(of: path).filter { name in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: path + "/" + name, isDirectory: &isFolder)
                && isFolder.boolValue
        }
    }

    /// Names of the image files in a folder, in order.
    private static func images(in path: String) throws -> [String] { try entries(of: path).filter(ImageFile.isNamed) }

    private static func entries(of path: String) throws -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }.sorted()
        } catch {
            throw CoppiceError(.noInput, source: path, "cannot be read")
        }
    }
}
