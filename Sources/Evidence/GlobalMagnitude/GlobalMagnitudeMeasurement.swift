import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// What was trained and pruned for the experiment.
package struct GlobalMagnitudeMeasurement: Sendable {
    package typealias Outcome = PruningComparison.Outcome
    typealias Arm = PruningComparison.Arm

    static let sparsities = [0.9, 0.95, 0.98]
    /// Sparsities at which a floor is felt.
    static let extremeSparsities = [0.99, 0.995]
    /// Sparsity of the network that collapses.
    static let collapseSparsity = 0.9
    static let methods = ["global", "global + floor", "uniform", "ERK", "LAMP", "random"]
    static let gradual = "global + floor, gradual"
    static let standardFloor = "global + the paper's floor"
    /// What prunes otherwise than by magnitude, or sparsely from the start, with as many epochs in all.
    static let otherMethods = ["WoodFisher", "SNIP", "GraSP", "SynFlow", "SET", "RigL"]
    /// What takes many times as many epochs.
    static let iterative = "IMP with rewinding"
    static let residualMethods = ["global", "uniform", "ERK", "LAMP", "GMP", "M-FAC"]
    /// Arms of the residual network at the first sparsity alone.
    static let residualReferences = ["uniform+", "random"]

    /// Of the perceptron; random masks are each seed's own.
    var outcomes: [Outcome]
    /// Test accuracies of the dense perceptrons.
    var denses: [Double] = []
    /// Weights of the perceptron's layers.
    var layerSizes: [Int] = []
    /// The network with a layer of small weights, pruned with and without a floor; before, its accuracies.
    var collapse: [Outcome]
    var collapseDenses: [Double] = []
    /// The trained residual network; empty where its weights are not in the data folder.
    var residual: [Outcome]
    var residualSeeds: [UInt64] = []
    /// Its accuracy.
    var residualAccuracy = Double.nan
    /// Its weights.
    var residualWeights: [PrunableWeight]

    package init(
        outcomes: [Outcome], collapse: [Outcome] = [], residual: [Outcome] = [], residualWeights: [PrunableWeight] = []
    ) {
        self.outcomes = outcomes
        self.collapse = collapse
        self.residual = residual
        self.residualWeights = residualWeights
    }

    init(
        _ setting: ExperimentSetting, study: ImageStudy, size: GlobalMagnitude.Size, progress: any ProgressReporter
    ) throws {
        progress.report(study.summary)
        outcomes = []
        (residual, residualWeights) = ([], [])
        progress.report("convolutional networks with a layer of small weights")
        let collapsed = try Self.collapse(setting, size: size, progress: progress)
        (collapseDenses, collapse) = (collapsed.denses.map(\.accuracy), collapsed.outcomes)
        try measurePerceptron(setting, study: study, size: size, progress: progress)
        guard let weights = ImageStudy.trainedResidual(in: setting) else { return }
        progress.report("residual network")
        residualSeeds = setting.seeds(atMost: size.residualSeeds)
        try measureResidual(weights, setting: setting, size: size, progress: progress)
    }

    private static let floor = Arm(name: "global + floor", allocation: GlobalAllocation(floor: .share(0.005)))

    private static func arms(seed: UInt64) -> [Arm] {
        [
            Arm(name: "global", allocation: GlobalAllocation()),
            floor,
            Arm(name: "uniform", allocation: UniformAllocation()),
            Arm(name: "ERK", allocation: ErdosRenyiAllocation()),
            Arm(name: "LAMP", allocation: LAMPAllocation()),
            Arm(name: "random", criterion: .random(seed: seed), allocation: GlobalAllocation()),
        ]
    }

    private static func otherArms(seed: UInt64, inputShape: [Int]) -> [Arm] {
        let curvature = WoodFisherCriterion(sampling: GradientSampling(count: 256, batchSize: 16))
        func moving(_ name: String, _ growth: DynamicSparseTraining.Growth) -> Arm {
            Arm(
                name: name, criterion: .random(seed: seed), allocation: ErdosRenyiAllocation(), timing: .moving(growth))
        }
        return [
            Arm(
                name: "WoodFisher", allocation: GlobalAllocation(),
                surgeon: SurgeonPruning(curvature, recomputations: 4)),
            Arm(
                name: "SNIP", criterion: GradientWeightCriterion(), allocation: GlobalAllocation(),
                timing: .beforeTraining),
            Arm(
                name: "GraSP", criterion: GradientFlowCriterion(), allocation: GlobalAllocation(),
                timing: .beforeTraining),
            Arm(
                name: "SynFlow", criterion: SynapticFlowCriterion(inputShape: inputShape), rounds: 100,
                allocation: GlobalAllocation(), timing: .beforeTraining),
            moving("SET", .random(seed: seed)), moving("RigL", .gradient),
        ]
    }

    private mutating func measurePerceptron(
        _ setting: ExperimentSetting, study: ImageStudy, size: GlobalMagnitude.Size, progress: any ProgressReporter
    ) throws {
        let comparison = PruningComparison(study: study, epochs: size.epochsAfter, peakRate: study.peakRate)
        progress.begin("dense networks", total: setting.seeds.count, unit: "networks")
        let denses = try comparison.denses(setting.seeds)
        progress.end("")
        self.denses = denses.map(\.accuracy)
        layerSizes = try PrunableNetwork(study.makeNetwork(seed: 0)).weights.map(\.count)
        let inputShape = Array(study.batches(seed: 0).batch(at: 0).inputs.shape.dropFirst())
        var ramp = Self.floor
        (ramp.name, ramp.timing) = (Self.gradual, .gradual)
        let standard = Arm(name: Self.standardFloor, allocation: GlobalAllocation(floor: .standard))
        // The longest first.
        var runs = setting.seeds.map { seed -> PruningComparison.Run in
            { try comparison.rewound(Self.iterative, to: Self.sparsities, seed: seed) }
        }
        runs += comparison.runs(
            { Self.otherArms(seed: $0, inputShape: inputShape) }, at: Self.sparsities, of: denses)
        runs += comparison.runs(Self.arms, at: Self.sparsities, of: denses)
        runs += comparison.runs({ _ in [standard, ramp] }, at: [0.98], of: denses)
        runs += comparison.runs(
            { Self.arms(seed: $0).prefix(3) + [standard] }, at: Self.extremeSparsities, of: denses)
        outcomes = try PruningComparison.outcomes(of: runs, progress: progress)
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
        residualWeights = try PrunableNetwork(network).weights
        residual = try PruningComparison.outcomes(
            of: comparison.runs(Self.residualArms, at: Self.sparsities, of: denses)
                + comparison.runs(Self.residualReferenceArms, at: [Self.sparsities[0]], of: denses)
                // Where one threshold leaves as few multiplications as allocations that spare the large layers.
                + comparison.runs(
                    { Self.arms(seed: $0).filter { $0.name == "global" } }, at: Self.extremeSparsities, of: denses),
            progress: progress)
    }

    /// Magnitude in several ways, and what was proposed as better than one threshold of magnitude.
    private static func residualArms(seed: UInt64) -> [Arm] {
        let curvature = MFACCriterion(sampling: GradientSampling(count: 64, batchSize: 16))
        return arms(seed: seed).filter { residualMethods.contains($0.name) } + [
            Arm(name: "GMP", allocation: GlobalAllocation(), timing: .gradual),
            Arm(name: "M-FAC", allocation: GlobalAllocation(), surgeon: SurgeonPruning(curvature, recomputations: 4)),
        ]
    }

    private static func residualReferenceArms(seed: UInt64) -> [Arm] {
        [Arm(name: "uniform+", allocation: UniformPlusAllocation())] + arms(seed: seed).filter { $0.name == "random" }
    }
}

extension GlobalMagnitudeMeasurement {
    /// The share of the residual network's multiplications that an arm leaves, the mean over seeds.
    func multiplications(_ arm: String, at sparsity: Double) -> Double {
        SeedStatistics(
            residual.filter { $0.arm == arm && $0.sparsity == sparsity }.map {
                Self.operationShare(residualWeights, kept: $0.kept)
            }
        ).mean
    }

    /// Accuracy of one threshold where it leaves a share of the residual network's multiplications, interpolated over its
    /// logarithm between the sparsities that were measured; NaN beyond them.
    func accuracyOfOneThreshold(multiplications share: Double) -> Double {
        let points = (Self.sparsities + Self.extremeSparsities).map {
            DensityCurve.Point(
                density: multiplications("global", at: $0), accuracy: residual.accuracies("global", at: $0).mean)
        }
        return DensityCurve(points: points).accuracy(at: share) ?? .nan
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
