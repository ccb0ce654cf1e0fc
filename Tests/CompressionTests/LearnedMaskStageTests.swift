import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Stages that search or learn masks, or let them move, and those that remove whole channels.
@Suite(.serialized) struct LearnedMaskStageTests {
    private let folder: TemporaryFolder
    private let images = CompressionImages(
        training: .shapes(240, size: 16, seed: 1), evaluation: .shapes(120, size: 16, seed: 2))

    init() throws { folder = try TemporaryFolder() }

    /// A residual network that was trained a little on drawn figures, stored.
    private func trained(_ name: String = "resnet8") throws -> VisionCheckpoint {
        let path = folder.path + "/dense-" + name
        if let found = try? VisionCheckpoint.open(path) { return found }
        let network = try VisionArchitecture(
            named: name, classes: 10, inputChannels: 1, imageSize: name.hasPrefix("lenet") ? 28 : 16,
            widthMultiplier: 0.5
        ).makeNetwork(seed: 1)
        let set = try #require(self.set(name).training)
        let rates = LearningRateSchedule(
            kind: .cosine, peak: 0.05, warmupSteps: 0, minimumRatio: 0, totalSteps: 24)
        try SupervisedTraining(optimizer: SGD(momentum: 0.9), rates: rates)
            .run(network, on: ImageBatches(set, batchSize: 40, seed: 1))
        network.setTraining(false)
        try VisionCheckpoint.write(network, normalization: set.normalization, folder: path)
        return try .open(path)
    }

    private func set(_ name: String) -> CompressionImages {
        name.hasPrefix("lenet")
            ? CompressionImages(
                training: .shapes(240, size: 28, seed: 1), evaluation: .shapes(120, size: 28, seed: 2)) : images
    }

    private func compress(
        _ stage: String, of name: String = "resnet8", rest: String = "", blind: Bool = false
    ) throws -> (report: CompressionReport, before: any VisionNetwork, after: any VisionNetwork) {
        let recipe = try Recipe(
            yaml: "training: { epochs: 2, batch_size: 40, optimizer: { learning_rate: 0.02 } }\n"
                + "calibration: { images: 120, batch_size: 40 }\nstages:\n  - prune: { \(stage) }\n\(rest)",
            source: "r.yaml")
        // Every stage's description is the stage.
        for (index, own) in recipe.stages.enumerated() {
            let again = try Recipe(yaml: "training: { epochs: 2 }\nstages: [{ \(own) }]")
            #expect(again.stages[0] == recipe.stages[index], "\(own)")
        }
        let checkpoint = try trained(name)
        let output = folder.path + "/out"
        let report = try VisionCompressor(checkpoint, recipe: recipe).run(
            output: output, images: blind ? nil : set(name))
        return (report, try checkpoint.network(), try VisionCheckpoint.open(output).network())
    }

    private func failure(_ stage: String, of name: String = "resnet8", blind: Bool = false) -> String {
        do {
            _ = try compress(stage, of: name, blind: blind)
            return "nothing was wrong"
        } catch { return "\(error)" }
    }

    private func sparsity(_ network: any VisionNetwork) -> (zeros: Int, count: Int) {
        network.parameters.filter { $0.parameter.wrappedValue.rank >= 2 }.reduce((0, 0)) {
            ($0.0 + $1.parameter.wrappedValue.zeroCount, $0.1 + $1.parameter.wrappedValue.count)
        }
    }

    // MARK: Lottery jackpots

