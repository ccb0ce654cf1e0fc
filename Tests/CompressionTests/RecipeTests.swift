import CoppiceCompression
import CoppiceTensors
import Foundation
import Testing

private func failure(_ yaml: String) -> String {
    do {
        _ = try Recipe(yaml: yaml, source: "r.yaml")
        return "no error"
    } catch let error as CoppiceError {
        #expect(error.kind == .badData)
        return error.description
    } catch {
        return "another error: \(error)"
    }
}

@Suite struct RecipeTests {
    @Test func readsEveryOption() throws {
        let recipe = try Recipe(
            yaml: """
                name: everything
                seed: 7
                calibration: {samples: 12, sequence_length: 99}
                stages:
                  - prune:
                      method: magnitude
                      sparsity: 0.4
                      scope: row
                      allocation: erk
                      targets: [mlp, "*.q_proj.*"]
                      ignore: layers.0
                  - prune: { method: wanda, pattern: 2:4 }
                  - quantize: { bits: 4, symmetric: false, group_size: 64, targets: ["*"], ignore: [lm_head] }
                  - quantize: { bits: 8, group_size: channel }
                """)
        #expect(recipe.name == "everything" && recipe.seed == 7)
        #expect(recipe.calibration == Recipe.Calibration(samples: 12, sequenceLength: 99))
        #expect(recipe.needsCalibration)
        #expect(
            recipe.stages == [
                .prune(
                    PruneStage(
                        method: .magnitude, sparsity: 0.4, scope: .row, allocation: .erk,
                        selection: WeightSelection(
                            targets: [WeightPattern("mlp"), WeightPattern("*.q_proj.*")],
                            ignore: [WeightPattern("layers.0")])
                    )),
                .prune(
                    PruneStage(
                        method: .wanda, sparsity: 0.5, pattern: .semiStructured(SemiStructuredPattern(kept: 2, of: 4)))),
                .quantize(
                    QuantizeStage(
                        bits: 4, isSymmetric: false, groupSize: 64,
                        selection: WeightSelection(targets: [WeightPattern("*")], ignore: [WeightPattern("lm_head")]))),
                .quantize(QuantizeStage(bits: 8, groupSize: nil)),
            ])
    }

    @Test func defaultsAreThoseOfTheMethods() throws {
        let recipe = try Recipe(
            yaml: """
                stages:
                  - prune: { method: wanda, sparsity: 0.5 }
                  - prune: { method: magnitude, sparsity: 0 }
                  - quantize: { bits: 4 }
                  - quantize: { bits: 8 }
                """)
        #expect(recipe.seed == 42)
        guard case .prune(let wanda) = recipe.stages[0], case .prune(let magnitude) = recipe.stages[1],
            case .quantize(let four) = recipe.stages[2], case .quantize(let eight) = recipe.stages[3]
        else {
            Issue.record("stages of other kinds")
            return
        }
        #expect(wanda.scope == .row && magnitude.scope == .layer)
        #expect(four.groupSize == 32 && four.isSymmetric && eight.groupSize == nil)
    }

    @Test(arguments: [
        ("bits: 3, symmetric: false", QuantizeStage(bits: 3, isSymmetric: false, groupSize: 64)),
        ("bits: 6, group_size: channel", QuantizeStage(bits: 6, groupSize: nil)),
        ("bits: ternary", QuantizeStage(bits: 2, groupSize: 64, levels: .ternary)),
        ("bits: 1, scheme: bipolar, group_size: 32", QuantizeStage(bits: 1, groupSize: 32, levels: .bipolar)),
        ("bits: 4, scheme: uniform", QuantizeStage(bits: 4, groupSize: 32)),
        ("bits: 4, codebook: k-means", QuantizeStage(bits: 4, groupSize: 64, levels: .kMeans(.tensor))),
        ("bits: 2, codebook: k-means, tables: row", QuantizeStage(bits: 2, groupSize: nil, levels: .kMeans(.row))),
        ("bits: 3, codebook: k-means, tables: group", QuantizeStage(bits: 3, groupSize: 128, levels: .kMeans(.group))),
        ("bits: 4, codebook: power", QuantizeStage(bits: 4, groupSize: nil, levels: .power(exponent: nil))),
        (
            "bits: 4, codebook: power, exponent: search",
            QuantizeStage(bits: 4, groupSize: nil, levels: .power(exponent: nil))
        ),
        (
            "bits: 3, codebook: power, exponent: 0.5, group_size: 128",
            QuantizeStage(bits: 3, groupSize: 128, levels: .power(exponent: 0.5))
        ),
    ])
    func quantizeStagesAreWhatTheySay(options: String, expected: QuantizeStage) throws {
        let recipe = try Recipe(yaml: "stages: [{quantize: {\(options)}}]")
        #expect(recipe.stages == [.quantize(expected)])
        // The description is a recipe that says the same.
        let again = try Recipe(yaml: "stages:\n  - \(recipe.stages[0])")
        #expect(again.stages == recipe.stages)
    }

    @Test(arguments: [
        (
            "stages:\n  - prune:\n      method: magnitude\n      sparsty: 0.5",
            "r.yaml: line 4: stages[0].prune: unknown key \"sparsty\"; did you mean \"sparsity\"?"
        ),
        ("stage:\n  - prune: {}", "r.yaml: line 1: unknown key \"stage\"; did you mean \"stages\"?"),
        ("stages:\n  - prun: {}", "r.yaml: line 2: stages[0]: unknown key \"prun\"; did you mean \"prune\"?"),
        (
            "stages:\n  - prune: {method: magnitud, sparsity: 0.1}",
            "r.yaml: line 2: stages[0].prune.method: unknown value \"magnitud\"; did you mean \"magnitude\"?"
        ),
        (
            "stages:\n  - prune: {method: best, sparsity: 0.1}",
            """
            r.yaml: line 2: stages[0].prune.method: unknown value "best"; expected one of magnitude, wanda, \
            random, snip, grasp, synflow, taylor, obd, hessian, woodfisher, m-fac, mask
            """
        ),
        (
            "stages:\n  - prune: {sparsity: 0.1}",
            """
            r.yaml: line 2: stages[0].prune: the key "method" is missing, expected one of magnitude, wanda, \
            random, snip, grasp, synflow, taylor, obd, hessian, woodfisher, m-fac, mask
            """
        ),
        (
            "stages:\n  - prune: {method: random}",
            """
            r.yaml: line 2: stages[0].prune: the key "sparsity" is missing, expected the fraction of weights to \
            remove, from 0 to below 1
            """
        ),
        (
            "stages:\n  - prune: {method: random, sparsity: 1}",
            "r.yaml: line 2: stages[0].prune.sparsity: expected a number from 0.0 to below 1.0, found 1"
        ),
        (
            "stages:\n  - prune: {method: random, sparsity: .nan}",
            "r.yaml: line 2: stages[0].prune.sparsity: expected a number from 0.0 to below 1.0, found .nan"
        ),
        (
            "stages:\n  - prune: {method: random, sparsity: nan}",
            "r.yaml: line 2: stages[0].prune.sparsity: expected a number from 0.0 to below 1.0, found nan"
        ),
        (
            "stages:\n  - prune: {method: random, sparsity: \"0.5\"}",
            """
            r.yaml: line 2: stages[0].prune.sparsity: expected a number from 0.0 to below 1.0, found the text \
            "0.5"; leave the quotes out
            """
        ),
        (
            "stages:\n  - prune: {method: random, sparsity: }",
            "r.yaml: line 2: stages[0].prune.sparsity: expected a number from 0.0 to below 1.0, found nothing"
        ),
        (
            "stages:\n  - prune: {method: random, pattern: \"4:2\"}",
            """
            r.yaml: line 2: stages[0].prune.pattern: expected "unstructured", "group", "block" or kept:of, such as "2:4" (keeps 2 \
            of every 4), with of at most 32, found "4:2"
            """
        ),
        (
            "stages:\n  - prune: {method: random, pattern: \"2:4\", sparsity: 0.75}",
            """
            r.yaml: line 2: stages[0].prune.sparsity: pattern 2:4 keeps 2 of 4, expected 0.5 or no sparsity, \
            found 0.75
            """
        ),
        (
            "stages:\n  - prune: {method: random, pattern: \"2:4\", scope: layer}",
            """
            r.yaml: line 2: stages[0].prune.scope: does not go with pattern 2:4, which compares within its \
            groups; leave it out
            """
        ),
        (
            "stages:\n  - prune: {method: wanda, sparsity: 0.5, scope: global}",
            """
            r.yaml: line 2: stages[0].prune.scope: wanda weighs each matrix by its own inputs and has no \
            global threshold, expected row or layer
            """
        ),
        (
            "stages:\n  - prune: {method: random, sparsity: 0.5, scope: global, allocation: erk}",
            """
            r.yaml: line 2: stages[0].prune.allocation: does not go with scope global, which finds each layer's \
            share by one threshold; leave it out
            """
        ),
        (
            "stages:\n  - prune: {method: random, sparsity: 0.5, allocation: lmp}",
            "r.yaml: line 2: stages[0].prune.allocation: unknown value \"lmp\"; did you mean \"lamp\"?"
        ),
        (
            "stages:\n  - prune: {method: wanda, sparsity: 0.5, allocation: lamp}",
            """
            r.yaml: line 2: stages[0].prune.allocation: wanda weighs each matrix by its own inputs, and lamp compares \
            those of all; expected uniform, erk, uniform+ or rate-distortion
            """
        ),
        (
            "stages:\n  - prune: {method: magnitude, sparsity: 0.5, floor: 3}",
            "r.yaml: line 2: stages[0].prune.floor: goes with scope global alone; leave it out"
        ),
        (
            "stages:\n  - prune: {method: magnitude, sparsity: 0.5, scope: global, floor_of: model}",
            "r.yaml: line 2: stages[0].prune.floor_of: goes with floor alone; leave it out"
        ),
        (
            "stages:\n  - prune: {method: magnitude, sparsity: 0.5, scope: global, floor: 3, floor_of: model}",
            """
            r.yaml: line 2: stages[0].prune.floor_of: goes with a floor that is a share, and 3 is a count; leave it out
            """
        ),
        (
            "stages:\n  - prune: {method: magnitude, sparsity: 0.5, scope: global, floor: 1.5}",
            """
            r.yaml: line 2: stages[0].prune.floor: expected a count from 1, or a share above 0 and below 1, found 1.5
            """
        ),
        (
            "stages:\n  - prune: {method: magnitude, sparsity: 0.5, scope: global, floor: 0}",
            "r.yaml: line 2: stages[0].prune.floor: expected a count from 1, or a share above 0 and below 1, found 0"
        ),
        (
            "stages:\n  - prune: {method: magnitude, sparsity: 0.5, budgets: {mlp: 1.0}}",
            "r.yaml: line 2: stages[0].prune.budgets.mlp: expected a number from 0.0 to below 1.0, found 1.0"
        ),
        (
            "stages:\n  - prune: {method: magnitude, sparsity: 0.5, budgets: {}}",
            "r.yaml: line 2: stages[0].prune.budgets: expected weight names with fractions, found none"
        ),
        (
            "stages:\n  - prune: {method: magnitude, sparsity: 0.5, budgets: 0.5}",
            """
            r.yaml: line 2: stages[0].prune.budgets: expected a mapping of weight names and the fraction to remove of \
            each, found "0.5"
            """
        ),
        (
            "stages:\n  - prune: {method: magnitude, sparsity: 0.5, allocation: erk, budgets: {mlp: 0.5}}",
            """
            r.yaml: line 2: stages[0].prune.budgets: does not go with an allocation, which finds each layer's share \
            itself; leave it out
            """
        ),
        (
            "stages:\n  - prune: {method: random, pattern: \"2:4\", budgets: {mlp: 0.5}}",
            """
            r.yaml: line 2: stages[0].prune.budgets: does not go with pattern 2:4, which compares within its groups; \
            leave it out
            """
        ),
        (
            "stages:\n  - prune: {method: random, sparsity: 0.5, group_size: 32}",
            """
            r.yaml: line 2: stages[0].prune.group_size: goes with pattern group alone; leave it out or set pattern \
            to group
            """
        ),
        (
            "stages:\n  - prune: {method: random, sparsity: 0.5, pattern: group, group_size: 48}",
            "r.yaml: line 2: stages[0].prune.group_size: expected one of 4, 8, 16, 32, 64, found 48"
        ),
        (
            "stages:\n  - prune: {method: random, pattern: group}",
            "r.yaml: line 2: stages[0].prune: the key \"sparsity\" is missing"
        ),
        (
            "stages:\n  - low-rank: {rank: 4, energy: 0.5}",
            "r.yaml: line 2: stages[0].low-rank: expected one of rank, ratio, energy, found rank and energy"
        ),
        ("stages:\n  - low-rank: {}", "expected one of rank, ratio, energy, found nothing"),
        ("stages:\n  - low-rank: {energy: 0}", "low-rank.energy: expected a number above 0, at most 1, found 0"),
        ("stages:\n  - low-rank: {ratio: 1.5}", "low-rank.ratio: expected a number from 0.0 to 1.0, found 1.5"),
        ("stages:\n  - low-rank: {rank: 0}", "low-rank.rank: expected a whole number from 1"),
        (
            "stages:\n  - quantize: {bits: 8}\n  - low-rank: {rank: 2}",
            "r.yaml: line 3: stages[1]: a low-rank stage must come before the quantize stages"
        ),
        (
            "prefer: quality\nstages: [{quantize: {bits: 8}}]",
            "r.yaml: line 1: prefer: unknown value \"quality\"; expected one of speed, size"
        ),
        (
            "stages:\n  - quantize: {bits: 1}",
            "r.yaml: line 2: stages[0].quantize.bits: expected 2 to 8, ternary, or 1 with scheme bipolar, found 1"
        ),
        (
            "stages:\n  - quantize: {bits: 16}",
            "r.yaml: line 2: stages[0].quantize.bits: expected 2 to 8, ternary, or 1 with scheme bipolar, found 16"
        ),
        (
            "stages:\n  - quantize: {bits: 9, scheme: bipolar}",
            "r.yaml: line 2: stages[0].quantize.bits: expected 1 to 8 with scheme bipolar, found 9"
        ),
        (
            "stages:\n  - quantize: {bits: 5, codebook: k-means}",
            "r.yaml: line 2: stages[0].quantize.bits: expected 2, 3 or 4 with a codebook, found 5"
        ),
        (
            "stages:\n  - quantize: {}",
            "r.yaml: line 2: stages[0].quantize: the key \"bits\" is missing, expected 1 to 8 or ternary"
        ),
        (
            "stages:\n  - quantize: {bits: 3, group_size: 16}",
            "r.yaml: line 2: stages[0].quantize.group_size: expected \"channel\" or one of 32, 64, 128, 256, found 16"
        ),
        (
            "stages:\n  - quantize: {bits: 4, codebok: power}",
            "r.yaml: line 2: stages[0].quantize: unknown key \"codebok\"; did you mean \"codebook\"?"
        ),
        (
            "stages:\n  - quantize: {bits: 4, codebook: kmeans}",
            "r.yaml: line 2: stages[0].quantize.codebook: unknown value \"kmeans\"; did you mean \"k-means\"?"
        ),
        (
            "stages:\n  - quantize: {bits: ternary, symmetric: true}",
            "r.yaml: line 2: stages[0].quantize.symmetric: goes with uniform levels"
        ),
        (
            "stages:\n  - quantize: {bits: ternary, codebook: power}",
            "r.yaml: line 2: stages[0].quantize.codebook: goes with a number of bits alone; leave it out"
        ),
        (
            "stages:\n  - quantize: {bits: 4, codebook: power, tables: row}",
            "r.yaml: line 2: stages[0].quantize.tables: goes with codebook k-means alone; leave it out"
        ),
        (
            "stages:\n  - quantize: {bits: 4, exponent: 0.5}",
            "r.yaml: line 2: stages[0].quantize.exponent: goes with codebook power alone; leave it out"
        ),
        (
            "stages:\n  - quantize: {bits: 4, codebook: power, exponent: 2}",
            "r.yaml: line 2: stages[0].quantize.exponent: expected search or a number from 0.05 to 1, found 2"
        ),
        (
            "stages:\n  - quantize: {bits: 4, codebook: k-means, scheme: uniform}",
            "stages[0].quantize.scheme: goes with a number of bits and without a codebook alone; leave it out"
        ),
        (
            "stages:\n  - quantize: {bits: 4, codebook: k-means, tables: group, group_size: channel}",
            "stages[0].quantize.tables: tables of groups need a group_size other than channel"
        ),
        (
            "stages:\n  - quantize: {bits: 4, group_size: 33}",
            """
            r.yaml: line 2: stages[0].quantize.group_size: expected "channel" or one of 16, 32, 64, 128, 256, \
            found 33
            """
        ),
        (
            "stages:\n  - quantize: {bits: 4, symmetric: maybe}",
            "r.yaml: line 2: stages[0].quantize.symmetric: expected true or false, found maybe"
        ),
        (
            "stages:\n  - quantize: {bits: 4, targets: []}",
            "r.yaml: line 2: stages[0].quantize.targets: expected patterns of weight names, found an empty list"
        ),
        (
            "stages:\n  - quantize: {bits: 8}\n  - prune: {method: random, sparsity: 0.5}",
            """
            r.yaml: line 3: stages[1]: a prune stage must come before the quantize stages (stage 0 quantizes): \
            codes are not pruned
            """
        ),
        ("stages: []", "r.yaml: line 1: stages: expected at least one stage, found none"),
        ("stages: 3", "r.yaml: line 1: stages: expected a list of stages, found \"3\""),
        (
            "stages:\n  - {prune: {method: random, sparsity: 0}, quantize: {bits: 8}}",
            "r.yaml: line 2: stages[0]: expected one of prune, quantize, low-rank, found several"
        ),
        ("seed: -1\nstages: []", "found -1"),
        ("seed: 1.5\nstages: []", "found 1.5"),
        (
            "calibration: {samples: 0}\nstages: [{quantize: {bits: 8}}]",
            "r.yaml: line 1: calibration.samples: expected a whole number from 1 to 65536, found 0"
        ),
        (
            "calibration: {samples: 99999999999999999999}\nstages: [{quantize: {bits: 8}}]",
            "found 99999999999999999999"
        ),
        ("name: x", "r.yaml: line 1: the key \"stages\" is missing, expected a list of prune and quantize stages"),
        (
            "[1, 2]",
            "r.yaml: line 1: expected a mapping with the keys name, seed, calibration, training, prefer, stages, found a list"
        ),
        ("", "r.yaml: is empty, expected a recipe with \"stages\""),
        ("# nothing\n", "r.yaml: is empty, expected a recipe with \"stages\""),
        ("seed: 1\nseed: 2\nstages: []", "r.yaml: line 1: the key \"seed\" appears twice"),
        ("stages: [", "is not YAML: "),
        ("\tstages: []", "is not YAML: "),
        ("stages:\n  - quantize: {bits: 8, targets: [*]}", "r.yaml: line 2"),
        (
            "stages:\n  - quantize: {bits: 8, targets: *all}",
            "r.yaml: line 2: a text that starts with * must be in quotes"
        ),
        ("a: 1\n---\nb: 2", "is not YAML: "),
        ("{[1]: 2}", "r.yaml: line 1: expected a text as key"),
    ])
    func badRecipesGetOneLine(yaml: String, message: String) {
        let text = failure(yaml)
        #expect(text.contains(message), "\(text)")
        #expect(text.split(whereSeparator: \.isNewline).count == 1)
    }

    @Test func bombsAreRefusedAtOnce() {
        // Nine levels of nine references: 387 million nodes when walked; as a mapping key it would be hashed.
        var bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let references = (0..<9).map { _ in "*a\(level - 1)" }.joined(separator: ", ")
            bomb += "a\(level): &a\(level) [\(references)]\n"
        }
        let refusal = failure(bomb + "? *a9\n: 1\n? *a8\n: 2\n")
        #expect(refusal.contains("line 1: anchors (& before a name) are not accepted"))
        #expect(failure("name: a - 'b\nx: &a '\n").contains("line 2: anchors"))
        #expect(failure("name: A & B\nstages: []").contains("found none"))
        let deep = String(repeating: "[", count: 50_000)
        #expect(failure("stages: " + deep).contains("is not YAML"))
        #expect(failure("stages:\n  - " + String(repeating: "k", count: 1000) + ": 1").contains("unknown key"))
    }

    @Test func filesAreChecked() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("recipe-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func write(_ name: String, _ bytes: Data) throws -> String {
            let file = folder.appendingPathComponent(name)
            try bytes.write(to: file)
            return file.path
        }
        func error(_ path: String) -> CoppiceError? {
            do {
                _ = try Recipe.load(path)
                return nil
            } catch { return error as? CoppiceError }
        }
        #expect(error(folder.path + "/none.yaml")?.kind == .noInput)
        #expect(error(folder.path)?.message == "is a folder, expected a recipe file")
        #expect(error(try write("empty.yaml", Data()))?.message == "is empty, expected a recipe with \"stages\"")
        #expect(error(try write("binary.yaml", Data([0xFF, 0xFE, 0x00])))?.message.contains("is not UTF-8") == true)
        #expect(
            error(try write("huge.yaml", Data(repeating: 0x23, count: (1 << 20) + 1)))?.message.contains("1 MiB")
                == true)
        let good = try Recipe.load(try write("good.yaml", Data("stages: [{quantize: {bits: 8}}]\n".utf8)))
        #expect(good.source.hasSuffix("good.yaml") && good.stages.count == 1)
    }

    @Test func theHashIsTheDigestOfTheText() throws {
        let recipe = try Recipe(yaml: "stages: [{quantize: {bits: 8}}]\n")
        // printf 'stages: [{quantize: {bits: 8}}]\n' | sha256sum
        #expect(recipe.hash == "8f9010064c7ad2472d76f851b5c72469ca303d294ad33cdf87821a5d57a065b6")
        let long = "stages: [{quantize: {bits: 8}}] #" + String(repeating: "x", count: 200)
        #expect(try Recipe(yaml: long).hash == "e448e43094a8e45f240633f8e74be5fd9acdf3e3658d5b0ec3f4206abddd3cfd")
    }
}

