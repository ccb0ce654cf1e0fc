import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// How far networks that classify images can be pruned, by accuracy and by cross-entropy.
@Suite(.serialized) struct VisionSparsityTests {
    private let folder: TemporaryFolder
    private static let training = ImageDataSet.shapes(400, size: 28, seed: 1)
    /// As many as no eight shards alike divide.
    private static let test = ImageDataSet.shapes(203, size: 28, seed: 2)
    private static let grid = [0.5, 0.9, 0.97]

    init() throws { folder = try TemporaryFolder() }

    /// A perceptron of 48,200 weights that has learned figures, stored; its last layer has 200 of them.
    private func trained() throws -> VisionCheckpoint {
        let path = folder.path + "/dense"
        if let found = try? VisionCheckpoint.open(path) { return found }
        let network = try VisionArchitecture(named: "lenet-300-100", widthMultiplier: 0.2).makeNetwork(seed: 1)
        let rates = LearningRateSchedule(kind: .cosine, peak: 0.05, warmupSteps: 0, minimumRatio: 0, totalSteps: 160)
        try SupervisedTraining(optimizer: SGD(momentum: 0.9), rates: rates)
            .run(network, on: ImageBatches(Self.training, batchSize: 40, seed: 1))
        try VisionCheckpoint.write(network, normalization: Self.training.normalization, folder: path)
        return try .open(path)
    }

    private func analysis() -> SparsityAnalysis {
        var analysis = SparsityAnalysis()
        (analysis.sparsities, analysis.refinesKnee) = (Self.grid, false)
        return analysis
    }

    private func classification(_ network: any SupervisedNetwork) -> Classification {
        Classification(of: network, on: Self.test.batches(of: 250))
    }

    @Test func theCurveIsThatOfPruningByHand() throws {
        let checkpoint = try trained()
        let network = try checkpoint.network()
        let before = numbers(of: network)
        var analysis = analysis()
        analysis.comparesRandom = true
        let result = try analysis.run(network, on: Self.test)
        #expect(numbers(of: network) == before)
        #expect(result.sweep.weights == ["fc1.weight", "fc2.weight"] && result.sweep.measure == .accuracy)
        let largest = Self.test.classSizes.max() ?? 0
        #expect(result.sweep.chanceLoss == 1 - Double(largest) / 203)
        let (magnitude, random) = (result.sweep.series[0], result.sweep.series[1])
        #expect(magnitude.points.map(\.shardLosses.count) == [8, 8, 8, 8])
        #expect(abs(1 - magnitude.points[0].loss - classification(network).accuracy) < 1e-12)
        for (sparsity, point) in zip(Self.grid, magnitude.points.dropFirst()) {
            let other = try checkpoint.network()
            let pruned = try PrunableNetwork(other, ignore: [WeightPattern("fc3")])
            try pruned.prune(by: .magnitude, to: sparsity)
            #expect(abs(1 - point.loss - classification(other).accuracy) < 1e-12)
            // To the weight.
            let removed = ExactSelection.removedCount(pruned.count, sparsity: sparsity)
            #expect(point.sparsity == Double(removed) / Double(pruned.count))
            #expect(zip(pruned.masks, point.layerSparsities).allSatisfy { $0.sparsity == $1 })
        }
        let errors = [magnitude, random].map { $0.points.reduce(0) { $0 + $1.loss } }
        #expect(magnitude.points[0].loss < 0.5 && errors[0] < errors[1])
        #expect(magnitude.tolerancePointInterval != nil && magnitude.kneeInterval != nil)
        #expect(try analysis.run(network, on: Self.test).json.serialized() == result.json.serialized())
        let json = result.json
        #expect(json["eval"] == "accuracy" && json["chance_loss"] == nil)
        #expect(json["chance_accuracy"]?.doubleValue == 1 - result.sweep.chanceLoss)
        #expect(json["series"]?[0]?["points"]?[1]?["accuracy"]?.doubleValue == 1 - magnitude.points[1].loss)
        if let knee = magnitude.knee { #expect(json["series"]?[0]?["slope_after"]?.doubleValue == -knee.slopeAfter) }
    }

    @Test func lossIsTheCrossEntropy() throws {
        let network = try trained().network()
        let result = try analysis().run(network, on: Self.test, by: .loss)
        let expected = classification(network)
        #expect(abs(result.sweep.series[0].points[0].loss - expected.loss) < 1e-5)
        #expect(abs(result.sweep.chanceLoss - log(10)) < 1e-3 && result.json["eval"] == "loss")
        #expect(result.sweep.csv.hasPrefix("method,sparsity,loss\nmagnitude-global,0.0,"))
    }

    @Test func masksAtTheKneeMakeTheNetworkThatWasMeasured() throws {
        let checkpoint = try trained()
        let result = try analysis().run(checkpoint.network(), on: Self.test)
        let (knee, file) = (try #require(result.knee), try #require(result.maskFile))
        let path = folder.path + "/knee.safetensors"
        try file.write(to: path)
        let written = try MaskFile.read(path)
        #expect(written.statistics.isEmpty && written.removedCount == knee.masks.reduce(0) { $0 + $1.removedCount })
        _ = try MaskApplication(written).run(.vision(checkpoint), output: folder.path + "/knee")
        let sparse = try VisionCheckpoint.open(folder.path + "/knee").network()
        #expect(abs(1 - knee.point.loss - classification(sparse).accuracy) < 1e-12)
    }

    @Test func scopesAndSelectionsAreKept() throws {
        let network = try trained().network()
        var analysis = analysis()
        analysis.scope = .layer
        let layers = try analysis.run(network, on: Self.test).sweep.series[0]
        #expect(layers.label == "magnitude-layer")
        #expect(layers.points[2].layerSparsities.allSatisfy { abs($0 - 0.9) < 1e-3 })
        analysis.selection = WeightSelection(targets: [WeightPattern("fc3")])
        #expect(try analysis.run(network, on: Self.test).sweep.weights == ["fc3.weight"])
        analysis.selection = WeightSelection(ignore: [WeightPattern("fc9")])
        #expect {
            _ = try analysis.run(network, on: Self.test)
        } throws: { "\($0)".contains("weights.ignore: \"fc9\" matches no matrix of the model") }
        analysis.selection = WeightSelection()
        analysis.pattern = .heads
        #expect {
            _ = try analysis.run(network, on: Self.test)
        } throws: { "\($0)".contains("the model has no attention heads") }
    }

