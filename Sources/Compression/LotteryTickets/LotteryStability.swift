import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// How early a network may be pruned: for several k, a search for tickets, and how stable the training of its last
/// ticket is, beside one of a mask of equal size in each layer at random places.
///
/// Frankle, Dziugaite, Roy and Carbin, "Stabilizing the lottery ticket hypothesis" (2019), section 3. In a folder like
/// that of ``LotteryRun``, with a search in `k-STEP/` for each k.
public struct LotteryStability {
    /// What was measured at one k in one replicate.
    public struct Entry: Sendable {
        public var step: Int
        /// From 1.
        public var replicate: Int
        public var seed: UInt64
        /// Of the last ticket.
        public var density: Double
        public var dense: LotteryMeasure
        /// The trained ticket and the trained network of the shuffled mask, in the order of the search.
        public var accuracy: (ticket: Double, shuffled: Double)
        public var ticket: TicketStability
        public var shuffled: TicketStability
    }

    /// All that was measured.
    public struct Results: Sendable {
        public let settings: LotterySettings
        public let architecture: String
        public let trainedOn: String
        public let measuredOn: String
        public let totalSteps: Int
        /// k in steps, rising.
        public let steps: [Int]
        /// By k, then by replicate.
        public var entries: [Entry] = []
        public var isComplete = false
    }

    public let recipe: ClassificationRecipe
    /// Branches and ``LotterySettings/rewind`` have no meaning here.
    public let settings: LotterySettings
    public let points: [LotteryRewind]
    public let options: LotteryRun.Options
    /// Networks measured between two trainings.
    private static let pathPoints = 11

    /// - Parameter points: the k.
    public init(
        _ recipe: ClassificationRecipe, _ settings: LotterySettings, points: [LotteryRewind],
        options: LotteryRun.Options
    ) {
        self.recipe = recipe
        self.settings = settings
        self.points = points
        self.options = options
    }

    /// Trains and measures what is missing; see ``LotteryRun/execute(progress:interruption:finished:)``.
    ///
    /// - Throws: `.usage` for a k that is not a step of training or that is there twice, too.
    public func execute(
        progress: any ProgressReporter = SilentProgress(), interruption: TrainingInterruption = TrainingInterruption(),
        finished: (Results) throws -> Void = { _ in }
    ) throws -> Results {
        let task = try LotteryTask(recipe, settings, dataFolder: options.dataFolder)
        let searches = try self.searches(task)
        let fields =
            settings.fields.filter { !["rewind", "branches"].contains($0.key) }
            + [
                (
                    "ks",
                    searches.map { $0.rewind.checkpoint == nil ? "\($0.method.rewindStep)" : "\($0.rewind)" }
                        .joined(separator: ",")
                )
            ]
        let folder = try LotteryFolder(
            options.output, kind: "stability", recipe: recipe, fields: fields, images: task.imageDigest,
            resumes: options.resumes)
        let tracker = LotteryTracker(progress, interruption)
        let steps = searches.flatMap { rewind, method in
            (0..<settings.replicates).flatMap { number in
                self.steps(method, rewind).map { ("\(Self.prefix(method, number))/\($0.piece)", $0.steps) }
            }
        }
        tracker.begin(
            total: steps.reduce(0) { $0 + $1.1 },
            completed: steps.reduce(folder.stepsUnderWay()) { $0 + (folder.has($1.0) ? $1.1 : 0) })
        defer { tracker.end() }
        var results = Results(
            settings: settings,
            architecture: try VisionArchitecture.name(of: task.makeNetwork(seed: recipe.seed)),
            trainedOn: "\(task.images.training.count) images of \(task.images.training.name)",
            measuredOn: task.measuredOn, totalSteps: task.training.rates.totalSteps,
            steps: searches.map(\.method.rewindStep))
        do {
            for (rewind, method) in searches {
                for number in 0..<settings.replicates {
                    let search = try LotterySearch(
                        task, method: method, rewind: rewind, seed: recipe.seed &+ UInt64(number),
                        folder: folder, prefix: Self.prefix(method, number), tracker: tracker)
                    results.entries.append(try measure(search, number, folder, tracker))
                    try finished(results)
                }
            }
            results.isComplete = true
        } catch is LotteryInterruption {}
        return results
    }

