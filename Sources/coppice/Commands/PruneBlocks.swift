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
            What is left keeps its weights and is to be trained. Without --output only the table is printed.
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
    @Flag(help: "Measure training steps and passes of both networks, on noise.")
    var measure = false
    @Option(help: ArgumentHelp("Seeds new weights, random scores and the choice of images.", valueName: "n"))
    var seed: UInt64 = 0
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String?
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if (count == nil) == (flops == nil) { throw ValidationError("expected either --count or --flops") }
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
        let plan: BlockPlan
        if let count {
            plan = try BlockPlan(scores, removing: count, from: architecture)
        } else {
            let structure = try ChannelStructure(architecture)
            let budget = flops?.count(of: structure.multiplications(structure.widths)) ?? 0
            plan = try BlockPlan(scores, multiplications: budget, from: architecture)
        }
        let shallow = plan.removal(network)
        if let output {
            try VisionCheckpoint.write(
                shallow, architecture: plan.removal.architecture, normalization: checkpoint?.normalization,
                folder: output)
        }
        let speeds = measure ? try SpeedComparison(network, shallow, seed: seed) : nil
        if common.json {
            guard case .object(var fields) = plan.json else { return }
            fields["output"] = output.map { .string($0) } ?? .null
            if let speeds { fields["seconds"] = speeds.json }
            try Output.json(.object(fields))
        } else {
            try Output.line(plan.text)
            if let speeds { try Output.line(speeds.text) }
            if let output { try Output.line("\(output): the blocks that are left") }
        }
    }
}
