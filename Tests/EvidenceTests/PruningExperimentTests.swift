import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Testing

/// Tiny runs of the experiments about pruning on drawn images: they end, tell everything, and are repeatable.
@Suite struct PruningExperimentTests {
    private func report(
        _ experiment: any Experiment, scale: Double = 0.01, data: String?, seed: UInt64 = 5, seedCount: Int? = 2
    ) throws -> ExperimentReport {
        var setting = ExperimentSetting(
            languageModel: { throw CoppiceError(.internal, "no language model is asked for") }, dataFolder: data,
            scale: scale, seed: seed)
        setting.seedCount = seedCount
        return try experiment.run(setting, progress: SilentProgress())
    }

    /// Each experiment, and the claims that so small a run, or none, measures.
    @Test(
        arguments: [
            (
                "pqi-sap",
                [
                    "sap-matches-lottery-ticket", "neurons-match-lottery-ticket", "sap-beats-one-shot",
                    "global-is-worse-when-sparse", "index-drops-with-collapse",
                ]
            ), ("lth-rewinding", []), ("one-shot-criteria", []), ("m-fac", ["fine-tuning", "step-time", "cost"]),
        ] as [(String, Set<String>)])
    func tinyRunsAreCompleteAndRepeatable(identifier: String, open: Set<String>) throws {
        let images = try DrawnImages()
        let experiment = try Experiments.named(identifier)
        let first = try report(experiment, data: images.path)
        #expect(first.identifier == identifier)
        let ids = first.claims.map(\.id)
        #expect(Set(ids).count == ids.count && ids.count >= 5)
        #expect(Set(first.claims.filter { $0.verdict == .notMeasured }.map(\.id)) == open)
        #expect(!first.tables.isEmpty && !first.illustrations.isEmpty)
        #expect(
            first.tables.allSatisfy { table in
                table.table.rows.allSatisfy { $0.count == table.table.head.count }
            })
        let json = first.json.serialized()
        #expect(try report(experiment, data: images.path).json.serialized() == json)
        #expect(try report(experiment, data: images.path, seed: 6).json.serialized() != json)
        #expect(throws: CoppiceError.self) { try report(experiment, data: nil) }
    }

    /// Every way to prune is in the table, the last density of those that follow the lottery ticket is its own, and the
    /// dense weights' index is tabulated.
    @Test func pruningByTheIndexIsComparedWithAllBaselines() throws {
        let images = try DrawnImages()
        let report = try report(SparsityPerspective(), data: images.path, seedCount: 1)
        #expect(report.facts.first?.value == "perceptron 784-128-256-10")
        let rows = try #require(report.tables.first { $0.title == "Accuracy by density" }).table.rows
        #expect(rows.suffix(3).map { $0[0] } == ["one-shot", "random", "GMP"])
        // Two rounds of a fifth.
        let last = rows.filter { ["lottery ticket", "one-shot", "random", "GMP"].contains($0[0]) }.map { $0[5] }
        #expect(last == Array(repeating: "64.00 ± 0.00", count: 4))
        let parts = try #require(report.tables.first { $0.title.hasPrefix("Part of the dense weights") }).table.rows
        #expect(parts.count == 10 && parts.allSatisfy { $0.count == 6 })
        // Only p = q = 1 is no index.
        #expect(parts.flatMap { $0 }.count { $0 == "–" } == 1 && parts[9][1] == "–")
    }

    /// Experiments whose arms train masks, filters and a convolutional network beside the perceptron.
    @Test(arguments: [("bip", "convolutional network"), ("lottery-jackpots", "residual network")])
    func tinyRunsHaveCurvesOfLossAndTheSecondNetwork(identifier: String, network: String) throws {
        let images = try DrawnImages()
        let report = try report(Experiments.named(identifier), data: images.path)
        #expect(
            report.claims.filter { $0.verdict == .notMeasured }.allSatisfy {
                ["jackpots-exist", "sliced-latency"].contains($0.id)
            })
        #expect(report.claims.allSatisfy { $0.comparisons.allSatisfy(\.value.isFinite) })
        let losses = report.illustrations.filter { $0.id.hasSuffix("loss") }.compactMap { $0.figure as? LineChart }
        #expect(losses.count == 2 && losses.allSatisfy { $0.series.count > 1 })
        #expect(losses.allSatisfy { $0.series.allSatisfy { !$0.points.isEmpty } })
        #expect(report.tables.contains { $0.title.lowercased().contains(network) })
    }

    /// Every arm of bi-level pruning's experiment is trained, and arms that differ by an option end elsewhere.
    @Test func bilevelPruningIsHeldAgainstItsBaselines() throws {
        let images = try DrawnImages()
        let report = try report(Experiments.named("bip"), scale: 0.3, data: images.path, seedCount: 1)
        func rows(_ title: String) throws -> [[String]] {
            try #require(report.tables.first { $0.title.hasPrefix(title) }).table.rows
        }
        let accuracies = try rows("Test accuracy")
        #expect(accuracies.count == 19)
        let compared = accuracies.prefix(11)
        #expect(compared.allSatisfy { !$0.contains("") })
        #expect(accuracies.dropFirst(11).allSatisfy { $0[1] == "" && $0[2] != "" })
        // Batches of training, by arm: an epoch has 2 steps, the dense network and what follows it 3 epochs each.
        let costs = Dictionary(uniqueKeysWithValues: try rows("Cost").map { ($0[0], Int($0[1]) ?? 0) })
        #expect(costs["magnitude once + retraining"] == 12 && costs["BiP"] == 17 && costs["SNIP, then training"] == 12)
        #expect(costs["iterative magnitude pruning"] == 6 + 17 * 6)
        #expect(costs["iterative magnitude pruning, rewound"] == 6 + 17 * 4)
        #expect(costs["iterative magnitude pruning, rewound, trained as BiP is"] == 6 + 2 + 17 * 4)
        // What shows whether an arm is its own: how the loss went. So short a run tells ways to learn scores apart from
        // neither each other nor magnitude.
        let curves = try #require(report.json["data"]?["losses"]?.arrayValue)
        let byName = Dictionary(
            uniqueKeysWithValues: curves.map { ($0["name"]?.stringValue ?? "", $0["losses"]?.serialized() ?? "") })
        let early = ["SNIP", "GraSP", "SynFlow"].map { "\($0), then training" }
        let apart = (early + ["random + retraining", "magnitude once + retraining", "BiP"]).map { byName[$0] }
        #expect(byName.count == 15 && Set(apart).count == 6 && !apart.contains(nil))
        // Filters, channels, norm and rank at every part; faster scores at one.
        let channels = try rows("Channels of a convolutional network")
        #expect(channels.map { row in row.count { $0 != "" } - 1 } == [3, 3, 1, 1, 3, 3, 3])
    }

    /// Masks of jackpots are compared with those of every criterion, and accuracies with all ways to train.
    @Test func jackpotsAreComparedWithAllBaselines() throws {
        let images = try DrawnImages()
        let report = try report(LotteryJackpots(), data: images.path, seedCount: 1)
        func rows(_ title: String) throws -> [[String]] {
            try #require(report.tables.first { $0.title.hasPrefix(title) }).table.rows
        }
        let accuracies = try rows("Test accuracy")
        #expect(
            accuracies.suffix(4).map { $0[0] } == [
                "SNIP mask, nothing trained", "random mask, nothing trained",
                "gradual magnitude pruning, weights trained", "movement pruning, weights trained",
            ])
        #expect(accuracies.suffix(4).allSatisfy { !$0.contains("") })
        for title in ["Weights of jackpots", "Residual network: weights of jackpots"] {
            let overlaps = try rows(title)
            #expect(overlaps.map { $0[0] } == ["magnitude", "random", "SNIP", "GraSP", "Taylor", "OBD"])
            #expect(overlaps.allSatisfy { !$0.contains("") })
        }
        // Searched at 95 % alone, in the network with norms.
        let residual = try rows("Residual network: test accuracy")
        #expect(residual.filter { $0[1].isEmpty }.count == 3)
        #expect(residual.allSatisfy { !$0[2].isEmpty })
    }

    /// Global pruning of a small residual network in the place of the trained one, by every arm.
    @Test func globalPruningOfAResidualNetworkIsMeasured() throws {
        let images = try DrawnImages()
        try images.addResidualNetwork()
        let report = try report(GlobalMagnitude(), data: images.path, seedCount: 1)
        let claim = try #require(report.claims.first { $0.id == "complexity-is-not-required" })
        // Two comparisons at each of three sparsities.
        #expect(claim.comparisons.count == 6 && claim.comparisons.allSatisfy(\.value.isFinite))
        let table = try #require(report.tables.first { $0.title.hasPrefix("ResNet-20") }?.table)
        let everywhere = ["global", "uniform", "ERK", "LAMP", "GMP", "M-FAC"]
        let once = ["uniform+", "random"]
        #expect(table.rows.map { $0[0] } == everywhere + once)
        #expect(table.rows.allSatisfy { $0.count == table.head.count && !$0.contains { $0.hasPrefix("–") } })
        // Accuracy and multiplications at 90 to 98 %, of one threshold to 99.5 %, of the last arms at 90 % alone.
        #expect(table.rows.map { $0.dropFirst().count { !$0.isEmpty } } == [10, 6, 6, 6, 6, 6, 2, 2])
        for id in ["multiplications", "gradual-multiplications"] {
            let claim = try #require(report.claims.first { $0.id == id })
            #expect(claim.verdict != .notMeasured)
        }
        let outcomes = try #require(report.json["data"]?["residual"]?.arrayValue)
        func kept(_ arm: String) throws -> [Int] {
            let own = outcomes.first { $0["arm"]?.stringValue == arm && $0["sparsity"]?.doubleValue == 0.9 }
            let counts = own?["kept"]?.arrayValue?.compactMap { $0.intValue }
            return try #require(counts)
        }
        // An exact count, shared out in different ways; equal shares are rounded layer by layer.
        let total = try kept("global").reduce(0, +)
        for arm in table.rows.map({ $0[0] }) {
            let own = try kept(arm)
            #expect(abs(own.reduce(0, +) - total) <= (arm == "uniform" ? own.count : 0), "\(arm)")
        }
        let different = ["global", "uniform", "ERK"] + once
        #expect(try Set(different.map(kept)).count == different.count)
        #expect(report.illustrations.contains { $0.id == "residual-loss" })
    }

    /// Sets may have the names that their publishers, torchvision or users give them.
    @Test(arguments: ["fashion-mnist/data/fashion", "FashionMNIST/raw"])
    func dataIsFoundUnderItsUsualNames(name: String) throws {
        let images = try DrawnImages()
        let json = try report(Experiments.named("one-shot-criteria"), data: images.path).json.serialized()
        try images.rename("fashion-mnist", to: "moved")
        let error = #expect(throws: CoppiceError.self) {
            try report(Experiments.named("one-shot-criteria"), data: images.path)
        }
        #expect(error?.kind == .noInput && error?.message.contains("fashion-mnist, FashionMNIST/raw") == true)
        try images.rename("moved", to: name)
        #expect(try report(Experiments.named("one-shot-criteria"), data: images.path).json.serialized() == json)
    }

    /// Two seeds where a third would take long, but all that are asked for.
    @Test func longExperimentsHaveFewerSeeds() {
        var setting = ExperimentSetting(
            languageModel: { throw CoppiceError(.internal, "no language model is asked for") }, seed: 5)
        #expect(setting.seeds == [5, 6, 7] && setting.seeds(atMost: 2) == [5, 6])
        setting.seedCount = 4
        #expect(setting.seeds(atMost: 2) == [5, 6, 7, 8])
    }

    @Test(arguments: [(nil, "5, 6, 7"), (1, "5")] as [(Int?, String)])
    func asManySeedsAreRunAsAreAskedFor(count: Int?, seeds: String) throws {
        let images = try DrawnImages()
        let report = try report(SparsityPerspective(), data: images.path, seedCount: count)
        #expect(report.facts.first { $0.name == "seeds" }?.value == seeds)
        let trials = try #require(report.json["data"]?.arrayValue)
        let run = trials.map { $0["seed"]?.intValue ?? -1 }
        #expect(run.map(String.init).joined(separator: ", ") == seeds)
    }

    /// A surgeon chooses weights on a ramp, too: other ones than magnitude does on the same ramp, and as many.
    @Test func gradualPruningByCurvatureIsNotByMagnitude() throws {
        let images = try DrawnImages()
        let report = try report(MFACExperiment(), data: images.path, seedCount: 1)
        let outcomes = try #require(report.json["data"]?["gradual"]?.arrayValue)
        func kept(_ arm: String, at sparsity: Double) -> [Int] {
            let own = outcomes.first { $0["arm"]?.stringValue == arm && $0["sparsity"]?.doubleValue == sparsity }
            return (own?["kept"]?.arrayValue ?? []).compactMap(\.intValue)
        }
        for sparsity in [0.9, 0.95, 0.98] {
            let arms = ["M-FAC, gradual", "GMP", "random, gradual"].map { kept($0, at: sparsity) }
            #expect(Set(arms).count == 3)
            #expect(Set(arms.map { $0.reduce(0, +) }).count == 1 && arms[0].count == 3)
        }
        #expect(report.illustrations.contains { $0.id == "gradual-loss" })
    }

    /// Every search draws its losses and what is left of each layer.
    @Test(arguments: [("pqi-sap", [""]), ("lth-rewinding", ["", "residual-"])])
    func searchesDrawLossesAndLayers(identifier: String, networks: [String]) throws {
        let images = try DrawnImages()
        let report = try report(Experiments.named(identifier), data: images.path)
        for network in networks {
            let losses = report.illustrations.first { $0.id == network + "loss" }?.figure as? LineChart
            // At this size the residual network has one level that is trained, the dense one.
            #expect(try #require(losses).series.count > (network.isEmpty ? 1 : 0))
            #expect(losses?.series.allSatisfy { !$0.points.isEmpty && $0.points.allSatisfy(\.y.isFinite) } == true)
            let layers = try #require(report.illustrations.first { $0.id == network + "layers" }?.figure)
            let shares =
                (layers as? BarChart)?.series.map(\.values) ?? (layers as? LineChart)?.series.map { $0.points.map(\.y) }
            #expect(try #require(shares).allSatisfy { $0.count > 1 && $0.allSatisfy { (0...1).contains($0) } })
            #expect(shares?.contains { $0.contains { $0 < 1 } } == true)
        }
    }

    @Test func densityCurves() {
        var curve = DensityCurve(points: [
            .init(density: 1, accuracy: 0.9, indices: [0.2, 0.4]),
            .init(density: 0.5, accuracy: 0.8, indices: [0.1, 0.3]),
            .init(density: 0.125, accuracy: 0.6, indices: [0.15, 0.2]),
        ])
        #expect(curve.accuracy(at: 1) == 0.9 && curve.accuracy(at: 0.5) == 0.8)
        // Half of the way from 1/2 to 1/8 in its logarithm.
        #expect(abs((curve.accuracy(at: 0.25) ?? 0) - 0.7) < 1e-12)
        #expect(curve.accuracy(at: 0.1) == nil && curve.lastDensity == 0.125)
        #expect(abs(curve.initialFall(ofIndex: 0) - 0.5) < 1e-12)
        #expect(abs(curve.initialFall(ofIndex: 1) - 0.5) < 1e-12)
        #expect(curve.variation.isNaN && curve.correlation(withIndex: 0).isNaN)
        curve.points[0].removedPart = 0.5
        curve.points[1].removedPart = 0.75
        // Of 1/2 and 3/4: a deviation of 0.25/√2 over a mean of 0.625.
        #expect(abs(curve.variation - 0.25 / 2.0.squareRoot() / 0.625) < 1e-12)
        #expect(abs(curve.correlation(withIndex: 0) + 1) < 1e-9)
        let rising = DensityCurve(points: [
            .init(density: 1, accuracy: 0, indices: [0.2]), .init(density: 0.5, accuracy: 0, indices: [0.3]),
            .init(density: 0.4, accuracy: 0, indices: [0.1]),
        ])
        #expect(rising.initialFall(ofIndex: 0) == 0)
    }

    /// Claims follow from the accuracies.
    @Test func criteriaAreJudgedByTheirAccuracies() throws {
        func verdicts(_ change: (OneShotContestant) -> [Double]) -> [String: Claim.Verdict] {
            let accuracies = OneShotContestant.allCases.map { ($0, [change($0), change($0)]) }
            let measured = OneShotCriteriaMeasurement(
                seeds: [1, 2], dense: [0.9, 0.9], accuracies: Dictionary(uniqueKeysWithValues: accuracies))
            return Dictionary(uniqueKeysWithValues: measured.claims.map { ($0.id, $0.verdict) })
        }
        // Better and better in the order of the list, and half is free.
        let rising = verdicts { contestant in
            let place = OneShotContestant.allCases.firstIndex(of: contestant) ?? 0
            return [0.898, 0.5, 0.4, 0.3, 0.2].map { $0 + Double(place) * 1e-4 }
        }
        #expect(Set(rising.values) == [.holds])
        let equal = verdicts { _ in [0.89, 0.5, 0.5, 0.5, 0.5] }
        #expect(Set(equal.values) == [.doesNotHold])
        // One criterion at one sparsity is enough.
        func worse(_ contestant: OneShotContestant, at place: Int) -> [String: Claim.Verdict] {
            verdicts { other in
                let rank = OneShotContestant.allCases.firstIndex(of: other) ?? 0
                var own = [0.898, 0.5, 0.4, 0.3, 0.2].map { $0 + Double(rank) * 1e-4 }
                if other == contestant { own[place] = 0.1 }
                return own
            }
        }
        #expect(
            worse(.grasp, at: 0).filter { $0.value == .doesNotHold }.keys.sorted() == [
                "informed-beats-random", "slopes-beat-magnitude",
            ])
        for contestant in [OneShotContestant.wanda, .wandaThreshold] {
            #expect(
                worse(contestant, at: 2).filter { $0.value == .doesNotHold }.keys.sorted() == [
                    "informed-beats-random", "inputs-beat-magnitude",
                ])
        }
        #expect(worse(.diagonalSteps, at: 4)["curvature-beats-magnitude"] == .doesNotHold)
        #expect(worse(.mfacUpdate, at: 4)["update-helps"] == .doesNotHold)
        #expect(worse(.synflowRounds, at: 3)["rounds-help-synflow"] == .doesNotHold)
    }
}
