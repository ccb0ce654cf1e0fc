import CoppiceCompression
import CoppiceFormats
import CoppiceInference
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What each part measures in a round.
extension SpeedSuite {
    // MARK: The machine

    private var bandwidthBytes: Int { size == .full ? 512 << 20 : 64 << 20 }

    private func peak(_ arithmetic: ArithmeticPeak) -> Double? {
        size == .full ? arithmetic.measure() : arithmetic.measure(steps: 1 << 14, repetitions: 2)
    }

    func measureRoofline(_ report: inout SpeedReport) {
        let bandwidth = ReadBandwidth.measure(byteCount: bandwidthBytes)
        report.add(.roofline, "read_bandwidth_gb_s", "GB/s", bandwidth / 1e9)
        for arithmetic in ArithmeticPeak.allCases {
            guard let peak = peak(arithmetic) else { continue }
            report.add(.roofline, "\(arithmetic.rawValue)_gop_s", "GOP/s", peak / 1e9)
        }
    }

    // MARK: Language models

    var model: BenchmarkModel { size == .full ? .llama430M : .tiny }

    func measureModel(_ part: Part, _ folder: String, _ report: inout SpeedReport) throws {
        guard let form = part.form else { return }
        let model = try LanguageModel(Checkpoint.open(model.path(of: form, in: folder)), execution: execution)
        var benchmark = ThroughputBenchmark(
            promptTokens: size == .full ? 512 : 16, generatedTokens: size == .full ? 64 : 4, repetitions: 1)
        benchmark.bandwidthBytes = bandwidthBytes
        let result = try benchmark.run(model, cacheElement: cacheElement)
        report.add(part, "prefill_tok_s", "tokens/s", result.prefillTokensPerSecond)
        report.add(part, "decode_tok_s", "tokens/s", result.decodeTokensPerSecond)
        let bytesPerSecond = result.decodeTokensPerSecond * Double(result.bytesPerToken)
        report.add(part, "decode_gb_s", "GB/s", bytesPerSecond / 1e9)
        report.add(part, "decode_share_of_bandwidth", "of measured bandwidth", result.rooflineFraction)
        let operations = Self.operationsPerPromptToken(model.configuration, promptTokens: result.promptTokens)
        let rate = result.prefillTokensPerSecond * operations
        report.add(part, "prefill_gop_s", "GOP/s", rate / 1e9)
        // What panels of the layers' weights are read as says which arithmetic multiplies them.
        guard let reads = model.kernelChoices().first?.choice.many, let arithmetic = ArithmeticPeak(reads),
            let peak = peak(arithmetic)
        else { return }
        report.add(part, "prefill_share_of_peak", "of \(arithmetic.rawValue) peak", rate / peak)
    }

    /// Multiplications and additions with weights that a token of a prompt takes: two for each weight of the layers'
    /// matrices, and the output head's for the prompt's last token. Attention is not counted.
    public static func operationsPerPromptToken(_ configuration: DecoderConfiguration, promptTokens: Int) -> Double {
        let layers = configuration.tensorShapes.filter { $0.shape.count == 2 && $0.name.contains(".layers.") }
        let weights = layers.reduce(0.0) { $0 + Double($1.shape[0] * $1.shape[1]) }
        let head = Double(configuration.vocabularySize * configuration.hiddenSize)
        return 2 * (weights + head / Double(max(1, promptTokens)))
    }

    // MARK: Sparse weights

    func sparseBenchmarks() throws -> [(shape: String, SparseDecodingBenchmark)] {
        let shapes = size == .full ? [(4096, 4096), (1024, 4096)] : [(64, 256)]
        return try shapes.map { ("\($0.0)x\($0.1)", try SparseDecodingBenchmark(rows: $0.0, columns: $0.1)) }
    }

    func measureSparse(
        _ benchmarks: [(shape: String, SparseDecodingBenchmark)], _ report: inout SpeedReport
    ) {
        for (shape, benchmark) in benchmarks {
            let results = size == .full ? benchmark.run() : benchmark.run(passes: 2, bytesBetween: 0)
            for result in results {
                report.add(.sparseDecoding, "\(shape)/\(result.name)", "× dense", result.speedUp)
            }
        }
    }