    private func searches(_ task: LotteryTask) throws -> [(rewind: LotteryRewind, method: IterativePruning)] {
        if points.isEmpty { throw CoppiceError(.usage, field: "ks", "is empty, expected a list such as 0,2%,10%") }
        let searches = try points.map { (rewind: $0, method: try task.search(rewind: $0)) }
            .sorted { $0.method.rewindStep < $1.method.rewindStep }
        for (own, next) in zip(searches, searches.dropFirst()) where own.method.rewindStep == next.method.rewindStep {
            throw CoppiceError(
                .usage, field: "ks", "two of them are step \(own.method.rewindStep), expected different ones")
        }
        for point in points { try task.checkKept(point) }
        return searches
    }

    private static func prefix(_ method: IterativePruning, _ number: Int) -> String {
        "k-\(method.rewindStep)/replicate-\(number + 1)"
    }

    private static let (secondOrder, shuffled, shuffledSecondOrder) = (
        "second-order", "shuffle", "shuffle-second-order"
    )

    private func steps(_ method: IterativePruning, _ rewind: LotteryRewind) -> [(piece: String, steps: Int)] {
        let rest = method.training.rates.totalSteps - method.rewindStep
        return [("rewound", rewind.checkpoint == nil ? method.rewindStep : 0), ("dense", rest)]
            + (1...settings.levels).map { ("level-\($0)/trained", rest) }
            + [Self.secondOrder, Self.shuffled, Self.shuffledSecondOrder].map {
                ("level-\(settings.levels)/\($0)", rest)
            }
    }

    /// What is kept of a measurement.
    private struct Record: Codable {
        var ticket: TicketStability
        var shuffled: TicketStability
    }

    private func measure(
        _ search: LotterySearch, _ number: Int, _ folder: LotteryFolder, _ tracker: LotteryTracker
    ) throws -> Entry {
        let (last, rewound) = (settings.levels, try search.rewound())
        let dense = try search.dense(rewound)
        var found: LotteryTicket?
        var accuracy = (ticket: 0.0, shuffled: 0.0)
        for level in 1...last {
            let own = try search.ticket(level, after: found, rewound: rewound)
            accuracy.ticket = try search.trained(own, by: .rewound, level: level, as: "trained").accuracy
            found = own
        }
        guard let ticket = found else { throw CoppiceError(.internal, "a search without levels") }
        let shuffle = TicketBranch.shuffled(seed: search.seed)
        _ = try search.trained(ticket, by: .rewound, order: 1, level: last, as: Self.secondOrder)
        accuracy.shuffled = try search.trained(ticket, by: shuffle, level: last, as: Self.shuffled).accuracy
        _ = try search.trained(ticket, by: shuffle, order: 1, level: last, as: Self.shuffledSecondOrder)
        let file = search.path("level-\(last)/stability.json")
        if !folder.has(file) {
            let masks = try search.method.training(of: shuffle, ticket, in: search.prunable).masks
            let record = Record(
                ticket: try stability(search, tracker, ticket.masks, "trained", Self.secondOrder),
                shuffled: try stability(search, tracker, masks, Self.shuffled, Self.shuffledSecondOrder))
            try folder.write(record, to: file)
        }
        let record = try folder.read(Record.self, file)
        guard record.ticket.path.errors.count > 1, record.shuffled.path.errors.count > 1 else {
            throw CoppiceError(.badData, source: folder.path + "/" + file, "is damaged, expected errors on a path")
        }
        return Entry(
            step: search.method.rewindStep, replicate: number + 1, seed: search.seed, density: ticket.density,
            dense: dense, accuracy: accuracy, ticket: record.ticket, shuffled: record.shuffled)
    }

    private func stability(
        _ search: LotterySearch, _ tracker: LotteryTracker, _ masks: [WeightMask], _ first: String, _ second: String
    ) throws -> TicketStability {
        let level = "level-\(settings.levels)/"
        let (one, two) = (try search.snapshot(level + first), try search.snapshot(level + second))
        return try TicketStability(
            first: one, second: two, dense: try search.snapshot("dense"), masks: masks, in: search.prunable,
            points: Self.pathPoints
        ) { network in
            guard let own = search.task.measure(network, tracker.interruption) else { throw LotteryInterruption() }
            return 1 - own.accuracy
        }
    }
}
