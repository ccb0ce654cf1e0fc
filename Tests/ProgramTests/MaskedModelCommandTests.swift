import CoppiceModels
import Foundation
import FoundationNetworking
import Testing

/// Models that are run under a mask, without a sparse copy of them.
@Suite struct MaskedModelCommandTests {
    private let folder = TemporaryFolder()

    /// The mask of the built-in model's largest weights, and the model that `mask apply` makes of both.
    private func sparseTales(_ name: String, _ sparsity: Double) throws -> (mask: String, model: String) {
        let (mask, model) = (folder.path + "/\(name).safetensors", folder.path + "/\(name)")
        _ = try Program.json("mask", "extract", "tales", "--sparsity", "\(sparsity)", "--output", mask)
        _ = try Program.json("mask", "apply", "tales", mask, "--output", model)
        return (mask, model)
    }

    @Test func aLanguageModelUnderAMaskIsTheSparseModel() throws {
        let (mask, model) = try sparseTales("half", 0.5)
        let text = try folder.file("text.txt", String(repeating: "Once upon a time there was a king. ", count: 30))
        func perplexity(_ arguments: String...) throws -> Double? {
            try Program.json(arguments: ["evaluate"] + arguments + ["--text", text])["perplexity"]?.doubleValue
        }
        // In matrices this small zeros slow decoding down, and so they stay in the file, which is said.
        let again = try Program.run("mask", "apply", "tales", mask, "--output", model)
        #expect(again.output.contains("warning: zeros take up space"), "\(again)")
        let small = try Program.run("mask", "apply", "tales", mask, "--output", model + "-small", "--prefer", "size")
        #expect(small.status == 0 && !small.output.contains("warning"), "\(small)")
        let dense = try #require(try perplexity("tales"))
        let masked = try #require(try perplexity("tales", "--mask", mask))
        #expect(masked == (try perplexity(model)) && masked != dense)
        func answer(_ arguments: String...) throws -> String? {
            let own = ["generate"] + arguments + ["--prompt", "Once", "--max-tokens", "12", "--temperature", "0"]
            return try Program.json(arguments: own)["text"]?.stringValue
        }
        let text1 = try #require(try answer("tales", "--mask", mask))
        #expect(text1 == (try answer(model)))
    }

    @Test func aVisionNetworkUnderAMaskIsTheSparseNetwork() throws {
        let stock = VisionStock.shared
        let (mask, model) = (folder.path + "/mask.safetensors", folder.path + "/sparse")
        _ = try Program.json("mask", "extract", stock.model, "--sparsity", "0.95", "--output", mask)
        _ = try Program.json("mask", "apply", stock.model, mask, "--output", model)
        func loss(_ arguments: String...) throws -> Double {
            try #require(
                try Program.json(arguments: ["evaluate"] + arguments + ["--images", stock.images])["loss"]?.doubleValue)
        }
        let masked = try loss(stock.model, "--mask", mask)
        #expect(try abs(masked - loss(model)) < 1e-6 && abs(masked - loss(stock.model)) > 1e-3)
    }

    @Test func aServerHasTheModelUnderEachMask() async throws {
        let (half, most) = (try sparseTales("half", 0.5), try sparseTales("most", 0.8))
        let (server, port) = try await Program.serve(
            ["tales", "--mask", half.mask, "--mask", "small=\(most.mask)"])
        defer { server.terminate() }
        let address = "http://127.0.0.1:\(port)/v1/"
        func answer(_ route: String, _ body: String? = nil) async throws -> JSON {
            var request = URLRequest(url: try #require(URL(string: address + route)))
            if let body { (request.httpMethod, request.httpBody) = ("POST", Data(body.utf8)) }
            let data = try await URLSession.shared.data(for: request).0
            return try JSON(text: String(decoding: data, as: UTF8.self), source: route)
        }
        let served = try await answer("models")["data"]?.arrayValue?.compactMap { $0["id"]?.stringValue }
        #expect(served == ["tales", "half", "small"])
        for (name, model) in [("tales", "tales"), ("half", half.model), ("small", most.model)] {
            let completion = try await answer(
                "completions", #"{"model": "\#(name)", "prompt": "Once", "max_tokens": 12, "temperature": 0}"#)
            let alone = try Program.json(
                "generate", model, "--prompt", "Once", "--max-tokens", "12", "--temperature", "0")
            #expect(
                completion["choices"]?[0]?["text"]?.stringValue == alone["text"]?.stringValue, "\(name): \(completion)")
        }
    }

    @Test func masksOfOtherModelsAreRefused() throws {
        let (dense, mask) = (try folder.lenet("dense"), folder.path + "/a.safetensors")
        _ = try Program.json("mask", "extract", dense, "--sparsity", "0.5", "--output", mask)
        let other = try folder.lenet("other", seed: 2)
        let images = VisionStock.shared.images
        try Program.expectFailure(
            65, "is the mask of other weights than those of", ["evaluate", other, "--mask", mask, "--images", images])
        for arguments in [["generate", "tales", "--prompt", "Once"], ["evaluate", "tales"], ["chat", "tales"]] {
            try Program.expectFailure(65, "fc1.weight: is no weight of", arguments + ["--mask", mask])
        }
        try Program.expectFailure(
            65, "fc1.weight: is no weight of", ["serve", "tales", "--port", "0", "--mask", mask])
        try Program.expectFailure(66, "/nowhere", ["serve", "tales", "--port", "0", "--mask", "/nowhere"])
        let own = folder.path + "/own.safetensors"
        _ = try Program.json("mask", "extract", "tales", "--sparsity", "0.5", "--output", own)
        try Program.expectFailure(
            64, "two models have the name own",
            ["serve", "tales", "--port", "0", "--mask", own, "--mask", "own=\(own)"])
    }
}