    /// What is measured after training is what training by hand gives.
    @Test func fineTuningHoldsTheMasks() throws {
        let checkpoint = try trained()
        let network = try checkpoint.network()
        let before = numbers(of: network)
        let zeroShot = try analysis().run(network, on: Self.test).sweep.series[0]
        var analysis = analysis()
        let training = SparsityAnalysis.FineTuning.training(steps: 25, learningRate: 5e-3)
        let batches = ImageBatches(Self.training, batchSize: 40, seed: 3)
        analysis.fineTuning = .init(training, on: batches)
        let tuned = try analysis.run(network, on: Self.test).sweep.series[0]
        #expect(numbers(of: network) == before)
        #expect(tuned.points[3].loss < zeroShot.points[3].loss)
        for (sparsity, point) in zip([0] + Self.grid, tuned.points) {
            let other = try checkpoint.network()
            let pruned = try PrunableNetwork(other, ignore: [WeightPattern("fc3")])
            try pruned.prune(by: .magnitude, to: sparsity)
            try FineTuning(training).recover(pruned, on: batches)
            #expect(abs(1 - point.loss - classification(other).accuracy) < 1e-12)
        }
    }

    @Test func weightsAndAnswersThatAreNotNumbersAreNamed() throws {
        for (name, expected) in [
            ("fc2.weight", "fc2.weight"), ("fc3.bias", "the loss of the dense network is not finite"),
        ] {
            let network = try trained().network()
            for (own, parameter) in network.parameters where own == name {
                parameter.wrappedValue = parameter.wrappedValue.detached() * Double.nan
            }
            #expect {
                _ = try analysis().run(network, on: Self.test)
            } throws: { ($0 as? CoppiceError)?.kind == .badData && "\($0)".contains(expected) }
        }
    }

    // MARK: Batch normalization

    private static let small = ImageDataSet.shapes(60, size: 8, seed: 2)

    /// A residual network of random weights whose statistics are those of its images.
    private func residual() throws -> VisionCheckpoint {
        let path = folder.path + "/residual"
        let network = try VisionArchitecture(
            named: "resnet8", classes: 10, inputChannels: 1, imageSize: 8, widthMultiplier: 0.25
        ).makeNetwork(seed: 1)
        network.reestimateNormStatistics(on: Self.small.batches(of: 20)) { _ = network.outputs($0.inputs) }
        network.setTraining(false)
        try VisionCheckpoint.write(network, normalization: Self.small.normalization, folder: path)
        return try .open(path)
    }

    private func loss(_ network: any SupervisedNetwork) -> Double {
        Classification(of: network, on: Self.small.batches(of: 60)).loss
    }

    @Test func statisticsOfNormsStayOrAreEstimatedAnew() throws {
        let checkpoint = try residual()
        let network = try checkpoint.network()
        let before = numbers(of: network)
        let batches = ImageBatches(.shapes(60, size: 8, seed: 4), batchSize: 20, seed: 5)
        var analysis = analysis()
        let kept = try analysis.run(network, on: Self.small, by: .loss)
        analysis.normStatistics = .init(of: batches, batchCount: 2)
        let renewed = try analysis.run(network, on: Self.small, by: .loss)
        #expect(numbers(of: network) == before && kept.statistics.isEmpty)
        for (sparsity, place) in [(0.5, 1), (0.97, 3)] {
            let other = try checkpoint.network()
            try PrunableNetwork(other, ignore: [WeightPattern("fc")]).prune(by: .magnitude, to: sparsity)
            let own = loss(other)
            #expect(abs(kept.sweep.series[0].points[place].loss - own) < 1e-4 * (1 + own))
            other.reestimateNormStatistics(on: 0..<2) { _ = other.outputs(batches.batch(at: $0).inputs) }
            let anew = loss(other)
            #expect(abs(renewed.sweep.series[0].points[place].loss - anew) < 1e-4 * (1 + anew))
        }
        let last = { (result: SparsityAnalysis.Result) in result.sweep.series[0].points[3].loss }
        #expect(abs(last(kept) - last(renewed)) > 1e-3)
        // The statistics that were measured with come along.
        let (knee, file) = (try #require(renewed.knee), try #require(renewed.maskFile))
        let applied = try MaskApplication(file).run(.vision(checkpoint), output: folder.path + "/knee")
        #expect(!applied.keepsDenseStatistics)
        let sparse = try VisionCheckpoint.open(folder.path + "/knee").network()
        #expect(abs(knee.point.loss - loss(sparse)) < 1e-4)
        // Trained weights are not written, so neither are their statistics.
        analysis.fineTuning = .init(SparsityAnalysis.FineTuning.training(steps: 2), on: batches)
        let tuned = try analysis.run(network, on: Self.small, by: .loss)
        #expect(tuned.statistics.isEmpty && numbers(of: network) == before)
    }

    @Test func groupsThatDoNotDivideALayerAreRefusedUnlessItIsLeftOut() throws {
        let network = try residual().network()
        var analysis = analysis()
        analysis.pattern = .groups(length: 4)
        #expect {
            _ = try analysis.run(network, on: Self.small)
        } throws: {
            "\($0)".hasPrefix("conv1.weight: pattern n:4 needs rows whose length is a multiple of 4, this")
                && "\($0)".hasSuffix(", or other weights (targets, ignore)")
        }
        analysis.selection.targets = [WeightPattern("layer*")]
        let result = try analysis.run(network, on: Self.small)
        let others = try PrunableNetwork(network).weights.map(\.name).filter { !result.sweep.weights.contains($0) }
        #expect(others == ["conv1.weight", "fc.weight"])
        #expect(result.sweep.series[0].points.map(\.sparsity) == [0, 0.25, 0.5, 0.75])
        let knee = try #require(result.knee)
        let kept = Int((4 * (1 - knee.point.sparsity)).rounded())
        #expect(knee.masks.allSatisfy { $0.satisfies(SemiStructuredPattern(kept: kept, of: 4)) })
    }

    @Test func recurrentNetworksArePrunedInTheirCells() throws {
        let network = try VisionArchitecture(named: "fastgrnn-16", images: [1, 8, 8], classes: 10).makeNetwork(seed: 1)
        let result = try analysis().run(network, on: Self.small, by: .loss)
        #expect(result.sweep.weights == ["cell.W", "cell.U"])
        let total = Double(16 * 8 + 16 * 16)
        let removed = Self.grid.map { Double(ExactSelection.removedCount(Int(total), sparsity: $0)) }
        #expect(result.sweep.series[0].points.dropFirst().map(\.sparsity) == removed.map { $0 / total })
    }
}

