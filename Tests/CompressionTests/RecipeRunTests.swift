import CKernels
import CoppiceCompression
import CoppiceTensors
import Testing

private func weights() -> InMemoryWeights {
    var generator = SeededGenerator(seed: 40)
    return InMemoryWeights([
        ("model.embed_tokens.weight", generator.matrix(30, 16)),
        ("model.layers.0.self_attn.q_proj.weight", generator.matrix(16, 16)),
        ("model.layers.0.mlp.down_proj.weight", generator.matrix(16, 40)),
        ("model.layers.1.self_attn.q_proj.weight", generator.matrix(16, 16)),
        ("model.layers.1.mlp.down_proj.weight", generator.matrix(16, 40)),
    ])
}

private func run(_ stages: String) throws -> RecipeRun {
    try RecipeRun(Recipe(yaml: "stages:\n" + stages, source: "r.yaml"), on: weights())
}

@Suite struct RecipeRunTests {
    @Test func stagesCompose() throws {
        var run = try run(
            """
              - prune: { method: magnitude, sparsity: 0.25, scope: global }
              - prune: { method: random, pattern: "2:4", targets: mlp }
              - quantize: { bits: 8, targets: "*" }
            """)
        try run.prune(stage: 0)
        let first = run.decisions
        try run.prune(stage: 1)
        let removed = first.values.compactMap { $0.mask?.removedCount }.reduce(0, +)
        #expect(removed == 448)  // a quarter of 2 · 16 · 16 + 2 · 16 · 40
        let pattern = SemiStructuredPattern(kept: 2, of: 4)
        for layer in 0...1 {
            let name = "model.layers.\(layer).mlp.down_proj.weight"
            let decision = try #require(run.decisions[name])
            let mask = try #require(decision.mask)
            #expect(decision.pattern == pattern && mask.satisfies(pattern))
            #expect(mask.isSubset(of: try #require(first[name]?.mask)))
            #expect(decision.quantization?.bits == 8)
        }
        #expect(run.decisions["model.layers.0.self_attn.q_proj.weight"]?.pattern == nil)
        #expect(run.decisions["model.embed_tokens.weight"]?.mask == nil)
        #expect(run.decisions["model.embed_tokens.weight"]?.quantization?.bits == 8)
    }

    @Test(arguments: [
        ("sparsity: 0.5, allocation: lamp", 896), ("sparsity: 0.5, allocation: pq-index, p: 1, q: 2", 896),
        ("sparsity: 0.9, scope: global, floor: 40", 1612),
        ("sparsity: 0.6, allocation: uniform+", 1075),
        ("sparsity: 0.5, budgets: { mlp: 0.75, model.layers.0.self_attn.q_proj.weight: 0.25 }", 64 + 480 * 2 + 128),
    ])
    func allocationsByRecipe(options: String, removed: Int) throws {
        var run = try run("  - prune: { method: magnitude, \(options) }")
        try run.prune(stage: 0)
        let masks = run.decisions.values.compactMap(\.mask)
        #expect(masks.reduce(0) { $0 + $1.removedCount } == removed)
        if options.contains("floor") { #expect(masks.allSatisfy { $0.keptCount >= 40 }) }
        if options.contains("uniform+") {
            #expect(run.decisions["model.layers.0.self_attn.q_proj.weight"]?.mask?.removedCount == 0)
        }
        if options.contains("budgets") {
            #expect(run.decisions["model.layers.1.mlp.down_proj.weight"]?.mask?.removedCount == 480)
            #expect(run.decisions["model.layers.1.self_attn.q_proj.weight"]?.mask?.removedCount == 128)
        }
    }

    /// A budget is compared with what is gone of its own matrices.
    @Test func budgetsOfALaterStage() throws {
        var both = try run(
            "  - prune: { method: magnitude, sparsity: 0.5, targets: mlp }\n"
                + "  - prune: { method: magnitude, sparsity: 0.1, budgets: { mlp: 0.75 } }")
        for stage in 0...1 { try both.prune(stage: stage) }
        #expect(both.decisions["model.layers.1.mlp.down_proj.weight"]?.mask?.removedCount == 480)
        #expect(both.decisions["model.layers.1.self_attn.q_proj.weight"]?.mask?.removedCount == 25)
        var less = try run(
            "  - prune: { method: magnitude, sparsity: 0.5, targets: mlp }\n"
                + "  - prune: { method: magnitude, sparsity: 0.9, budgets: { layers.0.mlp: 0.25 } }")
        try less.prune(stage: 0)
        #expect { try less.prune(stage: 1) } throws: {
            "\($0)".contains(
                "stages[1].prune: budgets.layers.0.mlp: 0.25 removes 160 of the 640 weights of model.layers.0.mlp.down_proj"
            )
        }
    }

