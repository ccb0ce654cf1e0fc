import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Vision networks compressed by recipe: what is written, what is read back, and what is refused.
@Suite(.serialized) struct VisionCompressorTests {
    private let folder: TemporaryFolder
    private let images = CompressionImages(
        training: .shapes(400, size: 28, seed: 1), evaluation: .shapes(200, size: 28, seed: 2))

    init() throws { folder = try TemporaryFolder() }

    /// A perceptron that was trained a little on drawn figures, stored.
    private func trained() throws -> VisionCheckpoint {
        let path = folder.path + "/dense"
        if let found = try? VisionCheckpoint.open(path) { return found }
        let network = try VisionArchitecture(named: "lenet-300-100", widthMultiplier: 0.2).makeNetwork(seed: 1)
        let training = try #require(images.training)
        let rates = LearningRateSchedule(
            kind: .cosine, peak: 0.05, warmupSteps: 0, minimumRatio: 0, totalSteps: 60)
        try SupervisedTraining(optimizer: SGD(momentum: 0.9), rates: rates)
            .run(network, on: ImageBatches(training, batchSize: 40, seed: 1))
        try VisionCheckpoint.write(network, normalization: training.normalization, folder: path)
        return try .open(path)
    }

    /// A convolutional network's share of multiplications is another one than that of its weights; a layer whose weights
    /// are all below the threshold is named.
    @Test func multiplicationsAndEmptyLayersAreTold() throws {
        let path = folder.path + "/conv"
        let network = try VisionArchitecture(named: "lenet-5", widthMultiplier: 0.2).makeNetwork(seed: 4)
        for (name, parameter) in network.parameters where name == "conv2.weight" {
            parameter.wrappedValue = parameter.wrappedValue.detached() * 1e-3
        }
        try VisionCheckpoint.write(network, folder: path)
        let (report, checkpoint) = try compress(
            "method: magnitude, scope: global, sparsity: 0.5", from: .open(path), blind: true)
        let uses = ["conv1.weight": 576, "conv2.weight": 64, "fc1.weight": 1, "fc2.weight": 1]
        var (after, dense) = (0, 0)
        for (name, parameter) in try checkpoint.network().parameters {
            let value = parameter.wrappedValue
            after += (uses[name] ?? 0) * (value.count - value.zeroCount)
            dense += (uses[name] ?? 0) * value.count
        }
        let counts = try #require(report.totals.multiplications)
        #expect(counts.after == after && counts.dense == dense && counts.before == dense)
        #expect(abs(counts.share - 0.5) > 0.01 && abs(report.prunable.removed - 0.5) < 0.01)
        #expect(report.collapsed == ["conv2.weight"])
        #expect(report.warnings == ["conv2.weight has no weight left"])
        // What is gone before counts as gone, and the network that came is what is compared with.
        let (again, _) = try compress(
            "method: magnitude, scope: global, sparsity: 0.9", to: "again", from: checkpoint, blind: true)
        let second = try #require(again.totals.multiplications)
        #expect(second.before == after && second.dense == dense && second.after < after)
        // Channels that went are gone from both counts.
        let (cut, smaller) = try compress(
            "method: l1, granularity: filter, sparsity: 0.5", to: "cut", from: .open(path), blind: true)
        let structure = try ChannelStructure(smaller.architecture)
        let left = try #require(cut.totals.multiplications)
        #expect(left.dense == dense && left.after == structure.multiplications(structure.widths))
        #expect(cut.totals.sparsity == 0 && cut.totals.removed > 0.4 && cut.collapsed.isEmpty)
    }

    /// Quantized zeros are stored as small as can be whatever a recipe prefers, so nothing is to be said of them; scores
    /// that are not numbers are.
    @Test func sizesAndScoresThatAreNoNumbersAreTold() throws {
        let path = folder.path + "/perceptron"
        let network = try VisionArchitecture(named: "lenet-300-100", widthMultiplier: 0.2).makeNetwork(seed: 4)
        try VisionCheckpoint.write(network, folder: path)
        let text = """
            stages:
              - prune: { method: magnitude, sparsity: 0.5 }
              - quantize: { bits: 8 }
            """
        let recipe = try Recipe(yaml: text, source: "recipe.yaml")
        let report = try VisionCompressor(.open(path), recipe: recipe).run(output: folder.path + "/small")
        #expect(report.weights.contains { $0.format.hasPrefix("int8") && $0.sparsity > 0.25 })
        #expect(report.warnings.isEmpty, "\(report.warnings)")
        for (_, parameter) in network.parameters where parameter.wrappedValue.rank == 2 {
            parameter.wrappedValue = parameter.wrappedValue.detached() * 1e30
        }
        try VisionCheckpoint.write(network, folder: path)
        #expect {
            try VisionCompressor(.open(path), recipe: recipe).run(output: folder.path + "/huge", images: images)
        } throws: {
            "\($0)" == "\(path): the network's scores are not finite numbers: its activations overflow"
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/huge"))
    }

