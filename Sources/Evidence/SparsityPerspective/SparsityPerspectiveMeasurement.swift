import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Synchronization

/// What was trained for the experiment.
package struct SparsityPerspectiveMeasurement: Sendable {
    /// A way to prune, most of them level by level.
    package enum Method: Hashable, Sendable, CaseIterable {
        case lotteryTicket
        case layer, layerGentle, neuron, global, globalGentle
        /// By layers, bold beyond what the bound says.
        case forced
        /// The dense network's smallest weights at once, and weights by chance.
        case oneShot, random
        /// By magnitude on a cubic ramp, in one training as long as all of the lottery ticket's.
        case gradual

        var name: String {
            switch self {
            case .lotteryTicket: "lottery ticket"
            case .layer: "SAP, layer, (1, 2)"
            case .layerGentle: "SAP, layer, (1/2, 1)"
            case .neuron: "SAP, neuron, (1, 2)"
            case .global: "SAP, global, (1, 2)"
            case .globalGentle: "SAP, global, (1/2, 1)"
            case .forced: "SAP, layer, (1, 2), γ = 1.5"
            case .oneShot: "one-shot"
            case .random: "random"
            case .gradual: "GMP"
            }
        }

        /// What goes after each level; nil where there are none.
        func pruning() throws -> (any LevelPruning)? {
            switch self {
            case .lotteryTicket: try ConstantFraction(0.2)
            case .layer: try AdaptiveSparsity(.aggressive, scope: .layer)
            case .layerGentle: try AdaptiveSparsity(.gentle, scope: .layer)
            case .neuron: try AdaptiveSparsity(.aggressive, scope: .neuron)
            case .global: try AdaptiveSparsity(.aggressive, scope: .global)
            case .globalGentle: try AdaptiveSparsity(.gentle, scope: .global)
            case .forced: try AdaptiveSparsity(.aggressive, scope: .layer, aggressiveness: 1.5)
            case .oneShot, .random, .gradual: nil
            }
        }
    }

    /// One seed.
    package struct Trial: Sendable {
        package var seed: UInt64
        package var curves: [Method: DensityCurve]
        /// The dense network, and of each method the level whose density is nearest to ``drawnDensity``.
        var drawn: [Drawn] = []
        /// The axioms of sparsity, on the trained dense weights.
        package var axioms: [Axiom]
        /// The Gini coefficient of the trained dense weights.
        var gini: Double
        /// What other settings of SAP say of the trained dense weights.
        package var firstRounds: [FirstRound]

        package init(
            seed: UInt64, curves: [Method: DensityCurve], axioms: [Axiom], gini: Double, firstRounds: [FirstRound]
        ) {
            self.seed = seed
            self.curves = curves
            self.axioms = axioms
            self.gini = gini
            self.firstRounds = firstRounds
        }

        /// The part of the dense weights that a first round would remove; NaN for a setting that was not looked at.
        func removedPart(_ setting: FirstRound.Setting) -> Double {
            firstRounds.first { $0.setting == setting }?.removedPart ?? .nan
        }
    }

    /// A level whose training and whose layers are drawn.
    struct Drawn: Sendable {
        var name: String
        var density: Double
        var losses: LossCurve
        /// The share of each layer that is kept.
        var layers: [Double]
    }

    /// Where methods are drawn side by side.
    static let drawnDensity = 0.1

    /// A property that a measure of sparsity should have.
    package struct Axiom: Sendable {
        var name: String
        var holds: Bool

        package init(name: String, holds: Bool) {
            self.name = name
            self.holds = holds
        }
    }

    /// Rounds that every method takes.
    var rounds: Int
    package var trials: [Trial]
    var layers: [String] = []

    package init(rounds: Int, trials: [Trial]) {
        self.rounds = rounds
        self.trials = trials
    }

    init(
        study: ImageStudy, size: SparsityPerspective.Size, seeds: [UInt64], progress: any ProgressReporter
    ) throws {
        rounds = size.rounds
        let search = try Search(study: study, size: size)
        let example = try PrunableNetwork(study.makeNetwork(seed: 0))
        layers = example.weights.map(\.name)
        progress.begin("dense networks", total: seeds.count, unit: "runs")
        let starts = try sideBySide(seeds) { try search.dense(seed: $0) }
        progress.end("done")

        let jobs = seeds.indices.flatMap { place in
            Method.allCases.map { Job(seed: place, method: $0) }
        }
        progress.begin("levels", total: jobs.count, unit: "runs")
        let finished = Mutex(0)
        let found = try sideBySide(jobs) { job in
            let found = try search.levels(job.method, from: starts[job.seed], seed: seeds[job.seed])
            finished.withLock { done in
                done += 1
                progress.advance(to: done, note: job.method.name)
            }
            return found
        }
        progress.end("done")
        trials = try seeds.indices.map { place in
            let own = zip(jobs, found).filter { $0.0.seed == place }
            let named = own.map { job, found in (job.method, found.curve) }
            let trained = search.weights(starts[place].trained)
            var trial = Trial(
                seed: seeds[place], curves: Dictionary(uniqueKeysWithValues: named),
                axioms: try Self.axioms(of: trained), gini: try GiniIndex.value(of: trained),
                firstRounds: try FirstRound.settings.map { try FirstRound($0, of: trained) })
            trial.drawn = [starts[place].drawn] + own.compactMap(\.1.drawn)
            return trial
        }
    }

    private struct Job: Sendable {
        var seed: Int
        var method: Method
    }

    /// The trainings of all methods.
    private struct Search: Sendable {
        var study: ImageStudy
        var size: SparsityPerspective.Size
        var pruning: IterativePruning

        init(study: ImageStudy, size: SparsityPerspective.Size) throws {
            self.study = study
            self.size = size
            var training = study.supervision()
            training.clipNorm = 1
            pruning = try IterativePruning(training: training, rewindStep: 0)
        }

        /// A trained dense network.
        struct Start: Sendable {
            var initial: Snapshot
            var trained: Snapshot
            var drawn: Drawn
        }

        func dense(seed: UInt64) throws -> Start {
            let network = study.makeNetwork(seed: seed)
            let initial = Snapshot(of: network)
            var losses = losses("dense")
            try pruning.training.run(network, on: study.batches(seed: seed)) { losses.add($1, at: $0) }
            let layers = try PrunableNetwork(network).keptShares()
            return Start(
                initial: initial, trained: Snapshot(of: network),
                drawn: Drawn(name: "dense", density: 1, losses: losses, layers: layers))
        }

        private func losses(_ name: String) -> LossCurve {
            LossCurve(name, steps: pruning.training.rates.totalSteps)
        }

        /// Trains the next level.
        private func train(
            _ prunable: PrunableNetwork, as name: String, from start: Start, _ seed: UInt64
        ) throws -> Drawn {
            var losses = losses(name)
            try pruning.trainFromRewindStep(prunable, rewound: start.initial, on: study.batches(seed: seed)) {
                losses.add($1, at: $0)
            }
            return Drawn(
                name: name, density: 1 - prunable.sparsity, losses: losses, layers: prunable.keptShares())
        }

        private func nearest(_ levels: [Drawn]) -> Drawn? {
            levels.min { abs(log($0.density / drawnDensity)) < abs(log($1.density / drawnDensity)) }
        }

        /// All prunable weights of a snapshot as one row.
        func weights(_ snapshot: Snapshot) -> Tensor {
            Tensor.concatenated(snapshot.parameters.filter { $0.rank >= 2 }.map { $0.reshaped([-1]) })
        }

        func levels(
            _ method: Method, from start: Start, seed: UInt64
        ) throws -> (curve: DensityCurve, drawn: Drawn?) {
            let network = study.makeNetwork(seed: seed)
            let prunable = try PrunableNetwork(network)
            guard let removing = try method.pruning() else {
                if method == .gradual { return (try gradual(prunable, start, seed), nil) }
                return try once(method, prunable, start, seed)
            }
            let limit = method == .forced ? size.forcedRoundLimit : size.roundLimit
            var points: [DensityCurve.Point] = []
            var drawn: [Drawn] = []
            for round in 0...limit {
                // The dense level is the same for all methods.
                if round == 0 {
                    start.trained.restore(network)
                } else {
                    drawn.append(try train(prunable, as: method.name, from: start, seed))
                }
                var point = try measure(prunable)
                let before = prunable.count - prunable.removedCount
                let goesOn = round < limit && !isDone(method, round: round, points + [point])
                let removed = goesOn ? try removing.removeNext(from: prunable) : 0
                if removed > 0 {
                    point.removedPart = Double(removed) / Double(before)
                    point.prunedAccuracy = study.accuracy(of: network)
                    point.prunedIndices = try indices(prunable)
                }
                points.append(point)
                if removed == 0 { break }
            }
            return (DensityCurve(points: points), nearest(drawn))
        }

        /// Whether a method has taken its rounds and is where it should get to.
        private func isDone(_ method: Method, round: Int, _ points: [DensityCurve.Point]) -> Bool {
            guard round >= size.rounds, let last = points.last else { return false }
            switch method {
            case .lotteryTicket, .layer, .global: return last.density <= SparsityPerspective.Size.leastDensity
            case .neuron: return last.density <= SparsityPerspective.Size.leastNeuronDensity
            case .forced:
                let best = points.map(\.accuracy).max() ?? 0
                return last.accuracy <= best - SparsityPerspective.Size.collapse
            case .layerGentle, .globalGentle, .oneShot, .random, .gradual: return true
            }
        }

        /// Weights that the lottery ticket keeps at each of its levels, the dense one first.
        private func ticketCounts(of count: Int) throws -> [Int] {
            let constant = try ConstantFraction(0.2)
            var (kept, last) = ([count], count)
            let least = SparsityPerspective.Size.leastDensity * Double(count)
            while kept.count <= size.rounds || kept.count <= size.roundLimit && Double(last) > least {
                last = constant.keptCount(after: last)
                kept.append(last)
            }
            return kept
        }

        /// Masks made at once, at the densities that methods are compared at and the lottery ticket's last one: of the
        /// dense network's weights, or by chance. Each trains from the initial weights.
        private func once(
            _ method: Method, _ prunable: PrunableNetwork, _ start: Start, _ seed: UInt64
        ) throws -> (curve: DensityCurve, drawn: Drawn?) {
            let criterion: EachMatrix = method == .random ? .random(seed: seed) : .magnitude
            let kept = try ticketCounts(of: prunable.count)
            let last = Double(kept[kept.count - 1]) / Double(prunable.count)
            start.trained.restore(prunable.network)
            var points = [try measure(prunable)]
            var drawn: [Drawn] = []
            for density in densities.filter({ $0 > last }) + [last] {
                start.trained.restore(prunable.network)
                // Masks of one network are nested.
                try prunable.prune(by: criterion, to: 1 - density)
                drawn.append(try train(prunable, as: method.name, from: start, seed))
                points.append(try measure(prunable))
            }
            return (DensityCurve(points: points), nearest(drawn))
        }

        /// One training from the initial weights, as long as those of all the lottery ticket's levels, to the least
        /// density that it has too; the ramp ends after its first half.
        private func gradual(_ prunable: PrunableNetwork, _ start: Start, _ seed: UInt64) throws -> DensityCurve {
            let kept = try ticketCounts(of: prunable.count)
            let density = max(
                SparsityPerspective.Size.leastDensity, Double(kept[kept.count - 1]) / Double(prunable.count))
            var training = pruning.training
            training.rates.totalSteps *= kept.count
            let steps = training.rates.totalSteps
            let ramp = try RampSchedule(to: 1 - density, begin: 0, end: max(1, steps / 2), interval: max(1, steps / 50))
            start.initial.restore(prunable.network)
            let hook = GradualPruning(prunable, schedule: ramp)
            try training.run(prunable.network, on: study.batches(seed: seed), hooks: [hook])
            return DensityCurve(points: [try measure(prunable)])
        }

        private func measure(_ prunable: PrunableNetwork) throws -> DensityCurve.Point {
            DensityCurve.Point(
                density: 1 - prunable.sparsity, accuracy: study.accuracy(of: prunable.network),
                indices: try indices(prunable))
        }

        private func indices(_ prunable: PrunableNetwork) throws -> [Double] {
            try [PQIndex.gentle, .aggressive].map { try $0.value(of: prunable) }
        }
    }

    /// The six axioms of measures of sparsity on a vector's magnitudes, for both indices.
    static func axioms(of weights: Tensor) throws -> [Axiom] {
        try [PQIndex.gentle, .aggressive].flatMap { index -> [Axiom] in
            let magnitudes = weights.abs()
            let value = try index.value(of: magnitudes)
            let count = magnitudes.count
            let numbers = magnitudes.floats()
            let order = numbers.indices.sorted { numbers[$0] < numbers[$1] }
            let (poor, rich) = (order[count / 4], order[count - 1])
            var shared = numbers
            let gift = (numbers[rich] - numbers[poor]) * 0.4
            (shared[rich], shared[poor]) = (numbers[rich] - gift, numbers[poor] + gift)
            let total = numbers.reduce(0, +)
            let scaled = try index.value(of: magnitudes * 37)
            let robbed = try index.value(of: Tensor(shared))
            let raised = try index.value(of: magnitudes + 0.1)
            let fortunes = try [1, 4, 16].map { (times: Float) -> Double in
                var own = numbers
                own[rich] += total * times
                return try index.value(of: Tensor(own))
            }
            let name = index == .gentle ? "(1/2, 1)" : "(1, 2)"
            let doubled = try index.value(of: Tensor.concatenated([magnitudes, magnitudes]))
            let crowd = try index.value(of: Tensor.concatenated([magnitudes, .zeros([count / 10 + 1])]))
            return [
                Axiom(name: "scaling \(name)", holds: abs(scaled - value) < 1e-6),
                Axiom(name: "cloning \(name)", holds: abs(doubled - value) < 1e-6),
                Axiom(name: "Robin Hood \(name)", holds: robbed < value),
                Axiom(name: "rising tide \(name)", holds: raised < value),
                Axiom(name: "Bill Gates \(name)", holds: fortunes[0] < fortunes[1] && fortunes[1] < fortunes[2]),
                Axiom(name: "babies \(name)", holds: crowd > value),
            ]
        }
    }
}
