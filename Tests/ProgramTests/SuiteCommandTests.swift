import CoppiceModels
import Foundation
import Testing

/// `coppice bench --suite` as its users run it.
@Suite(.serialized) struct SuiteCommandTests {
    @Test func partsAreMeasuredAsAsked() throws {
        let folder = TemporaryFolder()
        let run = try Program.run(
            "bench", "--suite", "--size", "small", "--rounds", "1", "--part", "roofline", "llama-q4_k_m", "--models",
            folder.path, "--json")
        #expect(run.status == 0, "\(run.errors)")
        let parts = try #require(try run.json()["parts"]?.objectValue)
        #expect(Array(parts.keys) == ["roofline", "llama-q4_k_m"])
        let decode = try #require(parts["llama-q4_k_m"]?["decode_tok_s"]?["median"]?.doubleValue)
        #expect(decode > 0)
        #expect(FileManager.default.fileExists(atPath: folder.path + "/llama-tiny-q4_k_m.gguf"))
    }

    @Test func textNamesEveryPart() throws {
        let run = try Program.run("bench", "--suite", "--size", "small", "--rounds", "1", "--part", "sparse-decoding")
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.output.contains("sparse-decoding") && run.output.contains("64x256/2:4-bf16"))
    }

    @Test func formatsAndTokenizersAreMeasured() throws {
        let table = try Program.run("bench", "--formats", "32x128,32x256")
        #expect(table.status == 0 && table.output.contains("| 32 × 256 | bytes | 1 row |"), "\(table.errors)")
        let json = try Program.run("bench", "--formats", "32x128", "--json").json()
        let first = try #require(json["formats"]?[0]?["weights"]?[0])
        #expect(first["format"]?.stringValue == "bf16" && first["products"]?.arrayValue?.count == 3)
        let rate = try Program.run("tokenize", "tales", "--text", "The fox ran.", "--rate", "--json").json()
        #expect(rate["bytes"]?.intValue == 12 && (rate["bytes_per_second"]?.doubleValue ?? 0) > 0)
        try Program.expectFailure(64, "--formats", ["bench", "--formats", "32"])
        try Program.expectFailure(64, "--rate", ["tokenize", "tales", "--ids", "5", "--rate"])
    }

    @Test func timesOfTheInverseFisherMatrixAreFitted() throws {
        let arguments = ["bench", "--inverse-fisher", "--sweep", "--weights", "200", "--gradients", "2"]
        let json = try Program.run(arguments: arguments + ["--repetitions", "1", "--json"]).json()
        #expect(json["by_weights"]?.arrayValue?.map { $0["weights"]?.intValue } == [20, 63, 200, 632, 2_000])
        #expect(json["by_gradients"]?.arrayValue?.map { $0["gradients"]?.intValue } == [2, 4, 8, 16])
        for key in ["slopes_by_weights", "slopes_by_gradients"] {
            #expect(json[key]?.objectValue.map { Array($0.keys) } == ["precompute", "diagonal", "product"])
        }
        let text = try Program.run(arguments: arguments + ["--repetitions", "1"])
        #expect(text.output.contains("\n2 × 2000 ") && text.output.contains("\nslope by m "), "\(text.output)")
        try Program.expectFailure(64, "--sweep is of --inverse-fisher", ["bench", "--sweep"])
    }

    @Test func wrongUse() throws {
        let suite = ["bench", "--suite", "--size", "small"]
        try Program.expectFailure(64, "did you mean \"train-llama\"", suite + ["--part", "train-lama"])
        try Program.expectFailure(64, "--rounds", suite + ["--rounds", "0"])
        try Program.expectFailure(64, "expected no model", ["bench", "model", "--suite"])
        try Program.expectFailure(64, "--part: expected --suite", ["bench", "--part", "roofline"])
        try Program.expectFailure(64, "at most one of", ["bench", "--suite", "--train"])
    }
}
