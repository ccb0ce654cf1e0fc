import ArgumentParser
import CoppiceEvidence
import CoppiceFormats
import CoppiceInference
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import OrderedCollections

/// `coppice bench`: how fast a model reads and writes, a training step is, or (`--suite`) everything that counts.
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure how fast a model reads prompts and writes answers, training goes, or all of it.")

    @OptionGroup var model: ModelArgument
    @Option(help: ArgumentHelp("Tokens of the prompt.", valueName: "n"))
    var promptTokens = 384
    @Option(help: ArgumentHelp("Tokens written after it.", valueName: "n"))
    var generateTokens = 64
    @Option(help: ArgumentHelp("Runs, of which the median counts.", valueName: "n"))
    var repetitions = 5
    @Flag(name: [.long, .customLong("training")], help: "Measure training steps on noise instead.")
    var train = false
    @Option(
        help: ArgumentHelp(
            "With --train: llama-3m (like the built-in model), llama-10m, resnet-20 or lenet-300-100.",
            valueName: "w"))
    var workload = TrainingBenchmark.Workload.llama3M
    @Option(
        help: ArgumentHelp(
            "With --train: sgd (images), adamw or mfac (with --gradients). Default: sgd for images, else adamw.",
            valueName: "o"))
    var optimizer: TrainingRule?
    @Option(help: ArgumentHelp("With --train: f32, or bf16 for products of bf16 with sums in f32.", valueName: "p"))
    var precision = OperandPrecision.f32
    @Option(help: ArgumentHelp("With --train: steps, of which the median counts.", valueName: "n"))
    var steps = 5
    @Flag(help: "Measure the inverse Fisher matrix of M-FAC on random gradients instead.")
    var inverseFisher = false
    @Flag(help: "With --inverse-fisher: how times grow with weights and gradients.")
    var sweep = false
    @Option(help: ArgumentHelp("With --inverse-fisher: weights.", valueName: "d"))
    var weights = 1_000_000
    @Option(help: ArgumentHelp("With --inverse-fisher, and --optimizer mfac: gradients.", valueName: "m"))
    var gradients = 64
    @Option(help: ArgumentHelp("With --optimizer mfac: f32 or bf16, what gradients are kept in.", valueName: "s"))
    var storage: GradientStorage?
    @Option(
        help: ArgumentHelp(
            "Measure products of all weight formats on matrices of these shapes instead.", valueName: "4096x4096,…"))
    var formats: ShapeList?
    @OptionGroup var suite: SuiteArguments
    @OptionGroup var execution: ExecutionArguments
    @OptionGroup var cache: CacheArguments
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let options = try execution.apply()
        if train { return try measureTraining() }
        if inverseFisher { return try measureInverseFisher() }
        if let formats { return try measureFormats(formats.shapes) }
        if suite.suite { return try measureSuite(options) }
        let model = try LanguageModel(Checkpoint.open(model.path), execution: options)
        let benchmark = ThroughputBenchmark(
            promptTokens: promptTokens, generatedTokens: generateTokens, repetitions: repetitions)
        let result = try benchmark.run(model, cacheElement: cache.type)
        let kernels = model.kernelChoices()
        if common.json {
            try Output.json(
                .object([
                    "model": .string(self.model.model), "prefill_tok_s": .number(result.prefillTokensPerSecond),
                    "decode_tok_s": .number(result.decodeTokensPerSecond),
                    "bytes_per_token": .integer(result.bytesPerToken),
                    "read_bandwidth_gb_s": .number(result.readBandwidth / 1e9),
                    "roofline_fraction": .number(result.rooflineFraction),
                    "prompt_tokens": .integer(result.promptTokens),
                    "generated_tokens": .integer(result.generatedTokens),
                    "cache_type": .string(cache.type.rawValue),
                    "kernels": .object(
                        OrderedDictionary(
                            uniqueKeysWithValues: kernels.map { ($0.format, .string($0.choice.description)) })),
                ]))
        } else {
            try Output.line(
                "prefill \(Output.number(result.prefillTokensPerSecond, digits: 0)) tokens/s  decode "
                    + "\(Output.number(result.decodeTokensPerSecond, digits: 0)) tokens/s  "
                    + "(\(Output.bytes(result.bytesPerToken)) a token, "
                    + "\(Output.number(result.rooflineFraction * 100, digits: 0)) % of the memory bandwidth of "
                    + "\(Output.number(result.readBandwidth / 1e9, digits: 1)) GB/s)")
            for (format, choice) in kernels { try Output.line("\(format): \(choice)") }
        }
    }

    func validate() throws {
        let counts = [
            ("steps", steps), ("weights", weights), ("gradients", gradients), ("repetitions", repetitions),
        ]
        for (name, count) in counts where count <= 0 {
            throw ValidationError("--\(name): expected a positive number, found \(count)")
        }
        if optimizer != nil, !train { throw ValidationError("--optimizer is of --train: expected both") }
        if sweep, !inverseFisher { throw ValidationError("--sweep is of --inverse-fisher: expected both") }
        if storage != nil, optimizer != .mfac {
            throw ValidationError("--storage is of --optimizer mfac: expected both")
        }
        guard [train, inverseFisher, suite.suite, formats != nil].count(where: { $0 }) <= 1 else {
            throw ValidationError("expected at most one of --train, --inverse-fisher, --formats and --suite")
        }
        if suite.suite, model.model != BuiltInModel.name {
            throw ValidationError("--suite measures models of its own: expected no model, found \(model.model)")
        }
    }

    private func measureInverseFisher() throws {
        if sweep {
            let sweep = try CurvatureSweep.measure(weights: weights, gradients: gradients, rounds: repetitions) {
                common.progress.report("\($1) gradients of \($0) weights")
            }
            return try common.json ? Output.json(sweep.json) : Output.line(sweep.text)
        }
        let result = try CurvatureBenchmark.measure(weights: weights, gradients: gradients, rounds: repetitions)
        if common.json { return try Output.json(result.json) }
        let share = result.precomputeRate / result.matrixProductRate
        try Output.line(
            "\(gradients) gradients of \(weights) weights: precomputed in "
                + "\(Output.number(result.precomputeSeconds * 1e3, digits: 1)) ms "
                + "(\(Output.number(result.precomputeRate / 1e9, digits: 1)) GFLOP/s, "
                + "\(Output.number(share * 100, digits: 0)) % of a matrix product's "
                + "\(Output.number(result.matrixProductRate / 1e9, digits: 1))), diagonal in "
                + "\(Output.number(result.diagonalSeconds * 1e3, digits: 1)) ms, product in "
                + "\(Output.number(result.productSeconds * 1e3, digits: 1)) ms, "
                + "\(CurvatureBenchmark.batchSize) at once in "
                + "\(Output.number(result.batchSeconds * 1e3, digits: 1)) ms")
    }

    private func measureSuite(_ options: ExecutionOptions) throws {
        var request = try suite.request
        request.execution = options
        request.cacheElement = cache.type
        let report = try request.run(models: suite.models, progress: common.progress)
        if common.json { try Output.json(report.json) } else { try Output.line(report.text) }
    }

    private func measureFormats(_ shapes: [ShapeList.Shape]) throws {
        var tables: [JSON] = []
        for shape in shapes {
            let results = try FormatBenchmark.measure(rows: shape.rows, columns: shape.columns)
            if common.json {
                tables.append(json(results, shape))
            } else {
                try Output.line(FormatBenchmark.table(results, title: "\(shape.rows) × \(shape.columns)") + "\n")
            }
        }
        if common.json { try Output.json(["formats": .array(tables)]) }
    }

    private func json(_ results: [FormatBenchmark.Result], _ shape: ShapeList.Shape) -> JSON {
        let weights = results.map { result -> JSON in
            let timings = result.timings.map { timing -> JSON in
                [
                    "rows": .integer(timing.inputRows), "seconds": .number(timing.seconds),
                    "time_ratio": .number(timing.timeRatio),
                ]
            }
            return [
                "format": .string(result.label), "sparsity": .number(result.sparsity),
                "bytes": .integer(result.byteCount), "bytes_ratio": .number(result.bytesRatio),
                "products": .array(timings),
            ]
        }
        return ["rows": .integer(shape.rows), "columns": .integer(shape.columns), "weights": .array(weights)]
    }

    private func measureTraining() throws {
        let rule: TrainingBenchmark.Rule? = optimizer.map {
            switch $0 {
            case .sgd: .sgd
            case .adamw: .adamw
            case .mfac: .mfac(gradients: gradients, storage: storage ?? .f32)
            }
        }
        let result = try TrainingBenchmark.measure(workload, rule: rule, precision: precision, steps: steps)
        if common.json {
            try Output.json(result.json)
        } else {
            let batch = result.sequenceLength.map { "\(result.batchSize) windows of \($0)" }
            try Output.line(
                "\(workload.rawValue), \(result.rule.map { "\($0), " } ?? "")\(precision.rawValue): training \(Output.number(result.itemsPerSecond, digits: 0)) "
                    + "\(result.sequenceLength == nil ? "images" : "tokens")/s (\(result.parameters) parameters, "
                    + "\(batch ?? "\(result.batchSize) images") a step, "
                    + "\(Output.number(result.medianStep * 1e3, digits: 1)) ms)")
        }
    }
}

/// The optimizers that `--optimizer` names.
enum TrainingRule: String, ExpressibleByArgument, CaseIterable { case sgd, adamw, mfac }

extension TrainingBenchmark.Workload: ExpressibleByArgument {}
extension OperandPrecision: ExpressibleByArgument {}
extension GradientStorage: ExpressibleByArgument {}

/// Shapes of matrices, separated by commas.
struct ShapeList: ExpressibleByArgument {
    struct Shape {
        var rows: Int
        var columns: Int
    }

    var shapes: [Shape] = []

    /// Nil unless every shape is two positive numbers with an x between them.
    init?(argument: String) {
        for text in argument.split(separator: ",", omittingEmptySubsequences: false) {
            let extents = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
            guard extents.count == 2, let rows = extents[0], let columns = extents[1], rows > 0, columns > 0 else {
                return nil
            }
            shapes.append(Shape(rows: rows, columns: columns))
        }
    }
}