@Suite struct WeightSelectionTests {
    let names = [
        "model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight",
        "model.layers.10.self_attn.q_proj.weight", "model.layers.10.mlp.down_proj.weight", "lm_head.weight",
    ]

    private func select(_ targets: [String]?, ignore: [String] = []) throws -> [Int] {
        let selection = WeightSelection(
            targets: targets?.map(WeightPattern.init), ignore: ignore.map(WeightPattern.init))
        return try selection.select(from: names, field: "stages[0].prune", source: "r.yaml").compactMap {
            names.firstIndex(of: $0)
        }
    }

    @Test func patternsMatchWholeComponents() throws {
        #expect(try select(nil) == [1, 2, 3, 4])
        #expect(try select(["*"]) == [0, 1, 2, 3, 4, 5])
        #expect(try select(["mlp"]) == [2, 4])
        #expect(try select(["layers.1*"]) == [3, 4])
        #expect(try select(["layers.0"]) == [1, 2])
        #expect(try select(["q_proj", "lm_head"]) == [1, 3, 5])
        #expect(try select(["*"], ignore: ["layers"]) == [0, 5])
        #expect(try select(["?p_proj"]) == [2])
        #expect(try select(["model.layers.*.mlp.*"]) == [2, 4])
        #expect(!WeightPattern("layers.1").matches(names[3]))
        #expect(!WeightPattern("proj").matches(names[1]))
    }