/// How far classifiers of texts can be pruned.
@Suite(.serialized) struct TextClassifierSparsityTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func analysis() -> SparsityAnalysis {
        var analysis = SparsityAnalysis()
        (analysis.sparsities, analysis.refinesKnee) = ([0.3, 0.6, 0.9], false)
        return analysis
    }

    @Test func theCurveIsThatOfPruningByHand() throws {
        let checkpoint = try TextClassifier.write(to: folder.path + "/bert")
        let texts = try EncodedTexts(TextClassifier.texts(43), for: checkpoint)
        let tests = { (network: EncoderClassifier) in Classification(of: network, on: texts.batches(of: 7)) }
        let network = try checkpoint.classifier()
        let before = numbers(of: network)
        let result = try analysis().run(network, on: texts)
        #expect(numbers(of: network) == before)
        #expect(result.sweep.weights.count == 12)
        #expect(result.sweep.weights.allSatisfy(EncoderCheckpoint.isLayerMatrix))
        #expect(abs(result.sweep.chanceLoss - (1 - 15.0 / 43)) < 1e-12)
        let points = result.sweep.series[0].points
        for (sparsity, point) in zip([0, 0.3, 0.6, 0.9], points) {
            let other = try checkpoint.classifier()
            let pruned = try PrunableNetwork(other, targets: [WeightPattern("encoder.layer")])
            try pruned.prune(by: .magnitude, to: sparsity)
            #expect(abs(1 - point.loss - tests(other).accuracy) < 1e-12)
            #expect(point.sparsity == pruned.sparsity)
        }
        let loss = try analysis().run(network, on: texts, by: .loss).sweep
        #expect(abs(loss.series[0].points[0].loss - tests(network).loss) < 1e-4)
        // Masks are of the names that the files have.
        let (knee, file) = (try #require(result.knee), try #require(result.maskFile))
        _ = try MaskApplication(file).run(.encoder(checkpoint), output: folder.path + "/knee")
        let sparse = try EncoderCheckpoint.open(folder.path + "/knee").classifier()
        #expect(abs(1 - knee.point.loss - tests(sparse).accuracy) < 1e-12)
    }

    @Test func fineTuningTeachesTheTask() throws {
        let checkpoint = try TextClassifier.write(to: folder.path + "/bert")
        let texts = try EncodedTexts(TextClassifier.texts(42, seed: 2), for: checkpoint)
        let training = EncodedTextBatches(
            try EncodedTexts(TextClassifier.texts(60), for: checkpoint), batchSize: 12, seed: 1)
        let network = try checkpoint.classifier()
        let before = numbers(of: network)
        var analysis = analysis()
        let zeroShot = try analysis.run(network, on: texts, by: .loss).sweep.series[0]
        analysis.fineTuning = .init(
            SparsityAnalysis.FineTuning.training(steps: 60, learningRate: 5e-3), on: training)
        let tuned = try analysis.run(network, on: texts, by: .loss).sweep.series[0]
        #expect(numbers(of: network) == before)
        #expect(zip(tuned.points, zeroShot.points).allSatisfy { $0.loss < $1.loss })
    }

    @Test func headsGoWhole() throws {
        let checkpoint = try TextClassifier.write(to: folder.path + "/bert", width: 16)
        let texts = try EncodedTexts(TextClassifier.texts(20), for: checkpoint)
        var analysis = analysis()
        analysis.pattern = .heads
        let result = try analysis.run(checkpoint.classifier(), on: texts)
        #expect(result.sweep.weights.count == 8 && result.nearZero.count == 8)
        // Two layers of four heads: ⌊2.4⌋, ⌊4.8⌋ and ⌊7.2⌋ of them.
        #expect(result.sweep.series[0].points.map(\.sparsity) == [0, 0.25, 0.5, 0.875])
    }
}
