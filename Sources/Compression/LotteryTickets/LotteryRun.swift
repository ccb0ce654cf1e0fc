import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A search for lottery tickets by a training recipe, kept in a folder that it can be gone on with.
///
/// Frankle, Dziugaite, Roy and Carbin, "Stabilizing the lottery ticket hypothesis" (2019). Each replicate trains a dense
/// network once; each level removes a part of what is left of the network before, rewinds the rest to step k and trains
/// it, and its branches beside it. The weights of step k are those of the search's own dense training, or of a run that
/// kept them (``LotteryRewind``).
///
/// ```swift
/// var settings = LotterySettings()
/// (settings.levels, settings.rewind) = (5, .epochs(0.5))
/// let run = LotteryRun(recipe, settings, options: .init(output: "tickets"))
/// let results = try run.execute(progress: ConsoleProgress())
/// ```
///
/// A replicate is a function of recipe, settings and its seed, the recipe's plus its number from 0: what is missing in
/// the folder is trained again to the same bits, from wherever it was interrupted.
public struct LotteryRun {
    /// Where things are.
    public struct Options: Sendable, Hashable {
        /// The folder.
        public var output: String
        /// Whether to go on with an earlier run there, if there is one.
        public var resumes: Bool
        /// Where images are looked up that do not exist in the working folder.
        public var dataFolder: String?

        public init(output: String, resumes: Bool = false, dataFolder: String? = nil) {
            self.output = output
            self.resumes = resumes
            self.dataFolder = dataFolder
        }
    }

    public let recipe: ClassificationRecipe
    public let settings: LotterySettings
    public let options: Options

    public init(_ recipe: ClassificationRecipe, _ settings: LotterySettings, options: Options) {
        self.recipe = recipe
        self.settings = settings
        self.options = options
    }

    /// Trains what is missing.
    ///
    /// - Parameters:
    ///   - interruption: a request ends the run after the present step, with a checkpoint.
    ///   - finished: told the results after each network.
    /// - Returns: all that is there; incomplete where the run was interrupted.
    /// - Throws: `.usage` naming a setting that is out of range or differs from that of the run that is resumed;
    ///   `.badData` for recipes, images and networks, and for a loss that is no longer finite; `.cannotCreate` and
    ///   `.inputOutput` for what is written.
    public func execute(
        progress: any ProgressReporter = SilentProgress(), interruption: TrainingInterruption = TrainingInterruption(),
        finished: (LotteryResults) throws -> Void = { _ in }
    ) throws -> LotteryResults {
        let task = try LotteryTask(recipe, settings, dataFolder: options.dataFolder)
        let method = try task.search()
        let folder = try LotteryFolder(
            options.output, kind: "run", recipe: recipe, fields: settings.fields, images: task.imageDigest,
            resumes: options.resumes)
        let tracker = LotteryTracker(progress, interruption)
        let steps = (0..<settings.replicates).flatMap { number in
            Self.steps(method, settings).map { ("\(Self.prefix(number))/\($0.piece)", $0.steps) }
        }
        tracker.begin(
            total: steps.reduce(0) { $0 + $1.1 },
            completed: steps.reduce(folder.stepsUnderWay()) { $0 + (folder.has($1.0) ? $1.1 : 0) })
        defer { tracker.end() }
        let example = try task.prunable(task.makeNetwork(seed: recipe.seed))
        var results = LotteryResults(
            settings: settings, architecture: try VisionArchitecture.name(of: example.network),
            trainedOn: "\(task.images.training.count) images of \(task.images.training.name)",
            measuredOn: task.measuredOn, totalSteps: method.training.rates.totalSteps, rewindStep: method.rewindStep,
            layers: example.weights.map(\.name), count: example.count)
        do {
            for number in 0..<settings.replicates {
                let search = try LotterySearch(
                    task, method: method, rewind: settings.rewind, seed: recipe.seed &+ UInt64(number), folder: folder,
                    prefix: Self.prefix(number), tracker: tracker)
                results.replicates.append(.init(number: number + 1, seed: search.seed))
                try self.search(search, number, &results, finished)
            }
            results.isComplete = true
        } catch is LotteryInterruption {}
        return results
    }

    private func search(
        _ search: LotterySearch, _ number: Int, _ results: inout LotteryResults,
        _ finished: (LotteryResults) throws -> Void
    ) throws {
        let rewound = try search.rewound()
        results.replicates[number].dense = try search.dense(rewound)
        try finished(results)
        var ticket: LotteryTicket?
        for level in 1...settings.levels {
            let own = try search.ticket(level, after: ticket, rewound: rewound)
            results.replicates[number].levels.append(
                .init(
                    number: level, kept: own.keptCount,
                    layerDensities: own.masks.map { Double($0.keptCount) / Double($0.count) }))
            results.replicates[number].levels[level - 1].ticket = try search.trained(
                own, by: .rewound, level: level, as: "trained")
            try finished(results)
            for branch in settings.branches {
                results.replicates[number].levels[level - 1].branches[branch] = try search.trained(
                    own, by: try search.branch(branch), level: level, as: branch.rawValue)
                try finished(results)
            }
            ticket = own
        }
    }

    private static func prefix(_ number: Int) -> String { "replicate-\(number + 1)" }

    /// The networks of a replicate, and the steps that each takes.
    private static func steps(
        _ method: IterativePruning, _ settings: LotterySettings
    ) -> [(piece: String, steps: Int)] {
        let (total, rest) = (method.training.rates.totalSteps, method.training.rates.totalSteps - method.rewindStep)
        let first = settings.rewind.checkpoint == nil ? method.rewindStep : 0
        return [("rewound", first), ("dense", rest)]
            + (1...settings.levels).flatMap { level in
                [("level-\(level)/trained", rest)]
                    + settings.branches.map { ("level-\(level)/\($0.rawValue)", $0 == .reinit ? total : rest) }
            }
    }
}

extension VisionArchitecture {
    /// What a network's architecture is called.
    static func name(of network: any SupervisedNetwork) throws -> String {
        guard let network = network as? any VisionNetwork else { return "network" }
        return try VisionArchitecture(network.configuration).description
    }
}
