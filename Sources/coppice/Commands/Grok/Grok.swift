import ArgumentParser
import CoppiceCompression
import Foundation

/// `coppice grok`: a laboratory for delayed generalization.
struct Grok: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train small networks until they generalize, long after they have memorized; cut their tickets.",
        discussion: """
            run trains the dense network and keeps its weights, ticket trains what is left of them after pruning, \
            controls compares with dense networks of the same norm, with other masks and without decay.
            """,
        subcommands: [GrokRun.self, GrokTicket.self, GrokControls.self])
}

extension GrokkingSettings.Task: ExpressibleByArgument {}
extension GrokkingSettings.Model: ExpressibleByArgument {}

/// What a grokking run is of; the same for `run` and `controls`.
struct GrokOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "add, sub, poly (a² + ab + b²), random, sum (a + b without modulus) or mnist.", valueName: "t"))
    var task = GrokkingSettings.Task.add
    @Option(help: ArgumentHelp("The modulus (default: 67).", valueName: "n"))
    var p: Int?
    @Option(help: ArgumentHelp("The fraction of the table that is for training (default: 0.5).", valueName: "f"))
    var frac: Double?
    @Flag(help: "All ordered pairs instead of those with a ≤ b.")
    var allPairs = false
    @Option(help: ArgumentHelp("mlp or transformer (default: mlp).", valueName: "m"))
    var model: GrokkingSettings.Model?
    @Option(help: ArgumentHelp("The length of embeddings (default: 128).", valueName: "n"))
    var embedding: Int?
    @Option(help: ArgumentHelp("Hidden neurons of the mlp (default: 128).", valueName: "n"))
    var hidden: Int?
    @Option(help: ArgumentHelp("With mnist: training images (default: 1000).", valueName: "n"))
    var images: Int?
    @Option(help: ArgumentHelp("Steps of full-batch AdamW at most.", valueName: "n"))
    var steps = 10_000
    @Option(help: ArgumentHelp("The learning rate.", valueName: "x"))
    var lr = 1e-3
    @Option(help: ArgumentHelp("Decoupled weight decay.", valueName: "x"))
    var wd = 1.0
    @Option(help: ArgumentHelp("Steps between measurements.", valueName: "n"))
    var every = 10
    @Option(help: ArgumentHelp("The accuracy that counts as learned (default: 0.95; mnist: 0.85).", valueName: "x"))
    var threshold: Double?
    @Option(
        help: ArgumentHelp(
            "The test accuracy that ends the dense run; above 1 for never (default: 0.99; mnist: 0.88).",
            valueName: "x"))
    var stop: Double?
    @Option(help: ArgumentHelp("Seeds the split and the initial weights.", valueName: "n"))
    var seed: UInt64 = 0
    @Option(
        help: ArgumentHelp(
            "Steps whose weights are kept, separated by commas (default: 500,1500,2500).", valueName: "n,n"),
        transform: Self.list)
    var sourceSteps = [500, 1_500, 2_500]
    @Option(help: ArgumentHelp("The folder that MNIST is in (default: COPPICE_DATA).", valueName: "folder"))
    var data: String?

    mutating func validate() throws {
        let ofPairs = [
            ("--p", p != nil), ("--frac", frac != nil), ("--all-pairs", allPairs), ("--model", model != nil),
            ("--embedding", embedding != nil), ("--hidden", hidden != nil),
        ]
        if task == .mnist, let (name, _) = ofPairs.first(where: \.1) {
            throw ValidationError("\(name): does not go with --task mnist")
        }
        if task != .mnist, images != nil { throw ValidationError("--images: expected --task mnist beside it") }
        if model == .transformer, hidden != nil {
            throw ValidationError("--hidden: does not go with --model transformer")
        }
    }

    var settings: GrokkingSettings {
        var settings = task == .mnist ? GrokkingSettings.images : GrokkingSettings()
        settings.task = task
        settings.allPairs = allPairs
        settings.modulus = p ?? settings.modulus
        settings.trainFraction = frac ?? settings.trainFraction
        settings.model = model ?? settings.model
        settings.embeddingSize = embedding ?? settings.embeddingSize
        settings.hiddenSize = hidden ?? settings.hiddenSize
        settings.imageCount = images ?? settings.imageCount
        (settings.steps, settings.learningRate, settings.weightDecay) = (steps, lr, wd)
        (settings.interval, settings.seed) = (every, seed)
        settings.threshold = threshold ?? settings.threshold
        settings.stopAccuracy = stop ?? settings.stopAccuracy
        return settings
    }

    static func dataFolder(_ named: String?) -> String? {
        named ?? ProcessInfo.processInfo.environment["COPPICE_DATA"]
    }

    static func list(_ text: String) throws -> [Int] {
        try text.split(separator: ",").map { part in
            guard let step = Int(part), step >= 0 else {
                throw ValidationError("\"\(text)\", expected steps such as 500,1500")
            }
            return step
        }
    }
}
