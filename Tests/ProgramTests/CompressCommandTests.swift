import CoppiceModels
import Foundation
import Testing

/// `compress` and `convert`, and running what they write.
@Suite(.serialized) struct CompressCommandTests {
    @Test(arguments: [
        "int8", "int4-group32", "magnitude-2of4", "wanda-2of4-int8", "wanda-neurons-25-int8", "sparsegpt-2of4",
    ])
    func recipesGiveSmallerModelsThatRun(recipe: String) throws {
        let folder = TemporaryFolder()
        let output = folder.path + "/small"
        let run = try Program.run(
            "compress", "tales", "--recipe", Program.root.path + "/Recipes/\(recipe).yaml", "--output", output, "--json"
        )
        #expect(run.status == 0, "\(run.errors)")
        let json = try run.json()
        let before = try #require(json["bytes_before"]?.intValue), after = try #require(json["bytes_after"]?.intValue)
        #expect(after < before)
        #expect((json["perplexity_after"]?.doubleValue ?? 0) > 1)
        let tensors = try #require(try Program.run("inspect", output, "--json").json()["tensors"]?.arrayValue)
        #expect(tensors.contains { $0["format"]?.stringValue != "bf16" })
        let text = try Program.run(
            "generate", output, "--prompt", "Once upon a time", "--max-tokens", "8", "--seed", "1", "--json")
        #expect(text.status == 0, "\(text.errors)")
        for file in ["recipe.yaml", "report.json", "config.json", "model.safetensors", "tokenizer.json"] {
            #expect(FileManager.default.fileExists(atPath: output + "/" + file), "\(file)")
        }
    }

    /// Half of the heads: a dense model of half the attention, which is read like any other.
    @Test func headsLeaveASmallerDenseModel() throws {
        let folder = TemporaryFolder()
        let output = folder.path + "/half"
        let recipe = Program.root.path + "/Recipes/taylor-heads-50.yaml"
        let run = try Program.run("compress", "tales", "--recipe", recipe, "--output", output, "--json")
        #expect(run.status == 0, "\(run.errors)")
        let json = try run.json()
        #expect(json["bytes_after"]?.intValue == 5_706_624 && json["sparsity"]?.doubleValue == 0)
        let perplexity = try #require(json["perplexity_after"]?.doubleValue)
        #expect(perplexity > 31 && perplexity < 60)
        let bytes = try #require(FileManager.default.contents(atPath: output + "/config.json"))
        let written = try JSON(parsing: bytes, source: "config.json")
        for (key, value) in [("num_attention_heads", 3), ("num_key_value_heads", 1), ("head_dim", 32)] {
            #expect(written[key]?.intValue == value, "\(key)")
        }
        let again = try Program.run(
            "compress", output, "--recipe", recipe, "--output", folder.path + "/none", "--skip-evaluation")
        #expect(again.status == 65 && again.errors.contains("a block has 1 head of keys and values"))
        let text = try Program.run(
            "generate", output, "--prompt", "Once upon a time", "--max-tokens", "8", "--seed", "1", "--json")
        #expect(text.status == 0, "\(text.errors)")
    }

    @Test func expandedWeightsGiveTheSameLogits() throws {
        let folder = TemporaryFolder()
        let recipe = Program.root.path + "/Recipes/int8.yaml"
        _ = try Program.run(
            "compress", "tales", "--recipe", recipe, "--output", folder.path + "/int8", "--skip-evaluation", "--json")
        let run = try Program.run(
            "convert", folder.path + "/int8", "--to", "safetensors", "--type", "f32", "--output", folder.path + "/f32")
        #expect(run.status == 0, "\(run.errors)")
        func logits(_ model: String, level: String) throws -> [Double] {
            let run = try Program.run(
                "logits", folder.path + model, "--ids", "9,8,7", "--json", environment: ["COPPICE_CPU": level])
            return try #require(run.json()["logits"]?.arrayValue)
                .flatMap { $0.arrayValue ?? [] }.compactMap(\.doubleValue)
        }
        let dense = try logits("/f32", level: "portable")
        #expect(dense.count == 3 * 4096)
        // The portable kernels leave activations as they are, others round them to 8 bits.
        for (level, tolerance) in [("portable", 1e-3), ("avx2", 0.2), ("avx512", 0.2)] {
            let small = try logits("/int8", level: level)
            #expect(small.count == dense.count)
            #expect(zip(small, dense).allSatisfy { abs($0 - $1) < tolerance }, "\(level)")
        }
    }

