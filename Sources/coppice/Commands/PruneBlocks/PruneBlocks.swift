import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Foundation

extension BlockCriterion: ExpressibleByArgument {}
extension BlockCriterion.Aggregate: ExpressibleByArgument {}
extension RemovableBlocks: ExpressibleByArgument {}
extension DecoderBlockKind: ExpressibleByArgument {}

/// `coppice prune-blocks`: a shallower residual network, language model or encoder.
struct PruneBlocks: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune-blocks",
        abstract:
            "Remove the residual blocks of a vision network, or the layers of a language model or encoder, that matter "
            + "least.",
        discussion: """
            Of an architecture's name, a new network is judged before any training; of a stored network, its weights. \
            What is left keeps its weights, or has those of --rewind, and is to be trained. Of a language model (or \
            "tales", the built-in one) whole layers go, or attention or feed-forward sub-layers of them, of an encoder \
            (BERT, RoBERTa) whole layers. Without --output only the table is printed.
            """)

    @OptionGroup var model: VisionArgument
    @Option(
        help: "Of a language model: attention or mlp sub-layers, or both of a layer at once (default: layer).")
    var blocks: DecoderBlockKind?
    @Option(
        help: """
            What makes a block worth keeping (default: grasp of vision networks, kl of others); all but random and l1 \
            need --data, or a text.
            """)
    var criterion: BlockCriterion?
    @Option(help: ArgumentHelp("Blocks to remove.", valueName: "n"))
    var count: Int?
    @Option(
        help: ArgumentHelp(
            "Remove blocks until no more multiplications with weights for one image or token (MACs) are left.",
            valueName: "budget"))
    var flops: BudgetArgument?
    @Option(
        help: ArgumentHelp(
            "Remove as few blocks as bring a measured pass of \(SpeedComparison.images) images, or the reading of a "
                + "prompt of --length tokens, down to so many milliseconds.", valueName: "ms"))
    var latency: Double?
    @Option(
        help: ArgumentHelp(
            "What the kept blocks start from: the weights of an early checkpoint of the network, stored, in the folder "
                + "of a run that was interrupted (OUTPUT.run), or kept by train --keep (OUTPUT.run@2ep).",
            valueName: "checkpoint"))
    var rewind: String?
    @Option(
        help: """
            strict: no block that comes right before a reduction of rows and columns; shape: any that keeps the shape \
            (default: strict). Of vision networks.
            """)
    var removable: RemovableBlocks?
    @Option(help: "How scores of weights become a block's.")
    var aggregate = BlockCriterion.Aggregate.sum
    @Option(
        help: ArgumentHelp("A folder of labelled images: IDX, CIFAR or a folder for each class.", valueName: "folder"))
    var data: String?
    @Option(help: ArgumentHelp("Images of each class that are looked at (default: 10).", valueName: "n"))
    var imagesPerClass: Int?
    @Option(
        help: ArgumentHelp(
            "Text that a language model or an encoder is judged on (default: the sample tales that come with the program).",
            valueName: "file"))
    var calibration: String?
    @Option(help: ArgumentHelp("Windows of that text (default: 64).", valueName: "n"))
    var windows: Int?
    @Option(help: ArgumentHelp("Tokens of a window (default: 128).", valueName: "n"))
    var length: Int?
    @Option(
        help: ArgumentHelp(
            "Text to measure perplexity on, before and after (default: the sample tales).",
            valueName: "file"))
    var evaluate: String?
    @Flag(help: "Do not measure perplexity.")
    var skipEvaluation = false
    @Flag(
        help: """
            Measure time, memory and energy of training steps and passes of both networks, on 32 images of noise, or \
            of a language model's training steps, reading and writing.
            """)
    var measure = false
    @Option(help: ArgumentHelp("What the machine draws, for the energy of --measure.", valueName: "w"))
    var watts = 65.0
    @Option(
        help: ArgumentHelp("Seeds new weights, random scores and the choice of images or windows.", valueName: "n"))
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
        for (name, value) in [("images-per-class", imagesPerClass), ("windows", windows)] {
            if let value, value < 1 { throw ValidationError("--\(name): expected at least 1, found \(value)") }
        }
        if let length, length < 2 { throw ValidationError("--length: expected at least 2, found \(length)") }
    }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let path = try ModelArgument.locate(model.network)
        try Output.check(folder: output, spares: path, rewind)
        guard FileManager.default.fileExists(atPath: path) else { return try runVision() }
        switch try AnyCheckpoint.open(path) {
        case .languageModel(let checkpoint): try run(checkpoint)
        case .encoder(let checkpoint): try run(checkpoint)
        case .vision: try runVision()
        }
    }

    /// - Throws: `.usage` for an option that is given and is for another kind of model.
    func refuse(_ options: [(name: String, isGiven: Bool)], _ message: String) throws {
        guard let option = options.first(where: \.isGiven) else { return }
        throw CoppiceError(.usage, field: option.name, message)
    }
}
