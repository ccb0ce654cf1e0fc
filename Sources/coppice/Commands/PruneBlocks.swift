import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

extension BlockCriterion: ExpressibleByArgument {}
extension BlockCriterion.Aggregate: ExpressibleByArgument {}
extension RemovableBlocks: ExpressibleByArgument {}

/// `coppice prune-blocks`: a shallower residual network.
struct PruneBlocks: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune-blocks",
        abstract: "Remove the residual blocks of a vision network that matter least.",
        discussion: """
            Of an architecture's name, a new network is judged before any training; of a stored network, its weights. \
            What is left keeps its weights, or has those of --rewind, and is to be trained. Without --output only the \
            table is printed.
            """)

    @OptionGroup var model: VisionArgument
    @Option(help: "What makes a block worth keeping; all but random and l1 need --data.")
    var criterion = BlockCriterion.grasp
    @Option(help: ArgumentHelp("Blocks to remove.", valueName: "n"))
    var count: Int?
    @Option(
        help: ArgumentHelp(
            "Remove blocks until no more multiplications with weights for one image (MACs) are left.",
            valueName: "budget"))
    var flops: BudgetArgument?
    @Option(
        help: ArgumentHelp(
            "Remove as few blocks as bring a measured pass of \(SpeedComparison.images) images down to so many "
                + "milliseconds.", valueName: "ms"))
    var latency: Double?
    @Option(
        help: ArgumentHelp(
            "What the kept blocks start from: the weights of an early checkpoint of the network, stored or in the "
                + "folder of a run that was interrupted (OUTPUT.run).", valueName: "checkpoint"))
    var rewind: String?
    @Option(
        help:
            "strict: no block that comes right before a reduction of rows and columns; shape: any that keeps the shape."
    )
    var removable = RemovableBlocks.strict
    @Option(help: "How scores of weights become a block's.")
    var aggregate = BlockCriterion.Aggregate.sum
    @Option(
        help: ArgumentHelp("A folder of labelled images: IDX, CIFAR or a folder for each class.", valueName: "folder"))
    var data: String?
    @Option(help: ArgumentHelp("Images of each class that are looked at.", valueName: "n"))
    var imagesPerClass = 10
    @Flag(
        help: "Measure time, memory and energy of training steps and passes of both networks, on 32 images of noise.")
    var measure = false
    @Option(help: ArgumentHelp("What the machine draws, for the energy of --measure.", valueName: "w"))
    var watts = 65.0
    @Option(help: ArgumentHelp("Seeds new weights, random scores and the choice of images.", valueName: "n"))
    var seed: UInt64 = 0
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String?
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        guard [count != nil, flops != nil, latency != nil].count(where: { $0 }) == 1 else {
            throw ValidationError("expected one of --count, --flops and --latency")
        }
        for (name, value) in [("latency", latency ?? 1), ("watts", watts)] where !(value > 0 && value.isFinite) {
            throw ValidationError("--\(name): expected a number above 0, found \(value)")
        }
        if imagesPerClass < 1 {
            throw ValidationError("--images-per-class: expected at least 1, found \(imagesPerClass)")
        }
        if criterion.needsData, data == nil {
            throw ValidationError("--criterion \(criterion.rawValue): expected --data beside it")
        }
        if !criterion.needsData, data != nil {
            throw ValidationError("--data: is not looked at with --criterion \(criterion.rawValue)")
        }
    }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let (architecture, checkpoint) = try model.open()
        let network = try checkpoint?.network() ?? architecture.makeNetwork(seed: seed)
        let batches = try data.map {
            [
                try VisionArgument.batch(
                    $0, for: architecture, normalization: checkpoint?.normalization, imagesPerClass: imagesPerClass,
                    seed: seed)
            ]
        }
        let scores = try BlockScores(
            of: network, by: criterion, removable: removable, aggregate: aggregate, batches: batches ?? [], seed: seed)
        let plan = try plan(scores, network, architecture)
        let (early, step) = try early(architecture)
        let shallow = plan.removal(early ?? network)
        if let output {
            try VisionCheckpoint.write(
                shallow, architecture: plan.removal.architecture, normalization: checkpoint?.normalization,
                folder: output)
        }
        let speeds = measure ? try SpeedComparison(network, shallow, seed: seed, watts: watts) : nil
        if common.json {
            guard case .object(var fields) = plan.json else { return }
            fields["output"] = output.map { .string($0) } ?? .null
            fields["rewound_to"] = rewind.map { .string($0) } ?? .null
            fields["rewound_step"] = step.map { .integer($0) } ?? .null
            if let speeds { fields.merge(speeds.json) { $1 } }
            try Output.json(.object(fields))
        } else {
            try Output.line(plan.text)
            if let speeds { try Output.line(speeds.text) }
            if let output {
                let weights = rewind.map { ", with the weights of \($0)" + (step.map { ", step \($0)" } ?? "") } ?? ""
                try Output.line("\(output): the blocks that are left\(weights)")
            }
        }
    }

    private func plan(
        _ scores: BlockScores, _ network: any VisionNetwork, _ architecture: VisionArchitecture
    ) throws -> BlockPlan {
        if let count { return try BlockPlan(scores, removing: count, from: architecture) }
        if let latency {
            let images = SpeedComparison.noise(for: network, seed: seed)
            return try BlockPlan(scores, seconds: latency / 1e3, from: architecture) { removal in
                NetworkSpeed.passSeconds(of: removal(network), on: images)
            }
        }
        let structure = try ChannelStructure(architecture)
        let budget = flops?.count(of: structure.multiplications(structure.widths)) ?? 0
        return try BlockPlan(scores, multiplications: budget, from: architecture)
    }

    /// The network that the kept blocks' weights are taken from, and the step behind it where that is known.
    ///
    /// - Throws: `.badData` for a checkpoint of another architecture.
    private func early(_ architecture: VisionArchitecture) throws -> (network: (any VisionNetwork)?, step: Int?) {
        guard let rewind else { return (nil, nil) }
        if RunCheckpoint.isRun(rewind) {
            let checkpoint = try RunCheckpoint(rewind)
            let network = architecture.makeNetwork(seed: seed)
            try checkpoint.load(into: network)
            return (network, checkpoint.step)
        }
        let checkpoint = try VisionCheckpoint.open(rewind)
        guard checkpoint.architecture == architecture else {
            throw CoppiceError(
                .badData, source: rewind, field: "architecture",
                "\(checkpoint.architecture), expected that of the network whose blocks are judged: \(architecture)")
        }
        return (try checkpoint.network(), nil)
    }
}