    /// Training on what is measured is said, whatever the files are called, and so is looking at it.
    @Test func useOfTheTextOfTheEvaluationIsSaid() throws {
        let folder = TemporaryFolder()
        let text = String(repeating: "Once upon a time there was a small red hen. ", count: 30)
        for (name, content) in [("a.txt", text), ("b.txt", text), ("c.txt", text + "The end.")] {
            try content.write(toFile: "\(folder.path)/\(name)", atomically: true, encoding: .utf8)
        }
        func errors(_ recovery: String, _ arguments: String...) throws -> String {
            let recipe = folder.path + "/r.yaml"
            try """
            calibration: { samples: 2, sequence_length: 16 }
            training: { epochs: 0.05, batch_size: 1 }
            stages: [{ prune: { method: taylor, sparsity: 0.1, recovery: \(recovery) } }]
            """.write(toFile: recipe, atomically: true, encoding: .utf8)
            let run = try Program.run(
                arguments: [
                    "compress", "tales", "--recipe", recipe, "--output", folder.path + "/small", "--calibration",
                    folder.path + "/a.txt",
                ] + arguments)
            #expect(run.status == 0, "\(run.errors)")
            try? FileManager.default.removeItem(atPath: folder.path + "/small")
            return run.errors
        }
        let warning = "warning: --calibration is the text that perplexity is measured on (--evaluate): "
        let (same, other) = (folder.path + "/b.txt", folder.path + "/c.txt")
        for (recovery, use) in [("fine-tune", "the model trains on it"), ("none", "methods look at it")] {
            let lines = try errors(recovery, "--evaluate", same).split(separator: "\n")
            #expect(lines.count { $0.hasPrefix(warning + use) } == 1, "\(lines)")
            #expect(lines.count { $0.contains("warning") || $0.hasPrefix("note: methods look") } == 1, "\(lines)")
        }
        #expect(try !errors("fine-tune", "--evaluate", other).contains("warning"))
        #expect(try !errors("fine-tune", "--evaluate", same, "--skip-evaluation").contains("warning"))
        #expect(try !errors("none", "--evaluate", other).contains("warning"))
    }

    /// Which text methods look at is said and written down.
    @Test func theCalibrationTextIsNamed() throws {
        let folder = TemporaryFolder()
        let text = try folder.file("text.txt", String(repeating: "A hen met two owls and a hare. ", count: 40))
        let calibration = "calibration: { samples: 2, sequence_length: 16 }\n"
        let wanda = try folder.file("w.yaml", calibration + "stages: [{ prune: { method: wanda, sparsity: 0.1 } }]\n")
        let plain = try folder.file("m.yaml", "stages: [{ prune: { method: magnitude, sparsity: 0.1 } }]\n")
        func run(_ recipe: String, _ options: String...) throws -> (errors: String, source: JSON?) {
            let output = folder.path + "/small"
            let run = try Program.run(
                arguments: ["compress", "tales", "--recipe", recipe, "--output", output] + options)
            #expect(run.status == 0, "\(run.errors)")
            let bytes = try #require(FileManager.default.contents(atPath: output + "/report.json"))
            try FileManager.default.removeItem(atPath: output)
            return (run.errors, try JSON(parsing: bytes, source: "report.json")["calibration_source"])
        }
        let note = "note: methods look at the sample tales that come with the program"
        let warning = "warning: the calibration text is the text that perplexity is measured on (the sample tales)"
        let byDefault = try run(wanda)
        #expect(byDefault.errors.contains(note) && byDefault.errors.contains(warning), "\(byDefault.errors)")
        #expect(byDefault.source?.stringValue == "sample tales")
        let elsewhere = try run(wanda, "--evaluate", text)
        #expect(elsewhere.errors.contains(note) && !elsewhere.errors.contains("warning"), "\(elsewhere.errors)")
        let named = try run(wanda, "--calibration", text)
        #expect(!named.errors.contains("note: ") && !named.errors.contains("warning"), "\(named.errors)")
        #expect(named.source?.stringValue == text)
        let without = try run(plain)
        #expect(!without.errors.contains("note: ") && !without.errors.contains("warning"), "\(without.errors)")
        #expect(without.source == nil)
    }

    @Test func aKilledCompressLeavesNothingUnderTheName() throws {
        let folder = TemporaryFolder()
        let recipe = Program.root.path + "/Recipes/wanda-2of4-int8.yaml"
        for milliseconds in [30, 120, 300] {
            let process = try Program.start(
                ["compress", "tales", "--recipe", recipe, "--output", folder.path + "/small", "--skip-evaluation"])
            usleep(UInt32(milliseconds) * 1000)
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            // Either it was done before, and is whole, or there is nothing.
            if FileManager.default.fileExists(atPath: folder.path + "/small") {
                #expect(try Program.run("evaluate", folder.path + "/small", "--json").status == 0)
                try FileManager.default.removeItem(atPath: folder.path + "/small")
            }
        }
    }
}
