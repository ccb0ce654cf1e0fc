import CoppiceFormats
import CoppiceModels
import CoppiceTensors
import Foundation

/// A Llama of random weights, which speed does not depend on, in the forms that speed is measured in.
///
/// ```swift
/// let path = try BenchmarkModel.llama430M.make(.int4, in: "models")
/// let model = try LanguageModel(Checkpoint.open(path))
/// ```
///
/// A form is made once and found by its name afterwards. The same model has the same numbers on every machine.
public struct BenchmarkModel: Sendable, Hashable {
    /// How weights are stored.
    public enum Form: String, Sendable, Hashable, CaseIterable {
        /// A Hugging Face folder.
        case bf16
        /// Coppice folders with a scale for every 32 weights. The output head has 8 bits in both; the embeddings, of
        /// which a token reads one row, stay bf16.
        case int8, int4
        /// GGUF files.
        case f16
        case q8_0, q4_0, q4_k_m

        /// What the file is converted to; nil for folders.
        var gguf: GGUFWeightType? {
            switch self {
            case .bf16, .int8, .int4: nil
            case .f16, .q8_0, .q4_0, .q4_k_m: GGUFWeightType(rawValue: rawValue)
            }
        }
    }

    /// What files are named after.
    public let name: String
    /// The architecture.
    public var configuration: DecoderConfiguration {
        DecoderConfiguration(
            vocabularySize: vocabularySize, hiddenSize: hiddenSize, intermediateSize: 4 * hiddenSize,
            layerCount: layerCount, headCount: hiddenSize / 64, keyValueHeadCount: hiddenSize / 256,
            maximumPositions: 4096)
    }

    private let hiddenSize: Int
    private let layerCount: Int
    private let vocabularySize: Int

    /// 430 million parameters: hidden 1024, feed-forward 4096, 24 layers, 16 heads of which 4 for keys and values, 32,000
    /// tokens, not tied.
    public static let llama430M = BenchmarkModel(
        name: "llama-430m", hiddenSize: 1024, layerCount: 24, vocabularySize: 32_000)
    /// 2.4 million parameters: for tests.
    public static let tiny = BenchmarkModel(name: "llama-tiny", hiddenSize: 256, layerCount: 2, vocabularySize: 512)

    /// Where a form is, or would be, in a folder of models.
    public func path(of form: Form, in folder: String) -> String {
        "\(folder)/\(name)-\(form.rawValue)" + (form.gguf == nil ? "" : ".gguf")
    }

    /// Makes a form, and the bf16 one that all others are made of, where they are missing.
    ///
    /// - Returns: its path.
    /// - Throws: `cannotCreate`, `inputOutput` where the folder cannot be written.
    public func make(_ form: Form, in folder: String, progress: any ProgressReporter = SilentProgress()) throws
        -> String
    {
        let path = path(of: form, in: folder)
        // Files and folders appear when they are complete.
        if FileManager.default.fileExists(atPath: path) { return path }
        if let type = form.gguf {
            let source = try Checkpoint.open(make(.bf16, in: folder, progress: progress))
            try source.convert(toGGUF: path, type: type, progress: progress)
        } else if form == .bf16 {
            try writeRandomWeights(to: path, progress: progress)
        } else {
            let source = try Checkpoint.open(make(.bf16, in: folder, progress: progress))
            try quantize(source, bits: form == .int8 ? 8 : 4, to: path, progress: progress)
        }
        return path
    }

    /// Matrices as wide as keeps the size of activations, norms about 1.
    private func writeRandomWeights(to path: String, progress: any ProgressReporter) throws {
        let shapes = configuration.tensorShapes
        progress.begin("make \(name)", total: shapes.count, unit: "weights")
        let writer = try CheckpointWriter(path: path, configuration: configuration)
        for (index, (name, shape)) in shapes.enumerated() {
            try writer.add(name, dataType: .bf16) {
                var generator = RandomGenerator(seed: UInt64(index))
                progress.advance(to: index + 1, note: name)
                let isTable = name.contains("embed_tokens") || name.contains("lm_head")
                let scale = isTable ? 0.02 : 1 / Double(shape[shape.count - 1]).squareRoot()
                let (mean, deviation) = shape.count == 1 ? (1.0, 0.05) : (0.0, scale)
                return Tensor.normal(
                    shape, mean: mean, standardDeviation: deviation, dataType: .bf16, using: &generator)
            }
        }
        try writer.finish()
        progress.end("\(shapes.count) weights")
    }

    private func quantize(_ source: Checkpoint, bits: Int, to path: String, progress: any ProgressReporter) throws {
        let names = source.weightNames
        progress.begin("quantize \(name) to \(bits) bits", total: names.count, unit: "weights")
        let writer = try CheckpointWriter(path: path, basedOn: source)
        for (index, name) in names.enumerated() {
            let tensor = try source.tensor(name)
            if tensor.rank == 2, !name.contains("embed_tokens") {
                let quantization = IntegerQuantization(bits: name.contains("lm_head") ? 8 : bits, groupSize: 32)
                try writer.add(name, IntegerGroupWeight(quantizing: tensor, quantization).stored())
            } else {
                try writer.add(name, tensor)
            }
            progress.advance(to: index + 1, note: name)
        }
        try writer.finish()
        progress.end("\(names.count) weights")
    }
}
