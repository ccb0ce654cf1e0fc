import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

@Suite struct IDXTests {
    @Test func readsImagesAndLabels() throws {
        let folder = try TemporaryFolder()
        try folder.writeDigits(25)
        try folder.writeDigits(7, prefix: "t10k")
        let train = try ImageDataSet.open(folder.path, split: .train)
        #expect(train.pixels.shape == [25, 1, 3, 2])
        #expect(train.pixels.bytes == (0..<25).flatMap { [UInt8](repeating: $0, count: 6) })
        #expect(train.labels == (0..<25).map { $0 % 10 })
        #expect(train.classNames == (0..<10).map(String.init))
        #expect(train.normalization == .mnist)
        #expect(try ImageDataSet.open(folder.path, split: .test).count == 7)
    }

    @Test(arguments: ["gzip", "xz"])
    func readsCompressedFiles(program: String) throws {
        let folder = try TemporaryFolder()
        try folder.writeDigits(5)
        let plain = try ImageDataSet.open(folder.path, split: .train)
        try folder.compress("train-images-idx3-ubyte", with: program)
        try folder.compress("train-labels-idx1-ubyte", with: program)
        #expect(try ImageDataSet.open(folder.path, split: .train).digest == plain.digest)
    }

    @Test func findsFashionInTheFolderThatTorchvisionMakes() throws {
        let folder = try TemporaryFolder()
        try folder.makeFolder("FashionMNIST/raw")
        try folder.writeIDX("FashionMNIST/raw/train-images-idx3-ubyte", shape: [2, 1, 1], [7, 8])
        try folder.writeIDX("FashionMNIST/raw/train-labels-idx1-ubyte", shape: [2], [9, 0])
        let set = try ImageDataSet.open(folder.path, split: .train)
        #expect(set.name == "Fashion-MNIST")
        #expect(set.classNames[set.labels[0]] == "Ankle boot")
        #expect(set.normalization == .fashionMNIST)
    }

    @Test func refusesWhatIsNoSet() throws {
        let folder = try TemporaryFolder()
        let train = { failure { _ = try ImageDataSet.open(folder.path, split: .train) } }
        #expect(train().contains("holds no data set that is known"))
        #expect(
            failure { _ = try ImageDataSet.open(folder.path + "/none", split: .train) }.contains("no such folder"))
        try folder.writeDigits(3)
        let test = failure { _ = try ImageDataSet.open(folder.path, split: .test) }
        #expect(test.contains("t10k-images-idx3-ubyte: is missing") && test.contains("https://"))

        try folder.writeIDX("train-labels-idx1-ubyte", shape: [2], [1, 2])
        #expect(train().contains("has 2 labels, expected the 3 of train-images-idx3-ubyte"))
        try folder.writeIDX("train-labels-idx1-ubyte", shape: [3], [1, 17, 2])
        #expect(train().contains("label 1: 17, expected less than 10"))
        try folder.write("train-labels-idx1-ubyte", bytes: [0, 0, 13, 1, 0, 0, 0, 0])
        #expect(train().contains("magic number: 0 0 13 1, expected 0 0 8 1"))
        try folder.write("train-labels-idx1-ubyte", bytes: [0, 0, 8])
        #expect(train().contains("has 3 bytes, expected an IDX file"))
        try FileManager.default.removeItem(atPath: folder.path + "/train-labels-idx1-ubyte")
        #expect(train().contains("train-labels-idx1-ubyte: is missing"))
    }

    @Test(arguments: [
        ([UInt8](repeating: 0, count: 2), "cut off"),
        ([0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3], "has 3 bytes behind its header, expected 16 for 4 × 2 × 2"),
        (
            [255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            "more than there can be"
        ),
        ([127, 255, 255, 255, 0, 0, 4, 0, 0, 0, 4, 0, 1], "has 1 bytes behind its header"),
        ([0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2], "holds 0 images"),
        ([0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2], "holds 3 images of 0 × 2"),
        ([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 5, 6], "has 2 bytes behind its header, expected 1"),
    ])
    func refusesDamagedImages(body: [UInt8], expected: String) throws {
        let folder = try TemporaryFolder()
        try folder.writeDigits(3)
        try folder.write("train-images-idx3-ubyte", bytes: [0, 0, 8, 3] + body)
        let message = failure { _ = try ImageDataSet.open(folder.path, split: .train) }
        #expect(message.contains(expected), "\(message)")
        #expect(message.contains("train-images-idx3-ubyte"))
    }

    @Test func refusesACutOffArchive() throws {
        let folder = try TemporaryFolder()
        try folder.writeDigits(200)
        try folder.compress("train-images-idx3-ubyte", with: "gzip")
        let name = "train-images-idx3-ubyte.gz"
        let whole = try Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + name))
        try folder.write(name, bytes: Array(whole.dropLast(20)))
        let message = failure { _ = try ImageDataSet.open(folder.path, split: .train) }
        #expect(message.contains("\(name): gzip cannot decompress it"))
    }
}

