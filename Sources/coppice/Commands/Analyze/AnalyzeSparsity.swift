import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation

extension PruningScope: ExpressibleByArgument {}

/// `coppice analyze sparsity`: how far a language model or an encoder can be pruned in one shot.
struct AnalyzeSparsity: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sparsity",
        abstract: "Find how much one-shot magnitude pruning removes for free, and where the loss breaks away.",
        discussion: """
            The zero-shot protocol measures the loss at once; with --fine-tune FILE the kept weights are trained on a \
            text first, the dense model as well. Projections of the blocks are pruned; embeddings, norms and head are \
            not, and norm scales are not folded. Encoders (BERT, RoBERTa) are measured by their loss on hidden tokens, \
            15 % of the text's.
            """)

    @OptionGroup var model: ModelArgument
    @Option(help: ArgumentHelp("The text to measure on (default: the sample tales).", valueName: "file"))
    var text: String?
    @Option(help: ArgumentHelp("Train on this text before each measurement.", valueName: "file"))
    var fineTune: String?
    @Option(help: ArgumentHelp("With --fine-tune: steps.", valueName: "n"))
    var steps = 100
    @Option(help: ArgumentHelp("With --fine-tune: the peak rate.", valueName: "x"))
    var learningRate = 2e-5
    @Option(
        help: ArgumentHelp(
            "unstructured, n:2, n:4, n:8 … for N of every M kept, or heads for whole attention heads.", valueName: "p"),
        transform: Self.pattern)
    var pattern = SparsityAnalysis.Pattern.unstructured
    @Option(help: ArgumentHelp("global (one threshold) or layer.", valueName: "s"))
    var scope = SparsityAnalysis.Scope.global
    @Option(help: ArgumentHelp("Sparsities, separated by commas.", valueName: "s,s"), transform: Self.grid)
    var grid = (1...9).map { Double($0) / 10 }
    @Flag(inversion: .prefixedNo, help: "Measure between the steps around the knee too.")
    var refine = true
    @Flag(help: "Measure random masks of the same sizes as well.")
    var random = false
    @Option(help: ArgumentHelp("What of the learned loss may be lost at the tolerance point.", valueName: "x"))
    var tolerance = 0.01
    @Option(
        help: ArgumentHelp(
            "A folder of earlier checkpoints of the model, in the order of their names.", valueName: "folder"))
    var checkpoints: String?
    @Option(help: ArgumentHelp("Windows of the text.", valueName: "n"))
    var windows = 24
    @Option(help: ArgumentHelp("Tokens predicted in a window.", valueName: "n"))
    var length = 256
    @Option(help: ArgumentHelp("Write the curves to this CSV file.", valueName: "file"))
    var csv: String?
    @Option(help: ArgumentHelp("Write the masks at the knee to this safetensors file.", valueName: "file"))
    var masks: String?
    @Option(help: ArgumentHelp("Seeds random masks, the order of training and intervals.", valueName: "n"))
    var seed: UInt64 = 42
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if windows < 2 || length < 1 { throw ValidationError("expected at least 2 --windows of --length 1 or more") }
        if steps < 1 || !(learningRate > 0) { throw ValidationError("expected --steps and --learning-rate above 0") }
        if !(0..<1).contains(tolerance) { throw ValidationError("--tolerance: expected a number from 0 to below 1") }
    }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let result = try analyze(model.path)
        let earlier = try checkpoints.map { try along($0) } ?? []
        if let csv { try AtomicFile.write(result.sweep.csv, to: csv) }
        if let masks { try write(result, to: masks) }
        if common.json {
            try Output.json(json(result, earlier))
        } else {
            for line in lines(result, earlier) { try Output.line(line) }
        }
    }

    private typealias Named = (name: String, result: SparsityAnalysis.Result)

    private func json(_ result: SparsityAnalysis.Result, _ earlier: [Named]) -> JSON {
        let changes = SparsityAnalysis.nearZeroThresholds.indices.map { index in
            ChangePoint(earlier.map { $0.result.nearZeroFractions[index] })
        }
        return .object([
            "model": .string(model.model), "protocol": .string(protocolName), "analysis": result.json,
            "checkpoints": .array(
                earlier.map { .object(["name": .string($0.name), "analysis": $0.result.json]) }),
            "change_points": .array(
                changes.map { change in
                    change.map {
                        .object([
                            "largest_jump_at": .string(earlier[$0.largestJumpIndex].name),
                            "largest_jump": .number($0.largestJump),
                            "level_shift_at": .string(earlier[$0.cumulativeSumIndex].name),
                            "level_shift": .number($0.levelShift),
                        ])
                    } ?? .null
                }),
        ])
    }

    private func lines(_ result: SparsityAnalysis.Result, _ earlier: [Named]) -> [String] {
        func percent(_ value: Double) -> String { "\(Output.number(100 * value, digits: 1)) %" }
        func interval(_ value: SparsityReport.Interval?) -> String {
            value.map { " (95 %: \(percent($0.low)) to \(percent($0.high)))" } ?? ""
        }
        var lines = ["protocol: \(protocolName)"]
        for series in result.sweep.series {
            lines.append("\(series.label)")
            lines.append(
                "  free up to \(percent(series.tolerancePoint))" + interval(series.tolerancePointInterval)
                    + ": at most \(percent(tolerance)) of what was learned is lost")
            if let knee = series.knee {
                let ratio = knee.slopeRatio
                lines.append(
                    "  breaks at \(percent(knee.breakpoint))" + interval(series.kneeInterval) + ", "
                        + (ratio.isFinite
                            ? "\(Output.number(ratio, digits: 1)) times as steep behind it" : "flat before")
                        + (knee.isSharp ? "" : " (not sharp)"))
            }
            for point in series.points {
                lines.append("  \(percent(point.sparsity))  loss \(Output.number(point.loss, digits: 4))")
            }
        }
        let thresholds = SparsityAnalysis.nearZeroThresholds.map { String(format: "%g", $0) }.joined(separator: ", ")
        func nearZero(_ result: SparsityAnalysis.Result) -> String {
            result.nearZeroFractions.map { String(format: "%.3f %%", 100 * $0) }.joined(separator: ", ")
        }
        lines.append("weights below \(thresholds) of their matrix's RMS: \(nearZero(result))")
        for (weight, sparsity) in result.starved {
            lines.append("warning: \(weight) loses more than 95 % at \(percent(sparsity)) of all")
        }
        for (name, earlier) in earlier {
            lines.append(
                "\(name): free up to \(percent(earlier.sweep.series[0].tolerancePoint)), near zero \(nearZero(earlier))"
            )
        }
        return lines
    }

    private var protocolName: String { fineTune == nil ? "zero-shot" : "fine-tune" }

    private func analyze(_ path: String) throws -> SparsityAnalysis.Result {
        EncoderCheckpoint.isMeant(path) ? try analyzeEncoder(path) : try analyzeDecoder(path)
    }

    /// All but what is trained.
    private var analysis: SparsityAnalysis {
        var analysis = SparsityAnalysis()
        (analysis.pattern, analysis.scope, analysis.sparsities) = (pattern, scope, grid)
        (analysis.refinesKnee, analysis.comparesRandom) = (refine, random)
        (analysis.tolerance, analysis.seed) = (tolerance, seed)
        return analysis
    }

    /// Runs an analysis with progress shown.
    private func showing<Result>(_ body: ((SparsitySweep.Progress) -> Void) throws -> Result) rethrows -> Result {
        let progress = common.progress
        progress.begin("prune and evaluate", total: 0, unit: "evaluations")
        defer { progress.end("") }
        return try body { step in
            progress.report(
                "\(step.completed) of \(step.total): \(step.label) \(Output.number(100 * step.sparsity, digits: 0)) % "
                    + "loss \(Output.number(step.loss, digits: 4))")
        }
    }

    private func analyzeEncoder(_ path: String) throws -> SparsityAnalysis.Result {
        let checkpoint = try EncoderCheckpoint.open(path)
        let network = try checkpoint.maskedLanguageModel()
        let tokenizer = try checkpoint.tokenizer()
        let frame = try checkpoint.textFrame(tokenizer)
        // Two places are for the tokens that begin and end a text.
        let size = min(length, checkpoint.configuration.longestText - 2)
        guard size > 0 else {
            throw CoppiceError(
                .badData, source: path, field: "max_position_embeddings",
                "leaves \(checkpoint.configuration.longestText) tokens for a text, expected at least 3")
        }
        let encode = { (text: String) in tokenizer.encode(text, addingSpecialTokens: false) }
        let file = try text ?? BuiltInModel.sampleText
        let windows = try SparsityAnalysis.windows(
            of: encode(try TextFile.read(file)), count: windows, length: size - 1, source: file)
        var analysis = analysis
        if let fineTune {
            let tokens = encode(try TextFile.read(fineTune))
            guard tokens.count >= size else {
                throw CoppiceError(
                    .badData, source: fineTune, "has \(tokens.count) tokens, expected at least \(size), a window")
            }
            analysis.fineTuning = SparsityAnalysis.FineTuning(
                FineTunedDecoder.training(steps: steps, learningRate: learningRate),
                on: MaskedWindows(
                    tokens, length: size + 2, batchSize: 8, frame: frame,
                    vocabularySize: checkpoint.configuration.vocabularySize, seed: seed))
        }
        return try showing { try analysis.run(network, windows: windows, frame: frame, progress: $0) }
    }

    private func analyzeDecoder(_ path: String) throws -> SparsityAnalysis.Result {
        let checkpoint = try Checkpoint.open(path)
        let tokenizer = try checkpoint.tokenizer()
        let configuration = checkpoint.configuration
        let encode = { (text: String) in tokenizer.encode(text, addingSpecialTokens: false) }
        let size = min(length, configuration.maximumPositions - 1)
        let file = try text ?? BuiltInModel.sampleText
        let network = DecoderNetwork(configuration)
        try network.load(source: checkpoint.path) { try checkpoint.tensor($0) }
        var analysis = analysis
        if let fineTune {
            let tokens = encode(try TextFile.read(fineTune)).map { Int32($0) }
            let stream = TokenStream(tokens: tokens, byteCount: 0)
            try stream.check(length: size, vocabularySize: configuration.vocabularySize, source: fineTune)
            analysis.fineTuning = SparsityAnalysis.FineTuning(
                FineTunedDecoder.training(steps: steps, learningRate: learningRate),
                on: TokenWindows(stream, length: size, batchSize: 8, seed: seed))
        }
        let windows = try SparsityAnalysis.windows(
            of: encode(try TextFile.read(file)), count: windows, length: size, source: file)
        return try showing { try analysis.run(network, windows: windows, progress: $0) }
    }

    /// The models in a folder, by name.
    private func along(_ folder: String) throws -> [Named] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted {
            $0.compare($1, options: .numeric) == .orderedAscending
        }
        guard let names, !names.isEmpty else {
            throw CoppiceError(.noInput, source: folder, "holds no checkpoints, expected a folder of models")
        }
        return try names.filter { !$0.hasPrefix(".") }.map { ($0, try analyze(folder + "/" + $0)) }
    }

    private func write(_ result: SparsityAnalysis.Result, to path: String) throws {
        guard let knee = result.knee else {
            throw CoppiceError(.badData, field: "masks", "the curve has no knee, so there are no masks to write")
        }
        let entries = zip(result.sweep.weights, knee.masks).map { MaskFile.Entry(name: $0, mask: $1) }
        try MaskFile(entries, modelDigest: result.modelDigest).write(to: path)
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
