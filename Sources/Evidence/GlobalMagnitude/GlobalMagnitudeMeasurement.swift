import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// What was trained and pruned for the experiment.
struct GlobalMagnitudeMeasurement: Sendable {
    typealias Arm = PruningComparison.Arm
    typealias Outcome = PruningComparison.Outcome

    static let sparsities = [0.9, 0.95, 0.98]
    /// Sparsity of the network that collapses.
    static let collapseSparsity = 0.9
    static let methods = ["global", "global + floor", "uniform", "ERK", "LAMP", "random"]
    static let gradual = "global + floor, gradual"
    static let residualMethods = [
        "global", "uniform", "uniform+", "ERK", "LAMP", "GMP", "M-FAC", "SNIP", "GraSP", "SynFlow", "random",
    ]

    /// The perceptron.
    var comparison: PruningComparison
    var denses: [PruningComparison.Dense]
    var outcomes: [Outcome]
    /// The network with a layer of small weights, pruned with and without a floor; before, its accuracy.
    var collapseDenses: [PruningComparison.Dense]
    var collapse: [Outcome]
    var residualSparsities: [Double]
    var residualSeeds: [UInt64] = []
    /// Accuracy of the trained residual network; nil where its weights are not in the data folder.
    var residualAccuracy: Double?
    var residual: [Outcome] = []
    /// Share of the residual network's multiplications that are left, by arm and sparsity, of the first seed.
    var residualOperations: [String: [Double: Double]] = [:]
    /// Its weights.
    var residualWeights: [PrunableWeight] = []

    /// Of the perceptron; random masks are each seed's own.
    static func arms(seed: UInt64) -> [Arm] {
        [
            Arm(name: "global", allocation: GlobalAllocation()),
            Arm(name: "global + floor", allocation: GlobalAllocation(floor: .share(0.005))),
            Arm(name: "uniform", allocation: UniformAllocation()),
            Arm(name: "ERK", allocation: ErdosRenyiAllocation()),
            Arm(name: "LAMP", allocation: LAMPAllocation()),
            Arm(name: "random", criterion: .random(seed: seed), allocation: GlobalAllocation()),
        ]
    }

    init(_ setting: ExperimentSetting, size: GlobalMagnitude.Size, progress: any ProgressReporter) throws {
        let seeds = setting.seeds
        let study = try ImageStudy(.fashion, imageCount: size.images, epochs: size.epochs, in: setting)
        comparison = PruningComparison(study: study, epochs: size.epochsAfter, peakRate: study.peakRate)
        progress.report(study.summary)
        progress.begin("dense networks", total: seeds.count, unit: "networks")
        denses = try comparison.denses(seeds)
        progress.end("")
        outcomes = try comparison.outcomes(
            Self.arms, at: Self.sparsities, of: denses, progress: progress)
        let gradual = Arm(
            name: Self.gradual, allocation: GlobalAllocation(floor: .share(0.005)), isGradual: true)
        outcomes += try comparison.outcomes({ _ in [gradual] }, at: [0.98], of: denses, progress: progress)

        progress.report("convolutional networks with a layer of small weights")
        (collapseDenses, collapse) = try Self.collapse(setting, size: size, progress: progress)

        residualSparsities = size.residualSparsities
        guard let weights = ImageStudy.trainedResidual(in: setting) else { return }
        progress.report("residual network")
        residualSeeds = setting.seeds(atMost: size.residualSeeds)
        try measureResidual(weights, setting: setting, size: size, progress: progress)
    }

    /// LeNet-5 with rectifiers and no norms, whose function is unchanged when a layer's weights and bias shrink and the
    /// next layer's weights grow as much.
    private static func collapse(
        _ setting: ExperimentSetting, size: GlobalMagnitude.Size, progress: any ProgressReporter
    ) throws -> (denses: [PruningComparison.Dense], outcomes: [Outcome]) {
        let study = try ImageStudy(
            .fashion, architecture: VisionArchitecture(named: "lenet-5"), imageCount: size.collapseImages,
            epochs: size.collapseEpochs, in: setting)
        let comparison = PruningComparison(study: study, epochs: Double(size.collapseEpochs), peakRate: 0.01)
        let denses = try sideBySide(setting.seeds) { seed -> PruningComparison.Dense in
            let network = try study.trained(seed: seed)
            shrink(network, layer: "conv2", next: "fc1")
            return .init(seed: seed, weights: Snapshot(of: network), accuracy: study.accuracy(of: network))
        }
        let arms = [
            Arm(name: "global", allocation: GlobalAllocation()),
            Arm(name: "global + floor", allocation: GlobalAllocation(floor: .share(0.05))),
        ]
        return (denses, try comparison.outcomes({ _ in arms }, at: [collapseSparsity], of: denses, progress: progress))
    }