    @Test func patternsThatMatchNothingAreErrors() {
        #expect { _ = try select(["mpl"]) } throws: {
            "\($0)" == "r.yaml: stages[0].prune.targets: \"mpl\" matches no matrix of the model; names look like "
                + "model.layers.0.self_attn.q_proj.weight"
        }
        #expect { _ = try select(nil, ignore: ["x"]) } throws: {
            "\($0)".contains("stages[0].prune.ignore: \"x\" matches no")
        }
        #expect { _ = try select(["mlp"], ignore: ["mlp"]) } throws: { "\($0)".contains("selects no matrix") }
    }

    @Test func hostilePatternsAreFast() {
        let pattern = WeightPattern(String(repeating: "*a", count: 200) + "b")
        #expect(!pattern.matches(String(repeating: "a", count: 500)))
    }
}

@Suite struct StageDescriptionTests {
    @Test func aDescribedStageReadsBackAsItself() throws {
        let recipe = try Recipe(
            yaml: """
                stages:
                  - prune: { method: magnitude, sparsity: 0.4, scope: row, allocation: erk, targets: ["*.q_proj.*"] }
                  - prune: { method: random, sparsity: 0.3, scope: global, ignore: mlp }
                  - prune: { method: wanda, pattern: "1:4" }
                  - prune: { method: magnitude, sparsity: 0.5, allocation: lamp }
                  - prune: { method: magnitude, sparsity: 0.5, allocation: uniform+ }
                  - prune: { method: magnitude, sparsity: 0.5, scope: global, floor: 12 }
                  - prune: { method: magnitude, sparsity: 0.5, scope: global, floor: 0.25 }
                  - prune: { method: magnitude, sparsity: 0.5, scope: global, floor: 0.001, floor_of: model }
                  - prune: { method: wanda, sparsity: 0.5, budgets: { "layers.0": 0.1, "*.up_proj.*": 0.7 } }
                  - prune: { method: sparsegpt, sparsity: 0.5, block_size: 64, dampening: 0.05 }
                  - prune: { method: wanda, pattern: "2:4", recovery: reconstruct, dampening: 0.1 }
                  - quantize: { bits: 4, symmetric: false, group_size: 64, targets: mlp }
                  - quantize: { bits: 8, ignore: mlp }
                """)
        guard case .prune(let count) = recipe.stages[5], case .prune(let share) = recipe.stages[6],
            case .prune(let shareOfAll) = recipe.stages[7], case .prune(let budgets) = recipe.stages[8]
        else {
            Issue.record("stages of other kinds")
            return
        }
        #expect(count.floor == .count(12) && share.floor == .share(0.25) && shareOfAll.floor == .shareOfAll(0.001))
        let named = budgets.budgets.map(\.pattern.text)
        #expect(named == ["layers.0", "*.up_proj.*"])
        let described = "stages:\n" + recipe.stages.map { "  - \($0)\n" }.joined()
        #expect(try Recipe(yaml: described).stages == recipe.stages)
    }
}