@Suite struct CIFARTests {
    @Test func readsTenClasses() throws {
        let folder = try TemporaryFolder()
        for batch in 1...5 { try folder.writeCIFAR("data_batch_\(batch).bin", labels: [[UInt8(batch)], [9]]) }
        try folder.writeCIFAR("test_batch.bin", labels: [[0]])
        let set = try ImageDataSet.open(folder.path, split: .train)
        #expect(set.pixels.shape == [10, 3, 32, 32])
        #expect(set.labels == [1, 9, 2, 9, 3, 9, 4, 9, 5, 9])
        #expect(set.name == "CIFAR-10" && set.classNames[9] == "truck")
        #expect(set.subset([1]).pixels.bytes == [1, 2, 3].flatMap { [UInt8](repeating: $0, count: 1024) })
        #expect(try ImageDataSet.open(folder.path, split: .test).count == 1)
        try FileManager.default.removeItem(atPath: folder.path + "/data_batch_4.bin")
        let message = failure { _ = try ImageDataSet.open(folder.path, split: .train) }
        #expect(message.contains("data_batch_4.bin: is missing") && message.contains("https://"))
    }

    @Test func readsAHundredClasses() throws {
        let folder = try TemporaryFolder()
        try folder.writeCIFAR("train.bin", labels: [[3, 71], [19, 99]])
        let set = try ImageDataSet.open(folder.path, split: .train)
        #expect(set.name == "CIFAR-100" && set.classCount == 100)
        #expect(set.labels == [71, 99])
        try folder.writeCIFAR("train.bin", labels: [[3, 100]])
        #expect(
            failure { _ = try ImageDataSet.open(folder.path, split: .train) }
                .contains("label of image 0: 100, expected less than 100"))
    }

    @Test func refusesDamagedFiles() throws {
        let folder = try TemporaryFolder()
        try folder.writeCIFAR("train.bin", labels: [[10]])
        let train = { failure { _ = try ImageDataSet.open(folder.path, split: .train) } }
        #expect(train().contains("train.bin: label of image 0: 10, expected less than 10"))
        try folder.write("train.bin", bytes: [UInt8](repeating: 0, count: 3072))
        #expect(train().contains("has 3072 bytes, expected records of 3073 (CIFAR-10) or 3074"))
        try folder.write("train.bin", "")
        #expect(train().contains("has 0 bytes, expected records"))
        #expect(failure { _ = try ImageDataSet.open(folder.path, split: .test) }.contains("no images to test with"))
        let other = try TemporaryFolder()
        try other.makeFolder("cifar-10-batches-py")
        try other.write("cifar-10-batches-py/data_batch_1", "pickle")
        #expect(failure { _ = try ImageDataSet.open(other.path, split: .train) }.contains("binary version"))
    }
}