    /// Weights and bias of a layer times 1 / 50, those of the next times 50.
    static func shrink(_ network: any VisionNetwork, layer: String, next: String) {
        for (name, parameter) in network.parameters {
            if name.hasPrefix(layer + ".") { parameter.wrappedValue = parameter.wrappedValue.detached() * 0.02 }
            if name == next + ".weight" { parameter.wrappedValue = parameter.wrappedValue.detached() * 50 }
        }
    }

    private mutating func measureResidual(
        _ weights: String, setting: ExperimentSetting, size: GlobalMagnitude.Size, progress: any ProgressReporter
    ) throws {
        let checkpoint = try VisionCheckpoint.open(weights)
        var study = try ImageStudy(
            .photographs, architecture: checkpoint.architecture, imageCount: size.residualImages, epochs: 1, in: setting
        )
        study.normalize(as: checkpoint.normalization ?? .imageNet)
        study.batchSize = min(size.residualBatch, study.training.count)
        let comparison = PruningComparison(
            study: study, epochs: size.residualEpochs, peakRate: 0.02, measuresPruned: false)
        let network = try checkpoint.network()
        let accuracy = study.accuracy(of: network)
        residualAccuracy = accuracy
        let snapshot = Snapshot(of: network)
        let denses = residualSeeds.map { PruningComparison.Dense(seed: $0, weights: snapshot, accuracy: accuracy) }
        let inputShape = Array(study.batches(seed: 0).batch(at: 0).inputs.shape.dropFirst())
        residual = try comparison.outcomes(
            { Self.residualArms(seed: $0, inputShape: inputShape) }, at: size.residualSparsities, of: denses,
            progress: progress)
        let shapes = try PrunableNetwork(network).weights
        residualWeights = shapes
        for own in residual where own.seed == residualSeeds.first {
            residualOperations[own.arm, default: [:]][own.sparsity] = Self.operationShare(shapes, kept: own.kept)
        }
    }

    /// Those of the perceptron without its floor, and what was proposed as better than one threshold of magnitude.
    private static func residualArms(seed: UInt64, inputShape: [Int]) -> [Arm] {
        let curvature = MFACCriterion(sampling: GradientSampling(count: 64, batchSize: 32))
        return arms(seed: seed).filter { $0.name != "global + floor" } + [
            Arm(name: "uniform+", allocation: UniformPlusAllocation()),
            Arm(name: "GMP", allocation: GlobalAllocation(), isGradual: true),
            Arm(name: "M-FAC", allocation: GlobalAllocation(), surgeon: SurgeonPruning(curvature, recomputations: 4)),
            Arm(name: "SNIP", criterion: GradientWeightCriterion(), allocation: GlobalAllocation()),
            Arm(name: "GraSP", criterion: GradientFlowCriterion(), allocation: GlobalAllocation()),
            Arm(
                name: "SynFlow", criterion: SynapticFlowCriterion(inputShape: inputShape), rounds: 100,
                allocation: GlobalAllocation()),
        ]
    }

    /// The share of multiplications that is left: what is kept of a convolution counts at each of its output positions.
    /// ResNets of 32 × 32 pixels halve both sides at the second and third stage.
    static func operationShare(_ weights: [PrunableWeight], kept: [Int]) -> Double {
        func positions(_ weight: PrunableWeight) -> Int {
            if weight.kernel.isEmpty { return 1 }
            return weight.name.hasPrefix("layer2.") ? 256 : weight.name.hasPrefix("layer3.") ? 64 : 1024
        }
        let all = weights.reduce(0) { $0 + $1.count * positions($1) }
        let left = zip(weights, kept).reduce(0) { $0 + $1.1 * positions($1.0) }
        return all == 0 ? .nan : Double(left) / Double(all)
    }
}
