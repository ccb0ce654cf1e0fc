import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import OrderedCollections

/// `coppice prune-channels`: a narrower vision network.
struct PruneChannels: ParsableCommand {
    enum Criterion: String, CaseIterable, ExpressibleByArgument {
        case l1, l2, group, taylor, slimming, random

        /// What recipes call them is understood as well.
        init?(argument: String) {
            switch argument {
            case "group-l2": self = .group
            case "bn-scale": self = .slimming
            default: self.init(rawValue: argument)
            }
        }
    }

    enum Unit: String, CaseIterable, ExpressibleByArgument {
        case multiplications, parameters, channels
    }

    enum Allocation: String, CaseIterable, ExpressibleByArgument {
        case global, uniform
        case rateDistortion = "rate-distortion"
    }

    enum Granularity: String, CaseIterable, ExpressibleByArgument {
        case channels, filters, neurons
    }

    static let configuration = CommandConfiguration(
        commandName: "prune-channels",
        abstract: "Remove whole channels of a vision network, so that a smaller dense network is left.",
        discussion: """
            Channels that are coupled (by residual additions, concatenations, depthwise convolutions, flattening) are \
            removed together; which they are is found from the network's forward pass. By --allocation rate-distortion \
            each group alone loses its channels at one rate after another while the error of the outputs is measured, \
            without labels, and the split that costs them least is taken. Without --output only the table is printed.
            """)

