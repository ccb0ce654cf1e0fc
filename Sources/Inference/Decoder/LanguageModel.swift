import CoppiceFormats
import CoppiceModels
import CoppiceTensors

/// A decoder language model made for inference: its weights in whatever formats the checkpoint holds, a forward pass
/// over mixed rows, and no state. Several threads may share one model, each with its own cache.
///
/// ```swift
/// let model = try LanguageModel(Checkpoint.open("model"))
/// let cache = model.makeCache(capacity: 512)
/// let sequence = SequenceID(0)
/// try cache.add(sequence, reserving: 512)
/// let logits = try model.forward(
///     [Row(sequence: sequence, start: 0, count: prompt.count)], tokens: prompt, cache: cache)
/// ```
public final class LanguageModel: Sendable {
    public let configuration: DecoderConfiguration
    /// What errors call the model: its path.
    public let source: String?
    /// How it is computed.
    public let execution: ExecutionOptions
    let weights: DecoderWeights
    let rotary: RotaryTable

    /// A model over a checkpoint's (mapped) weights. Reads only the vectors: fast for a file of any size.
    ///
    /// - Throws: `badData` that names the tensor which is missing or has the wrong shape.
    public convenience init(_ checkpoint: Checkpoint, execution: ExecutionOptions = ExecutionOptions()) throws {
        try self.init(
            checkpoint.configuration, weights: checkpoint, source: checkpoint.path, execution: execution)
    }

    /// A model whose weights come from anywhere, such as one just compressed in memory.
    public init(
        _ configuration: DecoderConfiguration, weights: some DecoderWeightSource, source: String? = nil,
        execution: ExecutionOptions = ExecutionOptions()
    ) throws {
        guard configuration.headSize.isMultiple(of: 2), (1...512).contains(configuration.headSize) else {
            throw CoppiceError(
                .badData, source: source, field: "head_dim",
                "expected an even number of at most 512, found \(configuration.headSize)")
        }
        guard configuration.headCount.isMultiple(of: configuration.keyValueHeadCount) else {
            throw CoppiceError(
                .badData, source: source, field: "num_key_value_heads",
                "expected a divisor of num_attention_heads (\(configuration.headCount)), "
                    + "found \(configuration.keyValueHeadCount)"
            )
        }
        self.configuration = configuration
        self.source = source
        self.execution = execution
        self.weights = try DecoderWeights(
            configuration, from: weights, source: source, kernels: execution.kernels)
        rotary = RotaryTable(
            configuration.rotary, headSize: configuration.headSize, context: configuration.maximumPositions)
    }

    public var vocabularySize: Int { configuration.vocabularySize }

    /// Positions of prompt and answer together: what the model was made for, stretched by dynamic rotary scaling.
    public var maximumContext: Int {
        if case .dynamic(let factor) = configuration.rotary.scaling, factor > 1 {
            return Int((Double(configuration.maximumPositions) * factor).rounded(.down))
        }
        return configuration.maximumPositions
    }

    /// Bytes of weights that one decoding step reads.
    public var weightBytesPerToken: Int { weights.bytesPerToken }

    /// The kernels that multiply the model's weights, by their format, in order of first use.
    public func kernelChoices() -> [(format: String, choice: KernelChoice)] {
        var seen: Set<String> = []
        return weights.projections.compactMap { projection in
            let weight = projection.weight
            guard seen.insert(weight.label).inserted,
                let choice = execution.kernels.choice(for: weight, mayNarrow: execution.activations == .bf16)
            else { return nil }
            return (weight.label, choice)
        }
    }

    /// A cache for texts of `capacity` positions together.
    ///
    /// - Parameter window: what texts see; with it they may be longer than ``maximumContext``.
    public func makeCache(
        capacity: Int, element: KeyValueCache.Element = .f32, window: StreamingWindow? = nil
    ) -> KeyValueCache {
        KeyValueCache(configuration, element: element, capacity: capacity, window: window)
    }

    /// What to throw when logits are not numbers: names the first weight that holds NaN or infinite values. O(weights).
    public func nonFiniteLogits() -> CoppiceError {
        if let name = weights.firstNonFinite() {
            return CoppiceError(
                .badData, source: source, field: name, "expected finite numbers, found NaN or infinite ones")
        }
        return CoppiceError(.badData, source: source, "the model's logits are not numbers: its activations overflow")
    }
}
