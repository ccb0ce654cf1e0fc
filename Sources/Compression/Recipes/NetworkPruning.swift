import CoppiceTraining

/// What a `prune` stage says beyond criterion, granularity and allocation: when weights go, and how accuracy comes back.
/// For networks in memory; all but the default needs labelled images or a text.
public struct NetworkPruning: Sendable, Hashable {
    /// When weights go.
    public enum Schedule: Sendable, Hashable {
        /// Before any training, in so many rounds that each remove the same part of what is left, with scores anew.
        case oneShot(rounds: Int)
        /// While the network trains, on a ramp between two epochs, every so many steps.
        case gradual(begin: Double, end: Double, every: Int, ramp: SparsityRamp = .cubic)
        /// Level after level: train, remove a part of what is left, go back to the weights of an epoch (nil: stay),
        /// train again.
        case iterative(levels: Int, rewind: Double?)
        /// Sparse from the start of training, with connections that move until an epoch.
        case dynamic(DynamicOptions)
        /// Rounds as of ``iterative``, each of which removes what the PQ index of what is left allows.
        case adaptive(AdaptiveOptions)

        /// How the sparsity rises from step to step.
        var ramp: SparsityRamp {
            if case .gradual(_, _, _, let ramp) = self { return ramp }
            return .geometric
        }
    }

    /// How accuracy comes back.
    public enum Recovery: Sendable, Hashable {
        case none
        /// Kept weights train on.
        case fineTune
        /// Kept weights make up for removed ones by the inverse Fisher matrix each time some go.
        case surgeon
        /// Kept weights of each matrix of a language model make up for removed ones by the inputs that it sees
        /// (``SparseGPT``).
        case reconstruct
        /// Kept weights train on the answers of the network as it was.
        case distill(temperature: Double, teacherShare: Double)
    }

    public var schedule = Schedule.oneShot(rounds: 1)
    public var recovery = Recovery.none
    /// The parameters that a recovery that trains moves; nil: all.
    public var trains: [WeightPattern]?
    /// How gradients are taken for criteria of curvature.
    public var sampling = GradientSampling()
    /// λ of the Fisher matrix, for criteria of curvature.
    public var dampening = 1e-5
    /// Weights of a block of the Fisher matrix, for WoodFisher.
    public var blockSize = 128
    /// How kept weights make up for removed ones, for the method `sparsegpt` and the recovery `reconstruct`.
    public var compensation = SparseGPT()
    /// What outputs are divided by, for gradient flow.
    public var temperature = 200.0
    /// The network whose zeros are the masks, or the file that holds them, for the method `mask`.
    public var masks: String?
    /// For the method `searched`.
    public var search = SearchOptions()
    /// For the method `bip`.
    public var bilevel = BilevelOptions()
    /// What the sparsity is of where whole channels go.
    public var measure = ChannelMeasure.channels

    public init() {}

}

extension PruneStage.Method {
    /// Whether matrices are scored one at a time, as language models are pruned.
    public var prunesMatrices: Bool { [.magnitude, .wanda, .random, .sparseGPT].contains(self) }

    /// Whether whole heads and neurons of decoders go by its scores.
    public var scoresTransformerUnits: Bool { [.magnitude, .wanda, .random, .taylor].contains(self) }

    /// Whether vision networks are pruned by it.
    public var prunesNetworks: Bool { self != .sparseGPT && !scoresLayersAlone }

    /// Whether language models are pruned by it: flow of ones through a network asks for inputs of numbers, not tokens.
    public var prunesLanguageModels: Bool { !scoresChannelsAlone && !scoresLayersAlone && self != .synflow }

    /// Whether it scores whole channels and nothing else.
    public var scoresChannelsAlone: Bool { [.l1, .l2, .groupL2, .bnScale].contains(self) }

    /// Whether whole channels go by its scores.
    public var scoresChannels: Bool { scoresChannelsAlone || self == .taylor || self == .random }

    /// Whether it learns its masks from images, in a loop of its own.
    public var learnsMasks: Bool { [.searched, .bip, .movement].contains(self) }

    /// Whether a weight's score may be negative.
    public var hasSignedScores: Bool { self == .grasp || self == .movement }

    /// Whether it looks at the inverse of a Fisher matrix.
    public var isOfCurvature: Bool { [.obd, .woodfisher, .mfac].contains(self) }
}

extension PruneStage {
    /// Whether kept weights make up for removed ones, matrix by matrix.
    public var reconstructs: Bool { method == .sparseGPT || network.recovery == .reconstruct }

    /// Whether a language model's blocks run one after the other, for what their matrices see.
    public var needsActivations: Bool { method == .wanda || reconstructs }

    /// The criterion of curvature; nil for other methods.
    var curvature: (any CurvatureCriterion)? {
        switch method {
        case .obd: FisherDiagonalCriterion(sampling: network.sampling, dampening: network.dampening)
        case .woodfisher:
            WoodFisherCriterion(
                sampling: network.sampling, dampening: network.dampening, blockSize: network.blockSize)
        case .mfac: MFACCriterion(sampling: network.sampling, dampening: network.dampening)
        default: nil
        }
    }

    /// The criterion for a network; nil for methods that score no network.
    ///
    /// - Parameter inputShape: of one example.
    func networkCriterion(seed: UInt64, inputShape: [Int]) -> (any NetworkCriterion)? {
        switch method {
        case .magnitude: EachMatrix.magnitude
        case .random: EachMatrix.random(seed: seed)
        case .wanda: InputNormCriterion()
        case .snip: GradientWeightCriterion()
        case .grasp: GradientFlowCriterion(temperature: network.temperature)
        case .synflow: SynapticFlowCriterion(inputShape: inputShape)
        case .taylor: TaylorCriterion()
        case .hessian: HessianDiagonalCriterion(seed: seed)
        case .obd, .woodfisher, .mfac: curvature
        case .sparseGPT, .mask, .searched, .bip, .movement, .l1, .l2, .groupL2, .bnScale, .cka, .kl: nil
        }
    }

