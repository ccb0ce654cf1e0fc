import CKernels
import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct CompressorTests {
    let folder: TemporaryFolder
    let checkpoint: Checkpoint
    let text = CalibrationTokens((0..<500).map { ($0 * $0 + 7 * $0) % 50 }, source: "text.txt")

    init() throws {
        folder = try TemporaryFolder()
        checkpoint = try TinyCheckpoint.make(in: folder)
    }

    private func recipe(_ stages: String) throws -> Recipe {
        try Recipe(
            yaml: "prefer: size\ncalibration: {samples: 4, sequence_length: 16}\nstages:\n\(stages)\n", source: "r.yaml"
        )
    }

    private func compress(_ stages: String, to name: String = "out") throws -> (Checkpoint, CompressionReport) {
        let recipe = try recipe(stages)
        let report = try Compressor(checkpoint, recipe: recipe).run(
            output: folder.path + "/" + name, calibration: recipe.needsCalibration ? text : nil)
        return (try Checkpoint.open(folder.path + "/" + name), report)
    }

    /// Rates that follow from measured curves: exact in sum, not alike, and told.
    @Test(arguments: ["magnitude", "wanda"]) func ratesFollowFromWhatTheyCost(method: String) throws {
        let (compressed, report) = try compress(
            "  - prune: {method: \(method), sparsity: 0.5, allocation: rate-distortion, grid: 5, samples: 2}")
        #expect(report.calibrationTokens == 64)
        let rates = try #require(report.stageReports?.first?.rates)
        #expect(rates.count == 14 && Set(rates.map(\.rate)).count > 2)
        var (zeros, count) = (0, 0)
        for rate in rates {
            let weight = try compressed.weight(rate.name).dense()
            (zeros, count) = (zeros + weight.zeroCount, count + weight.count)
            #expect(abs(Double(weight.zeroCount) / Double(weight.count) - rate.rate) < 1e-9, "\(rate.name)")
        }
        #expect(zeros == count / 2)
        #expect {
            _ = try Compressor(
                checkpoint, recipe: recipe("  - prune: {method: magnitude, sparsity: 0.5, allocation: rate-distortion}")
            ).run(output: folder.path + "/none")
        } throws: { "\($0)".contains("allocation rate-distortion measures, and needs a calibration text") }
    }

    /// Multiplications for a token: what is zero is not counted, factors instead of the matrix that they make.
    @Test func multiplicationsForATokenAreCounted() throws {
        let (_, report) = try compress(
            "  - prune: {method: magnitude, sparsity: 0.5, targets: mlp}\n  - low-rank: {rank: 2, targets: q_proj}")
        let counts = try #require(report.totals.multiplications)
        #expect(counts.dense == checkpoint.configuration.cost.multiplyAccumulates && counts.before == counts.dense)
        let whole = report.weights.reduce(0) { sum, weight in
            guard weight.multiplications != nil else { return sum }
            if weight.name.contains("q_proj") { return sum + 2 * (weight.shape[0] + weight.shape[1]) }
            return sum + (weight.name.contains("mlp") ? weight.count / 2 : weight.count)
        }
        #expect(counts.after == whole)
        #expect(report.prunable.removed > report.totals.removed && report.totals.removed > 0.1)
        #expect(report.weights.filter(\.isPrunable).count == 14 && report.collapsed.isEmpty)
    }

    @Test func optionsOfVisionNetworksAreRefused() throws {
        for (stage, message) in [
            ("{method: synflow, sparsity: 0.5}", "method: synflow is for vision networks"),
            ("{method: random, sparsity: 0.5, granularity: channel}", "granularity: granularity channel is for vision"),
            (
                "{method: magnitude, sparsity: 0.5, allocation: rate-distortion, calibration: gaussian}",
                "calibration: gaussian is for vision networks"
            ),
        ] {
            #expect { _ = try Compressor(checkpoint, recipe: recipe("  - prune: \(stage)")) } throws: {
                "\($0)".contains("stages[0].prune.\(message)")
            }
        }
    }

    private let projection = "model.layers.1.mlp.up_proj.weight"

    @Test(arguments: [
        ("  - quantize: {bits: 8}", "int8"),
        ("  - quantize: {bits: 4, group_size: 32}", "int4-group32"),
        ("  - quantize: {bits: 4, group_size: 32, symmetric: false}", "int4-group32-asymmetric"),
        ("  - quantize: {bits: 3}", "int3-group64"),
        ("  - quantize: {bits: 5, group_size: 32, symmetric: false}", "int5-group32-asymmetric"),
        ("  - quantize: {bits: 6, group_size: channel}", "int6"),
        ("  - quantize: {bits: ternary}", "ternary-group64"),
        ("  - quantize: {bits: 2, scheme: bipolar}", "bipolar2-group64"),
        ("  - quantize: {bits: 4, codebook: k-means}", "kmeans4-group64"),
        ("  - quantize: {bits: 3, codebook: k-means, tables: row}", "kmeans3-row-tables"),
        ("  - quantize: {bits: 4, codebook: power}", "power4"),
        ("  - prune: {method: magnitude, sparsity: 0.5}\n  - quantize: {bits: 3}", "int3-group64"),
        ("  - prune: {method: magnitude, sparsity: 0.5}", "sparse-bitmask-bf16"),
        ("  - prune: {method: magnitude, pattern: \"2:4\"}", "sparse-2:4-bf16"),
        ("  - prune: {method: wanda, pattern: \"2:4\"}\n  - quantize: {bits: 8}", "sparse-2:4-int8"),
        ("  - prune: {method: random, sparsity: 0.7}\n  - quantize: {bits: 4}", "sparse-bitmask-int4-group32"),
        ("  - prune: {method: sparsegpt, sparsity: 0.5}", "sparse-bitmask-bf16"),
        ("  - prune: {method: sparsegpt, pattern: \"2:4\"}\n  - quantize: {bits: 8}", "sparse-2:4-int8"),
        ("  - prune: {method: wanda, pattern: \"2:4\", recovery: reconstruct}", "sparse-2:4-bf16"),
        (
            "  - prune: {method: magnitude, sparsity: 0.5, pattern: group}\n  - quantize: {bits: 4}",
            "group-sparse-int4-group32"
        ),
        (
            "  - prune: {method: wanda, sparsity: 0.5, pattern: group, group_size: 16, group_score: max}\n"
                + "  - quantize: {bits: 8, symmetric: false}", "group-sparse-int8-group16-asymmetric"
        ),
    ])
    func everyMethodEndsInAFormatThatIsSmaller(stages: String, label: String) throws {
        let (compressed, report) = try compress(stages)
        let weight = try compressed.weight(projection)
        #expect(weight.label == label)
        #expect(report.compressed.bytes < report.compressed.bytesBefore)
        let entry = try #require(report.weights.first { $0.name == projection })
        #expect(entry.formatBefore == "bf16" && entry.format == label)
        #expect(entry.bytes == weight.byteCount && entry.bytesBefore == 64 * 96 * 2)
        let error = try #require(entry.relativeError)
        #expect(error > 0 && error < 0.95)
        // What is stored is what was decided: kept values are close, removed ones zero.
        let dense = try checkpoint.weight(projection).dense().floats()
        let found = weight.dense().floats()
        let difference = zip(dense, found).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        let norm = dense.reduce(0.0) { $0 + Double($1 * $1) }
        #expect(abs((difference / norm).squareRoot() - error) < 1e-6)
        #expect(abs(entry.sparsity - Double(found.count { $0 == 0 }) / Double(found.count)) < 1e-12)
        // What no stage works on is untouched.
        let embeddings = "model.embed_tokens.weight"
        #expect(try compressed.tensor(embeddings).floats() == checkpoint.tensor(embeddings).floats())
        let norms = "model.layers.0.input_layernorm.weight"
        #expect(try compressed.tensor(norms).floats() == checkpoint.tensor(norms).floats())
        #expect(report.weights.map(\.name) == checkpoint.weightNames)
    }

    @Test func prunedValuesAreKeptExactly() throws {
        let (compressed, report) = try compress("  - prune: {method: magnitude, sparsity: 0.4, scope: global}")
        var kept = 0
        var total = 0
        for name in checkpoint.weightNames where WeightSelection.isBlockProjection(name) {
            let before = try checkpoint.weight(name).dense().floats()
            let after = try compressed.weight(name).dense().floats()
            #expect(zip(before, after).allSatisfy { $1 == 0 || $0 == $1 })
            kept += after.count { $0 != 0 }
            total += after.count
        }
        // Weights that were zero before are removed first; a normal sample in bf16 has none.
        #expect(kept == total - ExactSelection.removedCount(total, sparsity: 0.4))
        #expect(abs(report.compressed.sparsity - 0.4) < 1e-4)
    }

    @Test func quantizingKeepsZerosExactly() throws {
        let stages = "  - prune: {method: magnitude, pattern: \"1:4\"}"
        let (pruned, _) = try compress(stages, to: "pruned")
        for options in [
            "bits: 4", "bits: 8", "bits: 4, symmetric: false", "bits: 8, symmetric: false", "bits: 3",
            "bits: 2, symmetric: false", "bits: ternary", "bits: 4, codebook: k-means",
            "bits: 2, codebook: k-means, tables: group, group_size: 32", "bits: 3, codebook: power",
        ] {
            let (both, _) = try compress(stages + "\n  - quantize: {\(options)}", to: "both")
            let first = try pruned.weight(projection).dense().floats()
            let second = try both.weight(projection).dense().floats()
            #expect(zip(first, second).allSatisfy { $0 != 0 || $1 == 0 }, "\(options)")
        }
    }

    @Test func theFolderHoldsRecipeAndReport() throws {
        let (_, report) = try compress("  - quantize: {bits: 8, targets: \"*\"}")
        let files = try folder.files("out")
        let recipe = try recipe("  - quantize: {bits: 8, targets: \"*\"}")
        #expect(files["recipe.yaml"] == Data(recipe.text.utf8))
        #expect(report.recipeHash == recipe.hash)
        let json = try JSON(parsing: try #require(files["report.json"]), source: "report.json")
        #expect(json["recipe_hash"]?.stringValue == recipe.hash)
        #expect(json["seed"]?.intValue == 42)
        #expect(json["weights"]?.arrayValue?.count == checkpoint.weightNames.count)
        #expect(json["layers"]?.arrayValue?.count == 2)
        let totals = try #require(json["totals"])
        #expect(totals["bytes_before"]?.intValue == report.totals.bytesBefore)
        #expect(
            report.totals.parameters == checkpoint.configuration.tensorShapes.reduce(0) { $0 + $1.shape.reduce(1, *) })
        #expect(report.totals.bitsPerWeight < 9 && report.totals.bitsPerWeight > 8)
        let inventory = try ModelInventory(Checkpoint.open(folder.path + "/out"))
        #expect(inventory.total.byteCount == report.totals.bytes)
    }

    @Test func bytesFollowFromTheSeedAndNotFromThreads() throws {
        let before = coppice_thread_count()
        defer { coppice_set_thread_count(before) }
        for stages in [
            "  - prune: {method: wanda, sparsity: 0.5}\n  - quantize: {bits: 4}",
            "  - prune: {method: random, sparsity: 0.5, scope: global}",
        ] {
            var results: [[String: Data]] = []
            for threads in [1, 2, 5] {
                coppice_set_thread_count(Int32(threads))
                _ = try compress(stages, to: "out\(threads)")
                results.append(try folder.files("out\(threads)"))
            }
            #expect(results[0].count >= 4)
            #expect(results[0] == results[1] && results[0] == results[2])
        }
    }

    @Test func nonFiniteWeightsAreNamedWhereverTheyAre() throws {
        for name in [projection, "model.embed_tokens.weight", "model.norm.weight"] {
            let broken = try TinyCheckpoint.make(in: folder, name: "broken") { tensor, values in
                guard tensor == name else { return values }
                var changed = values.floats()
                changed[3] = .nan
                return Tensor(changed, shape: values.shape).converted(to: .bf16)
            }
            #expect {
                _ = try Compressor(broken, recipe: recipe("  - quantize: {bits: 8}")).run(output: folder.path + "/nan")
            } throws: { error in
                let text = "\(error)"
                return (error as? CoppiceError)?.kind == .badData && text.contains(name) && text.contains("NaN")
            }
            #expect(!FileManager.default.fileExists(atPath: folder.path + "/nan"))
        }
    }

    @Test func nothingIsLeftOfACompressionThatFails() throws {
        let short = CalibrationTokens([1, 2, 3], source: "short.txt")
        #expect {
            _ = try Compressor(checkpoint, recipe: recipe("  - prune: {method: wanda, sparsity: 0.5}"))
                .run(output: folder.path + "/out", calibration: short)
        } throws: { "\($0)".hasPrefix("short.txt: the calibration text has 3 tokens") }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["model"])
    }

    @Test(arguments: [
        ("method: sparsegpt, sparsity: 0.5", "method sparsegpt"),
        ("method: magnitude, sparsity: 0.5, recovery: reconstruct", "recovery reconstruct"),
    ])
    func compensationNeedsAText(stage: String, subject: String) throws {
        #expect {
            _ = try Compressor(checkpoint, recipe: recipe("  - prune: {\(stage)}")).run(output: folder.path + "/out")
        } throws: {
            "\($0)"
                == "r.yaml: stages[0].prune: \(subject) looks at activations, and needs a calibration text; there is none"
        }
    }

    @Test func whatIsMissingOrDoesNotFitIsSaid() throws {
        #expect {
            _ = try Compressor(checkpoint, recipe: recipe("  - prune: {method: wanda, sparsity: 0.5}"))
                .run(output: folder.path + "/out")
        } throws: { error in
            (error as? CoppiceError)?.kind == .usage
                && "\(error)"
                    == "r.yaml: stages[0].prune: method wanda looks at activations, and needs a calibration text; there is none"
        }
        #expect {
            let recipe = try Recipe(
                yaml: "calibration: {sequence_length: 65}\nstages: [{prune: {method: wanda, sparsity: 0.5}}]",
                source: "r.yaml")
            _ = try Compressor(checkpoint, recipe: recipe)
        } throws: {
            "\($0)" == "r.yaml: calibration.sequence_length: 65 is longer than the model's context of 64"
        }
        #expect {
            _ = try Compressor(checkpoint, recipe: recipe("  - prune: {method: wanda, sparsity: 0.5}")).run(
                output: folder.path + "/out",
                calibration: CalibrationTokens([Int](repeating: 50, count: 100), source: "t"))
        } throws: { "\($0)".contains("the tokenizer gives token 50, expected one of the model's 50") }
        try FileManager.default.createDirectory(atPath: folder.path + "/mine", withIntermediateDirectories: true)
        try Data("x".utf8).write(to: URL(fileURLWithPath: folder.path + "/mine/notes.txt"))
        #expect {
            _ = try Compressor(checkpoint, recipe: recipe("  - quantize: {bits: 8}")).run(output: folder.path + "/mine")
        } throws: { ($0 as? CoppiceError)?.kind == .cannotCreate }
        #expect(FileManager.default.fileExists(atPath: folder.path + "/mine/notes.txt"))
    }

    @Test func aCompressedModelCanBeCompressedFurther() throws {
        let (first, _) = try compress("  - quantize: {bits: 8, targets: mlp}", to: "first")
        let report = try Compressor(first, recipe: recipe("  - quantize: {bits: 4, targets: self_attn}"))
            .run(output: folder.path + "/second")
        let second = try Checkpoint.open(folder.path + "/second")
        #expect(try second.weight(projection).label == "int8")
        #expect(try second.weight(projection).dense().floats() == first.weight(projection).dense().floats())
        #expect(try second.weight("model.layers.0.self_attn.q_proj.weight").label == "int4-group32")
        #expect(report.weights.first { $0.name == projection }?.relativeError == nil)
    }

    /// Whatever a recipe prefers: what was stored sparsely is no larger afterwards.
    @Test func sparseWeightsStaySparse() throws {
        func again(_ model: Checkpoint, _ stages: String) throws -> CompressionReport.Weight {
            let recipe = try Recipe(yaml: "stages:\n" + stages, source: "r.yaml")
            let report = try Compressor(model, recipe: recipe).run(output: folder.path + "/again")
            return try #require(report.weights.first { $0.name == projection })
        }
        let (half, _) = try compress("  - prune: {method: magnitude, sparsity: 0.5}", to: "half")
        let pruned = try again(half, "  - prune: {method: magnitude, sparsity: 0.6}")
        #expect(pruned.formatBefore == "sparse-bitmask-bf16" && pruned.format == pruned.formatBefore)
        #expect(pruned.bytes < pruned.bytesBefore && pruned.sparsity >= 0.59 && pruned.sparsityBefore < 0.51)
        let quantized = try again(half, "  - quantize: {bits: 8}")
        #expect(quantized.format == "sparse-bitmask-int8" && quantized.sparsity >= 0.49)
        let (pattern, _) = try compress("  - prune: {method: magnitude, pattern: \"2:4\"}", to: "pattern")
        #expect(try again(pattern, "  - quantize: {bits: 8}").format == "sparse-2:4-int8")
        #expect(try again(pattern, "  - prune: {method: magnitude, sparsity: 0.6}").format.hasPrefix("sparse-"))
    }

    /// Less than is gone already, by an earlier stage or in the model.
    @Test(arguments: ["magnitude", "wanda"]) func removedWeightsDoNotReturn(method: String) throws {
        func failure(_ body: () throws -> Void) -> String {
            do {
                try body()
                return "nothing was wrong"
            } catch { return "\(error)" }
        }
        let (sparse, _) = try compress("  - prune: {method: magnitude, sparsity: 0.75}", to: "sparse")
        let second = "  - prune: {method: \(method), sparsity: 0.5}"
        let stages = failure { _ = try compress("  - prune: {method: magnitude, sparsity: 0.75}\n" + second, to: "x") }
        #expect(stages.hasPrefix("r.yaml: stages[1].prune: sparsity: 0.5 is below the 0.75"))
        let model = failure {
            _ = try Compressor(sparse, recipe: recipe(second)).run(output: folder.path + "/x", calibration: text)
        }
        #expect(model.hasPrefix("r.yaml: stages[0].prune: sparsity: 0.5 is below the 0.75"))
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/x"))
        // As much again, none and a pattern ask for nothing that is not there.
        for stage in ["sparsity: 0.75", "sparsity: 0", "pattern: \"2:4\""] {
            let recipe = try recipe("  - prune: {method: \(method), \(stage)}")
            let report = try Compressor(sparse, recipe: recipe).run(
                output: folder.path + "/" + method, calibration: text)
            #expect(report.compressed.sparsity >= 0.749)
        }
    }

    @Test func zerosThatSaveNothingAreWarnedOf() throws {
        let plain = try Recipe(yaml: "stages: [{prune: {method: magnitude, sparsity: 0.5}}]", source: "r.yaml")
        let report = try Compressor(checkpoint, recipe: plain).run(output: folder.path + "/plain")
        #expect(report.warnings.count == 1 && report.warnings[0].contains("prefer: size"))
        #expect(try compress("  - prune: {method: magnitude, sparsity: 0.5}").1.warnings.isEmpty)
    }

    @Test func sparseFormatsAreChosenOnlyWhereTheyPay() throws {
        let (dense, _) = try compress("  - prune: {method: magnitude, sparsity: 0.05}")
        #expect(try dense.weight(projection).label == "bf16")
        let (codes, _) = try compress("  - prune: {method: magnitude, sparsity: 0.2}\n  - quantize: {bits: 4}")
        #expect(try codes.weight(projection).label == "int4-group32")
    }

    /// A matrix as small as these is read from caches, where no bitmask is faster: it stays dense unless asked for.
    @Test func bitmasksAreChosenWhereTheyAreFasterOrAskedFor() throws {
        func chosen(_ rows: Int, _ columns: Int, sparsity: Double, bits: Int?, _ planner: FormatPlanner) throws
            -> String
        {
            var values = [Float](repeating: 0, count: rows * columns)
            let kept = Int((1 - sparsity) * Double(values.count))
            for index in 0..<kept { values[index * values.count / kept] = Float(index % 7 + 1) }
            let quantization = bits.map { QuantizeStage(bits: $0, groupSize: 32) }
            let decision = WeightDecision(mask: WeightMask(keepingAllOf: rows, columns), quantization: quantization)
            return try planner.format(Tensor(values, shape: [rows, columns]), for: decision, dataType: .bf16).label
        }
        for sparsity in [0.5, 0.9] {
            #expect(try chosen(64, 96, sparsity: sparsity, bits: nil, FormatPlanner()) == "bf16")
            let small = try chosen(64, 96, sparsity: sparsity, bits: nil, FormatPlanner(preference: .size))
            #expect(small == "sparse-bitmask-bf16")
        }
        #expect(try chosen(2048, 2048, sparsity: 0.5, bits: nil, FormatPlanner()) == "sparse-bitmask-bf16")
        #expect(try chosen(2048, 2048, sparsity: 0.3, bits: nil, FormatPlanner()) == "bf16")
        #expect(try chosen(2048, 2048, sparsity: 0.5, bits: 8, FormatPlanner()) == "sparse-bitmask-int8-group32")
        #expect(try chosen(2048, 2048, sparsity: 0.9, bits: 4, FormatPlanner()) == "int4-group32")
        #expect(try chosen(512, 512, sparsity: 0.9, bits: nil, FormatPlanner()) == "sparse-bitmask-bf16")
        var planner = FormatPlanner()
        planner.breakEvens = [FormatPlanner.BreakEven(bits: 16, sparsity: 0.2, entries: 1)]
        #expect(try chosen(64, 96, sparsity: 0.5, bits: nil, planner) == "sparse-bitmask-bf16")
        let recipe = try Recipe(yaml: "stages: [{prune: {method: magnitude, sparsity: 0.5}}]")
        #expect(recipe.preference == .speed)
        let dense = try Compressor(checkpoint, recipe: recipe)
        #expect(dense.planner.preference == .speed)
        _ = try dense.run(output: folder.path + "/dense")
        #expect(try Checkpoint.open(folder.path + "/dense").weight(projection).label == "bf16")
    }

    @Test func ranksBecomeProducts() throws {
        let (factored, _) = try compress("  - low-rank: {rank: 8}")
        #expect(try factored.weight(projection).label == "low-rank8-bf16")
        let (quantized, report) = try compress(
            "  - low-rank: {energy: 0.8, targets: mlp}\n  - quantize: {bits: 8}", to: "other")
        let weight = try quantized.weight(projection)
        #expect(weight.label.hasPrefix("low-rank") && weight.label.hasSuffix("-int8"))
        let entry = try #require(report.weights.first { $0.name == projection })
        // 80 % of the squared norm stays, and rounding takes next to nothing.
        #expect(try #require(entry.relativeError) < 0.46)
        #expect(report.stages[0] == "low-rank: { energy: 0.8, targets: [\"mlp\"] }")
        #expect(throws: CoppiceError.self) {
            try self.compress("  - low-rank: {rank: 8}\n  - prune: {method: magnitude, sparsity: 0.5}", to: "both")
        }
    }

    @Test func starvedMatricesAreWarnedOf() throws {
        let weak = try TinyCheckpoint.make(in: folder, name: "weak") { name, values in
            guard name == projection else { return values }
            return Tensor(values.floats().map { $0 * 1e-3 }, shape: values.shape).converted(to: .bf16)
        }
        let report = try Compressor(
            weak, recipe: recipe("  - prune: {method: magnitude, sparsity: 0.3, scope: global}")
        )
        .run(output: folder.path + "/out")
        #expect(report.warnings == ["\(projection) has no weight left"])
    }
}