@Suite struct ImageFolderTests {
    private func folder() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for name in ["train/cat", "train/dog", "val/dog"] { try folder.makeFolder(name) }
        try folder.write("train/cat/a.png", bytes: png(rows: 2, columns: 3, channels: 3, (0..<18).map { $0 * 3 }))
        try folder.write("train/dog/a.pgm", bytes: Array("P5 # grey\n3 2\n255\n".utf8) + [9, 8, 7, 6, 5, 4])
        try folder.write(
            "train/dog/b.ppm", "P3\n3 2 5\n" + [String](repeating: "5 0 1", count: 6).joined(separator: "\n"))
        try folder.write("val/dog/c.png", bytes: png(rows: 2, columns: 3, channels: 1, [1, 2, 3, 4, 5, 6]))
        return folder
    }

    @Test func readsClassesFromFolders() throws {
        let folder = try folder()
        let set = try ImageDataSet.open(folder.path, split: .train)
        #expect(set.classNames == ["cat", "dog"] && set.labels == [0, 1, 1])
        #expect(set.pixels.shape == [3, 3, 2, 3])
        let planes = (0..<3).map { channel in (0..<6).map { UInt8(($0 * 3 + channel) * 3) } }
        #expect(set.subset([0]).pixels.bytes == planes.flatMap { $0 })
        #expect(
            set.subset([1]).pixels.bytes == [UInt8]([9, 8, 7, 6, 5, 4] + [9, 8, 7, 6, 5, 4] + [9, 8, 7, 6, 5, 4]))
        #expect(set.subset([2]).pixels.bytes == [255, 0, 51].flatMap { [UInt8](repeating: $0, count: 6) })
        let test = try ImageDataSet.open(folder.path, split: .test)
        #expect(test.labels == [1] && test.pixels.bytes == [1, 2, 3, 4, 5, 6])
    }

    @Test func refusesDamagedImages() throws {
        let folder = try folder()
        let train = { failure { _ = try ImageDataSet.open(folder.path, split: .train) } }
        let whole = png(rows: 2, columns: 3, channels: 3, (0..<18).map { $0 })
        for size in [3, 20, 33, 40, 60, whole.count - 13] {
            try folder.write("train/cat/a.png", bytes: Array(whole.prefix(size)))
            #expect(train().contains("a.png: "), "\(size)")
            #expect(train().contains("cut off") || train().contains("expected a PNG"), "\(size): \(train())")
        }
        var wrong = whole
        wrong[50] ^= 1
        try folder.write("train/cat/a.png", bytes: wrong)
        #expect(train().contains("cut off or damaged"))
        // A header that promises 2³¹ − 1 pixels each way, with its checksum as it should be.
        var huge = whole
        let claim: [UInt8] = [73, 72, 68, 82, 0, 16, 0, 0, 0, 16, 0, 0, 8, 2, 0, 0, 0]
        var crc: UInt32 = ~0
        for byte in claim {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        huge.replaceSubrange(12..<33, with: claim + (0..<4).reversed().map { UInt8(~crc >> (8 * UInt32($0)) & 255) })
        try folder.write("train/cat/a.png", bytes: huge)
        #expect(!train().contains("no failure") && train().contains("a.png"))
        try folder.write(
            "train/cat/a.png", bytes: png(rows: 3, columns: 3, channels: 1, [UInt8](repeating: 1, count: 9)))
        #expect(train().contains("expected 3 × 3 as"))
        try folder.write("train/cat/a.png", bytes: whole)
        try folder.write("train/dog/a.pgm", bytes: Array("P5 3 2 255\n".utf8) + [9, 8, 7])
        #expect(train().contains("a.pgm: is cut off: 3 bytes of samples, expected 6"))
        try folder.write("train/dog/a.pgm", "P5 3 2 0\n")
        #expect(train().contains("the largest value"))
        try folder.write("train/dog/a.pgm", "P5 99999999999999999999999 2 255\n")
        #expect(train().contains("a.pgm"))
    }

    @Test func refusesWhatIsNoClass() throws {
        let folder = try folder()
        try folder.makeFolder("val/cow")
        #expect(
            failure { _ = try ImageDataSet.open(folder.path, split: .test) }.contains(
                "cow: is no class of the training images"))
        let flat = try TemporaryFolder()
        try flat.makeFolder("a")
        try flat.write("a/x.pgm", "P2 1 1 255 7")
        #expect(try ImageDataSet.open(flat.path, split: .train).pixels.bytes == [7])
        #expect(failure { _ = try ImageDataSet.open(flat.path, split: .test) }.contains("has no folder test or val"))
    }
}

