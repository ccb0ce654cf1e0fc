import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Foundation

extension PruningScope: ExpressibleByArgument {}
extension SparsityMeasure: ExpressibleByArgument {}

/// `coppice analyze sparsity`: how far a network can be pruned in one shot.
struct AnalyzeSparsity: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sparsity",
        abstract: "Find how much one-shot magnitude pruning removes for free, and where quality breaks away.",
        discussion: """
            Language models and encoders (BERT, RoBERTa) are measured by their loss on a text, the latter on 15 % of its \
            tokens, which are hidden; classifiers of texts by their accuracy on --text, a file of texts with labels; \
            vision networks by their accuracy on the test images of --data. The zero-shot protocol measures at once; in \
            the fine-tune protocol the kept weights are trained first, the dense model's as well: on --fine-tune FILE, or \
            on the training images of --data. Projections of blocks and layers are pruned, of vision networks all weights \
            but those of the last layer; embeddings, norms and heads are not, and norm scales are not folded.
            """)

    /// What happens between pruning and measuring.
    enum Course: String, ExpressibleByArgument, CaseIterable {
        case zeroShot = "zero-shot"
        case fineTune = "fine-tune"
    }

    @OptionGroup var model: ModelArgument
    @Option(
        help: ArgumentHelp(
            "The text to measure on (default: the sample tales); of a classifier of texts, texts with labels.",
            valueName: "file"))
    var text: String?
    @OptionGroup var labels: LabelledArguments
    @Option(
        help: ArgumentHelp(
            "Images of a vision network, or series: test images are measured on, training images trained on.",
            valueName: "folder"))
    var data: String?
    @Option(
        help: ArgumentHelp(
            "loss, or accuracy where there are labels (default: accuracy where there are).", valueName: "measure"))
    var eval: SparsityMeasure?
    @Option(
        name: .customLong("protocol"),
        help: ArgumentHelp("zero-shot or fine-tune (default: zero-shot without --fine-tune).", valueName: "p"))
    var givenCourse: Course?
    @Option(
        help: ArgumentHelp(
            "Train on this text, or these texts with labels, before each measurement.", valueName: "file"))
    var fineTune: String?
    @Option(help: ArgumentHelp("Fine-tuning: steps (default: 100).", valueName: "n"))
    var steps: Int?
    @Option(help: ArgumentHelp("Fine-tuning: the peak rate (default: 2e-5; of images 1e-3).", valueName: "x"))
    var learningRate: Double?
    @Option(
        help: ArgumentHelp(
            "Fine-tuning: examples of a step (default: 64 images or texts with labels, 8 windows).", valueName: "n"))
    var batchSize: Int?
    @Option(
        help: ArgumentHelp(
            "Estimate running statistics of batch norms anew on so many batches of training images before each measurement.",
            valueName: "n"))
    var normBatches: Int?
    @Option(
        help: ArgumentHelp(
            "unstructured, n:2, n:4, n:8 … for N of every M kept, or heads for whole attention heads.", valueName: "p"),
        transform: Self.pattern)
    var pattern = SparsityAnalysis.Pattern.unstructured
    @Option(help: ArgumentHelp("global (one threshold) or layer.", valueName: "s"))
    var scope = SparsityAnalysis.Scope.global
    @Option(help: ArgumentHelp("Weights that are pruned instead, by name or pattern.", valueName: "n,n"))
    var targets: String?
    @Option(help: ArgumentHelp("Weights that are left out, by name or pattern.", valueName: "n,n"))
    var ignore: String?
    @Option(help: ArgumentHelp("Sparsities, separated by commas.", valueName: "s,s"), transform: Self.grid)
    var grid = (1...9).map { Double($0) / 10 }
    @Flag(inversion: .prefixedNo, help: "Measure between the steps around the knee too.")
    var refine = true
    @Flag(help: "Measure random masks of the same sizes as well.")
    var random = false
    @Option(
        help: ArgumentHelp(
            "What may be lost at the tolerance point of what was learned: of the distance to knowing nothing.",
            valueName: "x"))
    var tolerance = 0.01
    @Option(
        help: ArgumentHelp(
            "A folder of earlier checkpoints of the model, in the order of their names.", valueName: "folder"))
    var checkpoints: String?
    @Option(help: ArgumentHelp("Windows of the text (default: 24).", valueName: "n"))
    var windows: Int?
    @Option(
        help: ArgumentHelp(
            "Tokens predicted in a window, or the most of a text with a label (default: 256).", valueName: "n"))
    var length: Int?
    @Option(help: ArgumentHelp("Write the curves to this CSV file.", valueName: "file"))
    var csv: String?
    @Option(help: ArgumentHelp("Write the masks at the knee to this safetensors file.", valueName: "file"))
    var masks: String?
    @Option(help: ArgumentHelp("Seeds random masks, the order of training, shards and intervals.", valueName: "n"))
    var seed: UInt64 = 42
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if (windows ?? 2) < 2 || (length ?? 1) < 1 {
            throw ValidationError("expected at least 2 --windows of --length 1 or more")
        }
        if (steps ?? 1) < 1 || !((learningRate ?? 1) > 0) {
            throw ValidationError("expected --steps and --learning-rate above 0")
        }
        for (name, value) in [("--batch-size", batchSize), ("--norm-batches", normBatches)] {
            if let value, value < 1 { throw ValidationError("\(name): expected at least 1, found \(value)") }
        }
        if !(0..<1).contains(tolerance) { throw ValidationError("--tolerance: expected a number from 0 to below 1") }
        if fineTune != nil, course == .zeroShot {
            throw ValidationError("--fine-tune: goes with --protocol fine-tune, or without --protocol")
        }
        let ofTraining = [("--steps", steps != nil), ("--learning-rate", learningRate != nil)]
        if course == .zeroShot, let (name, _) = ofTraining.first(where: \.1) {
            throw ValidationError("\(name): goes with --protocol fine-tune")
        }
        if course == .zeroShot, normBatches == nil, batchSize != nil {
            throw ValidationError("--batch-size: goes with --protocol fine-tune or --norm-batches")
        }
        if pattern == .heads, targets != nil || ignore != nil {
            throw ValidationError("--targets and --ignore do not go with --pattern heads: heads go whole")
        }
        if case .groups(let length) = pattern, length < 4, masks != nil {
            throw ValidationError(
                "--masks: n:\(length) has too few sparsities for a knee, expected unstructured or n:M with M from 4 on")
        }
    }

    var course: Course { givenCourse ?? (fineTune == nil ? .zeroShot : .fineTune) }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let found = try analyze(model.path)
        let earlier = try checkpoints.map { try along($0) } ?? []
        if let csv { try AtomicFile.write(found.result.sweep.csv, to: csv) }
        if let masks {
            guard let file = found.result.maskFile else {
                throw CoppiceError(.badData, field: "masks", "the curve has no knee, so there are no masks to write")
            }
            try file.write(to: masks)
        }
        if common.json {
            try Output.json(json(found, earlier))
        } else {
            for line in lines(found, earlier) { try Output.line(line) }
        }
    }

    /// The models in a folder, by name.
    private func along(_ folder: String) throws -> [Named] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted {
            $0.compare($1, options: .numeric) == .orderedAscending
        }
        guard let names, !names.isEmpty else {
            throw CoppiceError(.noInput, source: folder, "holds no checkpoints, expected a folder of models")
        }
        return try names.filter { !$0.hasPrefix(".") }.map { ($0, try analyze(folder + "/" + $0).result) }
    }

    static func pattern(_ text: String) throws -> SparsityAnalysis.Pattern {
        if text == "unstructured" { return .unstructured }
        if text == "heads" { return .heads }
        if text.lowercased().hasPrefix("n:"), let length = Int(text.dropFirst(2)), (2...32).contains(length) {
            return .groups(length: length)
        }
        throw ValidationError("\"\(text)\", expected unstructured, heads, or n:M such as n:4, with M from 2 to 32")
    }

    static func grid(_ text: String) throws -> [Double] {
        let values = text.split(separator: ",").map { Double($0) }
        guard values.count >= 3, values.allSatisfy({ $0.map { $0 > 0 && $0 < 1 } == true }) else {
            throw ValidationError("\"\(text)\", expected at least three sparsities between 0 and 1 such as 0.3,0.5,0.7")
        }
        return Array(Set(values.compactMap { $0 })).sorted()
    }
}