    @Test func theSeedDecidesRandomMasks() throws {
        func mask(_ seed: Int) throws -> WeightMask? {
            let recipe = try Recipe(yaml: "seed: \(seed)\nstages: [{prune: {method: random, sparsity: 0.5}}]")
            var run = try RecipeRun(recipe, on: weights())
            try run.prune(stage: 0)
            return run.decisions["model.layers.0.mlp.down_proj.weight"]?.mask
        }
        #expect(try mask(1) == mask(1))
        #expect(try mask(1) != mask(2))
    }

    @Test(arguments: [
        (
            "  - quantize: { bits: 8, targets: mlp }\n  - quantize: { bits: 8 }",
            """
            r.yaml: stages[1].quantize: model.layers.0.mlp.down_proj.weight is already quantized by stages[0]; \
            exclude it from one of them
            """
        ),
        (
            "  - low-rank: { rank: 2, targets: mlp }\n  - quantize: { bits: 3 }",
            """
            r.yaml: stages[1].quantize.bits: the factors of a low-rank weight, as model.layers.0.mlp.down_proj.weight \
            is one, take 4 or 8 uniform bits
            """
        ),
        (
            "  - prune: { method: magnitude, sparsity: 0.5, targets: mlp }\n  - quantize: { bits: 2, scheme: bipolar }",
            """
            r.yaml: stages[1].quantize.scheme: bipolar codes have none for zero, and \
            model.layers.0.mlp.down_proj.weight is pruned by stages[0]; exclude it from one of them
            """
        ),
        (
            "  - prune: { method: magnitude, pattern: \"3:16\" }",
            """
            r.yaml: stages[0].prune.pattern: model.layers.0.mlp.down_proj.weight: pattern 3:16 needs rows whose \
            length is a multiple of 16, this weight's is 40
            """
        ),
        (
            "  - prune: { method: wanda, sparsity: 0.5, targets: \"*\" }",
            """
            r.yaml: stages[0].prune: wanda prunes the matrices of blocks, and \
            model.embed_tokens.weight is none; add it to ignore
            """
        ),
        (
            "  - prune: { method: magnitude, sparsity: 0.5, targets: \"*\", recovery: reconstruct }",
            "r.yaml: stages[0].prune: reconstruct prunes the matrices of blocks, and model.embed_tokens.weight"
        ),
        (
            "  - prune: { method: magnitude, sparsity: 0.5, scope: global, floor: 300 }",
            """
            r.yaml: stages[0].prune.floor: keeps 1112 of 1792 weights, and a sparsity of 0.5 leaves 896; expected a \
            smaller floor or sparsity
            """
        ),
        (
            "  - prune: { method: magnitude, sparsity: 0.5, budgets: { dwn_proj: 0.9 } }",
            "r.yaml: stages[0].prune.budgets: \"dwn_proj\" matches no weight; the nearest is \"down_proj\""
        ),
        (
            "  - prune: { method: magnitude, sparsity: 0.5, budgets: { mlp: 0.9, layers.0: 0.1 } }",
            """
            r.yaml: stages[0].prune.budgets: model.layers.0.mlp.down_proj.weight is named by "mlp" and "layers.0", \
            expected one budget
            """
        ),
        (
            "  - prune: { method: magnitude, sparsity: 0.9, allocation: uniform+ }",
            "r.yaml: stages[0].prune.allocation: uniform+ keeps model.layers.0.self_attn.q_proj.weight dense"
        ),
        (
            "  - prune: { method: magnitude, sparsity: 0.5, targets: gate_proj }",
            "r.yaml: stages[0].prune.targets: \"gate_proj\" matches no matrix of the model"
        ),
    ])
    func whatDoesNotFitIsFoundBeforeAnyWork(stages: String, message: String) {
        #expect { _ = try run(stages) } throws: { "\($0)".hasPrefix(message) }
    }
}

