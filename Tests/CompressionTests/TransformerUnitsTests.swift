import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// Whole heads and neurons of small random decoders, in f32.
@Suite struct TransformerUnitsTests {
    let folder: TemporaryFolder
    private let text = CalibrationTokens((0..<500).map { ($0 * $0 + 7 * $0) % 50 }, source: "text.txt")

    init() throws { folder = try TemporaryFolder() }

    /// Three blocks, six heads of queries on three of keys and values, biases as the family has them.
    private func configuration(
        _ family: DecoderConfiguration.Family = .qwen2, heads: Int = 6, keys: Int = 3
    ) -> DecoderConfiguration {
        DecoderConfiguration(
            family: family, vocabularySize: 50, hiddenSize: 48, intermediateSize: 40, layerCount: 3, headCount: heads,
            keyValueHeadCount: keys, headSize: 8, maximumPositions: 64, hasFeedForwardBias: family == .llama,
            tiesEmbeddings: family == .qwen3, dataType: .f32)
    }

    private func make(
        _ configuration: DecoderConfiguration, change: (String, Tensor) -> Tensor = { $1 }
    ) throws -> Checkpoint {
        try TinyCheckpoint.make(in: folder, dataType: .f32, configuration: configuration) { name, values in
            // Biases that are not zero, so that a forgotten one shows.
            let isBias = name.hasSuffix(".bias")
            return change(name, isBias ? Tensor((0..<values.count).map { Float($0 % 7) / 10 - 0.2 }) : values)
        }
    }

    private func recipe(_ stages: String) throws -> Recipe {
        try Recipe(
            yaml: "prefer: size\ncalibration: {samples: 3, sequence_length: 12}\nstages:\n" + stages, source: "r.yaml")
    }

    private func compress(
        _ checkpoint: Checkpoint, _ stages: String, to name: String = "out"
    ) throws -> (checkpoint: Checkpoint, report: CompressionReport) {
        let report = try Compressor(checkpoint, recipe: recipe(stages)).run(
            output: folder.path + "/" + name, calibration: text)
        return (try Checkpoint.open(folder.path + "/" + name), report)
    }

    private func network(_ checkpoint: Checkpoint) throws -> DecoderNetwork {
        let network = DecoderNetwork(checkpoint.configuration)
        try network.load { try checkpoint.tensor($0) }
        return network
    }

    private let tokens = Tensor((0..<24).map { ($0 * 11 + 3) % 50 }, shape: [2, 12])

