import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// How good a trained network of a search is.
public struct LotteryMeasure: Sendable, Hashable, Codable {
    /// On the part that the search is measured on.
    public var accuracy: Double
    /// Cross-entropy in nats.
    public var loss: Double
    /// Images.
    public var count: Int
    /// On the images that were held out, where the accuracy is of the test images and there are such.
    public var validationAccuracy: Double?
}

/// What a search for tickets trains and measures on: a recipe with its images.
struct LotteryTask {
    let recipe: ClassificationRecipe
    let settings: LotterySettings
    let images: ClassificationImages
    let dataFolder: String?
    let training: SupervisedTraining
    /// What the file that training starts from calls weights, where these are not the network's names.
    private let aliases: [String: String]

    /// - Throws: `.usage` for settings out of range; `.noInput` and `.badData` for images and networks; `.badData` for a
    ///   recipe that a search has no use for.
    init(_ recipe: ClassificationRecipe, _ settings: LotterySettings, dataFolder: String?) throws {
        try settings.check()
        self.recipe = recipe
        self.settings = settings
        self.dataFolder = dataFolder
        guard recipe.loop.patience == nil else {
            throw CoppiceError(
                .badData, source: recipe.source, field: "training.patience",
                "has no meaning for tickets, which all take the same steps; leave it out")
        }
        guard recipe.gates == nil else {
            throw CoppiceError(
                .badData, source: recipe.source, field: "gates",
                "prune a network of their own way, expected a recipe without them to find tickets in")
        }
        images = try ClassificationImages(recipe, dataFolder: dataFolder)
        guard images.test != nil || images.validation != nil else {
            throw CoppiceError(
                .badData, source: recipe.source, field: "images.validation",
                "is 0 and there are no test images, so that no accuracy can be measured")
        }
        training = recipe.training(images: images.training.count)
        let rates = training.rates
        guard !settings.branches.contains(.finetune) || rates.rate(at: rates.totalSteps - 1) > 0 else {
            throw CoppiceError(
                .usage, field: "branches",
                "finetune goes on at the last learning rate, which is 0 in this recipe; expected a "
                    + "schedule.minimum_ratio above 0, another schedule, or no finetune")
        }
        aliases = try recipe.startingCheckpoint(dataFolder: dataFolder)?.aliases ?? [:]
        let search = try self.search()
        try checkKept(settings.rewind)
        try checkLevels(try prunable(makeNetwork(seed: recipe.seed)), search)
    }

    /// The digest of all images.
    var imageDigest: String {
        let parts = [images.training, images.validation, images.test].map { $0?.digest ?? "none" }
        return SHA256.hexadecimal(parts.joined(separator: " ").utf8)
    }

    /// What the accuracy is measured on, in words.
    var measuredOn: String {
        if let test = images.test { return "\(test.count) test images of \(test.name)" }
        let count = images.validation?.count ?? 0
        let isTest = recipe.images.validation == .test
        return "\(count) \(isTest ? "test" : "held-out") images of \(images.training.name)"
    }

    /// Levels, rewinding and pruning as the library has them.
    ///
    /// - Parameter rewind: another k than that of the settings.
    /// - Throws: `.usage` for a step that is not one of training.
    func search(rewind: LotteryRewind? = nil) throws -> IterativePruning {
        let epochSteps = Double(images.training.count) / Double(recipe.loop.batchSize)
        return try IterativePruning(
            training: training,
            rewindStep: (rewind ?? settings.rewind).step(of: training.rates.totalSteps, epochSteps: epochSteps),
            pruneFraction: settings.pruneFraction)
    }

    /// Looks whether the network can go back to what a run kept, before anything is trained.
    ///
    /// - Throws: `.badData` naming the tensor that is missing or does not fit.
    func checkKept(_ rewind: LotteryRewind) throws {
        if let checkpoint = rewind.checkpoint { try checkpoint.load(into: makeNetwork(seed: recipe.seed)) }
    }

    func makeNetwork(seed: UInt64) throws -> any VisionNetwork {
        try recipe.makeNetwork(for: images.training, dataFolder: dataFolder, seed: seed)
    }

    /// A network of other initial weights.
    func makeOtherNetwork(seed: UInt64) throws -> any VisionNetwork {
        try recipe.makeRandomNetwork(for: images.training, dataFolder: dataFolder, seed: seed)
    }

    /// - Throws: `.badData` for patterns that match nothing and for a network that is sparse already.
    func prunable(_ network: any VisionNetwork) throws -> PrunableNetwork {
        let prunable = try PrunableNetwork(network, ignore: settings.ignore.flatMap { resolved($0, in: network) })
        guard recipe.model.weights != nil else { return prunable }
        for (place, weight) in prunable.weights.enumerated() where prunable.values(place).zeroCount > 0 {
            throw CoppiceError(
                .badData, source: recipe.source, field: "model.weights",
                "\(weight.name) has zeros, expected a dense network to find tickets in")
        }
        return prunable
    }

    /// The weights that a pattern means: by the network's names, by those of the file that training starts from, or by
    /// other names that files of the architecture have for them (`linear` for `fc`).
    private func resolved(_ text: String, in network: any VisionNetwork) -> [WeightPattern] {
        let names = network.parameters.filter { $0.parameter.wrappedValue.rank >= 2 }.map(\.name)
        let found = WeightPattern(text).resolved(among: names, aliases: aliases)
        guard !names.contains(where: { name in found.contains { $0.matches(name) } }) else { return found }
        // Read beside all others, so that blocks keep their numbers.
        let ending = ".weight"
        let own = type(of: network.configuration).canonicalNames(names + [text + ending]).last ?? text + ending
        return [WeightPattern(own.hasSuffix(ending) ? String(own.dropLast(ending.count)) : own)]
    }

    /// Training images in an order of the seed's.
    func batches(seed: UInt64) -> any BatchSource {
        PrefetchingBatches(
            ImageBatches(
                images.training, batchSize: recipe.loop.batchSize, seed: seed,
                augmentation: recipe.images.augmentation))
    }

    /// Measures a network; nil when it was interrupted.
    func measure(_ network: any SupervisedNetwork, _ interruption: TrainingInterruption) -> LotteryMeasure? {
        func classify(_ set: ImageDataSet) -> Classification? {
            Classification.measure(network, on: set) { _ in !interruption.isRequested }
        }
        guard let main = images.test ?? images.validation, let own = classify(main) else { return nil }
        var measure = LotteryMeasure(accuracy: own.accuracy, loss: own.loss, count: own.count)
        if images.test != nil, let held = images.validation {
            guard let other = classify(held) else { return nil }
            measure.validationAccuracy = other.accuracy
        }
        return measure
    }

    /// Refuses more levels than there are weights for.
    private func checkLevels(_ network: PrunableNetwork, _ search: IterativePruning) throws {
        var counts = settings.scope == .global ? [network.count] : network.weights.map(\.count)
        for level in 1...settings.levels {
            let next = try counts.map { count in
                settings.scope == .global
                    ? try ConstantFraction(settings.pruneFraction).keptCount(after: count)
                    : try LayerFraction(settings.pruneFraction).keptCount(after: count)
            }
            guard next != counts, next.contains(where: { $0 > 0 }) else {
                throw CoppiceError(
                    .usage, field: "levels",
                    "\(settings.levels), expected at most \(level - 1): then no weight is left to remove of "
                        + "\(network.count)")
            }
            counts = next
        }
    }
}