@Suite struct CalibratedRecipeRunTests {
    private func decisions(_ yaml: String, threads: Int32 = 2) throws -> [String: WeightDecision] {
        try run(yaml, threads: threads).decisions
    }

    private func run(_ yaml: String, threads: Int32 = 2) throws -> RecipeRun {
        let before = coppice_thread_count()
        coppice_set_thread_count(threads)
        defer { coppice_set_thread_count(before) }
        let model = ToyModel()
        var run = try RecipeRun(Recipe(yaml: yaml), on: model.weights)
        let windows = try CalibrationWindows(tokens: (0..<100).map { $0 * 3 % 10 }, count: 4, length: 6, seed: 2)
        for (index, stage) in run.recipe.stages.enumerated() {
            guard case .prune(let options) = stage else { continue }
            if options.needsActivations {
                var blocks: [Int] = []
                try run.prune(stage: index, calibratedBy: windows, through: model) { blocks.append($0) }
                #expect(blocks == [1, 2])
            } else {
                try run.prune(stage: index)
            }
        }
        return run
    }

    @Test func wandaAgreesWithTheWalkAndItsCountsAreExact() throws {
        let decisions = try decisions("stages: [{prune: {method: wanda, sparsity: 0.5}}]")
        #expect(decisions.count == 4)
        for decision in decisions.values {
            let kept = try #require(decision.mask).keptCountsOfRows
            #expect(Set(kept).count == 1 && decision.mask?.sparsity == 0.5)
        }
        let magnitude = try self.decisions("stages: [{prune: {method: magnitude, sparsity: 0.5, scope: row}}]")
        #expect(magnitude != decisions)
    }

    @Test func erdosRenyiSharesGoBlockByBlock() throws {
        let decisions = try decisions(
            "stages: [{prune: {method: wanda, sparsity: 0.37, scope: layer, allocation: erk}}]")
        let removed = decisions.values.compactMap { $0.mask?.removedCount }.reduce(0, +)
        #expect(removed == ExactSelection.removedCount(4 * 96, sparsity: 0.37))
    }

    @Test func masksOfEarlierStagesHoldUnderCalibration() throws {
        let first = try decisions("stages: [{prune: {method: random, sparsity: 0.2}}]")
        let both = try decisions(
            "stages: [{prune: {method: random, sparsity: 0.2}}, {prune: {method: wanda, pattern: \"2:4\"}}]")
        let pattern = SemiStructuredPattern(kept: 2, of: 4)
        for (name, decision) in both {
            let mask = try #require(decision.mask)
            let earlier = try #require(first[name]?.mask)
            #expect(mask.satisfies(pattern) && mask.isSubset(of: earlier))
        }
    }

    @Test func decisionsDoNotDependOnThreads() throws {
        let yaml = "stages: [{prune: {method: wanda, sparsity: 0.4}}, {quantize: {bits: 8}}]"
        let one = try decisions(yaml, threads: 1)
        #expect(try decisions(yaml, threads: 2) == one)
        #expect(try decisions(yaml, threads: 7) == one)
    }

