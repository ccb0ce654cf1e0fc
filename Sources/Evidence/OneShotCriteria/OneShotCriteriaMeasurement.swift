import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import OrderedCollections
import Synchronization

/// Accuracies of one trained network for each seed, pruned at once by each criterion.
package struct OneShotCriteriaMeasurement: Sendable {
    package static let sparsities = [0.5, 0.8, 0.9, 0.95, 0.98]

    var seeds: [UInt64]
    /// Of the dense networks, by seed.
    var dense: [Double]
    /// Of pruned networks: by contestant, seed and sparsity.
    var accuracies: [OneShotContestant: [[Double]]]

    package init(seeds: [UInt64], dense: [Double], accuracies: [OneShotContestant: [[Double]]]) {
        self.seeds = seeds
        self.dense = dense
        self.accuracies = accuracies
    }

    init(study: ImageStudy, size: OneShotCriteria.Size, seeds: [UInt64], progress: any ProgressReporter) throws {
        self.seeds = seeds
        progress.begin("dense networks", total: seeds.count, unit: "runs")
        let trained = try sideBySide(seeds) { seed -> (Snapshot, Double) in
            let network = try study.trained(seed: seed)
            return (Snapshot(of: network), study.accuracy(of: network))
        }
        dense = trained.map(\.1)
        progress.end("done")

        // The longest first.
        let jobs = OneShotContestant.allCases.reversed().flatMap { contestant in
            seeds.indices.map { Job(contestant: contestant, seed: $0) }
        }
        progress.begin("criteria", total: jobs.count, unit: "networks")
        let finished = Mutex(0)
        let results = try sideBySide(jobs) { job in
            let network = study.makeNetwork(seed: seeds[job.seed])
            let prunable = try PrunableNetwork(network)
            let masks = prunable.masks
            let images = try study.training.sample(
                min(size.calibrationCount, study.training.count), seed: seeds[job.seed])
            var own: [Double] = []
            try job.contestant.prune(
                prunable, to: Self.sparsities, batches: Array(images.batches(of: 128)), size: size,
                seed: seeds[job.seed]
            ) {
                prunable.setMasks(masks)
                trained[job.seed].0.restore(network)
            } body: { _ in
                own.append(study.accuracy(of: network))
            }
            finished.withLock { done in
                done += 1
                progress.advance(to: done, note: job.contestant.rawValue)
            }
            return own
        }
        progress.end("done")
        accuracies = Dictionary(
            grouping: zip(jobs, results), by: { $0.0.contestant }
        ).mapValues { own in own.sorted { $0.0.seed < $1.0.seed }.map(\.1) }
    }

    private struct Job: Sendable {
        var contestant: OneShotContestant
        var seed: Int
    }

    /// Of a contestant at a sparsity, by seed.
    func accuracies(_ contestant: OneShotContestant, at sparsity: Double) -> [Double] {
        guard let place = Self.sparsities.firstIndex(of: sparsity) else { return [] }
        return (accuracies[contestant] ?? []).map { $0[place] }
    }

    /// The mean over seeds of the difference of two contestants' accuracies, in points.
    private func gain(_ a: OneShotContestant, over b: OneShotContestant, at sparsity: Double) -> Double {
        let pairs = zip(accuracies(a, at: sparsity), accuracies(b, at: sparsity))
        return SeedStatistics(pairs.map { $0 - $1 }).mean * 100
    }

    private func comparison(
        _ a: OneShotContestant, _ b: OneShotContestant, at sparsity: Double, _ relation: Comparison.Relation,
        _ bound: Double
    ) -> Comparison {
        Comparison(
            "\(a.rawValue) − \(b.rawValue) at \(MarkupText.percent(sparsity, places: 0))",
            gain(a, over: b, at: sparsity), relation, bound, unit: "points")
    }

    /// Whose scores are taken once, and know more than a weight's size: by gradients or flow, and by curvature.
    private static let slopes: [OneShotContestant] = [.snip, .grasp, .synflow, .synflowRounds, .taylor]
    private static let curvatures: [OneShotContestant] = [.diagonal, .diagonalSteps, .hessian, .woodFisher, .mfac]

    /// Each of some contestants against another at each sparsity.
    private func comparisons(
        _ contestants: [OneShotContestant], over other: OneShotContestant,
        at sparsities: [Double] = OneShotCriteriaMeasurement.sparsities
    ) -> [Comparison] {
        sparsities.flatMap { sparsity in contestants.map { comparison($0, other, at: sparsity, .above, 0) } }
    }

    package var claims: [Claim] {
        [
            Claim(
                id: "informed-beats-random", statement: "What a criterion knows is worth something.",
                paper: "Every criterion's paper compares with random pruning.",
                criterion: "At 50 to 98 % each criterion's mean accuracy is above that of random pruning.",
                comparisons: comparisons(OneShotContestant.allCases.filter { $0 != .random }, over: .random)),
            Claim(
                id: "half-is-free", statement: "Half of the weights can go by magnitude without training.",
                paper: "Han et al. (2015): half without loss before retraining.",
                criterion: "At 50 % magnitude loses at most half a point, on each seed.",
                comparisons: zip(seeds, zip(dense, accuracies(.magnitude, at: 0.5))).map { seed, pair in
                    Comparison("lost, seed \(seed)", (pair.0 - pair.1) * 100, .atMost, 0.5, unit: "points")
                }),
            Claim(
                id: "inputs-beat-magnitude", statement: "Weights times the norms of their inputs beat weights alone.",
                paper: "Sun et al. (2023), table 2: half of the weights of language models, within each output.",
                criterion: "At 50 to 98 % Wanda (within each output, with one threshold) is above magnitude.",
                comparisons: comparisons([.wanda, .wandaThreshold], over: .magnitude)),
            Claim(
                id: "slopes-beat-magnitude", statement: "Scores by gradients or by flow beat magnitude.",
                paper: "Molchanov et al. (2019) for Taylor; the other papers compare before training.",
                criterion: "At 50 to 98 % SNIP, GraSP, SynFlow (at once, in rounds) and Taylor are above magnitude.",
                comparisons: comparisons(Self.slopes, over: .magnitude)),
            Claim(
                id: "curvature-beats-magnitude", statement: "Saliencies by curvature beat magnitude.",
                paper: "LeCun et al. (1990), figure 1; Singh and Alistarh (2020), figure 2.",
                criterion:
                    "At 50 to 98 % the diagonals of Fisher (at once, in sub-steps) and Hessian, WoodFisher and M-FAC, without "
                    + "update, are above magnitude.",
                comparisons: comparisons(Self.curvatures, over: .magnitude)),
            Claim(
                id: "update-helps", statement: "Letting kept weights make up for removed ones helps.",
                paper: "Singh and Alistarh (2020); Frantar et al. (2021), one-shot figures.",
                criterion:
                    "At 90, 95 and 98 % WoodFisher and M-FAC with update are above themselves without, and above "
                    + "magnitude.",
                comparisons: [0.9, 0.95, 0.98].flatMap { sparsity in
                    [
                        comparison(.woodFisherUpdate, .woodFisher, at: sparsity, .above, 0),
                        comparison(.mfacUpdate, .mfac, at: sparsity, .above, 0),
                    ]
                } + comparisons([.woodFisherUpdate, .mfacUpdate], over: .magnitude, at: [0.9, 0.95, 0.98])),
            Claim(
                id: "rounds-help-synflow", statement: "Synaptic flow needs many rounds.",
                paper: "Tanaka et al. (2020): one round empties whole layers, a hundred do not.",
                criterion: "At 95 and 98 % a hundred rounds are above one.",
                comparisons: comparisons([.synflowRounds], over: .synflow, at: [0.95, 0.98])),
        ]
    }

    var illustrations: [ExperimentReport.Illustration] {
        [
            .init(
                id: "accuracy",
                LineChart(
                    title: "Test accuracy by sparsity", summary: "Mean over seeds, no training after pruning.",
                    horizontalTitle: "share of weights removed", verticalTitle: "test accuracy",
                    series: OneShotContestant.allCases.map { contestant in
                        .init(
                            name: contestant.rawValue,
                            points: [(x: 0, y: SeedStatistics(dense).mean)]
                                + Self.sparsities.map { sparsity in
                                    (x: sparsity, y: SeedStatistics(accuracies(contestant, at: sparsity)).mean)
                                })
                    }), caption: "One threshold for all weights together; Wanda within each output.")
        ]
    }

    /// Accuracies in percent, mean ± standard deviation over seeds.
    var table: ExperimentReport.Table {
        let rows = OneShotContestant.allCases.map { contestant in
            [contestant.rawValue]
                + Self.sparsities.map { SeedStatistics(accuracies(contestant, at: $0)).percent }
        }
        return .init(
            title: "Test accuracy in %, dense \(SeedStatistics(dense).percent)",
            HTMLTable(
                head: ["criterion"] + Self.sparsities.map { MarkupText.percent($0, places: 0) }, rows: rows,
                numericColumns: Set(1...Self.sparsities.count)))
    }

    var json: JSON {
        let contestants = OneShotContestant.allCases.map { contestant in
            let seeds = (accuracies[contestant] ?? []).map { JSON.array($0.map { .number($0) }) }
            return (contestant.rawValue, JSON.array(seeds))
        }
        return .object([
            "sparsities": .array(Self.sparsities.map { .number($0) }),
            "seeds": .array(seeds.map { .integer(Int(clamping: $0)) }),
            "dense": .array(dense.map { .number($0) }),
            "accuracies": .object(OrderedDictionary(contestants) { $1 }),
        ])
    }
}
