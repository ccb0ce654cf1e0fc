import Foundation
import Testing

/// Bad input: one line that names what is wrong, and the right exit status.
@Suite(.serialized) struct FailureTests {
    @Test func wrongUse() throws {
        try Program.expectFailure(64, "frobnicate", ["frobnicate"])
        try Program.expectFailure(64, "--prompt", ["generate", "tales"])
        try Program.expectFailure(64, "threads", ["evaluate", "tales", "--threads", "0"])
        try Program.expectFailure(64, "temperature", ["generate", "tales", "--prompt", "a", "--temperature", "-1"])
        try Program.expectFailure(64, "context", ["evaluate", "tales", "--context", "100000"])
        let long = String(repeating: "and then the fox ran on ", count: 200)
        try Program.expectFailure(64, "context of 512", ["generate", "tales", "--prompt", long])
    }

    @Test func missingFiles() throws {
        try Program.expectFailure(66, "/nowhere", ["evaluate", "/nowhere"])
        try Program.expectFailure(66, "/nowhere.txt", ["evaluate", "tales", "--text", "/nowhere.txt"])
        try Program.expectFailure(
            66, "/nowhere.yaml", ["compress", "tales", "--recipe", "/nowhere.yaml", "--output", "/nowhere/x"])
    }

    @Test func badData() throws {
        let folder = TemporaryFolder()
        try Program.expectFailure(65, "empty", ["evaluate", "tales", "--text", folder.file("empty.txt", "")])
        let recipe = try folder.file("recipe.yaml", "stages:\n  - quantize: { bitz: 8 }\n")
        try Program.expectFailure(
            65, "bits", ["compress", "tales", "--recipe", recipe, "--output", folder.path + "/out"])
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
        try FileManager.default.createDirectory(atPath: folder.path + "/model", withIntermediateDirectories: true)
        _ = try folder.file("model/config.json", "{}")
        try Program.expectFailure(65, "config.json", ["inspect", folder.path + "/model"])
        try Program.expectFailure(65, "vocabulary", ["logits", "tales", "--ids", "4096"])
    }

    @Test func outputThatCannotBeWritten() throws {
        let recipe = Program.root.path + "/Recipes/int8.yaml"
        try Program.expectFailure(
            73, "/proc/small", ["compress", "tales", "--recipe", recipe, "--output", "/proc/small"])
    }

    @Test func aTakenPort() async throws {
        let (server, taken) = try await Program.serve(["tales"])
        defer { server.terminate() }
        try Program.expectFailure(69, "\(taken)", ["serve", "tales", "--port", "\(taken)"])
        server.terminate()
        server.waitUntilExit()
        #expect(server.terminationStatus == 0)
    }
}