    /// Each block sees the inputs that the compensated blocks before it give.
    @Test func sparseGPTGoesBlockByBlock() throws {
        let run = try run("stages: [{prune: {method: sparsegpt, sparsity: 0.5, block_size: 4, dampening: 0.02}}]")
        let model = ToyModel()
        let windows = try CalibrationWindows(tokens: (0..<100).map { $0 * 3 % 10 }, count: 4, length: 6, seed: 2)
        var states = windows.windows.map(model.embed)
        for block in model.blocks {
            var moments: [String: InputMoments] = [:]
            for state in states { _ = block.run(state) { moments[$0, default: InputMoments()].add($1) } }
            for name in block.matrixNames {
                let inverse = try #require(moments[name]).inverse(dampening: 0.02)
                let (values, mask) = SparseGPT(blockSize: 4).prune(block.matrix(name), .count(48), inverse: inverse)
                #expect(run.decisions[name]?.mask == mask && run.values[name]?.floats() == values.floats(), "\(name)")
                block.setMatrix(name, to: values)
            }
            states = states.map { block.run($0, observe: nil) }
        }
    }

    @Test(arguments: ["wanda", "magnitude", "random"]) func reconstructionKeepsTheMaskOfTheMethod(
        method: String
    ) throws {
        let plain = try run("stages: [{prune: {method: \(method), pattern: \"2:4\"}}]")
        let moved = try run("stages: [{prune: {method: \(method), pattern: \"2:4\", recovery: reconstruct}}]")
        #expect(plain.values.isEmpty && moved.values.count == 4)
        for (name, decision) in moved.decisions {
            let (mask, values) = (try #require(decision.mask), try #require(moved.values[name]))
            #expect(decision.pattern == SemiStructuredPattern(kept: 2, of: 4))
            #expect(values.zeroCount == 48 && mask.removedCount == 48)
            // Masks of activations are those of the first block alone: what the second sees is different.
            if method != "wanda" || name.contains("layers.0") { #expect(mask == plain.decisions[name]?.mask) }
            var original = try ToyModel().weights.values(of: name)
            mask.apply(to: &original)
            #expect(original.floats() != values.floats())
        }
    }

    /// What earlier stages removed is made up for from what it was, and what they moved is what later ones prune.
    @Test func stagesThatReconstructCompose() throws {
        let once = try run("stages: [{prune: {method: magnitude, sparsity: 0.5, recovery: reconstruct}}]")
        let later = try run(
            "stages: [{prune: {method: magnitude, sparsity: 0.5}}, "
                + "{prune: {method: magnitude, sparsity: 0, recovery: reconstruct}}]")
        #expect(once.decisions == later.decisions)
        #expect(once.values.mapValues { $0.floats() } == later.values.mapValues { $0.floats() })
        let first = try run("stages: [{prune: {method: sparsegpt, sparsity: 0.3}}]")
        for second in [
            "method: sparsegpt, pattern: \"2:4\"", "method: magnitude, sparsity: 0.5", "method: wanda, sparsity: 0.5",
        ] {
            let both = try run("stages: [{prune: {method: sparsegpt, sparsity: 0.3}}, {prune: {\(second)}}]")
            for (name, decision) in both.decisions {
                let (mask, values) = (try #require(decision.mask), try #require(both.values[name]))
                #expect(mask.isSubset(of: try #require(first.decisions[name]?.mask)) && mask.removedCount >= 48)
                if second.contains("magnitude") {
                    #expect(values.floats() == first.values[name]?.floats())
                    let scores = MagnitudeCriterion().scores(of: values, name: name, inputNorms: nil)
                    #expect(mask == ExactSelection.mask(scores, removing: 48))
                }
            }
        }
    }

    @Test func sharesOfSparseGPTAreExact() throws {
        let decisions = try decisions("stages: [{prune: {method: sparsegpt, sparsity: 0.37, allocation: erk}}]")
        let removed = decisions.values.compactMap { $0.mask?.removedCount }.reduce(0, +)
        #expect(removed == ExactSelection.removedCount(4 * 96, sparsity: 0.37))
    }

    @Test func removedWeightsDoNotReturn() {
        #expect {
            _ = try run(
                "stages: [{prune: {method: random, sparsity: 0.5}}, {prune: {method: sparsegpt, sparsity: 0.25}}]")
        } throws: {
            ($0 as? CoppiceError)?.kind == .usage
                && "\($0)".contains(
                    "removes 24 of the 96 weights of model.layers.0.up_proj.weight, of which 48 are zero already")
        }
    }
}
