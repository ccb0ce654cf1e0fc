import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// What networks with gates, and what they are compared with, reach on each seed.
package struct ConsensusMeasurement: Sendable {
    /// A way to a smaller network.
    package enum Arm: String, Sendable, CaseIterable {
        case dense
        /// Gates of blocks, with polarization and without it.
        case consensus
        case targetOnly = "target-only"
        /// Gates of channels, with polarization.
        case channels
        /// Gates that are the same for every image.
        case staticGates = "static-gates"
        case randomBlocks = "random-blocks"
        case norm
        case slimming
        /// Single weights, while the network trains.
        case gradual

        var name: String {
            switch self {
            case .dense: "dense"
            case .consensus: "consensus, blocks"
            case .targetOnly: "target only, blocks"
            case .channels: "consensus, channels"
            case .staticGates: "static gates (L0), blocks"
            case .randomBlocks: "random blocks"
            case .norm: "L1 norm + fine-tuning, channels"
            case .slimming: "slimming + fine-tuning, channels"
            case .gradual: "gradual magnitude, single weights"
            }
        }
    }

    /// A network of one seed.
    package struct Run: Sendable {
        package var arm: Arm
        package var seed: UInt64
        /// Of the network at the end, a fraction of the test images.
        package var accuracy: Double
        /// For one of the dense network's.
        package var multiplicationPart = 1.0
        package var parameterPart = 1.0
        /// Multiplications of the training, for one of the dense network's training.
        package var cost = 1.0
        package var gates: Gates?
        /// Of its longest training.
        var losses: LossCurve?

        package init(arm: Arm, seed: UInt64, accuracy: Double) {
            self.arm = arm
            self.seed = seed
            self.accuracy = accuracy
        }
    }

    /// What is known of gates beside.
    package struct Gates: Sendable {
        package var kept: Int
        package var count: Int
        /// max ḡ(1 − ḡ) over held-out images.
        package var disagreement: Double
        /// Accuracy of the network with its gates, each image with its own decisions.
        package var dynamicAccuracy: Double
        /// With everybody's decisions, before norms are measured anew.
        package var staticAccuracy: Double
        /// Between the gated network with its decisions and the smaller one.
        package var difference: Double
        package var reopenings: Int
        /// Names of the blocks that went as a whole.
        package var closedBlocks: [String] = []
        /// Steps, and the running averages of the gates of each block there.
        package var curve: [(step: Int, means: [Double])] = []

        package init(
            kept: Int, count: Int, disagreement: Double, dynamicAccuracy: Double, staticAccuracy: Double,
            difference: Double, reopenings: Int = 0
        ) {
            self.kept = kept
            self.count = count
            self.disagreement = disagreement
            self.dynamicAccuracy = dynamicAccuracy
            self.staticAccuracy = staticAccuracy
            self.difference = difference
            self.reopenings = reopenings
        }
    }

    package var gatedBlocks: [String]
    package var seeds: [UInt64]
    package var runs: [Run]

    /// What was measured elsewhere.
    package init(gatedBlocks: [String], seeds: [UInt64], runs: [Run]) {
        self.gatedBlocks = gatedBlocks
        self.seeds = seeds
        self.runs = runs
    }

    init(_ study: ImageStudy, seeds: [UInt64], progress: any ProgressReporter) throws {
        gatedBlocks = try BlockRemoval.blocks(of: study.architecture).filter(RemovableBlocks.shape.contains).map(\.name)
        self.seeds = seeds
        runs = []
        progress.begin("consensus", total: seeds.count * Arm.allCases.count, unit: "networks")
        for seed in seeds {
            var trial = try ConsensusTrial(study, seed: seed)
            for arm in Arm.allCases {
                let run = try trial.run(arm)
                runs.append(run)
                let gates = run.gates.map { ", \($0.kept) of \($0.count) kept" } ?? ""
                progress.report("seed \(seed): \(arm.name) \(MarkupText.percent(run.accuracy))\(gates)")
                progress.advance(to: runs.count, note: arm.name)
            }
        }
        progress.end("done")
    }

    func runs(of arm: Arm) -> [Run] { runs.filter { $0.arm == arm } }
    func statistics(_ arm: Arm) -> SeedStatistics { SeedStatistics(runs(of: arm).map(\.accuracy)) }
    func mean(_ arm: Arm, _ quantity: (Run) -> Double) -> Double { SeedStatistics(runs(of: arm).map(quantity)).mean }

    /// By how many points an arm's mean accuracy is above another's.
    func lead(of arm: Arm, over other: Arm) -> Double { 100 * (statistics(arm).mean - statistics(other).mean) }
}