    @Argument(help: ArgumentHelp("A folder or .safetensors file of a vision network.", valueName: "network"))
    var network: String
    @Option(help: ArgumentHelp("The fraction that goes.", valueName: "fraction"))
    var remove: Double
    @Option(help: "What the fraction is of.")
    var of = Unit.multiplications
    @Option(
        help: ArgumentHelp(
            "l1, l2: norm of a channel's filters, over the group's mean where groups are compared; group: squares of "
                + "all that belongs to it, over the group's mean; taylor: the loss for each multiplication, parameter "
                + "or channel saved (--of), needs --data; slimming: scale of its batch normalization; random. Recipes "
                + "call group group-l2 and slimming bn-scale; both names are understood."
        ))
    var criterion = Criterion.group
    @Option(
        help: ArgumentHelp(
            "global: one threshold for the network; uniform: the same fraction everywhere; rate-distortion: what costs "
                + "the outputs least, measured on --data or on noise (--calibration gaussian)."))
    var allocation = Allocation.global
    @Option(help: "channels: all; filters: those that one layer makes; neurons: of linear layers.")
    var granularity = Granularity.channels
    @Option(help: ArgumentHelp("The fraction of each group that stays whatever its scores.", valueName: "fraction"))
    var minimumShare = 0.1
    @Option(help: ArgumentHelp("Layers whose channels stay (a pattern; may be repeated).", valueName: "pattern"))
    var ignore: [String] = []
    @Option(
        help: ArgumentHelp("A folder of labelled images: IDX, CIFAR or a folder for each class.", valueName: "folder"))
    var data: String?
    @Option(
        help: ArgumentHelp(
            "Images that taylor looks at (default: 512) and rate-distortion measures on (default: 128).",
            valueName: "n"))
    var images: Int?
    @Option(help: ArgumentHelp("What rate-distortion measures on: data, or gaussian for noise.", valueName: "c"))
    var calibration: RateDistortionOptions.Calibration?
    @Option(
        help: ArgumentHelp(
            "Rounds of rate-distortion, which each remove the same part of what is left and measure anew (default: 1).",
            valueName: "n"))
    var rounds: Int?
    @Option(help: ArgumentHelp("Epochs of training afterwards.", valueName: "n"))
    var epochs = 0
    @Option(help: ArgumentHelp("The learning rate of the first step; it falls as a cosine.", valueName: "rate"))
    var rate = 0.01
    @Option(help: ArgumentHelp("Images of a training step.", valueName: "n"))
    var batchSize = 128
    @Flag(help: "Train on shifted and mirrored images.")
    var augment = false
    @Flag(help: "Measure time and memory of training steps and passes of both networks, on 32 images of noise.")
    var measure = false
    @Option(help: ArgumentHelp("Seeds the choice and the order of images, and random scores.", valueName: "n"))
    var seed: UInt64 = 0
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String?
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if data == nil, criterion == .taylor || epochs > 0 {
            throw ValidationError("\(epochs > 0 ? "--epochs" : "--criterion taylor"): expected --data beside it")
        }
        for (name, count) in [("--images", images), ("--rounds", rounds), ("--batch-size", batchSize)] {
            if let count, count < 1 { throw ValidationError("\(name): expected at least 1, found \(count)") }
        }
        if allocation == .rateDistortion {
            if data == nil, calibration != .gaussian {
                throw ValidationError(
                    "--allocation rate-distortion: expected --data beside it, or --calibration gaussian")
            }
        } else if calibration != nil || rounds != nil {
            throw ValidationError(
                "\(calibration != nil ? "--calibration" : "--rounds"): goes with --allocation rate-distortion alone")
        }
        if !(0..<1).contains(remove) {
            throw ValidationError("--remove: expected a number from 0 to below 1, found \(remove)")
        }
        if !(0...1).contains(minimumShare) {
            throw ValidationError("--minimum-share: expected a number from 0 to 1, found \(minimumShare)")
        }
        if epochs < 0 { throw ValidationError("--epochs: expected at least 0, found \(epochs)") }
        if !(rate > 0 && rate.isFinite) { throw ValidationError("--rate: expected a number above 0, found \(rate)") }
    }

    /// - Parameter images: of training, where there are any.
    private func pruning(_ checkpoint: VisionCheckpoint, _ images: ImageDataSet?) throws -> StructuredPruning {
        let target: StructuredPruning.Target =
            switch of {
            case .multiplications: .multiplyAccumulates(remove)
            case .parameters: .parameters(remove)
            case .channels: .channels(remove)
            }
        let measure: any ChannelCriterion =
            switch criterion {
            // One threshold for groups of different fan-in and scale takes relative norms.
            case .l1: ChannelNorm(.l1, isRelative: allocation == .global)
            case .l2: ChannelNorm(.l2, isRelative: allocation == .global)
            case .group: ChannelNorm.group
            case .taylor: ChannelTaylor()
            case .slimming: NormScale()
            case .random: RandomChannels(seed: seed)
            }
        let scope: StructuredPruning.Granularity =
            switch granularity {
            case .channels: .channels
            case .filters: .filters
            case .neurons: .neurons
            }
        let sharing: any ChannelAllocation =
            switch allocation {
            case .global: GlobalChannels()
            case .uniform: UniformChannels()
            case .rateDistortion:
                RateDistortionChannels(on: try inputs(checkpoint, images), progress: common.progress)
            }
        var pruning = StructuredPruning(
            by: measure, allocation: sharing, granularity: scope, to: target, minimumShare: minimumShare,
            ignore: ignore.map { WeightPattern($0) })
        pruning.rounds = rounds ?? 1
        return pruning
    }

    /// What distortion is measured on.
    private func inputs(_ checkpoint: VisionCheckpoint, _ images: ImageDataSet?) throws -> [Tensor] {
        let count = self.images ?? RateDistortionOptions.images
        if calibration != .gaussian, let images {
            return try images.sample(min(images.count, count), seed: seed).batches(of: 128).map(\.inputs)
        }
        var generator = RandomGenerator(seed: seed)
        return stride(from: 0, to: count, by: 128).map {
            .normal([min(128, count - $0)] + checkpoint.architecture.inputShape, using: &generator)
        }
    }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let checkpoint = try VisionCheckpoint.open(network)
        try Output.check(folder: output, spares: network)
        let whole = try checkpoint.network()
        let sets = try data.map { try CompressionImages(folder: $0, for: checkpoint, seed: seed) }
        if let warning = sets?.warning { common.progress.report("warning: " + warning) }
        let training = try sets.map { try trainingImages(of: $0) }
        var pruning = try pruning(checkpoint, training)
        let (names, aliases) = (whole.parameters.map(\.name), try checkpoint.aliases)
        pruning.ignore = pruning.ignore.flatMap { $0.resolved(among: names, aliases: aliases) }
        let batches = try training.map { try $0.sample(min($0.count, images ?? 512), seed: seed).batches(of: 128) }
        let example = checkpoint.architecture.tracingInputs
        let start = Self.now
        let pruned = try pruning.prune(
            whole, on: batches.map { Array($0) } ?? [LabeledBatch(inputs: example, targets: Tensor([0, 0]))])
        let seconds = Self.now - start
        func accuracy(_ network: any VisionNetwork) -> Double? {
            sets.flatMap { Classification.measure(network, on: $0.evaluation)?.accuracy }
        }
        let (before, after) = (accuracy(whole), accuracy(pruned.network))
        var trained: Double?
        var trainingSeconds = 0.0
        if epochs > 0, let training {
            let start = Self.now
            try train(pruned.network, on: training)
            trainingSeconds = Self.now - start
            trained = accuracy(pruned.network)
        }
        pruned.network.setTraining(false)
        if let output {
            try VisionCheckpoint.write(pruned.network, normalization: checkpoint.normalization, folder: output)
        }
        let found = Report(
            architecture: checkpoint.architecture, pruned: pruned, seconds: seconds, trainingSeconds: trainingSeconds,
            accuracies: [("before", before), ("after", after), ("trained", trained)],
            speeds: measure ? try SpeedComparison(whole, pruned.network, seed: seed) : nil, output: output)
        if common.json { try Output.json(found.json()) } else { try Output.line(found.text()) }
    }

    private static var now: Double { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 }

    private func trainingImages(of sets: CompressionImages) throws -> ImageDataSet {
        guard let images = sets.training else {
            throw CoppiceError(.noInput, source: data, "has no training \(sets.evaluation.noun)")
        }
        try images.check(takes: augment ? .standard : .none)
        return images
    }

    private func train(_ network: any VisionNetwork, on images: ImageDataSet) throws {
        let source = ImageBatches(
            images, batchSize: batchSize, seed: seed, augmentation: augment ? .standard : .none)
        let rates = LearningRateSchedule(
            kind: .cosine, peak: rate, warmupSteps: 0, minimumRatio: 0, totalSteps: epochs * source.batchesPerEpoch)
        let training = SupervisedTraining(optimizer: SGD(momentum: 0.9, weightDecay: 5e-4), rates: rates)
        let progress = common.progress
        progress.begin("train", total: rates.totalSteps, unit: "steps")
        try training.run(network, on: source) { step, loss in
            progress.advance(to: step + 1, note: "loss \(Output.number(loss, digits: 3))")
        }
        progress.end("")
    }

    /// What was removed, for people and programs.
    private struct Report {
        var architecture: VisionArchitecture
        var pruned: StructuredPruning.Result
        var seconds: Double
        var trainingSeconds: Double
        var accuracies: [(name: String, value: Double?)]
        var speeds: SpeedComparison?
        var output: String?

        /// Keys are stable: `architecture`, `parameters_before`, `parameters_after`, `multiplications_before`,
        /// `multiplications_after`, `seconds`, `training_seconds`, `accuracy_before`, `accuracy_after`,
        /// `accuracy_trained`, `groups` (`layer`, `channels`, `kept`), `speed` (with `--measure`), `output`.
        func json() -> JSON {
            var fields: OrderedDictionary<String, JSON> = ["architecture": .string(architecture.description)]
            fields.merge(pruned.before.changeMembers(to: pruned.after)) { $1 }
            fields["seconds"] = .number(seconds)
            fields["training_seconds"] = .number(trainingSeconds)
            for (name, value) in accuracies { fields["accuracy_\(name)"] = value.map { .number($0) } ?? .null }
            fields["groups"] = .array(
                pruned.groups.groups.enumerated().map { index, group in
                    .object([
                        "layer": .string(group.name), "channels": .integer(group.count),
                        "kept": .integer(pruned.kept.count(ofGroup: index)),
                    ])
                })
            if let speeds { fields["speed"] = .object(speeds.json) }
            fields["output"] = output.map { .string($0) } ?? .null
            return .object(fields)
        }

        func text() -> String {
            let groups = pruned.groups.groups
            let width = groups.map(\.name.count).max() ?? 0
            var lines = groups.enumerated().map { index, group in
                let name = group.name + String(repeating: " ", count: width - group.name.count)
                let coupled = group.makers.count > 1 ? "  with \(group.makers.count - 1) more" : ""
                return "\(name)  \(pruned.kept.count(ofGroup: index)) of \(group.count)\(coupled)"
            }
            func change(_ before: Int, _ after: Int) -> String {
                "\(before) → \(after) (\(Output.number(100 * Double(after) / Double(max(1, before)), digits: 1)) %)"
            }
            lines.append("parameters       \(change(pruned.before.parameters, pruned.after.parameters))")
            let (before, after) = (pruned.before.multiplyAccumulates, pruned.after.multiplyAccumulates)
            lines.append("multiplications  \(change(before, after))")
            let known = accuracies.compactMap { own in
                own.value.map { "\(own.name) \(Output.number($0, digits: 4))" }
            }
            if !known.isEmpty { lines.append("accuracy         " + known.joined(separator: "  ")) }
            if let speeds { lines.append(speeds.text) }
            if let output { lines.append("\(output): the smaller network") }
            return lines.joined(separator: "\n")
        }
    }
}