    /// The criterion of channels; nil for methods that score none.
    func channelCriterion(seed: UInt64) -> (any ChannelCriterion)? {
        switch method {
        // One threshold for groups of different fan-in and scale takes relative norms.
        case .l1: ChannelNorm(.l1, isRelative: scope == .global)
        case .l2: ChannelNorm(.l2, isRelative: scope == .global)
        case .groupL2: ChannelNorm.group
        case .bnScale: NormScale()
        case .taylor: ChannelTaylor()
        case .random: RandomChannels(seed: seed)
        default: nil
        }
    }

    /// What about the stage trains; nil when nothing does.
    public var training: String? {
        if method.learnsMasks { return "method \(method.rawValue) learns its masks from data" }
        switch network.schedule {
        case .gradual: return "schedule gradual trains"
        case .iterative: return "schedule iterative trains"
        case .dynamic: return "schedule dynamic trains"
        case .adaptive: return "schedule sap trains"
        case .oneShot: break
        }
        switch network.recovery {
        case .fineTune: return "recovery fine-tune trains"
        case .distill: return "recovery distill trains"
        case .none, .surgeon, .reconstruct: return nil
        }
    }

    /// What about the stage needs images; nil when nothing does.
    public var needOfImages: ImageNeed? {
        if let reason = needOfLabels { return ImageNeed(reason: reason, isOfLabels: true) }
        if unit == .layer, method.scoresLayersAlone {
            return ImageNeed(reason: "method \(method.rawValue) compares outputs", isOfLabels: false)
        }
        if method == .wanda {
            return ImageNeed(reason: "method \(method.rawValue) looks at activations", isOfLabels: false)
        }
        guard allocation == .rateDistortion, rateDistortion.curves == nil, rateDistortion.calibration == .data else {
            return nil
        }
        return ImageNeed(
            reason: "allocation rate-distortion measures on images (calibration: gaussian needs none)",
            isOfLabels: false)
    }

    private var needOfLabels: String? {
        if let training { return training }
        if method == .wanda || unit == .layer && method.scoresLayersAlone { return nil }
        let needsData =
            switch unit {
            case .layer: method.blockCriterion?.needsData
            case .weight: networkCriterion(seed: 0, inputShape: [])?.needsData
            case .filter, .channel, .head, .neuron: channelCriterion(seed: 0)?.needsData
            }
        return needsData == true ? "method \(method.rawValue) looks at gradients" : nil
    }

    /// The options of networks as a recipe would have them; those that say nothing new are left out.
    var networkOptions: [String] {
        var options: [String] = []
        if method.isOfCurvature {
            options += ["gradients: \(network.sampling.count)", "gradient_batch: \(network.sampling.batchSize)"]
            if method == .mfac, network.sampling.storage != .f32 {
                options.append("storage: \(network.sampling.storage.rawValue)")
            }
            options.append("dampening: \(network.dampening)")
        }
        if reconstructs { options.append("dampening: \(network.compensation.dampening)") }
        if method == .sparseGPT { options.append("block_size: \(network.compensation.blockSize)") }
        if method == .woodfisher { options.append("block_size: \(network.blockSize)") }
        if method == .grasp { options.append("temperature: \(network.temperature)") }
        if let masks = network.masks { options.append("masks: \"\(masks)\"") }
        if method == .searched { options += network.search.options }
        if method == .bip { options += network.bilevel.options }
        if unit != .weight {
            options.append("granularity: \(unit.rawValue)")
            if unit == .layer { options += layers.options }
            if method != .bip, !unit.goesFirst { options.append("of: \(network.measure.rawValue)") }
        }
        switch network.schedule {
        case .oneShot(1): break
        case .oneShot(let rounds): options.append("schedule: { kind: one-shot, rounds: \(rounds) }")
        case .gradual(let begin, let end, let every, let ramp):
            let shape = ramp == .cubic ? "" : ", ramp: \(ramp.rawValue)"
            options.append("schedule: { kind: gradual, begin: \(begin), end: \(end), every: \(every)\(shape) }")
        case .iterative(let levels, let rewind):
            let epoch = rewind.map { "\($0)" } ?? "none"
            options.append("schedule: { kind: iterative, levels: \(levels), rewind: \(epoch) }")
        case .dynamic(let dynamic): options.append("schedule: \(dynamic)")
        case .adaptive(let adaptive): options.append("schedule: \(adaptive)")
        }
        let trains = network.trains.map { ", trains: [\($0.map { "\"\($0)\"" }.joined(separator: ", "))]" }
        switch network.recovery {
        case .none: break
        case .fineTune: options.append(trains.map { "recovery: { kind: fine-tune\($0) }" } ?? "recovery: fine-tune")
        case .surgeon: options.append("recovery: surgeon")
        case .reconstruct: options.append("recovery: reconstruct")
        case .distill(let temperature, let share):
            options.append(
                "recovery: { kind: distill, temperature: \(temperature), teacher_share: \(share)\(trains ?? "") }")
        }
        return options
    }
}

/// Why a stage needs images.
public struct ImageNeed: Sendable, Hashable {
    /// Such as "schedule gradual trains".
    public var reason: String
    /// Whether their classes are looked at.
    public var isOfLabels: Bool
}
