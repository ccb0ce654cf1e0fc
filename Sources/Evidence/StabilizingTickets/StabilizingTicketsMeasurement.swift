import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Synchronization

/// What was trained for the experiment, network by network and seed by seed.
package struct StabilizingTicketsMeasurement: Sendable {
    /// What the reader should know of a network's training.
    package struct Network: Sendable {
        var architecture: String
        var description: String
        var steps: Int
        /// The layers that are pruned.
        var layers: [String]

        package init(architecture: String, description: String, steps: Int, layers: [String]) {
            self.architecture = architecture
            self.description = description
            self.steps = steps
            self.layers = layers
        }
    }

    /// Accuracies of a level's ticket and of its controls.
    package struct Level: Sendable {
        /// From 1.
        var number: Int
        var density: Double
        var ticket: Double
        /// By name of the branch; empty where controls were not trained.
        var controls: [String: Double] = [:]

        package init(number: Int, density: Double, ticket: Double, controls: [String: Double] = [:]) {
            self.number = number
            self.density = density
            self.ticket = ticket
            self.controls = controls
        }
    }

    /// A: one seed.
    package struct Search: Sendable {
        var seed: UInt64
        var dense: Double
        var levels: [Level]
        /// Of the dense network, of the last level's ticket and of its controls.
        var losses: [LossCurve] = []
        /// The share of each layer that each level keeps, and that controls of the last do which choose otherwise.
        var layers: [(name: String, values: [Double])] = []

        package init(seed: UInt64, dense: Double, levels: [Level]) {
            self.seed = seed
            self.dense = dense
            self.levels = levels
        }
    }

    /// B: one seed, one rewinding step.
    package struct Rewinding: Sendable {
        var seed: UInt64
        /// k.
        var step: Int
        var dense: Double
        var levels: [Level]
        /// Of the last level's mask, and of one of equal size in each layer at random places.
        var ticket: TicketStability
        var shuffled: TicketStability
        /// Of the dense network and the last ticket but one, from step k on.
        var losses: [LossCurve] = []
        /// The share of each layer that the last level keeps.
        var layers: [Double] = []

        package init(
            seed: UInt64, step: Int, dense: Double, levels: [Level], ticket: TicketStability, shuffled: TicketStability
        ) {
            self.seed = seed
            self.step = step
            self.dense = dense
            self.levels = levels
            self.ticket = ticket
            self.shuffled = shuffled
        }
    }

    var size: StabilizingTickets.Size
    var perceptron: Network
    var residual: Network
    var searches: [Search]
    /// Seed by seed, and in the order of k within.
    var rewindings: [Rewinding]

    /// What was measured elsewhere.
    package init(
        size: StabilizingTickets.Size, perceptron: Network, residual: Network, searches: [Search],
        rewindings: [Rewinding]
    ) {
        self.size = size
        self.perceptron = perceptron
        self.residual = residual
        self.searches = searches
        self.rewindings = rewindings
    }

    init(
        perceptron: ImageStudy, residual: ImageStudy, size: StabilizingTickets.Size, seeds: [UInt64],
        progress: any ProgressReporter
    ) throws {
        self.size = size
        self.perceptron = try Self.network(perceptron, ignore: Self.ignored)
        self.residual = try Self.network(residual)
        let steps = size.rewindParts.map { Int((Double(residual.supervision().rates.totalSteps) * $0).rounded()) }
        // The residual networks take longest: first.
        let jobs =
            seeds.flatMap { seed in steps.map { Job(seed: seed, rewindStep: $0) } }
            + seeds.map { Job(seed: $0, rewindStep: nil) }
        progress.report("A: \(self.perceptron.description)")
        progress.report("B: \(self.residual.description)")
        progress.begin("tickets", total: jobs.count, unit: "searches")
        let finished = Mutex(0)
        let found = try sideBySide(jobs) { job -> (Search?, Rewinding?) in
            let result: (Search?, Rewinding?) =
                if let step = job.rewindStep {
                    (nil, try Self.rewinding(residual, to: step, size: size, seed: job.seed))
                } else {
                    (try Self.search(perceptron, size: size, seed: job.seed), nil)
                }
            finished.withLock { done in
                done += 1
                progress.advance(to: done, note: job.rewindStep.map { "B, k = \($0)" } ?? "A")
            }
            return result
        }
        progress.end("done")
        searches = found.compactMap(\.0)
        rewindings = found.compactMap(\.1)
    }

    private struct Job: Sendable {
        var seed: UInt64
        /// Nil for A.
        var rewindStep: Int?
    }

    /// What stays dense in A.
    private static let ignored = [WeightPattern("fc3.weight")]

    private static func network(_ study: ImageStudy, ignore: [WeightPattern] = []) throws -> Network {
        let steps = study.supervision().rates.totalSteps
        return Network(
            architecture: study.architecture.description,
            description: "\(study.architecture), \(study.training.name), \(study.training.count) images for training, "
                + "\(study.test.count) for testing, \(steps) steps of \(study.batchSize)", steps: steps,
            layers: try PrunableNetwork(study.makeNetwork(seed: 0), ignore: ignore).weights.map(\.name))
    }

    // MARK: A

    /// The levels whose controls are trained: one near a density of 20 %, and the last.
    private static func controlled(_ tickets: [LotteryTicket]) -> Set<Int> {
        let near = tickets.indices.first { tickets[$0].density <= 0.21 } ?? tickets.count - 1
        return [near, tickets.count - 1]
    }

    private static func search(_ study: ImageStudy, size: StabilizingTickets.Size, seed: UInt64) throws -> Search {
        let network = study.makeNetwork(seed: seed)
        let prunable = try PrunableNetwork(network, ignore: ignored)
        let method = try IterativePruning(
            training: study.supervision(), rewindStep: 0, pruneFraction: size.perceptronFraction)
        let batches = study.batches(seed: seed)
        let initial = Snapshot(of: network)
        let steps = method.training.rates.totalSteps
        var accuracies: [Double] = []
        var losses = [LossCurve("dense", steps: steps)]
        let (tickets, dense) = try method.tickets(
            prunable, levels: size.perceptronLevels, rewound: initial, on: batches,
            progress: { if $0 == 0 { losses[0].add($2, at: $1) } }
        ) { _ in accuracies.append(study.accuracy(of: network)) }
        func accuracy(_ branch: TicketBranch, _ ticket: LotteryTicket, draws name: String? = nil) throws -> Double {
            var curve = LossCurve(name ?? "", steps: steps)
            // Fine-tuning goes on where the schedule ends; curves begin where training does.
            try method.train(branch, of: ticket, in: prunable, on: batches) { curve.add($1, at: $0 % steps) }
            if name != nil { losses.append(curve) }
            return study.accuracy(of: network)
        }
        if let last = tickets.last { accuracies.append(try accuracy(.rewound, last, draws: "ticket")) }
        var layers = tickets.map { (name: MarkupText.percent($0.density), values: prunable.keptShares(of: $0.masks)) }
        var levels = tickets.enumerated().map {
            Level(number: $0.offset + 1, density: $0.element.density, ticket: accuracies[$0.offset + 1])
        }
        let other = Snapshot(of: study.makeNetwork(seed: seed &+ 1_000))
        for place in controlled(tickets).sorted() {
            let ticket = tickets[place]
            let branches: [TicketBranch] = [
                .reinitialized(other), .shuffled(seed: seed), .oneShot(dense: dense), .fineTuned, .learningRateRewound,
            ]
            let isLast = place == tickets.count - 1
            for branch in branches {
                levels[place].controls[branch.name] = try accuracy(branch, ticket, draws: isLast ? branch.name : nil)
                if isLast, case .oneShot = branch { layers.append((branch.name, prunable.keptShares())) }
            }
            let images = try study.training.sample(min(512, study.training.count), seed: seed)
            let criteria: [(String, any NetworkCriterion, Int)] = [
                ("SNIP", GradientWeightCriterion(), 1),
                ("SynFlow", SynapticFlowCriterion(inputShape: study.architecture.inputShape), size.synflowRounds),
            ]
            for (name, criterion, rounds) in criteria {
                prunable.setMasks(prunable.weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) })
                initial.restore(network)
                for round in 1...rounds {
                    let part = Double(round) / Double(rounds)
                    let kept = Tensor(ticket.density, dataType: .f64).power(part).doubles()[0]
                    let whole = Double(prunable.count - ticket.keptCount) / Double(prunable.count)
                    try prunable.prune(
                        by: criterion, to: round == rounds ? whole : min(whole, 1 - kept),
                        batches: Array(images.batches(of: 128)))
                }
                levels[place].controls[name] = try accuracy(
                    .rewound, LotteryTicket(masks: prunable.masks, rewound: initial, source: initial),
                    draws: isLast ? name : nil)
                if isLast { layers.append((name, prunable.keptShares())) }
            }
        }
        var search = Search(seed: seed, dense: accuracies.first ?? .nan, levels: levels)
        (search.losses, search.layers) = (losses, layers)
        return search
    }

    // MARK: B

    private static func rewinding(
        _ study: ImageStudy, to step: Int, size: StabilizingTickets.Size, seed: UInt64
    ) throws -> Rewinding {
        let network = study.makeNetwork(seed: seed)
        let prunable = try PrunableNetwork(network)
        let method = try IterativePruning(
            training: study.supervision(), rewindStep: step, pruneFraction: size.residualFraction)
        let (batches, others) = (study.batches(seed: seed), study.batches(seed: seed &+ 500))
        let rewound = try method.trainToRewindStep(network, on: batches)
        var accuracies: [Double] = []
        let steps = method.training.rates.totalSteps
        var losses = (0..<size.residualLevels).map { level in
            LossCurve("level \(level)", steps: steps - step)
        }
        let (tickets, dense) = try method.tickets(
            prunable, levels: size.residualLevels, rewound: rewound, on: batches,
            progress: { losses[$0].add($2, at: $1) }
        ) { _ in accuracies.append(study.accuracy(of: network)) }
        let levels = tickets.enumerated().map { place, ticket in
            Level(
                number: place + 1, density: ticket.density,
                ticket: place + 1 < accuracies.count ? accuracies[place + 1] : .nan)
        }
        guard var last = levels.last, let ticket = tickets.last else {
            throw CoppiceError(.internal, "a search without levels")
        }
        func stability(_ branch: TicketBranch) throws -> TicketStability {
            try method.stability(
                of: ticket, branch: branch, dense: dense, in: prunable, on: batches, and: others, points: 7
            ) { 1 - study.accuracy(of: $0) }
        }
        let own = try stability(.rewound)
        let shuffled = try stability(.shuffled(seed: seed))
        // Means of the trainings in both orders.
        last.ticket = 1 - own.meanError
        last.controls["shuffled"] = 1 - shuffled.meanError
        let fresh = Snapshot(of: study.makeNetwork(seed: seed &+ 1_000))
        try method.train(.reinitialized(fresh), of: ticket, in: prunable, on: batches)
        last.controls["reinitialized"] = study.accuracy(of: network)
        var rewinding = Rewinding(
            seed: seed, step: step, dense: accuracies.first ?? .nan, levels: Array(levels.dropLast()) + [last],
            ticket: own, shuffled: shuffled)
        (rewinding.losses, rewinding.layers) = (losses, prunable.keptShares(of: ticket.masks))
        return rewinding
    }
}