    /// The units of a block that a smaller model kept: rows of keys, or of gates, that are the same.
    private func kept(
        _ unit: String, block: Int, of small: Checkpoint, in whole: Checkpoint
    ) throws -> [Int] {
        let name = "model.layers.\(block)." + (unit == "head" ? "self_attn.k_proj" : "mlp.gate_proj") + ".weight"
        func rows(_ checkpoint: Checkpoint) throws -> [[Float]] {
            let tensor = try checkpoint.tensor(name).converted(to: .f32)
            let height = unit == "head" ? checkpoint.configuration.headSize : 1
            let size = tensor.shape[1] * height
            let all = tensor.floats()
            return stride(from: 0, to: all.count, by: size).map { Array(all[$0..<($0 + size)]) }
        }
        let own = try rows(whole)
        return try rows(small).map { row in try #require(own.firstIndex(of: row)) }
    }

    /// Sets what reads the units that went to zero.
    private func mask(_ network: DecoderNetwork, _ unit: String, block: Int, keeping kept: [Int]) {
        let c = network.configuration
        let name = "model.layers.\(block)." + (unit == "head" ? "self_attn.o_proj" : "mlp.down_proj") + ".weight"
        let extent = unit == "head" ? c.headCount / c.keyValueHeadCount * c.headSize : 1
        for (own, parameter) in network.parameters where own == name {
            let columns = parameter.wrappedValue.shape[1]
            let factors = (0..<columns).map { Float(kept.contains($0 / extent) ? 1 : 0) }
            parameter.wrappedValue = parameter.wrappedValue.detached() * Tensor(factors, shape: [1, columns])
        }
    }

    private func difference(_ a: DecoderNetwork, _ b: DecoderNetwork) -> Float {
        zip(a(tokens).floats(), b(tokens).floats()).reduce(0) { max($0, abs($1.0 - $1.1)) }
    }

    @Test(arguments: DecoderConfiguration.Family.allCases, ["magnitude", "random", "wanda", "taylor"])
    func theSmallerModelComputesWhatTheMaskedOneDoes(
        family: DecoderConfiguration.Family, method: String
    ) throws {
        let whole = try make(configuration(family))
        let (small, report) = try compress(
            whole,
            """
              - prune: { method: \(method), sparsity: 0.34, granularity: head }
              - prune: { method: \(method), sparsity: 0.25, granularity: neuron }
            """)
        let c = small.configuration
        #expect(c.headCount == 4 && c.keyValueHeadCount == 2 && c.headSize == 8 && c.intermediateSize == 30)
        #expect(c.hiddenSize == 48 && c.hasQueryKeyNorm == (family == .qwen3))
        let json = try JSON(
            parsing: try #require(FileManager.default.contents(atPath: folder.path + "/out/config.json")), source: "c")
        #expect(json["head_dim"]?.intValue == 8 && json["num_key_value_heads"]?.intValue == 2)
        let masked = try network(whole)
        for block in 0..<3 {
            for (unit, count) in [("head", 2), ("neuron", 30)] {
                let kept = try kept(unit, block: block, of: small, in: whole)
                #expect(kept == kept.sorted() && Set(kept).count == count)
                mask(masked, unit, block: block, keeping: kept)
            }
        }
        #expect(difference(try network(small), masked) < 1e-5)
        #expect(difference(try network(whole), masked) > 1e-2)
        let units = report.stageReports?.flatMap { $0.units ?? [] } ?? []
        #expect(units.map(\.kept) == [2, 2, 2, 30, 30, 30] && units.map(\.units) == [3, 3, 3, 40, 40, 40])
        #expect(report.totals.parameters == c.tensorShapes.reduce(0) { $0 + $1.shape.reduce(1, *) })
        #expect(report.totals.sparsity < 0.01 && report.totals.bytes < report.totals.bytesBefore)
    }

    /// Each criterion finds the unit that matters least by its own measure, and not by another's.
    @Test func criteriaSeeWhatTheyAreMadeFor() throws {
        // Of block 1: small weights of head 2; neurons 5 whose inputs are small, though its weights are not.
        let whole = try make(configuration(.mistral)) { name, values in
            var factors = [Float](repeating: 1, count: values.shape[0])
            switch name {
            case "model.layers.1.self_attn.q_proj.weight": for row in 32..<48 { factors[row] = 0.01 }
            case "model.layers.1.self_attn.k_proj.weight", "model.layers.1.self_attn.v_proj.weight":
                for row in 16..<24 { factors[row] = 0.01 }
            case "model.layers.1.mlp.up_proj.weight": factors[5] = 1e-3
            case "model.layers.1.mlp.gate_proj.weight": factors[5] = 4
            default: return values
            }
            return values * Tensor(factors, shape: [factors.count, 1])
        }
        let (heads, _) = try compress(whole, "  - prune: { method: magnitude, sparsity: 0.34, granularity: head }")
        #expect(try kept("head", block: 1, of: heads, in: whole) == [0, 1])
        for method in ["magnitude", "wanda", "taylor"] {
            let (small, _) = try compress(
                whole, "  - prune: { method: \(method), sparsity: 0.025, granularity: neuron }", to: method)
            let gone = try Set(0..<40).subtracting(kept("neuron", block: 1, of: small, in: whole))
            #expect((gone == [5]) == (method != "magnitude"), "\(method): \(gone)")
        }
    }

    /// The Taylor score is the squared slope of the loss along a gate on the unit.
    @Test func taylorFollowsTheSlopeOfAGate() throws {
        let whole = try make(configuration())
        let (small, _) = try compress(whole, "  - prune: { method: taylor, sparsity: 0.34, granularity: head }")
        let windows = try CalibrationWindows(tokens: text.tokens, count: 3, length: 12, seed: 42).windows
        let gated = try network(whole)
        for block in 0..<3 {
            let name = "model.layers.\(block).self_attn.o_proj.weight"
            let parameter = try #require(gated.parameters.first { $0.name == name }?.parameter)
            let original = parameter.wrappedValue.detached()
            let scores = (0..<3).map { head in
                let slopes = windows.map { window in
                    let losses = [Float(1.05), 0.95].map { gate in
                        let factors = (0..<48).map { $0 / 16 == head ? gate : 1 }
                        parameter.wrappedValue = original * Tensor(factors, shape: [1, 48])
                        let (inputs, targets) = (Array(window.dropLast()), Array(window.dropFirst()))
                        return Double(
                            gated.loss(Tensor(inputs, shape: [1, 11]), targets: Tensor(targets, shape: [1, 11])).scalar)
                    }
                    return (losses[0] - losses[1]) / 0.1
                }
                return slopes.reduce(0) { $0 + $1 * $1 }
            }
            parameter.wrappedValue = original
            let least = scores.indices.min { scores[$0] < scores[$1] }
            #expect(try !kept("head", block: block, of: small, in: whole).contains(try #require(least)), "\(scores)")
        }
    }

    /// One threshold for all blocks leaves zeros in whole rows and columns.
    @Test(arguments: ["magnitude", "taylor"]) func differentCountsStayAsZeros(method: String) throws {
        let whole = try make(configuration()) { name, values in name.contains("layers.2.mlp") ? values * 0.1 : values }
        let (small, report) = try compress(
            whole,
            "  - prune: { method: \(method), sparsity: 0.4, granularity: neuron, scope: global, floor: 0.2 }")
        #expect(small.configuration == whole.configuration)
        let units = try #require(report.stageReports?.first?.units)
        #expect(units.reduce(0) { $0 + $1.kept } == 72 && Set(units.map(\.kept)).count > 1)
        // What is small goes first, down to the floor.
        if method == "magnitude" { #expect(units[2].kept == 8) }
        for (block, own) in units.enumerated() {
            let up = try small.weight("model.layers.\(block).mlp.up_proj.weight")
            let down = try small.weight("model.layers.\(block).mlp.down_proj.weight").dense()
            if own.kept < 30 { #expect(up.label.contains("bitmask"), "\(up.label)") }
            let rows = up.dense().abs().sum(axes: [1]).floats(), columns = down.abs().sum(axes: [0]).floats()
            #expect(rows.count { $0 != 0 } == own.kept)
            #expect(zip(rows, columns).allSatisfy { ($0 == 0) == ($1 == 0) })
        }
        // Gates of zero: the network is the masked one.
        let masked = try network(whole)
        for block in 0..<3 {
            let rows = try small.weight("model.layers.\(block).mlp.up_proj.weight").dense().abs().sum(axes: [1])
                .floats()
            mask(masked, "neuron", block: block, keeping: rows.indices.filter { rows[$0] != 0 })
        }
        #expect(difference(try network(small), masked) < 1e-5)
    }

    /// A block that is not among the targets stays whole, so the others keep zeros.
    @Test func ignoredBlocksStay() throws {
        let whole = try make(configuration())
        let (small, report) = try compress(
            whole, "  - prune: { method: wanda, sparsity: 0.5, granularity: head, ignore: layers.0 }")
        #expect(report.stageReports?.first?.units?.map(\.kept) == [3, 2, 2])
        let zeros = try (0..<3).map { try small.weight("model.layers.\($0).self_attn.o_proj.weight").dense().zeroCount }
        #expect(zeros == [0, 16 * 48, 16 * 48])
    }

    @Test func laterStagesWorkOnWhatIsLeft() throws {
        let whole = try make(configuration())
        let (small, report) = try compress(
            whole,
            """
              - prune: { method: taylor, sparsity: 0.34, granularity: head }
              - prune: { method: wanda, sparsity: 0.2, granularity: neuron }
              - prune: { method: wanda, pattern: "2:4" }
              - quantize: { bits: 8 }
            """)
        for (name, shape) in small.configuration.tensorShapes where name.hasSuffix("_proj.weight") {
            let weight = try small.weight(name)
            #expect(weight.label == "sparse-2:4-int8" && [weight.rows, weight.columns] == shape)
            #expect(abs(weight.sparsity - 0.5) < 0.02)
        }
        #expect(report.stageReports?.count == 2 && small.configuration.intermediateSize == 32)
        let losses = try [whole, small].map { try network($0)(tokens).floats() }
        #expect(losses[1].allSatisfy(\.isFinite) && losses[0] != losses[1])
    }

    @Test func bytesFollowFromTheSeed() throws {
        let whole = try make(configuration())
        let stage = "  - prune: { method: random, sparsity: 0.5, granularity: neuron }"
        _ = try compress(whole, stage, to: "a")
        _ = try compress(whole, stage, to: "b")
        #expect(try folder.files("a")["model.safetensors"] == folder.files("b")["model.safetensors"])
        let other = try Recipe(yaml: "seed: 7\nstages:\n" + stage)
        _ = try Compressor(whole, recipe: other).run(output: folder.path + "/c")
        #expect(try folder.files("a")["model.safetensors"] != folder.files("c")["model.safetensors"])
    }

    /// `transformers` takes no Llama whose width its heads do not divide.
    @Test func aLlamaOfOddHeadsIsAMistral() throws {
        var plain = configuration(.llama, heads: 6, keys: 6)
        plain.hasFeedForwardBias = false
        let whole = try make(plain)
        let stage = "method: magnitude, granularity: head"
        let (five, _) = try compress(whole, "  - prune: { \(stage), sparsity: 0.17 }")
        #expect(five.configuration.family == .mistral && five.configuration.headCount == 5)
        #expect(five.configuration.slidingWindow == nil)
        let (three, _) = try compress(whole, "  - prune: { \(stage), sparsity: 0.5 }", to: "three")
        #expect(three.configuration.family == .llama && three.configuration.headCount == 3)
    }

    @Test(arguments: [
        (
            "{ method: magnitude, sparsity: 0.25, granularity: head }",
            "stages[0].prune.sparsity: 0.25 removes none, since a block has 3 heads of keys and values (with 2 of queries "
                + "each); expected 0 or at least 0.3334"
        ),
        (
            "{ method: magnitude, sparsity: 0.9999999999999999, granularity: head }",
            "removes 3 of 3, but a block has 3 heads"
        ),
        (
            "{ method: random, sparsity: 0.9, scope: global, granularity: head }",
            "removes 8 of 9, but 3 blocks have 3 heads of keys and values (with 2 of queries each) each, of which 1 must "
                + "stay in each; expected at most 0.6666"
        ),
        (
            "{ method: random, sparsity: 0.7, scope: global, floor: 0.5, granularity: neuron }",
            "removes 84 of 120, but 3 blocks have 40 neurons each, of which 20 must stay in each; expected at most 0.5"
        ),
        (
            "{ method: magnitude, sparsity: 0.5, granularity: head, targets: q_proj }",
            "stages[0].prune.targets: a head goes with q_proj, k_proj, v_proj, o_proj of its block"
        ),
        (
            "{ method: magnitude, sparsity: 0.5, granularity: head, recovery: fine-tune }",
            "recovery: comes in a stage of its own"
        ),
        (
            "{ method: magnitude, sparsity: 0.5, granularity: neuron }\n"
                + "  - prune: { method: random, sparsity: 0.5, granularity: neuron }",
            "stages[1].prune: neurons are already pruned by stages[0]"
        ),
        (
            "{ method: magnitude, sparsity: 0.5 }\n  - prune: { method: random, sparsity: 0.5, granularity: head }",
            "stages[1].prune: whole heads change the shapes of matrices; put this stage before stages[0]"
        ),
        (
            "{ method: magnitude, sparsity: 0.05, granularity: neuron }\n  - prune: { method: magnitude, pattern: \"2:4\" }",
            "model.layers.0.mlp.down_proj.weight: pattern 2:4 needs rows whose length is a multiple of 4, this weight's is "
                + "38"
        ),
        ("{ method: synflow, sparsity: 0.5 }", "stages[0].prune.method: synflow is for vision networks"),
        (
            "{ method: magnitude, sparsity: 0.5, pattern: head }",
            "head is a granularity, not a pattern; write granularity"
        ),
        ("{ method: snip, sparsity: 0.5, granularity: head }", "expected magnitude, wanda, random, taylor"),
        ("{ method: taylor, sparsity: 0.5, granularity: head, of: channels }", "of: goes with granularity filter and"),
        (
            "{ method: taylor, sparsity: 0.5, granularity: head, scope: row }",
            "expected layer or global with granularity"
        ),
        ("{ method: taylor, sparsity: 0.5, granularity: head, floor: 0.3 }", "floor: goes with scope global alone"),
        ("{ method: random, sparsity: 0.5, granularity: head, scope: global, floor: 2 }", "a share of the heads"),
        ("{ method: wanda, sparsity: 0.5, granularity: head, scope: global }", "wanda weighs each matrix by its own"),
        ("{ method: magnitude, sparsity: 0.5, granularity: head, allocation: erk }", "set scope to layer or global"),
    ])
    func badRecipesGetOneLine(stage: String, message: String) throws {
        let whole = try make(configuration())
        #expect {
            _ = try Compressor(whole, recipe: recipe("  - prune: " + stage))
        } throws: { error in
            let text = "\(error)"
            #expect(text.contains(message) && !text.contains("\n"), "\(text)")
            return error is CoppiceError
        }
    }

    @Test func taylorNeedsATextAndFiniteGradients() throws {
        let whole = try make(configuration())
        let stage = "  - prune: { method: taylor, sparsity: 0.5, granularity: neuron }"
        #expect {
            _ = try Compressor(whole, recipe: recipe(stage)).run(output: folder.path + "/none")
        } throws: { "\($0)".contains("method taylor looks at gradients, and needs a calibration text") }
        #expect {
            _ = try Compressor(
                whole, recipe: Recipe(yaml: "calibration: {sequence_length: 1}\nstages:\n" + stage, source: "r.yaml"))
        } throws: { "\($0)".contains("calibration.sequence_length: 1 predicts nothing") }
        let broken = try make(configuration()) { name, values in
            name.contains("layers.1.mlp.up") ? values * .infinity : values
        }
        #expect { _ = try compress(broken, stage) } throws: { "\($0)".contains("is not a finite number") }
    }
}