    // MARK: Training

    func measureTraining(
        _ part: Part, _ workload: TrainingBenchmark.Workload, _ report: inout SpeedReport
    ) throws {
        for precision in OperandPrecision.allCases {
            let (steps, warmup) = size == .full ? (3, 1) : (1, 0)
            let result = try TrainingBenchmark.measure(
                workload, precision: precision, batchSize: size == .full ? nil : 1, steps: steps, warmupSteps: warmup)
            let unit = result.sequenceLength == nil ? "images" : "tokens"
            let short = result.sequenceLength == nil ? "images" : "tok"
            report.add(part, "\(precision.rawValue)_\(short)_s", "\(unit)/s", result.itemsPerSecond)
        }
    }

    func measurePruning(_ report: inout SpeedReport) throws {
        for workload in PruningStepBenchmark.Workload.allCases {
            var benchmark = PruningStepBenchmark(workload)
            if size == .small { (benchmark.batchSize, benchmark.turns, benchmark.steps) = (2, 1, 1) }
            let result = try benchmark.measure()
            let name = workload.rawValue
            report.add(.trainPruned, "\(name)/dense_ms", "ms", result.denseStep * 1e3)
            for method in benchmark.methods {
                report.add(.trainPruned, "\(name)/\(method)", "dense steps", result.denseSteps[method] ?? .nan)
            }
        }
    }

    // MARK: Methods

    /// From weights to the mask without the smaller half of them.
    func measureSelection(_ report: inout SpeedReport) {
        let count = size == .full ? 20_000_000 : 10_000
        var generator = RandomGenerator(seed: 1)
        let weights = Tensor.normal([1, count], standardDeviation: 0.02, using: &generator)
        let seconds = fastest { _ = ExactSelection.mask(weights.abs(), removing: count / 2) }
        report.add(.selection, "mask_weights_s", "million weights/s", Double(count) / seconds / 1e6)
    }

    /// From gradients to the diagonal of the inverse Fisher matrix.
    func measureInverseFisher(_ report: inout SpeedReport) throws {
        let (gradients, weights) = size == .full ? (64, 1_000_000) : (4, 1000)
        var generator = RandomGenerator(seed: 1)
        let deviation = 1 / Double(weights).squareRoot()
        let rows = Tensor.normal([gradients, weights], standardDeviation: deviation, using: &generator)
        let seconds = try fastest { _ = try InverseFisher(gradients: rows, dampening: 1e-5).diagonal() }
        report.add(.inverseFisher, "diagonal_weights_s", "million weights/s", Double(weights) / seconds / 1e6)
    }

    /// From curves of a hundred rates to the split of 90 %, by 65,536 buckets; over single weights where that fits.
    func measureAllocation(_ report: inout SpeedReport) throws {
        let layers = size == .full ? [50, 100, 200] : [3]
        let weights = size == .full ? [1_000_000, 10_000_000, 100_000_000, 1_000_000_000] : [10_000]
        for layerCount in layers {
            for weightCount in weights {
                let benchmark = AllocationBenchmark(layerCount: layerCount, weightCount: weightCount)
                let name = "\(layerCount)-layers/\(weightCount)-weights"
                report.add(
                    .allocation, "\(name)/buckets_ms", "ms", try benchmark.measure(.buckets(65_536)).seconds * 1e3)
                report.add(.allocation, "\(name)/lagrangian_ms", "ms", try benchmark.measure(.lagrangian).seconds * 1e3)
                // A table of two bytes for each layer and weight that is kept.
                guard weightCount <= 1_000_000 else { continue }
                report.add(.allocation, "\(name)/exact_ms", "ms", try benchmark.measure(.exact).seconds * 1e3)
            }
        }
    }

    /// Seconds of the fastest of three runs.
    private func fastest(_ body: () throws -> Void) rethrows -> Double {
        let clock = ContinuousClock()
        var best = Double.infinity
        for _ in 0..<3 { best = min(best, try clock.measure(body) / .seconds(1)) }
        return max(best, 1e-9)
    }
}

extension ArithmeticPeak {
    /// What products of activations read so are made of.
    fileprivate init?(_ activations: KernelChoice.Activations) { self.init(rawValue: activations.rawValue) }
}