    @Test(arguments: ["", ", init: random, rates: uniform", ", init: snip, rates: erk, restrict: cosine"])
    func searchedWeightsAreThoseOfTheCheckpoint(options: String) throws {
        let (report, before, after) = try compress("method: searched, sparsity: 0.8, epochs: 3\(options)")
        for (old, new) in zip(before.parameters, after.parameters) {
            let pairs = zip(old.parameter.wrappedValue.floats(), new.parameter.wrappedValue.floats())
            let isMatrix = old.parameter.wrappedValue.rank >= 2
            #expect(pairs.allSatisfy { isMatrix && $1 == 0 || $0.bitPattern == $1.bitPattern }, "\(old.name)")
        }
        let found = sparsity(after)
        let expected = ExactSelection.removedCount(found.count, sparsity: 0.8)
        #expect(found.zeros <= expected && found.zeros > expected - 12)
        let statistics = zip(before.stateTensors, after.stateTensors).filter { $0.0.name.hasSuffix("running_mean") }
        #expect(!statistics.isEmpty)
        for (old, new) in statistics {
            #expect(old.state.wrappedValue.floats() != new.state.wrappedValue.floats(), "\(old.name)")
        }
        let swaps = try #require(report.stageReports?.first?.swaps)
        #expect(swaps.count == 10 && swaps.reduce(0, +) > 0)
        // Better than its first masks.
        let (plain, _, _) = try compress("method: magnitude, scope: global, sparsity: 0.8")
        if options.isEmpty {
            #expect(try #require(report.accuracy).lossAfter < #require(plain.accuracy).lossAfter)
        }
    }

    /// Norms have the means over an epoch under the masks that are stored, not averages over those of the search.
    @Test func statisticsOfNormsAreTakenAnewUnderTheFoundMasks() throws {
        let (_, _, after) = try compress("method: searched, sparsity: 0.8")
        func firstMeans() throws -> [Float] {
            try #require(after.stateTensors.first { $0.name.hasSuffix("running_mean") }).state.wrappedValue.floats()
        }
        let stored = try firstMeans()
        // Those of the first norm do not depend on which images make a batch: none of its inputs were normalized.
        let batches = try #require(images.training).batches(of: 40)
        after.reestimateNormStatistics(on: batches) { _ = after.outputs($0.inputs) }
        let anew = try firstMeans()
        #expect(zip(stored, anew).allSatisfy { abs($0 - $1) < 1e-4 } && stored.contains { abs($0) > 0.01 })
    }

    @Test func thenTrainMovesWeightsUnderTheMask() throws {
        let (searched, before, _) = try compress("method: searched, sparsity: 0.9")
        let (report, _, after) = try compress("method: searched, sparsity: 0.9, then_train: 2")
        #expect(try #require(report.accuracy).lossAfter < #require(searched.accuracy).lossAfter)
        let found = sparsity(after)
        #expect(found.zeros == ExactSelection.removedCount(found.count, sparsity: 0.9))
        let pair = try #require(zip(before.parameters, after.parameters).first { $0.0.name == "layer1.0.conv1.weight" })
        let (old, new) = (pair.0.parameter.wrappedValue.floats(), pair.1.parameter.wrappedValue.floats())
        #expect(zip(old, new).contains { $1 != 0 && $0 != $1 })
    }

    // MARK: Bi-level pruning

    @Test func bilevelKeepsExactlyWhatIsAskedFor() throws {
        let (report, _, after) = try compress(
            "method: bip, sparsity: 0.9, mask_learning_rate: 1, implicit: code, gamma: 2, lower_steps: 2")
        let found = sparsity(after)
        #expect(found.zeros == ExactSelection.removedCount(found.count, sparsity: 0.9))
        #expect(try #require(report.stageReports?.first?.swaps).reduce(0, +) > 0)
        // Two epochs of six batches; masks rest from three quarters of the six rounds of three steps. 0.8¹¹ < 0.1 < 0.8¹⁰.
        let work = try #require(report.stageReports?.first?.work)
        #expect(work.weightSteps == 12 && work.maskSteps == 5 && work.epochs == 2)
        #expect(work.iterativeLevels == 11 && work.iterativeSteps == 132)
        let (plain, _, _) = try compress("method: magnitude, scope: global, sparsity: 0.9")
        #expect(try #require(report.accuracy).lossAfter < #require(plain.accuracy).lossAfter)
    }

