import CoppiceModels
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
    /// | series (UCR archive) | `NAME_TRAIN.tsv`, `NAME_TEST.tsv`: a series in each line, its label and its values |
    /// | images | a folder for each class in `train/` and in `test/` (or `val/`); or the classes alone, for training |
    ///
    /// IDX, CIFAR and TSV files may be compressed (`.gz`, `.xz`), and may lie in the subfolder that their archive or
    /// torchvision puts them in. A part of a CIFAR set may be called `train….bin` and `test….bin`. IDX sets have ten
    /// classes unless a file `classes.txt` names theirs, one a line; a folder whose name contains "fashion" is
    /// Fashion-MNIST. Pixels are normalized as is usual for the set; images of folders as ImageNet is (RGB), or from −1
    /// to 1 (grey); values of series by mean and deviation of all values of the training series.
    ///
    /// - Throws: `.noInput` for a folder or file that is missing, naming it and where the set comes from; `.badData` for
    ///   what is damaged, cut off, of different sizes or lengths, not a number, or labelled with what is no class.
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
            if SeriesFiles.areIn(names) { return try SeriesFiles(folder: folder, names: names).load(split) }
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
            + "version (\(CIFARFiles.home)), a folder of PNG, PPM or PGM images for each class, or series such as "
            + "NAME_TRAIN.tsv (\(SeriesFiles.home))"
    }

    /// Reads a data set for a network.
    ///
    /// - Parameter normalization: what the network stores; nil: as is usual for the set.
    /// - Throws: as ``open(_:split:)``; `.badData` for what the network does not take, for classes that it does not tell
    ///   apart, and for a normalization of other channels.
    public static func open(
        _ directory: String, split: Split, for architecture: VisionArchitecture, normalization: ImageNormalization?
    ) throws -> ImageDataSet {
        var set = try open(directory, split: split)
        try set.check(fits: architecture)
        guard let normalization else { return set }
        guard normalization.channels == set.channels else {
            throw CoppiceError(
                .badData, source: directory,
                "has \(set.noun) of \(set.channels) channels, expected the \(normalization.channels) that the network "
                    + "normalizes")
        }
        set.normalization = normalization
        return set
    }
}
