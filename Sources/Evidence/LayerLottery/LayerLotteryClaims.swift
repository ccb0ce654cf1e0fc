import CoppiceCompression
import CoppiceModels
import OrderedCollections

extension LayerLotteryMeasurement {
    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            ticketsWin, betterThanFilters, noWorseThanShallower, rewindingWins, retrainingMatters, residualLosesLess,
            normsPickOneStage, cost, publishedCosts, faster, corrupted,
        ]
    }

    /// Above the dense network, in points.
    private func gain(_ arm: Arm, _ count: Int) -> Double { 100 * (accuracy(arm, count) - denseAccuracy) }

    private func blocks(_ count: Int) -> String { count == 1 ? "1 block" : "\(count) blocks" }

    private var ticketsWin: Claim {
        Claim(
            id: "tickets-win", statement: "Networks that lose blocks before training are as accurate as the whole one.",
            paper: "ResNet-32, CIFAR-10, GraSP: +0.40, +0.72, +0.34, +0.41, +0.12 points with 1 to 5 blocks less.",
            criterion: "GraSP's tickets are at most a point below the dense network.",
            comparisons: counts.map { count in
                Comparison("GraSP − dense, \(blocks(count))", gain(.grasp, count), .atLeast, -1, unit: "points")
            },
            remark: "SNIP: \(counts.map { signed(gain(.snip, $0)) }.joined(separator: ", ")); random blocks: "
                + "\(counts.map { signed(gain(.random, $0)) }.joined(separator: ", ")) points.")
    }

    private func signed(_ value: Double) -> String { (value > 0 ? "+" : "") + MarkupText.number(value, digits: 2) }

    private var betterThanFilters: Claim {
        Claim(
            id: "better-than-filters", statement: "Removing blocks is better than removing single filters.",
            paper: "Filters at the tickets' size: −0.11 points with GraSP, −0.79 with SNIP.",
            criterion:
                "GraSP's tickets are at most 0.2 points below the network without as many filters at the fewest blocks, and "
                + "at least 0.5 above at the most.",
            comparisons: ends.map { count in
                Comparison(
                    "blocks − filters, \(blocks(count))",
                    100 * (accuracy(.grasp, count) - accuracy(.filtersByCount, count)),
                    .atLeast, count == ends.first ? -0.2 : 0.5, unit: "points")
            },
            remark: "Against filters until as many parameters are left: \(leads(of: .grasp, over: .filters)) points. "
                + "SNIP's tickets against as many filters by SNIP: \(leads(of: .snip, over: .filtersBySNIP)) points.")
    }

    /// In points, at the fewest and the most blocks.
    private func leads(of arm: Arm, over other: Arm) -> String {
        ends.map { signed(100 * (accuracy(arm, $0) - accuracy(other, $0))) }.joined(separator: ", ")
    }

    private var noWorseThanShallower: Claim {
        let usual = counts.filter { accuracy(.shallower, $0).isFinite }
        let statement = "A ticket is no worse than the usual network with as many blocks."
        let criterion = "GraSP's ticket is at most a point below the usual shallower network, trained from scratch."
        guard !usual.isEmpty else {
            return Claim(
                id: "no-worse-than-shallower", statement: statement, paper: "Not compared.", criterion: criterion,
                notMeasured: "no count of blocks removes equally many from each stage")
        }
        return Claim(
            id: "no-worse-than-shallower", statement: statement, paper: "Not compared.", criterion: criterion,
            comparisons: usual.map { count in
                Comparison(
                    "GraSP − shallower, \(blocks(count))",
                    100 * (accuracy(.grasp, count) - accuracy(.shallower, count)),
                    .atLeast, -1, unit: "points")
            })
    }

    private var rewindingWins: Claim {
        let count = counts.max() ?? 1
        return Claim(
            id: "rewinding-wins",
            statement: "Without the blocks that a trained network needs least, what is left trains from early weights "
                + "as well as the whole.",
            paper: "ResNet-32, five criteria: −0.01 to +0.74 points from θ₀, −0.62 to +0.12 from θ₇₅ of 200 epochs "
                + "(HRank −0.01 and +0.12, expectABS +0.33 and −0.62, PLS +0.06 and +0.10, random blocks +0.38 and "
                + "−0.07, KL +0.74 and −0.17).",
            criterion:
                "Tickets of the trained network by GraSP, KL, CKA and at random, rewound to the start, and GraSP's "
                + "rewound to epoch \(rewindEpoch), are at most a point below the dense network.",
            comparisons: Self.rewoundArms.map { arm, criterion in
                let point = arm == .rewound ? "epoch \(rewindEpoch)" : "the start"
                return Comparison(
                    "\(criterion), rewound to \(point) − dense, \(blocks(count))", gain(arm, count), .atLeast, -1,
                    unit: "points")
            },
            remark: "By L1, which is no criterion: \(signed(gain(.rewoundByL1, count))) points. GraSP's blocks less, "
                + "other initial weights: \(signed(gain(.reinitialized, count))) points. HRank, expectABS and PLS are "
                + "not built here.")
    }

    /// Tickets of the trained network that are to be as good as the whole, and what names their blocks.
    private static let rewoundArms: [(arm: Arm, criterion: String)] = [
        (.rewoundToStart, "GraSP"), (.rewound, "GraSP"), (.rewoundByKL, "KL"), (.rewoundByCKA, "CKA"),
        (.rewoundAtRandom, "random blocks"),
    ]

    private var retrainingMatters: Claim {
        Claim(
            id: "retraining-matters",
            statement: "What is left has to be trained: removing blocks afterwards is no way.",
            paper: "Implied by both algorithms.",
            criterion: "Without the ticket's blocks, and without further training, the trained network loses at least "
                + "five points.",
            comparisons: counts.map { count in
                Comparison(
                    "dense − after training, \(blocks(count))", -gain(.afterTraining, count), .atLeast, 5,
                    unit: "points")
            })
    }

    /// What the network without shortcuts loses, in points.
    private func plainLoss(_ count: Int) -> Double { 100 * (plainAccuracy - accuracy(.plainAfterTraining, count)) }

    private var residualLosesLess: Claim {
        Claim(
            id: "residual-loses-less",
            statement: "A trained network with shortcuts loses less with its blocks than one without.",
            paper: "Implied: without the identity, what a removed layer leaves is no network.",
            criterion: "Without the ticket's blocks, and without further training, the trained plain network (the same "
                + "layers without shortcuts) loses more points than the residual one.",
            comparisons: counts.map { count in
                Comparison(
                    "plain − residual loss, \(blocks(count))", plainLoss(count) + gain(.afterTraining, count), .above,
                    0, unit: "points")
            },
            remark: "The whole plain network: \(MarkupText.percent(plainAccuracy, places: 2)); it loses "
                + counts.map { MarkupText.number(plainLoss($0), digits: 2) }.joined(separator: ", ") + " points.")
    }

    /// The largest part of a seed's victims that is of one stage.
    private var concentrations: [Double] {
        normVictims.map { stages in
            let counts = stages.reduce(into: [Int: Int]()) { $0[$1, default: 0] += 1 }
            return stages.isEmpty ? .nan : Double(counts.values.max() ?? 0) / Double(stages.count)
        }
    }

    private var normsPickOneStage: Claim {
        Claim(
            id: "norms-pick-one-stage",
            statement: "The L1 norm takes its blocks from one stage, so it is no criterion.",
            paper: "Norms differ by stage; shown for trained networks.",
            criterion: "At least 80 % of the blocks with the smallest norms are of one stage, on each seed.",
            comparisons: zip(seeds, concentrations).map { seed, part in
                Comparison("part of one stage, \(blocks(counts.max() ?? 1)), seed \(seed)", part, .atLeast, 0.8)
            })
    }

    private var cost: Claim {
        let count = counts.max() ?? 1
        let own = runs.filter { $0.arm == .grasp && $0.count == count }
        return Claim(
            id: "cheaper", statement: "Multiplications fall with the blocks that go.",
            paper: "ResNet-32 without 4 blocks: −34 % FLOPs, −30 % memory, 1.57 times the training speed.",
            criterion: "\(blocks(count)) less save at least 25 % of the multiplications, on each seed.",
            comparisons: own.map {
                Comparison("multiplications saved, seed \($0.seed)", 1 - $0.multiplicationPart, .atLeast, 0.25)
            })
    }

    /// No training: what the paper's networks save without as many blocks as it removes. In networks of this kind all
    /// blocks that keep the shape take equally many multiplications, so that it does not matter which go.
    private var publishedCosts: Claim {
        let rows = [(name: "resnet32", count: 4, saved: 0.34), (name: "resnet56", count: 12, saved: 0.45)]
        let nearest = Self.savedMultiplications("resnet32", without: 5)
        return Claim(
            id: "published-costs", statement: "ResNets save the multiplications that the paper says.",
            paper: "FLOPs: ResNet-32 without 4 blocks −34 %, ResNet-56 without 12 blocks −45 %.",
            criterion: "What the structure of each network says is within a point of it.",
            comparisons: rows.map { row in
                let own = Self.savedMultiplications(row.name, without: row.count)
                return Comparison(
                    "|saved − published|, \(row.name) without \(blocks(row.count)) "
                        + "(\(MarkupText.percent(own)) saved)",
                    100 * abs(own - row.saved), .atMost, 1, unit: "points")
            },
            remark: "resnet32 saves \(MarkupText.percent(nearest)) without 5 blocks.")
    }

    /// The part of the multiplications that goes with some blocks of a published network, on its own images.
    private static func savedMultiplications(_ name: String, without count: Int) -> Double {
        guard let architecture = try? VisionArchitecture(named: name),
            let blocks = try? BlockRemoval.blocks(of: architecture).filter(RemovableBlocks.shape.contains),
            let plan = try? BlockPlan(
                BlockScores(blocks: blocks, scores: blocks.map { _ in 0 }), removing: count, from: architecture)
        else { return .nan }
        return 1 - Double(plan.after.multiplyAccumulates) / Double(plan.before.multiplyAccumulates)
    }

    private var faster: Claim {
        Claim(
            id: "faster", statement: "Training steps become faster about as multiplications become fewer.",
            paper: "ResNet-32 without 4 blocks: 1.57 times the training speed.",
            criterion: "The ratio of step times, dense to ticket, is at least 0.85 of the ratio of multiplications.",
            notMeasured: "reports hold no times; `coppice prune-blocks --measure` prints both ratios")
    }

    private var corrupted: Claim {
        Claim(
            id: "robustness", statement: "Tickets are more robust to corrupted images.",
            paper: "CIFAR-10-C: up to +1.61 (ResNet-32) and +3.73 points (ResNet-56).",
            criterion: "The same on CIFAR-10-C.", notMeasured: "it needs CIFAR-10-C")
    }

    var tables: [ExperimentReport.Table] {
        let rows = Arm.allCases.flatMap { arm in
            Set(runs.filter { $0.arm == arm }.map(\.count)).sorted().map { count -> [String] in
                let own = runs.filter { $0.arm == arm && $0.count == count }
                return [
                    arm.rawValue, "\(count)", statistics(arm, count).percent, signed(gain(arm, count)),
                    MarkupText.percent(SeedStatistics(own.map(\.parameterPart)).mean),
                    MarkupText.percent(SeedStatistics(own.map(\.multiplicationPart)).mean),
                    own.map { $0.removed.isEmpty ? "" : $0.removed.joined(separator: " ") }.joined(separator: " / "),
                ]
            }
        }
        let dense = ["dense", "0", SeedStatistics(denseAccuracies).percent, "0", "100.0 %", "100.0 %", ""]
        let plain = [
            "plain", "0", SeedStatistics(plainAccuracies).percent, signed(100 * (plainAccuracy - denseAccuracy)),
            "100.0 %", "100.0 %", "",
        ]
        return [
            .init(
                title: "Accuracy over \(seeds.count) seeds",
                HTMLTable(
                    head: [
                        "network", "blocks less", "test accuracy, %", "against dense", "parameters", "multiplications",
                        "removed, by seed",
                    ], rows: [dense, plain] + rows, numericColumns: [1, 2, 3, 4, 5]))
        ]
    }

    var illustrations: [ExperimentReport.Illustration] {
        let series = Arm.allCases.compactMap { arm -> LineChart.Series? in
            let own = Set(runs.filter { $0.arm == arm }.map(\.count)).sorted()
            guard own.count > 1 else { return nil }
            let whole = arm == .plainAfterTraining ? plainAccuracy : denseAccuracy
            return LineChart.Series(
                name: arm.rawValue, points: [(x: 0, y: whole)] + own.map { (x: Double($0), y: accuracy(arm, $0)) })
        }
        return [
            .init(
                id: "accuracy",
                LineChart(
                    title: "Test accuracy by the number of removed blocks",
                    summary: "Mean test accuracy of each arm by the number of removed blocks; 0 is the dense network.",
                    horizontalTitle: "blocks less", verticalTitle: "test accuracy", series: series),
                caption: "Means over seeds. Filters: at the size of GraSP's ticket, or as many as it lacks.")
        ]
            + losses.illustration(
                title: "Loss while training, \(blocks(counts.max() ?? 1)) less",
                caption: "Seed \(seeds.first ?? 0), at the most blocks.")
    }

    /// Of the first seed: the dense network, and what is trained without the most blocks.
    private var losses: [LossCurve] {
        let own = runs.filter { $0.seed == seeds.first && $0.count == counts.max() }
        return ([denseLosses] + own.map(\.losses)).compactMap { $0 }
    }

    var json: JSON {
        .object([
            "dense_accuracy": .array(denseAccuracies.map { .number($0) }),
            "plain_accuracy": .array(plainAccuracies.map { .number($0) }), "losses": losses.json,
            "runs": .array(
                runs.map { run in
                    .object([
                        "arm": .string(run.arm.rawValue), "count": .integer(run.count),
                        "seed": .integer(Int(truncatingIfNeeded: run.seed)), "accuracy": .number(run.accuracy),
                        "parameters": .number(run.parameterPart), "multiplications": .number(run.multiplicationPart),
                        "removed": .array(run.removed.map { .string($0) }),
                    ])
                }),
        ])
    }
}
