import CoppiceFormats
import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Foundation

/// Measures in one run how fast this machine computes and how near Coppice comes to it: reading and writing of a
/// language model in every form, decoding of sparse weights, steps of training, dense and under pruning, and two methods
/// of compression.
///
/// ```swift
/// let report = try SpeedSuite(parts: [.roofline, .llamaInt4]).run(models: "models", progress: ConsoleProgress())
/// print(report.text)
/// ```
///
/// Every round measures every part once, so that a machine whose speed drifts is fair to all; shares of the machine's
/// limits are of limits measured in the same second.
public struct SpeedSuite: Sendable {
    /// How much is measured.
    public enum Size: String, Sendable, Hashable, CaseIterable {
        /// Seconds, on small models: whether everything runs.
        case small
        /// Minutes: the figures that count.
        case full
    }

    /// What is measured.
    public enum Part: String, Sendable, Hashable, CaseIterable {
        /// Bandwidth of memory, peaks of arithmetic.
        case roofline
        /// A prompt of 512 tokens and 64 written by ``BenchmarkModel/llama430M`` in one of its forms.
        case llamaInt4 = "llama-int4"
        case llamaInt8 = "llama-int8"
        case llamaBF16 = "llama-bf16"
        case llamaQ4_0 = "llama-q4_0"
        case llamaQ8_0 = "llama-q8_0"
        case llamaF16 = "llama-f16"
        case llamaQ4_K_M = "llama-q4_k_m"
        /// ``SparseDecodingBenchmark``.
        case sparseDecoding = "sparse-decoding"
        /// ``TrainingBenchmark``, in f32 and bf16.
        case trainLlama = "train-llama"
        case trainResNet = "train-resnet"
        /// ``PruningStepBenchmark``: steps of methods that prune while a network trains, in dense steps.
        case trainPruned = "train-pruned"
        /// The mask of half of 20 million weights.
        case selection
        /// The diagonal of the inverse Fisher matrix of 64 gradients of a million weights.
        case inverseFisher = "inverse-fisher"
        /// ``AllocationBenchmark``: the programme over curves, by layers and by weights.
        case allocation

        /// The form of the language model that is measured; nil for what is none.
        public var form: BenchmarkModel.Form? {
            switch self {
            case .roofline, .sparseDecoding, .trainLlama, .trainResNet, .trainPruned, .selection, .inverseFisher,
                .allocation:
                nil
            case .llamaInt4: .int4
            case .llamaInt8: .int8
            case .llamaBF16: .bf16
            case .llamaQ4_0: .q4_0
            case .llamaQ8_0: .q8_0
            case .llamaF16: .f16
            case .llamaQ4_K_M: .q4_k_m
            }
        }

        /// The part of a name.
        ///
        /// - Throws: `usage` for an unknown one, with the nearest that there is.
        public static func named(_ name: String) throws -> Part {
            if let part = Part(rawValue: name) { return part }
            throw CoppiceError(
                .usage, field: "part",
                "there is no part \"\(name)\"\(Spelling.hint(name, allCases.map(\.rawValue)))")
        }
    }

    public var size: Size
    /// Measured in this order in every round.
    public var parts: [Part]
    public var rounds: Int
    /// How the language model is computed.
    public var execution: ExecutionOptions
    public var cacheElement: KeyValueCache.Element

    /// - Precondition: there is at least one round.
    public init(
        size: Size = .full, parts: [Part] = Part.allCases, rounds: Int = 5,
        execution: ExecutionOptions = ExecutionOptions(activations: .bf16), cacheElement: KeyValueCache.Element = .f16
    ) {
        precondition(rounds > 0, "\(rounds) rounds")
        self.size = size
        self.parts = parts
        self.rounds = rounds
        self.execution = execution
        self.cacheElement = cacheElement
    }

    /// Measures everything.
    ///
    /// - Parameter models: the folder that forms of the model are kept in, and made in where they are missing (3.4 GB
    ///   in full size); nil for a temporary one.
    /// - Throws: `cannotCreate`, `inputOutput` where models cannot be written.
    public func run(models: String? = nil, progress: any ProgressReporter = SilentProgress()) throws -> SpeedReport {
        let temporary = models == nil ? NSTemporaryDirectory() + "coppice-bench-\(UUID().uuidString)" : nil
        defer { if let temporary { try? FileManager.default.removeItem(atPath: temporary) } }
        let folder = models ?? temporary ?? ""
        let forms = parts.compactMap(\.form)
        for form in forms { _ = try model.make(form, in: folder, progress: progress) }
        let sparse = try parts.contains(.sparseDecoding) ? sparseBenchmarks() : []

        var report = SpeedReport(
            size: size, rounds: rounds, threads: Machine.threads, processor: Machine.processor, kernels: Machine.kernels
        )
        progress.begin("measure", total: rounds * parts.count, unit: "parts")
        for round in 0..<rounds {
            for (index, part) in parts.enumerated() {
                switch part {
                case .roofline: measureRoofline(&report)
                case .sparseDecoding: measureSparse(sparse, &report)
                case .trainLlama: try measureTraining(part, .llama10M, &report)
                case .trainResNet: try measureTraining(part, .resNet20, &report)
                case .trainPruned: try measurePruning(&report)
                case .selection: measureSelection(&report)
                case .inverseFisher: try measureInverseFisher(&report)
                case .allocation: try measureAllocation(&report)
                default: try measureModel(part, folder, &report)
                }
                progress.advance(to: round * parts.count + index + 1, note: part.rawValue)
            }
        }
        progress.end("\(rounds) rounds of \(parts.count) parts")
        return report
    }
}