    /// Patterns may use what the file calls a weight, where the network calls it something else.
    @Test func namesOfTheFileAreUnderstood() throws {
        let network = try VisionArchitecture(named: "resnet8", widthMultiplier: 0.25).makeNetwork(seed: 1)
        let tensors =
            network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) }
            + network.stateTensors.map { ($0.name, $0.state.wrappedValue) }
        let path = folder.path + "/renamed.safetensors"
        try SafetensorsWriter.write(tensors.map { ($0.0.replacing("fc.", with: "linear."), $0.1) }, to: path)
        let file = try VisionCheckpoint.open(path)
        #expect(try file.aliases == ["fc.weight": "linear.weight", "fc.bias": "linear.bias"])
        func sparse(_ options: String) throws -> [String] {
            let (report, _) = try compress(
                "method: magnitude, sparsity: 0.5, \(options)", from: file, blind: true)
            return report.weights.filter { $0.sparsity > 0.4 && $0.shape.count > 1 }.map(\.name)
        }
        let all = network.parameters.filter { $0.parameter.wrappedValue.rank > 1 }.map(\.name)
        #expect(try sparse("ignore: linear") == all.filter { $0 != "fc.weight" })
        #expect(try sparse("ignore: fc") == all.filter { $0 != "fc.weight" })
        #expect(try sparse("targets: linear.weight") == ["fc.weight"])
        #expect(
            failure("method: magnitude, sparsity: 0.5, ignore: lineal", from: file, blind: true).contains("no matrix"))
        let masks = try MaskFile(
            smallestOf: StoredWeights(.vision(file)), sparsity: 0.5,
            selection: WeightSelection(targets: [WeightPattern("linear")]))
        #expect(masks.entries.map(\.name) == ["fc.weight"])
    }

    /// A name that a pattern matches goes before another's name in the file.
    @Test func ownNamesGoBeforeOthers() {
        let names = ["features.0.weight", "features.3.weight"]
        let aliases = ["features.0.weight": "features.3.weight", "features.3.weight": "features.4.weight"]
        func resolved(_ text: String) -> [String] {
            WeightPattern(text).resolved(among: names, aliases: aliases).map(\.text)
        }
        #expect(resolved("features.3") == ["features.3"] && resolved("features.4") == ["features.3.weight"])
        #expect(resolved("features.5") == ["features.5"])
    }

    /// Each ramp ends at the sparsity that is asked for, on a way of its own.
    @Test(arguments: ["magnitude", "movement"]) func rampsLeadToTheSameSparsity(method: String) throws {
        var errors: [[Double]] = []
        for ramp in SparsityRamp.allCases {
            let (report, checkpoint) = try compress(
                "method: \(method), sparsity: 0.8, scope: global, schedule: { kind: gradual, every: 2, ramp: \(ramp) }",
                to: ramp.rawValue)
            let found = zeros(try checkpoint.network())
            #expect(found.zeros == ExactSelection.removedCount(found.count, sparsity: 0.8), "\(ramp)")
            #expect(report.stages[0].contains("ramp: \(ramp)") == (ramp != .cubic))
            errors.append(report.weights.compactMap(\.relativeError))
        }
        #expect(Set(errors).count == 3)
    }

    private func recipe(_ stage: String, rest: String = "") throws -> Recipe {
        try Recipe(
            yaml: "training: { epochs: 2, batch_size: 40, optimizer: { learning_rate: 0.02 } }\n"
                + "calibration: { images: 200, batch_size: 50 }\nstages:\n  - prune: { \(stage) }\n\(rest)",
            source: "r.yaml")
    }

    private func compress(
        _ stage: String, rest: String = "", to name: String = "out", from checkpoint: VisionCheckpoint? = nil,
        blind: Bool = false
    ) throws -> (report: CompressionReport, checkpoint: VisionCheckpoint) {
        let compressor = try VisionCompressor(checkpoint ?? trained(), recipe: recipe(stage, rest: rest))
        let output = folder.path + "/" + name
        let report = try compressor.run(output: output, images: blind ? nil : images)
        return (report, try .open(output))
    }

    private func failure(
        _ stage: String, from checkpoint: VisionCheckpoint? = nil, blind: Bool = false
    ) -> String {
        do {
            _ = try compress(stage, from: checkpoint, blind: blind)
            return "nothing was wrong"
        } catch { return "\(error)" }
    }

    private func zeros(_ network: any VisionNetwork) -> (zeros: Int, count: Int) {
        network.parameters.filter { $0.parameter.wrappedValue.rank >= 2 }.reduce((0, 0)) {
            ($0.0 + $1.parameter.wrappedValue.zeroCount, $0.1 + $1.parameter.wrappedValue.count)
        }
    }

    /// Every method, at exactly the sparsity that was asked for, smaller, and read back as it was measured.
    @Test(arguments: [
        "method: magnitude, scope: global", "method: magnitude, allocation: erk", "method: random", "method: snip",
        "method: grasp", "method: synflow", "method: taylor", "method: obd, gradients: 16, gradient_batch: 8",
        "method: woodfisher, gradients: 16, gradient_batch: 8, block_size: 50",
        "method: m-fac, gradients: 16, gradient_batch: 8", "method: wanda", "method: wanda, scope: layer",
    ])
    func everyMethodGivesASmallerNetwork(stage: String) throws {
        let (report, checkpoint) = try compress("\(stage), sparsity: 0.8")
        let network = try checkpoint.network()
        let found = zeros(network)
        let expected = ExactSelection.removedCount(found.count, sparsity: 0.8)
        // Layer by layer each rounds down by itself.
        #expect(found.zeros <= expected && found.zeros >= expected - 3, "\(found)")
        #expect(Double(report.totals.bytes) < 0.35 * Double(report.totals.bytesBefore))
        let size = try #require(
            FileManager.default.attributesOfItem(atPath: folder.path + "/out/model.safetensors")[.size] as? Int)
        #expect(size > report.totals.bytes && size < report.totals.bytes + 3000)
        let accuracy = try #require(report.accuracy)
        let measured = try #require(Classification.measure(network, on: images.evaluation))
        #expect(accuracy.after == measured.accuracy && accuracy.before > 0.5 && accuracy.images == 200)
        // What is written is the report.
        let written = try JSON(
            parsing: Data(contentsOf: URL(fileURLWithPath: folder.path + "/out/report.json")), source: "report.json")
        #expect(written["accuracy"]?["after"]?.doubleValue == accuracy.after)
        #expect(FileManager.default.fileExists(atPath: folder.path + "/out/recipe.yaml"))
    }

    @Test(arguments: [
        "schedule: { kind: gradual, begin: 0.2, end: 1.5, every: 2 }",
        "schedule: { kind: iterative, levels: 2, rewind: 0.5 }",
        "schedule: { kind: iterative, levels: 2, rewind: none }", "schedule: { kind: one-shot, rounds: 4 }",
        "recovery: fine-tune", "recovery: distill", "schedule: gradual, recovery: fine-tune",
    ])
    func schedulesAndRecoveriesReachTheSparsity(options: String) throws {
        let (report, checkpoint) = try compress("method: magnitude, scope: global, sparsity: 0.9, \(options)")
        let found = zeros(try checkpoint.network())
        #expect(found.zeros == ExactSelection.removedCount(found.count, sparsity: 0.9))
        let (plain, _) = try compress("method: magnitude, scope: global, sparsity: 0.9", to: "plain")
        let (accuracy, bare) = (try #require(report.accuracy), try #require(plain.accuracy))
        if options.contains("rounds") {
            #expect(accuracy.after == bare.after, "magnitude does not change from round to round")
        } else {
            #expect(accuracy.lossAfter < bare.lossAfter, "\(accuracy) after no recovery: \(bare)")
        }
    }

    /// Wanda's outputs lose alike, those of convolutions too, whatever leads there.
    @Test(arguments: [
        "", ", schedule: { kind: one-shot, rounds: 3 }",
        ", schedule: { kind: gradual, begin: 0.2, end: 1.5, every: 2 }",
        ", schedule: { kind: iterative, levels: 2, rewind: 0.5 }", ", recovery: fine-tune", ", recovery: distill",
        ", allocation: rate-distortion, grid: 4, samples: 40",
    ])
    func wandaComparesWithinOutputs(options: String) throws {
        let path = folder.path + "/conv"
        let network = try VisionArchitecture(named: "lenet-5", widthMultiplier: 0.2).makeNetwork(seed: 4)
        try VisionCheckpoint.write(network, folder: path)
        let (report, checkpoint) = try compress("method: wanda, sparsity: 0.6\(options)", from: .open(path))
        let (pruned, isMeasured) = (try checkpoint.network(), options.contains("rate-distortion"))
        for (name, parameter) in pruned.parameters where parameter.wrappedValue.rank >= 2 {
            let (weight, rows) = (parameter.wrappedValue, parameter.wrappedValue.shape[0])
            let columns = weight.count / rows
            let values = weight.floats()
            let zeros = (0..<rows).map { row in
                values[row * columns..<(row + 1) * columns].count { $0 == 0 }
            }
            #expect((zeros.max() ?? 0) - (zeros.min() ?? 0) <= 1, "\(name): \(zeros)")
            guard !isMeasured else { continue }
            #expect(zeros.reduce(0, +) == ExactSelection.removedCount(weight.count, sparsity: 0.6), "\(name)")
        }
        let found = self.zeros(pruned)
        let expected = ExactSelection.removedCount(found.count, sparsity: 0.6)
        #expect(found.zeros <= expected && found.zeros >= expected - 4, "\(found)")
        #expect(report.stageReports?.first?.rates?.count == (isMeasured ? 4 : nil))
    }

    @Test func wandaFindsPatterns() throws {
        let (_, checkpoint) = try compress("method: wanda, pattern: \"2:4\"")
        for (name, parameter) in try checkpoint.network().parameters where parameter.wrappedValue.rank >= 2 {
            let values = parameter.wrappedValue.floats()
            let isKept = stride(from: 0, to: values.count, by: 4).allSatisfy { start in
                values[start..<start + 4].count { $0 == 0 } == 2
            }
            #expect(isKept, "\(name)")
        }
    }

    /// Each matrix ends at its budget, whatever leads there.
    @Test(arguments: [
        "method: magnitude", "method: magnitude, schedule: { kind: one-shot, rounds: 4 }",
        "method: synflow, scope: layer",
        "method: magnitude, schedule: { kind: gradual, begin: 0.2, end: 1.5, every: 2 }",
        "method: magnitude, schedule: { kind: gradual, every: 2, ramp: geometric }",
        "method: snip, schedule: { kind: iterative, levels: 3, rewind: 0.5 }",
        "method: magnitude, schedule: { kind: iterative, levels: 3, rewind: none }", "method: movement",
        "method: random, schedule: { kind: dynamic, every: 4 }",
        "method: m-fac, gradients: 16, gradient_batch: 8, recovery: surgeon",
    ])
    func budgetsHoldInEverySchedule(options: String) throws {
        let (_, checkpoint) = try compress("\(options), sparsity: 0.5, budgets: { fc1: 0.95 }")
        let found = try checkpoint.network().parameters.filter { $0.parameter.wrappedValue.rank == 2 }
            .map(\.parameter.wrappedValue.zeroCount)
        #expect(found == [44_688, 600, 100])
    }

    /// Connections move every so many steps before the end of their schedule: in 20 steps until the 15th, not every 15.
    @Test func schedulesThatMoveNothingAreRefused() {
        func outcome(_ options: String) -> String {
            failure("method: random, sparsity: 0.5, schedule: { kind: dynamic, \(options) }")
        }
        #expect(
            outcome("every: 15")
                == "r.yaml: stages[0].prune: schedule: every: 15 steps, and connections stay from step 15 of 20 on, so "
                + "that none moves; expected fewer than 15 steps, or a longer training")
        #expect(
            outcome("every: 1, end: 0.1")
                == "r.yaml: stages[0].prune: schedule: end: epoch 0.1, and connections stay from step 1 of 20 on, so "
                + "that none moves; expected a later epoch, or a longer training")
        #expect(outcome("every: 14") == "nothing was wrong")
    }

    /// What a stage before has removed of a matrix counts towards its budget, not towards that of others.
    @Test func budgetsCountWhatIsRemovedAlready() throws {
        let (_, half) = try compress("method: magnitude, sparsity: 0.5, targets: fc1", to: "half")
        let (_, checkpoint) = try compress("method: magnitude, sparsity: 0.1, budgets: { fc1: 0.75 }", from: half)
        let found = try checkpoint.network().parameters.filter { $0.parameter.wrappedValue.rank == 2 }
            .map(\.parameter.wrappedValue.zeroCount)
        #expect(found == [35_280, 120, 20])
        #expect(
            failure("method: magnitude, sparsity: 0.5, budgets: { fc1: 0.25 }, schedule: gradual", from: half)
                == "r.yaml: stages[0].prune: budgets.fc1: 0.25 removes 11760 of the 47040 weights of fc1.weight, of which "
                + "23520 are removed already; removed weights do not return")
    }

    /// Subset retraining: only what is named moves, running statistics aside.
    @Test(arguments: ["fine-tune", "distill"]) func recoveriesTrainWhatIsNamed(kind: String) throws {
        let (plain, pruned) = try compress("method: magnitude, scope: global, sparsity: 0.9", to: "plain")
        let (tuned, checkpoint) = try compress(
            "method: magnitude, scope: global, sparsity: 0.9, recovery: { kind: \(kind), trains: [bias, fc3] }")
        for (own, before) in zip(try checkpoint.network().parameters, try pruned.network().parameters) {
            let isSame = own.parameter.wrappedValue.floats() == before.parameter.wrappedValue.floats()
            #expect(isSame == !(own.name.hasSuffix("bias") || own.name == "fc3.weight"), "\(own.name)")
        }
        let (after, bare) = (try #require(tuned.accuracy), try #require(plain.accuracy))
        #expect(after.lossAfter < bare.lossAfter)
        #expect(tuned.stages[0].contains("trains: [\"bias\", \"fc3\"]"))
        #expect(
            failure("method: magnitude, sparsity: 0.5, recovery: { kind: \(kind), trains: fc4 }")
                == "r.yaml: stages[0].prune.recovery.trains: \"fc4\" matches no parameter of the network; did you mean "
                + "\"fc1\"?")
    }

    /// Network slimming by recipe: scales shrink under the penalty, and channels go by them.
    @Test func scalesArePenalizedWhereThereAreSome() throws {
        let network = try VisionArchitecture(
            named: "resnet8", classes: 10, inputChannels: 1, imageSize: 28, widthMultiplier: 0.25
        ).makeNetwork(seed: 3)
        let path = folder.path + "/resnet.safetensors"
        try VisionCheckpoint.write(network, file: path)
        func scales(_ penalty: String, to name: String) throws -> Double {
            let recipe = try Recipe(
                yaml: "training: { epochs: 1, batch_size: 40\(penalty) }\nstages:\n"
                    + "  - prune: { method: magnitude, sparsity: 0, recovery: fine-tune }\n"
                    + "  - prune: { method: bn-scale, sparsity: 0.25, granularity: filter }\n", source: "r.yaml")
            _ = try VisionCompressor(.open(path), recipe: recipe).run(output: folder.path + "/" + name, images: images)
            let found = try VisionCheckpoint.open(folder.path + "/" + name).network()
            #expect(found.parameterCount < network.parameterCount)
            return found.parameters.filter { $0.name.contains("bn") && $0.name.hasSuffix("weight") }
                .reduce(0) { $0 + $1.parameter.wrappedValue.abs().mean().doubles()[0] }
        }
        #expect(try scales(", bn_scale_l1: 1", to: "sparse") < 0.9 * scales("", to: "free"))
        let recipe = try Recipe(
            yaml: "training: { bn_scale_l1: 1.0e-4 }\nstages: [prune: { method: snip, sparsity: 0.5 }]",
            source: "r.yaml")
        #expect { _ = try VisionCompressor(trained(), recipe: recipe) } throws: {
            "\($0)"
                == "r.yaml: training.bn_scale_l1: is of batch normalizations, and the network has none; leave it out"
        }
    }

    @Test func theSurgeonMakesUpForWhatGoes() throws {
        let fisher = "gradients: 100, gradient_batch: 4, dampening: 1.0e-4, sparsity: 0.7"
        let (plain, _) = try compress("method: m-fac, \(fisher)", to: "plain")
        let (moved, checkpoint) = try compress(
            "method: m-fac, recovery: surgeon, schedule: { kind: one-shot, rounds: 4 }, \(fisher)")
        let found = zeros(try checkpoint.network())
        #expect(found.zeros == ExactSelection.removedCount(found.count, sparsity: 0.7))
        #expect(plain.stageReports?.first?.saliencies == nil)
        #expect(moved.stageReports?.first?.saliencies?.decades.isEmpty == false)
        let (before, after) = (try #require(plain.accuracy), try #require(moved.accuracy))
        #expect(after.lossAfter < before.lossAfter, "\(after.lossAfter) against \(before.lossAfter)")
    }

    /// On a ramp, and on one that ends with training.
    @Test(arguments: ["every: 5", "every: 5, end: 2"]) func theSurgeonMakesUpAtEachRemoval(ramp: String) throws {
        let fisher = "method: m-fac, gradients: 40, gradient_batch: 4, dampening: 1.0e-4, sparsity: 0.9"
        let (plain, _) = try compress(fisher, to: "plain")
        let (moved, checkpoint) = try compress("\(fisher), recovery: surgeon, schedule: { kind: gradual, \(ramp) }")
        let found = zeros(try checkpoint.network())
        #expect(found.zeros == ExactSelection.removedCount(found.count, sparsity: 0.9))
        #expect(moved.stageReports?.first?.gradients == 40)
        #expect(moved.stageReports?.first?.saliencies?.decades.isEmpty == false)
        let (before, after) = (try #require(plain.accuracy), try #require(moved.accuracy))
        #expect(after.lossAfter < before.lossAfter, "\(after.lossAfter) against \(before.lossAfter)")
    }

    /// 400 images make 13 gradients of 32: what was asked for is not what was taken.
    @Test func fewerGradientsThanAskedForAreTold() throws {
        for (options, count) in [
            ("gradients: 64", 13), ("gradients: 12", 12), ("gradients: 50, gradient_batch: 8", 50),
        ] {
            let progress = ProgressLines()
            let recipe = try recipe("method: obd, sparsity: 0.5, \(options)")
            let report = try VisionCompressor(trained(), recipe: recipe)
                .run(output: folder.path + "/fewer", images: images, progress: progress)
            #expect(report.stageReports?.first?.gradients == count)
            let told = progress.lines.filter { $0.contains("prune.gradients") }
            let line =
                "stages[0].prune.gradients: 13 instead of 64, of the 400 examples that there are; 2048 would do, or a "
                + "smaller gradient_batch"
            #expect(told == (count == 13 ? [line] : []))
            let memory = progress.lines.filter { $0.hasPrefix("stages[0].prune: \(count) gradients of ") }
            #expect(memory.count == 1 && memory[0].hasSuffix(" MB"), "\(progress.lines)")
            let text = try String(contentsOfFile: folder.path + "/fewer/report.json", encoding: .utf8)
            #expect(text.contains("\"gradients\" : \(count)"))
        }
    }

    /// A Fisher matrix that does not fit is refused with what would, in the recipe's words; with that it runs.
    @Test func memoryThatIsNotThereIsRefusedWithWhatFits() throws {
        let d = zeros(try trained().network()).count
        func outcome(_ stage: String, bytesPerWeight: Int) throws -> String {
            var recipe = try recipe(stage + ", sparsity: 0.5")
            guard case .prune(var own) = recipe.stages[0] else { return "no stage" }
            own.network.sampling.memoryLimit = bytesPerWeight * d
            recipe.stages[0] = .prune(own)
            let output = folder.path + "/limited"
            defer { try? FileManager.default.removeItem(atPath: output) }
            do {
                _ = try VisionCompressor(trained(), recipe: recipe).run(output: output, images: images)
                return "ran"
            } catch {
                #expect(!FileManager.default.fileExists(atPath: output))
                return "\(error)"
            }
        }
        let fisher = "method: m-fac, gradient_batch: 8"
        let message = try outcome("\(fisher), gradients: 16", bytesPerWeight: 40)
        #expect(message.contains("stages[0]") && message.contains("16 gradients of \(d) weights take"))
        #expect(message.hasSuffix("expected at most 10 gradients, or at most 20 with storage: bf16"), "\(message)")
        #expect(try outcome("\(fisher), gradients: 10", bytesPerWeight: 40) == "ran")
        #expect(try outcome("\(fisher), gradients: 16, storage: bf16", bytesPerWeight: 40) == "ran")

        let blocks = "method: woodfisher, gradients: 100, gradient_batch: 2"
        #expect(
            try outcome("\(fisher), gradients: 16", bytesPerWeight: 60).hasSuffix("at most 30 with storage: bf16"))
        let advice = try outcome("\(blocks), block_size: 50", bytesPerWeight: 152)
        #expect(
            advice.contains("block_size: ")
                && advice.hasSuffix("expected a block_size of at most 3, or at most 19 gradients"), "\(advice)")
        #expect(try outcome("\(blocks), block_size: 3", bytesPerWeight: 152) == "ran")
        #expect(
            try outcome("method: m-fac, gradients: 100, gradient_batch: 2", bytesPerWeight: 152).hasSuffix(
                "or method woodfisher with a block_size of at most 3"))
    }

    @Test func structuresHaveFormatsOfTheirOwn() throws {
        let (pairs, checkpoint) = try compress("method: magnitude, pattern: \"2:4\"", blind: true)
        #expect(pairs.accuracy == nil)
        #expect(pairs.weights.filter { $0.shape.count == 2 }.allSatisfy { $0.format == "sparse-2:4-f32" })
        let network = try checkpoint.network()
        for (name, parameter) in network.parameters where parameter.wrappedValue.rank == 2 {
            let values = parameter.wrappedValue.floats()
            for start in stride(from: 0, to: values.count, by: 4) {
                #expect(values[start..<start + 4].count { $0 != 0 } <= 2, "\(name)")
            }
        }
        let (groups, _) = try compress(
            "method: snip, sparsity: 0.5, pattern: group, group_size: 4, scope: layer",
            rest: "  - quantize: { bits: 8 }\n")
        #expect(groups.weights.filter { $0.shape.count == 2 }.allSatisfy { $0.format.contains("int8") })
        #expect(groups.totals.bytes * 4 < groups.totals.bytesBefore)
    }

    /// A compressed network is compressed further, trained on and masked by, and stays as sparse.
    @Test func whatIsWrittenIsReadBack() throws {
        let (_, half) = try compress("method: magnitude, sparsity: 0.5, scope: global", to: "half")
        let (_, most) = try compress(
            "method: magnitude, sparsity: 0.8, scope: global, recovery: fine-tune", to: "most", from: half)
        let (early, late) = (try half.network(), try most.network())
        for (a, b) in zip(early.parameters, late.parameters) where a.parameter.wrappedValue.rank == 2 {
            let values = zip(a.parameter.wrappedValue.floats(), b.parameter.wrappedValue.floats())
            #expect(values.allSatisfy { $0 != 0 || $1 == 0 }, "\(a.name): what was removed has returned")
        }
        let present = try half.sparsity()
        #expect(
            failure("method: magnitude, sparsity: 0.3, scope: global", from: half)
                == "r.yaml: stages[0].prune: sparsity: 0.3 is below the \(present) that is already pruned; "
                + "removed weights do not return")
        // The masks of one network on another.
        let (_, masked) = try compress("method: mask, masks: \"\(folder.path)/most\"", to: "masked")
        #expect(zeros(try masked.network()) == zeros(late))
        // A file of masks of some of the weights; it belongs to the network that it was taken from.
        let path = folder.path + "/masks.safetensors"
        let stored = try StoredWeights(.vision(trained()))
        let masks = try MaskFile(
            smallestOf: stored, sparsity: 0.7, selection: WeightSelection(ignore: [WeightPattern("fc3")]))
        try masks.write(to: path)
        let (_, filed) = try compress("method: mask, masks: \"\(path)\"", to: "filed")
        let own = try PrunableNetwork(filed.network())
        for (weight, values) in zip(own.weights, own.weights.indices.map { own.values($0).floats() }) {
            let mask = masks.entries.first { $0.name == weight.name }?.mask
            #expect(values.count { $0 == 0 } == mask?.removedCount ?? 0, "\(weight.name)")
        }
        #expect(failure("method: mask, masks: \"\(path)\"", from: half).contains("model: is the mask of other weights"))
        #expect(failure("method: mask, masks: \"\(path)\", targets: fc3").contains("masks of other weights than the"))
        // A second time without change: to the byte.
        let (_, again) = try compress("method: magnitude, sparsity: 0.8, scope: global", to: "again", from: most)
        #expect(zeros(try again.network()) == zeros(late))
    }

    @Test func theSameRecipeGivesTheSameBytes() throws {
        func bytes(_ name: String) throws -> Data {
            _ = try compress("method: snip, sparsity: 0.9, recovery: fine-tune", to: name)
            return try Data(contentsOf: URL(fileURLWithPath: folder.path + "/\(name)/model.safetensors"))
        }
        #expect(try bytes("a") == bytes("b"))
    }

    @Test func convolutionsAreMatrices() throws {
        let network = try VisionArchitecture(
            named: "resnet8", classes: 10, inputChannels: 1, imageSize: 28, widthMultiplier: 0.5
        ).makeNetwork(seed: 3)
        let path = folder.path + "/resnet.safetensors"
        try VisionCheckpoint.write(network, file: path)
        let (report, checkpoint) = try compress(
            "method: snip, sparsity: 0.9, ignore: [fc]", from: VisionCheckpoint.open(path))
        let first = try #require(report.weights.first { $0.name == "layer3.0.conv2.weight" })
        #expect(first.shape == [32, 32, 3, 3] && first.format == "sparse-bitmask-f32")
        #expect(report.totals.bytes * 3 < report.totals.bytesBefore)
        #expect(checkpoint.tensors.shape(of: "layer3.0.conv2.weight") == [32, 32, 3, 3])
        let tensor = try checkpoint.network().parameters.first { $0.name == "fc.weight" }?.parameter.wrappedValue
        #expect(tensor?.zeroCount == 0)
    }

    // MARK: What is refused

    @Test func mistakesAreNamed() throws {
        let dense = try trained()
        #expect(
            failure("method: magnitude, sparsity: 0.5, targets: fc4")
                == "r.yaml: stages[0].prune.targets: \"fc4\" matches no matrix of the model; did you mean \"fc1\"?")
        #expect(
            failure("method: magnitude, pattern: \"3:8\"").contains(
                "fc2.weight: pattern 3:8 needs rows whose length is a multiple of 8, this weight's is 60; "
                    + "group lengths that divide it: 2, 3, 4, 5, 6, 10, 12, 15, 20, 30"))
        #expect(
            failure("method: magnitude, sparsity: 0.5, pattern: group, group_size: 32").contains(
                "fc1.weight: groups of"))
        #expect(
            failure("method: snip, sparsity: 0.5", blind: true)
                == "r.yaml: stages[0].prune: method snip looks at gradients, and needs labelled training images; "
                + "there are none")
        #expect(
            failure("method: magnitude, sparsity: 0.5, recovery: fine-tune", blind: true).contains(
                "recovery fine-tune trains, and needs labelled"))
        #expect(
            failure("method: wanda, sparsity: 0.5", blind: true)
                == "r.yaml: stages[0].prune: method wanda looks at activations, and needs training images; there are "
                + "none")
        #expect(failure("method: sparsegpt, sparsity: 0.5").contains("sparsegpt is for language models and encoders"))
        #expect(
            failure("method: magnitude, sparsity: 0.5, recovery: reconstruct").contains(
                "prune.recovery: reconstruct is for language models"))
        for unit in ["head", "neuron"] {
            #expect(
                failure("method: taylor, granularity: \(unit), sparsity: 0.5")
                    == "r.yaml: stages[0].prune.granularity: \(unit) is for language models and encoders, expected weight, "
                    + "filter, channel or layer: heads and neurons of a vision transformer go with granularity channel")
        }
        // Masks of another network, and of nothing.
        let other = try VisionArchitecture(named: "lenet-300-100", widthMultiplier: 0.3).makeNetwork()
        let path = folder.path + "/other.safetensors"
        try VisionCheckpoint.write(other, file: path)
        #expect(
            failure("method: mask, masks: \"\(path)\"")
                == "\(path): fc1.weight: has shape [90, 784], expected [60, 784]: the masks are those of another network"
        )
        try SafetensorsWriter.write([("a", .ones([2, 3]))], to: path)
        #expect(failure("method: mask, masks: \"\(path)\"").contains("fc1.weight: is missing: the masks are those of"))
        #expect(failure("method: mask, masks: \"/nowhere\"").contains("/nowhere"))
        // A file of masks of another network.
        try VisionCheckpoint.write(other, file: path)
        try MaskFile(smallestOf: .open(path), sparsity: 0.5).write(to: folder.path + "/wide.safetensors")
        #expect(
            failure("method: mask, masks: \"\(folder.path)/wide.safetensors\"").contains(
                "wide.safetensors: fc1.weight: is the mask of 90 × 784 weights"))
        // Numbers that are none.
        let network = try dense.network()
        network.parameters[0].parameter.update { $0[5] = .nan }
        try VisionCheckpoint.write(network, file: path)
        #expect(failure("method: magnitude, sparsity: 0.5", from: try .open(path)).contains("fc1.weight"))
        // Finite weights whose loss is not.
        network.parameters[0].parameter.update { $0.update(repeating: 3e38) }
        try VisionCheckpoint.write(network, file: path)
        let message = failure("method: snip, sparsity: 0.5", from: try .open(path))
        #expect(message == "\(path): the network's scores are not finite numbers: its activations overflow")
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"), "a failure leaves nothing")
    }
}

extension VisionCheckpoint {
    /// The fraction of weights that are zero.
    fileprivate func sparsity() throws -> Double {
        let all = try network().parameters.map(\.parameter.wrappedValue).filter { $0.rank >= 2 }
        return Double(all.reduce(0) { $0 + $1.zeroCount }) / Double(all.reduce(0) { $0 + $1.count })
    }
}