    @Test func bilevelComparesScoresOverTheirLayersScaleWhereAsked() throws {
        let (_, _, raw) = try compress("method: bip, sparsity: 0.9")
        let (_, _, scaled) = try compress("method: bip, sparsity: 0.9, score_scale: layer")
        let (first, second) = (sparsity(raw), sparsity(scaled))
        #expect(second.zeros == ExactSelection.removedCount(second.count, sparsity: 0.9) && first.zeros == second.zeros)
        let pairs = zip(raw.parameters, scaled.parameters)
        #expect(pairs.contains { $0.parameter.wrappedValue.zeroCount != $1.parameter.wrappedValue.zeroCount })
    }

    /// The recipe's training is that of the weights, or of the scores: other rates, smoothed labels, clipped gradients and
    /// rounded products each give another network.
    @Test(arguments: ["method: bip, sparsity: 0.8", "method: searched, sparsity: 0.8, mask_learning_rate: 20"])
    func masksAreLearnedAsTheRecipeSays(stage: String) throws {
        let checkpoint = try trained("lenet-300-100")
        let settings = [
            "", "schedule: { kind: constant }", "label_smoothing: 0.2", "precision: bf16",
            "optimizer: { clip_norm: 0.005 }",
        ]
        let results = try settings.map { setting -> [Float] in
            let recipe = try Recipe(
                yaml: "training: { epochs: 1, batch_size: 40\(setting.isEmpty ? "" : ", " + setting) }\n"
                    + "stages: [{ prune: { \(stage) } }]",
                source: "r.yaml")
            let output = folder.path + "/trained"
            _ = try VisionCompressor(checkpoint, recipe: recipe).run(output: output, images: set("lenet-300-100"))
            return try VisionCheckpoint.open(output).network().parameters.flatMap {
                $0.parameter.wrappedValue.floats()
            }
        }
        #expect(Set(results).count == settings.count)
    }

