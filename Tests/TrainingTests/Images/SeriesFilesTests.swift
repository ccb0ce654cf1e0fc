import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Series in the files of the UCR archive.
@Suite struct SeriesFilesTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ train: String, _ test: String? = nil) throws {
        try folder.write("Steps_TRAIN.tsv", train)
        if let test { try folder.write("Steps_TEST.tsv", test) }
    }

    private func open(_ split: ImageDataSet.Split = .train) throws -> ImageDataSet {
        try ImageDataSet.open(folder.path, split: split)
    }

    @Test func readsValuesLabelsAndSplits() throws {
        try write("2\t1\t-2.5\t3e1\r\n-1\t0\t0\t 1\r\n\n1.0000000e+01\t4\t5\t6\r\n", "10\t7\t8\t9\n")
        let train = try open()
        #expect(train.name == "Steps" && train.isOfSeries && train.noun == "series" && train.extent == "3 steps")
        #expect(train.pixels.shape == [3, 1, 3, 1] && train.pixels.floats() == [1, -2.5, 30, 0, 0, 1, 4, 5, 6])
        // Classes in the order of their numbers.
        #expect(train.classNames == ["-1", "2", "10"] && train.labels == [1, 0, 2])
        let test = try open(.test)
        #expect(test.classNames == train.classNames && test.labels == [2] && test.pixels.floats() == [7, 8, 9])
        // Both by the training series.
        let values = [1, -2.5, 30, 0, 0, 1, 4, 5, 6]
        let mean = values.reduce(0, +) / 9
        let deviation = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 9).squareRoot()
        #expect(test.normalization == train.normalization)
        #expect(abs(train.normalization.mean[0] - mean) < 1e-12)
        #expect(abs(train.normalization.deviation[0] - deviation) < 1e-12)
        #expect(ImageNormalization(of: train) == train.normalization)
        let batch = try #require(Array(train.batches(of: 2)).first)
        #expect(batch.inputs.shape == [2, 1, 3, 1] && batch.targets.integers() == [1, 0])
        #expect(abs(batch.inputs.floats()[2] - Float((30 - mean) / deviation)) < 1e-6)
        // Parts of the set are of the same kind, and told apart.
        let part = train.subset([2, 0])
        #expect(part.pixels.floats() == [4, 5, 6, 1, -2.5, 30] && part.labels == [2, 1])
        let again = try open()
        #expect(part.digest != train.digest && train.digest == again.digest)
        let epoch = ImageBatches(train, batchSize: 3, seed: 1).batch(at: 0)
        #expect(epoch.targets.integers().sorted() == [0, 1, 2])
    }

    @Test func wordsAreLabelsAndFilesMayBeCompressed() throws {
        try write("walk\t1\t2\nrest\t1\t2\n")
        let plain = try open()
        #expect(plain.classNames == ["rest", "walk"] && plain.labels == [1, 0])
        try folder.compress("Steps_TRAIN.tsv", with: "gzip")
        #expect(try open().digest == plain.digest)
        #expect(failure { _ = try open(.test) }.contains("Steps_TEST.tsv: is missing (plain, .gz or .xz)"))
        // A series without contrast is left undivided.
        try write("a\t5\t5\nb\t5\t5\n")
        try FileManager.default.removeItem(atPath: folder.path + "/Steps_TRAIN.tsv.gz")
        #expect(try open().normalization == ImageNormalization(mean: [5], deviation: [1]))
    }

    @Test(arguments: [
        ("", "is empty, expected a series in each line"), ("\n\n", "is empty"),
        ("1\n", "line 1: has no values, expected a label and values"),
        ("1\t2\t3\n2\t4\n", "line 2: has 1 values, expected 2 as in line 1"),
        ("1\t2\t3\n2\t4\t5\t6\n", "line 2: has 3 values, expected 2 as in line 1"),
        ("1\t2\t3\n2\t4\tNaN\n", "line 2: value 2 is \"NaN\", expected a finite number"),
        ("1\t2\t3\n2\tinf\t1\n", "line 2: value 1 is \"inf\", expected a finite number"),
        ("1\t2\t\n", "line 1: value 2 is \"\", expected a finite number"),
        ("1\t2\t3,4\n", "line 1: value 2 is \"3,4\", expected a finite number"),
        ("\t2\t3\n", "line 1: has the label \"\", expected a word or a number"),
        ("nan\t2\t3\n", "line 1: has the label \"nan\""),
    ])
    func damageIsNamed(text: String, expected: String) throws {
        try write(text)
        let message = failure { _ = try open() }
        #expect(message.contains("Steps_TRAIN.tsv: ") && message.contains(expected), "\(message)")
    }

    @Test func splitsMustGoTogether() throws {
        try write("1\t2\t3\n2\t2\t4\n", "1\t1\t2\n3\t1\t2\n")
        #expect(
            failure { _ = try open(.test) }.contains(
                "Steps_TEST.tsv: line 2: the label \"3\" is no class of the training series, expected one of 1, 2"))
        try write("1\t2\t3\n", "1\t1\n")
        #expect(failure { _ = try open(.test) }.contains("has series of 1 values, expected 2 as the training series"))
        try folder.write("Other_TRAIN.tsv", "1\t2\n")
        #expect(failure { _ = try open() }.contains("holds several sets (Other_TRAIN.tsv, Steps_TRAIN.tsv)"))
    }

    /// What a network takes, normalized as it stores.
    @Test func networksAreGivenWhatTheyTake() throws {
        try write("1\t2\t3\t4\t5\n2\t2\t4\t4\t4\n")
        let whole = try VisionArchitecture(named: "fastgrnn-4", classes: 2, inputChannels: 1, imageSize: [4, 1])
        let pairs = try VisionArchitecture(named: "fastgrnn-4", classes: 2, inputChannels: 2, imageSize: [2, 1])
        let own = ImageNormalization(mean: [3], deviation: [2])
        for architecture in [whole, pairs] {
            let set = try ImageDataSet.open(folder.path, split: .train, for: architecture, normalization: own)
            #expect(set.normalization == own)
        }
        func refusal(_ architecture: VisionArchitecture, _ normalization: ImageNormalization? = nil) -> String {
            failure {
                _ = try ImageDataSet.open(
                    folder.path, split: .train, for: architecture, normalization: normalization)
            }
        }
        let odd = try VisionArchitecture(named: "fastgrnn-4", classes: 2, inputChannels: 3, imageSize: [2, 1])
        #expect(refusal(odd).contains("has series of 4 steps, expected 2 steps of 3 values for fastgrnn-4"))
        #expect(
            refusal(pairs, .centred(channels: 2)).contains(
                "has series of 1 channels, expected the 2 that the network normalizes"))
        let classes = try VisionArchitecture(named: "fastgrnn-4", classes: 3, inputChannels: 1, imageSize: [4, 1])
        #expect(refusal(classes).contains("has 2 classes, expected the 3"))
    }
}
