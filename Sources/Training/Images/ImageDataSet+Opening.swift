import CoppiceTensors
import Foundation

extension ImageDataSet {
    /// Reads a data set from a folder whose format is recognized by its files:
    ///
    /// | format | files |
    /// |---|---|
    /// | IDX (MNIST, Fashion-MNIST and their like) | `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-…` |
    /// | CIFAR-10, binary version | `data_batch_1.bin` … `data_batch_5.bin`, `test_batch.bin` |
    /// | CIFAR-100, binary version | `train.bin`, `test.bin`; fine labels |
    /// | images | a folder for each class in `train/` and in `test/` (or `val/`); or the classes alone, for training |
    ///
    /// IDX and CIFAR files may be compressed (`.gz`, `.xz`), and may lie in the subfolder that their archive or
    /// torchvision puts them in. A part of a CIFAR set may be called `train….bin` and `test….bin`. IDX sets have ten
    /// classes unless a file `classes.txt` names theirs, one a line; a folder whose name contains "fashion" is
    /// Fashion-MNIST. Pixels are normalized as is usual for the set; images of folders as ImageNet is (RGB), or from −1
    /// to 1 (grey).
    ///
    /// - Throws: `.noInput` for a folder or file that is missing, naming it and where the set comes from; `.badData` for
    ///   what is damaged, cut off, of different sizes, or labelled with what is no class.
    public static func open(_ directory: String, split: Split) throws -> ImageDataSet {
        var isFolder: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: directory, isDirectory: &isFolder)
        guard exists, isFolder.boolValue else {
            throw CoppiceError(
                .noInput, source: directory,
                exists ? "is a file, not a folder; \(expected)" : "no such folder, \(expected)"
            )
        }
        for folder in [directory] + usualSubfolders.map({ directory + "/" + $0 }) {
            guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder).sorted() else { continue }
            if IDXFiles.areIn(names) { return try IDXFiles(folder: folder, names: names).load(split) }
            if CIFARFiles.areIn(names) { return try CIFARFiles(folder: folder, names: names).load(split) }
        }
        for folder in [directory, directory + "/cifar-10-batches-py", directory + "/cifar-100-python"] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            if names.contains("data_batch_1") || names.contains("meta") && names.contains("train") {
                throw CoppiceError(
                    .badData, source: folder,
                    "holds CIFAR's Python version, expected the binary version (\(CIFARFiles.home))")
            }
        }
        guard let images = try ImageFolders(directory) else {
            throw CoppiceError(.noInput, source: directory, "holds no data set that is known, \(expected)")
        }
        return try images.load(split)
    }

    private static let usualSubfolders = [
        "raw", "MNIST/raw", "FashionMNIST/raw", "cifar-10-batches-bin", "cifar-100-binary",
    ]

    private static var expected: String {
        "expected IDX files such as train-images-idx3-ubyte (\(IDXFiles.home), \(IDXFiles.fashionHome)), CIFAR's binary "
            + "version (\(CIFARFiles.home)), or a folder of PNG, PPM or PGM images for each class"
    }
}