@Suite struct SplittingTests {
    @Test func holdsOutOfEachClass() throws {
        let set = ImageDataSet.shapes(205, size: 8, seed: 1)
        let (training, validation) = try set.split(validation: 41, seed: 3)
        #expect(training.count == 164 && validation.count == 41)
        // 21 images of each of five classes, 20 of the others: a fifth of each, rounded to 41 in all.
        #expect(validation.classSizes.allSatisfy { (4...5).contains($0) })
        #expect(zip(training.classSizes, validation.classSizes).map(+) == set.classSizes)
        #expect(try set.split(validation: 41, seed: 3).validation.digest == validation.digest)
        #expect(try set.split(validation: 41, seed: 4).validation.digest != validation.digest)
        #expect(try set.sample(50, seed: 1).count == 50)
        #expect(try set.sample(205, seed: 1).digest == set.digest)
        for count in [0, 205, -1] { #expect(throws: CoppiceError.self) { try set.split(validation: count, seed: 1) } }
    }

    /// The only image of a class stays to be trained on, and is told of.
    @Test func theLastOfAClassIsNotHeldOut() throws {
        func set(_ labels: [Int]) -> ImageDataSet {
            ImageDataSet(
                name: "few", pixels: .zeros([labels.count, 1, 1, 1], dataType: .u8), labels: labels,
                classNames: ["a", "b", "c"], normalization: .centred(channels: 1))
        }
        for seed in 0..<5 {
            // By shares alone it would be one of each class.
            let (training, validation) = try set([0, 0, 0, 1, 1, 1, 2]).split(validation: 3, seed: UInt64(seed))
            #expect(training.classSizes == [1, 2, 1] && validation.classSizes == [2, 1, 0], "\(seed)")
        }
        #expect(try set([0, 1, 2]).split(validation: 2, seed: 1).validation.count == 2)
        #expect(set([0, 0, 1, 1]).loneClassWarning == nil)
        #expect(
            set([0, 0, 1, 1, 2]).loneClassWarning
                == "class c has one among the training images, which is trained on: none is held out")
        #expect(
            set([0, 1, 1, 2]).loneClassWarning
                == "2 classes, a the first, have each one among the training images, which is trained on: none is held "
                + "out")
    }

    @Test func measuresChannels() {
        let pixels = Tensor([0, 255, 0, 255, 10, 10, 10, 10] as [UInt8], shape: [1, 2, 2, 2])
        let set = ImageDataSet(
            name: "two", pixels: pixels, labels: [0], classNames: ["a"], normalization: .centred(channels: 2))
        let own = ImageNormalization(of: set)
        #expect(own.mean[0] == 0.5 && own.deviation[0] == 0.5)
        #expect(abs(own.mean[1] - 10.0 / 255) < 1e-15 && own.deviation[1] == 1)
    }
}

/// With COPPICE_DATA naming a folder of published sets, they are read as a whole.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["COPPICE_DATA"] != nil)) struct PublishedSetTests {
    private let data = ProcessInfo.processInfo.environment["COPPICE_DATA"] ?? ""

    @Test(arguments: [
        ("mnist", 60_000, [5000]), ("fashion-mnist", 20_000, [5000]), ("cifar10-lossless", 3000, []),
        ("cifar10-jpeg", 7000, [2000]),
    ])
    func reads(name: String, train: Int, test: [Int]) throws {
        let set = try ImageDataSet.open(data + "/" + name, split: .train)
        #expect(set.count == train && set.classCount == 10)
        for count in test { #expect(try ImageDataSet.open(data + "/" + name, split: .test).count == count) }
        let own = ImageNormalization(of: set)
        for (own, usual) in zip(own.mean + own.deviation, set.normalization.mean + set.normalization.deviation) {
            #expect(abs(own - usual) < 0.01)
        }
    }
}
