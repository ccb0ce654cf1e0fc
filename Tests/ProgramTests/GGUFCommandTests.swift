import CoppiceModels
import Foundation
import Testing

/// GGUF files by the program: written, and used in a model's place.
@Suite(.serialized) struct GGUFCommandTests {
    private let path = NSTemporaryDirectory() + "coppice-\(UUID().uuidString).gguf"

    @Test func aModelIsWrittenAndUsed() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let report = try Program.run("convert", "tales", "--to", "gguf", "--type", "q8_0", "--output", path, "--json")
        #expect(report.status == 0, "\(report.errors)")
        #expect(try report.json()["output"]?.stringValue == path)

        let tensors = try #require(try Program.run("inspect", path, "--json").json()["tensors"]?.arrayValue)
        let formats = Set(tensors.compactMap { $0["format"]?.stringValue })
        #expect(formats == ["q8_0", "f32"])

        let text = "The fox said, “Good-night!”"
        let ids = try Program.run("tokenize", path, "--text", text, "--json").json()["ids"]
        #expect(ids != nil)
        #expect(ids == (try Program.run("tokenize", "tales", "--text", text, "--json").json()["ids"]))

        let dense = try #require(try Program.run("evaluate", "tales", "--json").json()["perplexity"]?.doubleValue)
        let blocks = try #require(try Program.run("evaluate", path, "--json").json()["perplexity"]?.doubleValue)
        #expect(abs(blocks / dense - 1) < 0.01)
    }

    @Test func optionsThatDoNotFitAreRefused() throws {
        let name = try Program.run("convert", "tales", "--to", "gguf", "--output", "folder")
        #expect(name.status == 64)
        #expect(name.errors.contains("expected the name of a .gguf file"))
        let type = try Program.run("convert", "tales", "--to", "safetensors", "--type", "q8_0", "--output", "folder")
        #expect(type.status == 64)
        #expect(type.errors.contains("expected f32, bf16 or f16 for safetensors"))
        try Data("GGUF".utf8).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let damaged = try Program.run("inspect", path)
        #expect(damaged.status == 65)
        #expect(damaged.errors.contains("version: expected 4 bytes at byte 4 but the file ends: truncated?"))
    }
}
