import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A part of the channels of a plain convolutional network with batch norm, chosen by bi-level pruning while it
/// retrains, or by a criterion before it does.
package struct FilterComparison: Sendable {
    package enum Arm: String, Sendable, Hashable, CaseIterable {
        /// Channels by the filters that make them, and by what reads them, with scores at the paper's rate for
        /// convolutional networks.
        case bilevel, channels
        /// The same with scores at the perceptron's rate: at one part kept.
        case fastFilters, fastChannels
        case norm, rank

        var name: String {
            switch self {
            case .bilevel: "BiP, filters"
            case .channels: "BiP, channels"
            case .fastFilters: "BiP, filters, ten times the scores' rate"
            case .fastChannels: "BiP, channels, ten times the scores' rate"
            case .norm: "L1 norm of filters + retraining"
            case .rank: "rank of feature maps (HRank's criterion) + retraining"
            }
        }

        static let compared: [Arm] = [.bilevel, .channels, .norm, .rank]
        static let ablations: [Arm] = [.fastFilters, .fastChannels]
        /// Where masks are learned, so that the network under them and the one that is cut out can be held together.
        static let learned: [Arm] = [.bilevel, .channels] + ablations
    }

    /// The parts of every group of channels that stay.
    package static let kept = [0.9, 0.5, 0.1]
    /// The part at which arms are judged, and the faster scores measured.
    package static let middle = 0.5
    /// β of the paper.
    static let maskRate = 0.1

    /// Test accuracies of the dense networks.
    package var dense: [Double]
    /// By the part of the channels kept.
    package var accuracies: ArmAccuracies<Arm>
    /// By the part of the channels kept, the most multiplications that any arm leaves, over the dense network's.
    package var multiplications: [Double: Double]
    /// The most that an output of a cut network differs from the masked one's, in any arm that has both, part and seed.
    package var difference: Double
    /// At ``middle``, of the first seed.
    var losses: [LossCurve] = []

    package init(
        dense: [Double], accuracies: ArmAccuracies<Arm>, multiplications: [Double: Double] = [:],
        difference: Double = 0
    ) {
        self.dense = dense
        self.accuracies = accuracies
        self.multiplications = multiplications
        self.difference = difference
    }

    init(
        _ study: ImageStudy, size: BilevelPruningExperiment.Size, seeds: [UInt64], progress: any ProgressReporter
    ) throws {
        self.init(dense: [], accuracies: ArmAccuracies())
        progress.begin("dense convolutional networks", total: seeds.count, unit: "networks")
        let trained = try BilevelPruningMeasurement.Dense.trained(study, seeds: seeds)
        progress.end("done")

        let arms = Arm.compared.flatMap { arm in Self.kept.map { (arm: arm, kept: $0) } }
        let jobs = (arms + Arm.ablations.map { (arm: $0, kept: Self.middle) }).flatMap { own in
            trained.map { FilterJob(study: study, size: size, dense: $0, arm: own.arm, kept: own.kept) }
        }
        progress.begin("filters", total: jobs.count, unit: "runs")
        let outcomes = try sideBySide(jobs) { job in
            let outcome = try job.run()
            progress.report(
                "seed \(job.dense.seed): \(job.arm.name), \(MarkupText.percent(job.kept, places: 0)) kept: "
                    + MarkupText.percent(outcome.accuracy, places: 2))
            return outcome
        }
        progress.end("done")

        dense = trained.map(\.accuracy)
        // In the order of jobs, so of seeds.
        for (job, outcome) in zip(jobs, outcomes) {
            accuracies.add(outcome.accuracy, of: job.arm, at: job.kept)
            multiplications[job.kept] = max(multiplications[job.kept] ?? 0, outcome.multiplications)
            if let own = outcome.difference { difference = max(difference, own) }
            if job.kept == Self.middle, job.dense.seed == seeds.first { losses.append(outcome.losses) }
        }
    }

    var illustration: ExperimentReport.Illustration {
        let series = Arm.compared.map { arm in
            LineChart.Series(
                name: arm.name, points: Self.kept.map { (x: 100 * $0, y: accuracies.mean(arm, at: $0)) })
        }
        let whole = LineChart.Series(
            name: "dense", points: Self.kept.map { (x: 100 * $0, y: SeedStatistics(dense).mean) })
        return .init(
            id: "filter-accuracy",
            LineChart(
                title: "Accuracy by channels kept", summary: "Mean test accuracy of each way by the part kept.",
                horizontalTitle: "channels kept, %", verticalTitle: "test accuracy", series: series + [whole]),
            caption: "Means over \(dense.count) seeds.")
    }

    var table: ExperimentReport.Table {
        var table = accuracies.table(
            "Channels of a convolutional network: test accuracy in percent, dense \(SeedStatistics(dense).percent)",
            arms: Arm.allCases.map { (arm: $0, name: $0.name) },
            settings: Self.kept.map { (value: $0, name: MarkupText.percent($0, places: 0) + " kept") })
        table.table.rows.append(
            ["multiplications left"] + Self.kept.map { MarkupText.percent(multiplications[$0] ?? .nan) })
        return table
    }

    var json: JSON {
        .object([
            "dense": .array(dense.map { .number($0) }),
            "accuracies": accuracies.json(
                arms: Arm.allCases.map { (arm: $0, name: $0.rawValue) }, settings: Self.kept),
            "multiplications": .array(Self.kept.map { .number(multiplications[$0] ?? .nan) }),
            "difference": .number(difference), "losses": losses.json,
        ])
    }
}
