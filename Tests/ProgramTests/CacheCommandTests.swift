import CoppiceModels
import Foundation
import Testing

/// Cache types and windows.
@Suite(.serialized) struct CacheCommandTests {
    @Test(arguments: ["f32", "f16", "bf16", "int8", "int4"])
    func cacheTypesAreReportedAndClose(type: String) throws {
        let run = try Program.run("evaluate", "tales", "--cache-type", type, "--json")
        #expect(run.status == 0, "\(run.errors)")
        let json = try run.json()
        #expect(json["cache_type"]?.stringValue == type)
        let plain = try #require(Program.run("evaluate", "tales", "--json").json()["perplexity"]?.doubleValue)
        let perplexity = try #require(json["perplexity"]?.doubleValue)
        #expect(abs(perplexity / plain - 1) < (type == "int4" ? 0.02 : 0.002), "\(perplexity), f32 \(plain)")
    }

    @Test func aWindowLetsATextGoOnInBoundedMemory() throws {
        // Four and two times the context of 512.
        for tokens in [2000, 1000] {
            let run = try Program.run(
                "generate", "tales", "--prompt", "Once upon a time", "--max-tokens", "\(tokens)", "--seed", "1",
                "--window", "200", "--sinks", "4", "--cache-type", "int8", "--ignore-end", "--json")
            #expect(run.status == 0, "\(run.errors)")
            let json = try run.json()
            #expect(json["generated_tokens"]?.intValue == tokens)
            #expect(json["finish_reason"]?.stringValue == "length")
            // 9 bits for each of 2 · 2 · 32 numbers in 6 layers.
            let bytesPerPosition = 2 * 2 * 32 * 6 * 9 / 8
            let bytes = try #require(json["cache_bytes"]?.intValue)
            #expect(bytes <= 13 * 64 * bytesPerPosition)
        }
        let run = try Program.run(
            "generate", "tales", "--prompt", "Once", "--max-tokens", "2000", "--seed", "1", "--ignore-end", "--json")
        let written = try #require(run.json()["generated_tokens"]?.intValue)
        #expect(written < 512)
    }

    @Test func wrongOnesAreRefused() throws {
        for (arguments, word) in [
            (["--cache-type", "int2"], "int4"), (["--sinks", "4"], "--window"), (["--window", "0"], "window"),
            (["--window", "510", "--sinks", "4"], "context of 512"), (["--window=9", "--sinks=-1"], "sinks"),
        ] {
            try Program.expectFailure(64, word, ["generate", "tales", "--prompt", "Once"] + arguments)
        }
    }

    @Test func textsAreKeptInHalfPrecisionAndEvaluationsInFull() throws {
        let generated = try Program.run("generate", "tales", "--prompt", "Once", "--max-tokens", "2", "--json")
        #expect(try generated.json()["cache_type"]?.stringValue == "f16")
        #expect(try Program.run("evaluate", "tales", "--json").json()["cache_type"]?.stringValue == "f32")
    }

    @Test func pinnedWorkersWriteTheSame() throws {
        func text(_ pin: String, _ value: String) throws -> String? {
            let run = try Program.run(
                "generate", "tales", "--prompt", "Once", "--max-tokens", "20", "--seed", "1", "--json", pin,
                environment: ["COPPICE_PIN": value])
            #expect(run.status == 0, "\(run.errors)")
            return try run.json()["text"]?.stringValue
        }
        let free = try text("--ignore-end", "")
        #expect(try free != nil && text("--pin", "") == free && text("--ignore-end", "1") == free)
        let refused = try Program.run("generate", "tales", "--prompt", "Once", environment: ["COPPICE_PIN": "yes"])
        #expect(refused.status == 64 && refused.errors.contains("COPPICE_PIN: expected 0 or 1, found yes"))
        guard ProcessInfo.processInfo.activeProcessorCount < 256 else { return }
        try Program.expectFailure(
            64, "pin: 256 threads", ["generate", "tales", "--prompt", "Once", "--pin", "--threads", "256"])
    }

    @Test func aServerRefusesAWindowThatDoesNotFit() throws {
        try Program.expectFailure(
            64, "context of 512", ["serve", "tales", "--port", "0", "--window", "510", "--sinks", "4"])
    }
}
