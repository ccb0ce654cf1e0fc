import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Every recipe of the folder Recipes, from its file to a model that is read back: on small models, drawn figures and a
/// short text, trained for an epoch of a few steps. A recipe that is added is tested by being there.
@Suite(.serialized) struct ShippedRecipesTests {
    private static let library = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Recipes").path
    private static let names =
        ((try? FileManager.default.contentsOfDirectory(atPath: library)) ?? []).filter { $0.hasSuffix(".yaml") }
        .sorted()
    static let compressions = names.filter { !$0.hasPrefix("train-") }
    static let trainings = names.filter { $0.hasPrefix("train-") }

    private static let images = CompressionImages(
        training: .shapes(80, size: 12, seed: 1), evaluation: .shapes(40, size: 12, seed: 2))

    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func thereAreRecipesOfBothKinds() {
        #expect(Self.compressions.count >= 37 && Self.trainings.count >= 6)
    }

    /// Not all data that the recipe would look at, and an epoch where it trains.
    private func recipe(_ name: String) throws -> Recipe {
        var recipe = try Recipe.load(Self.library + "/" + name)
        if recipe.trains { recipe = try recipe.withEpochs(1) }
        (recipe.training.loop.batchSize, recipe.languageTraining.loop.batchSize) = (20, 4)
        for (index, stage) in recipe.stages.enumerated() {
            guard case .prune(var options) = stage, case .dynamic(var moves) = options.network.schedule else {
                continue
            }
            moves.every = 1
            options.network.schedule = .dynamic(moves)
            recipe.stages[index] = .prune(options)
        }
        recipe.images = .init(count: 60, batchSize: 30)
        recipe.calibration = .init(samples: 8, sequenceLength: 16, batchSize: 4)
        return recipe
    }

    // MARK: - Compression

    /// On networks of every kind that its name and its targets are for.
    @Test(arguments: compressions) func everyRecipeCompresses(name: String) throws {
        let recipe = try recipe(name)
        let decoder = try decoder()
        let isOfVision = ["vision-", "resnet-"].contains { name.hasPrefix($0) }
        // A method of networks of images alone says so of a language model, before any work.
        if !isOfVision, let compressor = try? Compressor(decoder, recipe: recipe) {
            return try checkLanguage(compressor, recipe)
        }
        let networks =
            name.hasPrefix("resnet-") ? ["resnet8"] : ["resnet8", "lenet-300-100", "fastgrnn-16", "vit-2-24-p4"]
        // Its rates by one threshold would empty the head of so small a transformer.
        let fitting = name == "vision-jackpot-90.yaml" ? networks.filter { !$0.hasPrefix("vit") } : networks
        for network in fitting { try checkVision(network, recipe, again: network == networks[0]) }
    }

    /// - Parameter again: whether a second run is compared with the first.
    private func checkVision(_ name: String, _ recipe: Recipe, again: Bool) throws {
        let path = folder.path + "/" + name
        let network = try VisionArchitecture(
            named: name, images: [1, 12, 12], classes: 10,
            widthMultiplier: ["resnet8": 0.25, "vit-2-24-p4": 1][name] ?? 0.2
        ).makeNetwork(seed: 1)
        let training = try #require(Self.images.training)
        try VisionCheckpoint.write(network, normalization: training.normalization, folder: path)
        let checkpoint = try VisionCheckpoint.open(path)
        func run(_ output: String) throws -> CompressionReport {
            try VisionCompressor(checkpoint, recipe: recipe).run(
                output: folder.path + "/" + output, images: Self.images)
        }
        let report = try run("small")
        #expect(report.totals.bytes < report.totals.bytesBefore, "\(name)")
        let small = try VisionCheckpoint.open(folder.path + "/small")
        let written = try small.network()
        let accuracy = try #require(report.accuracy)
        #expect(Classification.measure(written, on: Self.images.evaluation)?.accuracy == accuracy.after, "\(name)")
        #expect(accuracy.lossAfter.isFinite)
        #expect(try bytes(ModelInventory(small)) == report.totals.bytes)
        try expectSparsity(of: report, recipe, name)
        guard again else { return }
        _ = try run("again")
        #expect(try folder.files("small") == folder.files("again"), "\(name)")
    }

    /// A decoder whose matrices every group of the recipes divides.
    private func decoder() throws -> Checkpoint {
        var configuration = TinyCheckpoint.configuration
        configuration.intermediateSize = 128
        return try TinyCheckpoint.make(in: folder, name: "decoder", configuration: configuration)
    }