    /// What is written is narrower, and so are residual streams as a whole.
    @Test(arguments: ["filter", "channel"]) func bilevelChannelsAreCutOut(unit: String) throws {
        let (report, before, after) = try compress(
            "method: bip, granularity: \(unit), sparsity: 0.5, mask_learning_rate: 0.1")
        let channels = try #require(report.stageReports?.first?.channels)
        #expect(channels.allSatisfy { $0.kept == ($0.channels + 1) / 2 }, "\(channels)")
        #expect(channels.contains { $0.layer == "conv1" })
        let (old, new) = (before.parameters, after.parameters)
        #expect(zip(old, new).allSatisfy { $0.name == $1.name })
        let count = { (list: [(name: String, parameter: Parameter)]) in
            list.reduce(0) { $0 + $1.parameter.wrappedValue.count }
        }
        #expect(Double(count(new)) < 0.3 * Double(count(old)))
        #expect(
            report.totals.parameters == count(new) + after.stateTensors.reduce(0) { $0 + $1.state.wrappedValue.count })
        #expect(Double(report.totals.bytes) < 0.35 * Double(report.totals.bytesBefore))
        let stage = try #require(report.stageReports?.first)
        #expect(try #require(stage.multiplicationsAfter) < #require(stage.multiplicationsBefore) / 2)
        let accuracy = try #require(report.accuracy)
        #expect(accuracy.after == Classification.measure(after, on: images.evaluation)?.accuracy)
    }

    /// The masked network in memory and the one that is cut out of it compute the same.
    @Test(arguments: [(MaskUnit.filter, "resnet8"), (.channel, "resnet8"), (.filter, "mobilenet-v1-cifar")])
    func cuttingChangesNothing(unit: MaskUnit, name: String) throws {
        let network = try VisionArchitecture(
            named: name, classes: 10, inputChannels: 1, imageSize: 16, widthMultiplier: name == "resnet8" ? 0.5 : 0.125
        ).makeNetwork(seed: 3)
        let prunable = try PrunableNetwork(network)
        let groups = try ChannelGroups(of: network, example: .zeros([2, 1, 16, 16]))
        var options = BilevelPruning.Options(kept: 0.5, steps: 8)
        (options.unit, options.learningRate) = (unit, 0.05)
        let pruning = try BilevelPruning(prunable, options: options, channels: groups)
        let set = ImageDataSet.shapes(80, size: 16, seed: 4)
        let lower = ImageBatches(set, batchSize: 16, seed: 1)
        var choices: [KeptChannels] = []
        try pruning.run(lower: lower, upper: ImageBatches(set, batchSize: 16, seed: 2)) { _, _ in
            choices.append(try #require(pruning.keptChannels))
        }
        let kept = try #require(pruning.keptChannels)
        // The last quarter trains what the choice left.
        #expect(Set(choices[6...].map(\.isKept)) == [kept.isKept] && kept.count < KeptChannels(allOf: groups).count)
        network.setTraining(false)
        let narrower = try network.removingChannels(of: groups, keeping: kept)
        // All that belongs to a channel is masked, what reads it too.
        #expect(try PrunableNetwork(narrower).count == prunable.count - prunable.removedCount)
        let inputs = set.batches(of: 40).map(\.inputs)[0]
        let (masked, cut) = (network.outputs(inputs).floats(), narrower.outputs(inputs).floats())
        #expect(masked.contains { abs($0) > 1e-3 })
        let largest = masked.map(abs).max() ?? 0
        #expect(zip(masked, cut).allSatisfy { abs($0 - $1) <= 1e-5 * max(1, largest) })
        for (name, parameter) in narrower.parameters where name.hasSuffix("bn1.weight") {
            #expect(parameter.wrappedValue.zeroCount == 0, "\(name)")
        }
    }

    // MARK: Movement, moving connections, adaptive rounds

    @Test func movementReachesTheSparsityByOtherMasksThanMagnitude() throws {
        let (_, before, after) = try compress("method: movement, sparsity: 0.7", of: "lenet-300-100")
        let found = sparsity(after)
        #expect(found.zeros == ExactSelection.removedCount(found.count, sparsity: 0.7))
        // Some weights that magnitude would keep are gone.
        let whole = try PrunableNetwork(before)
        try whole.prune(by: .magnitude, to: 0.7)
        let own = try PrunableNetwork(after).weights.indices.map { try PrunableNetwork(after).values($0).floats() }
        let missed = zip(whole.masks, own).reduce(0) { sum, pair in
            sum + zip(pair.0.indicator.floats(), pair.1).count { $0 == 1 && $1 == 0 }
        }
        #expect(missed > found.count / 50)
    }

    @Test(arguments: ["rigl", "set"]) func connectionsMoveAndTheirNumberStays(rule: String) throws {
        let stage = "method: magnitude, sparsity: 0.8, allocation: erk"
        let (_, _, still) = try compress(stage, of: "lenet-300-100")
        let (_, _, moved) = try compress(
            "\(stage), schedule: { kind: dynamic, by: \(rule), drop: 0.4, every: 2, end: 1.5 }", of: "lenet-300-100")
        for (a, b) in zip(still.parameters, moved.parameters) where a.parameter.wrappedValue.rank == 2 {
            let (first, last) = (a.parameter.wrappedValue.floats(), b.parameter.wrappedValue.floats())
            let (kept, left) = (first.count { $0 != 0 }, last.count { $0 != 0 })
            // Weights that have grown at the end may still be zero.
            #expect(left <= kept && left > kept * 8 / 10, "\(a.name): \(left) of \(kept)")
            if first.count > 2000 {
                #expect(zip(first, last).contains { $0 == 0 && $1 != 0 }, "\(a.name): nothing has grown")
            }
        }
    }

    @Test func adaptiveRoundsTellWhatWent() throws {
        let (report, _, after) = try compress(
            "method: magnitude, schedule: { kind: sap, p: 1, q: 2, rounds: 2 }", of: "lenet-300-100")
        let rounds = try #require(report.stageReports?.first?.rounds)
        #expect(rounds.count == 3 && rounds[0].density == 1 && rounds.allSatisfy { $0.accuracy != nil })
        #expect(rounds[2].removed == 0 && rounds[2].indexPruned == nil && rounds[2].accuracyPruned == nil)
        let found = sparsity(after)
        var left = found.count
        for (round, next) in zip(rounds, rounds.dropFirst()) {
            #expect(round.removed > 0 && round.indexPruned != nil && round.index > 0)
            left -= round.removed
            #expect(abs(next.density - Double(left) / Double(found.count)) < 1e-12)
        }
        #expect(found.count - found.zeros == left)
        // Far below one the aggressiveness removes nothing: one round is all.
        let (stopped, _, _) = try compress(
            "method: magnitude, schedule: { kind: sap, gamma: 1.0e-6, rounds: 5 }", of: "lenet-300-100")
        #expect(stopped.stageReports?.first?.rounds?.count == 1)
    }

    /// The network that is written is that of the sparsest round near the best one on images that no round trained on.
    @Test(arguments: ["p: 1, q: 2, rounds: 3", "p: 1, q: 2, rounds: 2, gamma: 1000, beta: 0.999"])
    func theBestRoundIsKept(schedule: String) throws {
        for tolerance in [0, 1.0] {
            let (report, _, after) = try compress(
                "method: magnitude, schedule: { kind: sap, \(schedule), keep: best, tolerance: \(tolerance) }",
                of: "lenet-300-100")
            let stage = try #require(report.stageReports?.first)
            let (rounds, kept) = (try #require(stage.rounds), try #require(stage.keptRound))
            let accuracies = rounds.compactMap(\.validation)
            #expect(accuracies.count == rounds.count)
            #expect(tolerance == 1 ? kept == rounds.count - 1 : accuracies[kept] == accuracies.max())
            #expect(accuracies.dropFirst(kept + 1).allSatisfy { $0 < accuracies[kept] })
            // A last layer with one weight tells two of ten classes apart.
            if schedule.contains("gamma"), tolerance == 0 { #expect(kept == 0, "\(accuracies)") }
            let found = sparsity(after)
            #expect(abs(Double(found.count - found.zeros) / Double(found.count) - rounds[kept].density) < 1e-12)
            #expect(report.accuracy?.after == rounds[kept].accuracy)
        }
        let (last, _, _) = try compress(
            "method: magnitude, schedule: { kind: sap, \(schedule) }", of: "lenet-300-100")
        let stage = try #require(last.stageReports?.first)
        #expect(stage.keptRound == nil && stage.rounds?.allSatisfy { $0.validation == nil } == true)
        #expect(last.accuracy?.after == stage.rounds?.last?.accuracy)
    }

    // MARK: Whole channels

    @Test(arguments: ["l1", "l2", "group-l2", "taylor", "bn-scale", "random"]) func channelsGoAndTheRestIsQuantized(
        method: String
    ) throws {
        let (report, _, after) = try compress(
            "method: \(method), granularity: channel, sparsity: 0.5, of: multiplications",
            rest: "  - quantize: { bits: 8 }\n")
        let stage = try #require(report.stageReports?.first)
        let (before, left) = (try #require(stage.multiplicationsBefore), try #require(stage.multiplicationsAfter))
        #expect(left <= before / 2 && left > before / 3)
        #expect(report.weights.filter { $0.shape.count > 2 }.allSatisfy { $0.format.hasPrefix("int8") })
        #expect(report.totals.bytes * 4 < report.totals.bytesBefore)
        #expect(report.accuracy?.after == Classification.measure(after, on: images.evaluation)?.accuracy)
        #expect(report.compressed.parameters < 20_000)
        // What went counts as error.
        let first = try #require(report.weights.first { $0.name == "layer1.0.conv1.weight" })
        #expect(try #require(first.relativeError) > 0.05)
    }

    /// By what channels cost the outputs, on images and on noise, without labels, in rounds.
    @Test(arguments: ["data", "gaussian"]) func channelsAreSharedOutByDistortion(calibration: String) throws {
        let (report, _, after) = try compress(
            "method: group-l2, granularity: channel, sparsity: 0.5, of: multiplications, allocation: rate-distortion, "
                + "calibration: \(calibration), samples: 40, grid: 6, floor: 0.2, "
                + "schedule: { kind: one-shot, rounds: 2 }", blind: calibration == "gaussian")
        let stage = try #require(report.stageReports?.first)
        let (before, left) = (try #require(stage.multiplicationsBefore), try #require(stage.multiplicationsAfter))
        #expect(left <= before / 2 && left > before / 3)
        let example = Tensor.zeros([2] + after.configuration.inputShape)
        #expect(try NetworkCost(of: after, example: example).multiplyAccumulates == left)
        let channels = try #require(stage.channels)
        #expect(channels.allSatisfy { 5 * $0.kept >= $0.channels } && channels.contains { $0.kept < $0.channels })
        #expect(
            failure("method: l1, granularity: channel, sparsity: 0.5, allocation: rate-distortion", blind: true)
                .contains("(calibration: gaussian needs none), and needs training images; there are none"))
    }

    @Test func channelsGoBeforeAndAfterOtherStages() throws {
        let (report, _, after) = try compress(
            "method: magnitude, sparsity: 0.5",
            rest: "  - prune: { method: l1, granularity: filter, sparsity: 0.4, recovery: fine-tune }\n"
                + "  - prune: { method: magnitude, sparsity: 0.8, scope: global }\n")
        let found = sparsity(after)
        #expect(found.zeros == ExactSelection.removedCount(found.count, sparsity: 0.8))
        let channels = try #require(report.stageReports?.first { $0.stage == 1 }?.channels)
        // Residual streams stay with filters.
        #expect(try #require(channels.first { $0.layer == "conv1" }).kept == 8)
        #expect(try #require(channels.first { $0.layer == "layer1.0.conv1" }).kept < 8)
    }

    // MARK: Rate and distortion

    @Test(arguments: ["calibration: data", "calibration: gaussian, distortion: worst, solver: lagrangian"])
    func ratesCostLessDistortionThanUniformOnes(options: String) throws {
        let (report, before, after) = try compress(
            "method: magnitude, sparsity: 0.8, allocation: rate-distortion, grid: 10, \(options)",
            blind: options.contains("gaussian"))
        let found = sparsity(after)
        #expect(found.zeros == ExactSelection.removedCount(found.count, sparsity: 0.8))
        let rates = try #require(report.stageReports?.first?.rates)
        #expect(rates.count == report.weights.count { $0.shape.count >= 2 })
        #expect(Set(rates.map(\.rate)).count > 3 && rates.allSatisfy { $0.distortion >= 0 })
        for rate in rates {
            let weight = try #require(report.weights.first { $0.name == rate.name })
            #expect(abs(weight.sparsity - rate.rate) < 1e-9)
        }
        let (_, _, even) = try compress("method: magnitude, sparsity: 0.8")
        let inputs = images.evaluation.batches(of: 120).map(\.inputs)[0]
        func distortion(_ network: any VisionNetwork) -> Double {
            let errors = OutputDistortion.squaredErrors(network.outputs(inputs), to: before.outputs(inputs))
            return OutputDistortion.mean.value(of: errors)
        }
        #expect(distortion(after) < distortion(even))
    }

    // MARK: Blocks

    @Test func blocksGoWhole() throws {
        let (report, _, after) = try compress(
            "method: magnitude, sparsity: 0.5, pattern: block, block: [2, 5], group_score: l2, ignore: [fc1]",
            of: "lenet-300-100")
        #expect(report.weights.first { $0.name == "fc2.weight" }?.format == "sparse-bitmask-f32")
        let weight = try #require(after.parameters.first { $0.name == "fc2.weight" }?.parameter.wrappedValue)
        let (rows, columns, values) = (weight.shape[0], weight.shape[1], weight.floats())
        var gone = 0
        for row in stride(from: 0, to: rows, by: 2) {
            for column in stride(from: 0, to: columns, by: 5) {
                let block = (0..<2).flatMap { r in (0..<5).map { values[(row + r) * columns + column + $0] } }
                #expect(block.allSatisfy { $0 == 0 } || block.allSatisfy { $0 != 0 })
                gone += block[0] == 0 ? 1 : 0
            }
        }
        #expect(gone == rows * columns / 2 / 10)
        #expect(
            failure("method: magnitude, sparsity: 0.5, pattern: block, block: [2, 7]", of: "lenet-300-100").contains(
                "fc2.weight: blocks of 2 × 7 need columns that are a multiple of 7, this weight has 150; 1, 2, 3, 5, 6")
        )
    }

    /// The sparsity is of multiplications, of which the first layers have more than of weights.
    @Test(arguments: ["", ", schedule: { kind: iterative, levels: 2, rewind: none }"])
    func ratesAndDistortionsCountMultiplications(schedule: String) throws {
        let stage = "method: magnitude, sparsity: 0.6, allocation: rate-distortion, grid: 10, samples: 40"
        let (report, before, after) = try compress("\(stage), of: multiplications\(schedule)")
        let structure = try ChannelStructure(VisionArchitecture(before.configuration))
        let uses = Dictionary(uniqueKeysWithValues: structure.entries.map { ($0.name, $0.uses) })
        func multiplications(_ network: any VisionNetwork) -> (kept: Int, all: Int) {
            network.parameters.filter { $0.parameter.wrappedValue.rank >= 2 }.reduce((0, 0)) { sum, own in
                let (value, use) = (own.parameter.wrappedValue, uses[own.name] ?? 0)
                return (sum.0 + (value.count - value.zeroCount) * use, sum.1 + value.count * use)
            }
        }
        let (kept, all) = multiplications(after)
        // Down to the multiplications of one entry.
        let budget = all - ExactSelection.removedCount(all, sparsity: 0.6)
        #expect(kept <= budget && kept > budget - (uses.values.max() ?? 0))
        let own = try #require(report.stageReports?.first)
        #expect(own.multiplicationsBefore == all && own.multiplicationsAfter == kept)
        let (_, _, byWeights) = try compress(stage + schedule)
        #expect(multiplications(byWeights).kept != kept)
        let found = sparsity(byWeights)
        #expect(found.zeros == ExactSelection.removedCount(found.count, sparsity: 0.6))
    }

    // MARK: What is refused

    @Test func whatCannotBeIsSaid() throws {
        #expect(
            failure("method: searched, sparsity: 0.5", blind: true).contains(
                "learns its masks from data, and needs labelled"))
        #expect(
            failure("method: bip, granularity: filter, sparsity: 0.5", of: "lenet-300-100").contains(
                "stages[0].prune: granularity: filter, but no prunable weight is a convolution's"))
        #expect(
            failure("method: magnitude, sparsity: 0.5, allocation: rate-distortion", blind: true).hasSuffix(
                "(calibration: gaussian needs none), and needs training images; there are none"))
        #expect(
            failure("method: l1, granularity: channel, sparsity: 0.95").contains("but at most 0.8"))
        let half = try compress("method: magnitude, sparsity: 0.5", of: "lenet-300-100")
        _ = half
        let recipe = try Recipe(
            yaml: "training: { epochs: 2 }\nstages: [{ prune: { method: movement, sparsity: 0.9 } }]", source: "r.yaml")
        let compressor = try VisionCompressor(.open(folder.path + "/out"), recipe: recipe)
        #expect {
            _ = try compressor.run(output: folder.path + "/again", images: set("lenet-300-100"))
        } throws: { "\($0)".contains("movement decides about all its weights anew") }
    }
}
