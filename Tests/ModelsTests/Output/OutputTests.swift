import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct OutputTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    @Test func outputsKnowWhatTheyTakeThePlaceOf() throws {
        try scratch.write("model/config.json", "{}")
        try scratch.write("model-2/config.json", "{}")
        try FileManager.default.createSymbolicLink(atPath: scratch["link"], withDestinationPath: scratch["model"])
        let model = scratch["model"]
        for input in ["model", "model/", "model/config.json", "link", "model-2/../model"] {
            #expect(OutputFolder.takesPlace(model, of: scratch[input]), "\(input)")
            #expect(OutputFolder.takesPlace(model + "/", of: scratch[input]), "\(input)")
        }
        for input in ["model-2", "", "missing"] {
            #expect(!OutputFolder.takesPlace(model, of: scratch[input]), "\(input)")
        }
        #expect(!OutputFolder.takesPlace(scratch["missing"], of: model))
    }

    @Test func aFileAppearsWhenItIsCommitted() throws {
        let file = try AtomicFile(at: scratch["report.html"])
        try file.write("first ")
        try file.write(Array("second".utf8))
        #expect(scratch.text("report.html") == nil)
        try file.commit()
        #expect(scratch.text("report.html") == "first second")
        #expect(try scratch.names() == ["report.html"])
    }

    @Test func anAbandonedFileLeavesTheOlderOne() throws {
        try scratch.write("report.html", "old")
        do {
            let file = try AtomicFile(at: scratch["report.html"])
            try file.write("new")
        }
        #expect(scratch.text("report.html") == "old")
        #expect(try scratch.names() == ["report.html"])
        try AtomicFile.write("newer", to: scratch["report.html"])
        #expect(scratch.text("report.html") == "newer")
    }

    @Test func aFileThatCannotBeCreatedIsRefused() throws {
        #expect(
            refusal(.cannotCreate) { _ = try AtomicFile(at: scratch["missing/report.html"]) }
                == "\(scratch["missing/report.html"]): cannot create: No such file or directory")
        #expect(
            refusal(.cannotCreate) { _ = try AtomicFile(at: scratch.path) }
                == "\(scratch.path): is a folder, expected the name of a file")
        #expect(CoppiceError(.cannotCreate, "").kind.exitStatus == 73)
    }

    @Test func aFullDiskIsAnInputOutputError() throws {
        let full = open("/dev/full", O_WRONLY)
        try #require(full >= 0)
        defer { close(full) }
        let bytes = [UInt8](repeating: 1, count: 100)
        let message = refusal(.inputOutput) {
            try bytes.withUnsafeBytes { try writeAll($0, to: full, path: "model.bin") }
        }
        #expect(message == "model.bin: cannot write: No space left on device")
        #expect(CoppiceError(.inputOutput, "").kind.exitStatus == 74)
    }

    @Test func aFolderAppearsWhenItIsCommitted() throws {
        let folder = try OutputFolder(at: scratch["a/b/model/"])
        #expect(folder.path == scratch["a/b/model"])
        try AtomicFile.write("{}", to: folder.path(for: "config.json"))
        #expect(!FileManager.default.fileExists(atPath: folder.path))
        try folder.commit()
        #expect(scratch.text("a/b/model/config.json") == "{}")
        #expect(try scratch.names(in: "a/b") == ["model"])
    }

    @Test func anAbandonedFolderLeavesTheOlderOneAndNoParents() throws {
        let first = try OutputFolder(at: scratch["model"])
        try AtomicFile.write("1", to: first.path(for: "config.json"))
        try first.commit()
        let second = try OutputFolder(at: scratch["model"])
        try AtomicFile.write("2", to: second.path(for: "config.json"))
        second.discard()
        #expect(scratch.text("model/config.json") == "1")
        let third = try OutputFolder(at: scratch["new/parent/model"])
        third.discard()
        #expect(try scratch.names() == ["model"])
        let fourth = try OutputFolder(at: scratch["model"])
        try AtomicFile.write("4", to: fourth.path(for: "weights"))
        try fourth.commit()
        #expect(scratch.text("model/weights") == "4")
        #expect(scratch.text("model/config.json") == nil, "the older result is replaced, not mixed")
        #expect(try scratch.names() == ["model"])
    }

    @Test func whatCoppiceDidNotWriteIsKept() throws {
        try scratch.write("photos/cat.png", "x")
        #expect(
            refusal(.cannotCreate) { _ = try OutputFolder(at: scratch["photos"]) }
                == "\(scratch["photos"]): exists and was not written by Coppice; name a new or empty folder")
        try scratch.write("file", "x")
        #expect(
            refusal(.cannotCreate) { _ = try OutputFolder(at: scratch["file"]) }
                == "\(scratch["file"]): exists and is not a folder")
        let folder = try OutputFolder(at: scratch["model"])
        try folder.commit()
        try scratch.write("model/notes.txt", "mine")
        #expect(
            refusal(.cannotCreate) { _ = try OutputFolder(at: scratch["model"]) }.contains(
                "holds notes.txt, which Coppice did not write"))
        try FileManager.default.createDirectory(atPath: scratch["empty"], withIntermediateDirectories: false)
        try OutputFolder(at: scratch["empty"]).commit()
        #expect(try scratch.names(in: "empty") == [".coppice-output"])
    }

    @Test func whatIsAddedLaterIsReplacedWithTheRest() throws {
        let first = try OutputFolder(at: scratch["run"])
        try AtomicFile.write("a", to: first.path(for: "a.txt"))
        try first.commit()
        try OutputFolder.add("b", as: "b.txt", to: scratch["run"])
        try OutputFolder.add("c", as: "a.txt", to: scratch["run"])
        #expect(scratch.text("run/a.txt") == "c" && scratch.text("run/b.txt") == "b")
        let second = try OutputFolder(at: scratch["run"])
        try second.commit()
        #expect(scratch.text("run/a.txt") == nil && scratch.text("run/b.txt") == nil)
        #expect(
            refusal(.cannotCreate) { try OutputFolder.add("x", as: "x.txt", to: scratch["nowhere"]) }
                .contains("x.txt: cannot create"))
    }

    @Test func whatDeadProcessesLeftIsRemoved() throws {
        // No process has the largest number; a live one that holds its lock keeps its folder.
        let dead = ".model.coppice-4194304-1"
        let foreign = ".model.coppice-x"
        let own = ".model.coppice-\(getpid())-999999"
        for name in [dead, own] { try scratch.write("\(name)/config.json", "half") }
        try scratch.write(foreign, "not ours")
        let live = try OutputFolder(at: scratch["model"])
        let names = try scratch.names()
        #expect(!names.contains(dead))
        #expect(!names.contains(own), "an earlier process of the same number, in a restarted container")
        #expect(names.contains(foreign))
        let second = try OutputFolder(at: scratch["model"])
        #expect(FileManager.default.fileExists(atPath: live.temporaryPath))
        second.discard()
        live.discard()
    }
}