    private func checkLanguage(_ compressor: Compressor, _ recipe: Recipe) throws {
        let text = CalibrationTokens((0..<400).map { $0 * 7 % 50 }, source: "text.txt")
        func run(_ output: String) throws -> CompressionReport {
            try compressor.run(
                output: folder.path + "/" + output, calibration: recipe.needsCalibration ? text : nil)
        }
        let report = try run("small")
        #expect(report.totals.bytes < report.totals.bytesBefore)
        let small = try Checkpoint.open(folder.path + "/small")
        for name in small.weightNames {
            #expect(try small.tensor(name).floats().allSatisfy(\.isFinite), "\(name)")
        }
        #expect(try bytes(ModelInventory(small)) == report.totals.bytes)
        try expectSparsity(of: report, recipe, "decoder")
        _ = try run("again")
        #expect(try folder.files("small") == folder.files("again"))
    }

    private func bytes(_ inventory: ModelInventory) -> Int { inventory.entries.reduce(0) { $0 + $1.byteCount } }

    /// The sparsity that the last stage of single weights asks for, of what it works on.
    private func expectSparsity(of report: CompressionReport, _ recipe: Recipe, _ model: String) throws {
        let stages = recipe.stages.compactMap { stage -> PruneStage? in
            if case .prune(let options) = stage, options.unit == .weight { return options }
            return nil
        }
        guard let stage = stages.last else { return }
        let own = report.weights.filter { weight in
            weight.isPrunable && weight.relativeError != nil
                && (stage.selection.targets ?? [WeightPattern("*")]).contains { $0.matches(weight.name) }
        }
        let count = own.reduce(0) { $0 + $1.count }
        let zeros = own.reduce(0.0) { $0 + $1.sparsity * Double($1.count) }
        if case .adaptive = stage.network.schedule {
            #expect(zeros > 0, "\(model)")
            return
        }
        let asked: Double =
            if case .semiStructured(let pattern) = stage.pattern {
                1 - Double(pattern.kept) / Double(pattern.groupLength)
            } else { stage.sparsity }
        // Quantization may round further weights to zero; each matrix rounds its own count.
        #expect(zeros >= asked * Double(count) - Double(2 * own.count), "\(model): \(zeros) of \(count)")
        guard recipe.stages.count == 1 else { return }
        #expect(zeros <= asked * Double(count) + Double(2 * own.count), "\(model): \(zeros) of \(count)")
    }

    // MARK: - Training

    @Test(arguments: trainings) func everyRecipeTrains(name: String) throws {
        let options = TrainingRun.Options(output: folder.path + "/out")
        switch try AnyTrainingRecipe.load(Self.library + "/" + name) {
        case .classification(var recipe):
            recipe.images.directory = folder.path + "/figures"
            try DrawnImageFolder.write(60, test: 20, to: recipe.images.directory)
            (recipe.loop.batchSize, recipe.loop.epochs) = (18, 1)
            let result = try ClassificationRun(recipe: recipe, options: options, gating: ConsensusTraining.of)
                .execute()
            #expect(result.outcome == .completed && result.state.step == result.totalSteps && result.totalSteps == 3)
            let checkpoint = try VisionCheckpoint.open(options.output)
            let images = try ImageDataSet.open(
                recipe.images.directory, split: .test, for: checkpoint.architecture,
                normalization: checkpoint.normalization)
            #expect(Classification.measure(try checkpoint.network(), on: images) == result.test)
        case .languageModel(var recipe):
            let text = folder.path + "/text.txt"
            try Data(String(repeating: "Once upon a time a hen and a fox went to the sea. ", count: 60).utf8)
                .write(to: URL(fileURLWithPath: text))
            (recipe.data.train, recipe.data.validation) = ([text], recipe.data.validation.isEmpty ? [] : [text])
            recipe.tokenizer = .trained(vocabulary: 270)
            (recipe.loop.batchSize, recipe.loop.sequenceLength, recipe.loop.duration) = (2, 32, .steps(20))
            let result = try TrainingRun(recipe: recipe, options: options, pruning: SparsePretraining.of).execute()
            #expect(result.outcome == .completed)
            let checkpoint = try Checkpoint.open(options.output)
            #expect(checkpoint.configuration.layerCount == recipe.model.layers)
            guard let pruning = recipe.prune else { return }
            let projections = checkpoint.weightNames.filter(WeightSelection.isBlockProjection)
            let values = try projections.flatMap { try checkpoint.weight($0).dense().floats() }
            let zeros = Double(values.count { $0 == 0 }) / Double(values.count)
            #expect(abs(zeros - pruning.finalSparsity) < 1e-3)
        }
    }
}
