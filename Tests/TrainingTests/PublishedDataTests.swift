import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

@Suite struct PublishedDataTests {
    private let text = PublishedData("Tales", .file, names: ["official/tales.txt", "text/tales.txt"], home: "a paper")

    @Test(arguments: [PublishedData.mnist, .fashionMNIST, .cifar10])
    func everyNameIsFound(data: PublishedData) throws {
        for name in data.names {
            let folder = try TemporaryFolder()
            try folder.makeFolder(name)
            // A name may lie below another one.
            let found = try data.locate(in: folder.path)
            #expect(found == folder.path + "/" + name)
        }
    }

    @Test func thePublishersNameComesFirst() throws {
        let folder = try TemporaryFolder()
        for name in PublishedData.cifar10.names.reversed() {
            try folder.makeFolder(name)
            #expect(try PublishedData.cifar10.locate(in: folder.path) == folder.path + "/" + name)
        }
    }

    @Test func filesMayBeCompressed() throws {
        let folder = try TemporaryFolder()
        try folder.makeFolder("text")
        for ending in [".xz", ".gz", ""] {
            try folder.write("text/tales.txt" + ending, "a tale")
            #expect(try text.locate(in: folder.path) == folder.path + "/text/tales.txt" + ending)
        }
        try folder.makeFolder("official")
        try folder.write("official/tales.txt.gz", "a tale")
        #expect(try text.locate(in: folder.path) == folder.path + "/official/tales.txt.gz")
    }

    /// What is missing is said with all names and the set's home; a file in a folder's place is none, nor the reverse.
    @Test func whatIsMissingIsSaid() throws {
        let folder = try TemporaryFolder()
        try folder.write("mnist", "no folder")
        try folder.makeFolder("text/tales.txt")
        let error = #expect(throws: CoppiceError.self) { try PublishedData.mnist.locate(in: folder.path) }
        #expect(error?.kind == .noInput && error?.source == folder.path)
        #expect(
            error?.message == "holds no MNIST, looked for the folders mnist, MNIST/raw, MNIST; the set's home is "
                + "https://yann.lecun.com/exdb/mnist")
        #expect(
            failure { _ = try text.locate(in: folder.path) }.hasSuffix(
                "(plain, .gz or .xz); the set's home is a paper"))
    }

    /// The folder that an archive unpacks to is read as it is.
    @Test func theBinaryVersionOfCIFARIsRead() throws {
        let folder = try TemporaryFolder()
        try folder.makeFolder("cifar-10-batches-bin")
        let names = (1...5).map { "data_batch_\($0).bin" } + ["test_batch.bin"]
        for (label, name) in names.enumerated() {
            try folder.write(
                "cifar-10-batches-bin/" + name, bytes: [UInt8(label)] + [UInt8](repeating: 9, count: 3_072))
        }
        let path = try PublishedData.cifar10.locate(in: folder.path)
        #expect(try ImageDataSet.open(path, split: .train).labels == [0, 1, 2, 3, 4])
        #expect(try ImageDataSet.open(path, split: .test).labels == [5])
    }
}
