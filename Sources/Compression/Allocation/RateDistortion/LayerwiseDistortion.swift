import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// What pruning each matrix of a language model or an encoder alone does to its outputs: the curves of
/// ``RateDistortionAllocation``.
///
/// A matrix of a layer changes nothing before it, so the hidden states that reach the layer are computed once for each
/// text, and only what comes after is run again for each rate.
public struct LayerwiseDistortion<Network: LayeredTextNetwork> {
    public let network: Network
    public let weights: [PrunableWeight]
    private let parameters: [Parameter]
    /// The layer of each matrix; the number of layers for what comes after them.
    private let layers: [Int]

    /// - Parameter weights: the matrices to measure: those of layers, or of the head.
    /// - Throws: `.badData` naming a matrix that the outputs do not depend on in this way, as embeddings.
    public init(_ network: Network, weights: [PrunableWeight]) throws {
        self.network = network
        self.weights = weights
        let byName = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        var (parameters, layers): ([Parameter], [Int]) = ([], [])
        for weight in weights {
            guard let parameter = byName[weight.name], let layer = network.layerIndex(ofMatrix: weight.name) else {
                throw CoppiceError(
                    .badData, field: weight.name,
                    "rate-distortion measures matrices of layers and of the output head; add it to ignore")
            }
            parameters.append(parameter)
            layers.append(layer)
        }
        (self.parameters, self.layers) = (parameters, layers)
    }

    /// Measures the curves. Leaves the network as it was.
    ///
    /// - Parameters:
    ///   - texts: of tokens, as the network reads them; each is an example, whose error is the mean over its outputs: of
    ///     every position and word of the vocabulary, or of the classes.
    ///   - method: criterion and granularity within a matrix. Input norms are those of the texts in the network as it is.
    ///   - earlier: the mask of a matrix from earlier stages, already applied to the network.
    ///   - progress: told the texts done.
    /// - Throws: `.usage` without texts; `.badData` for weights or outputs that are not finite, naming the matrix.
    /// - Complexity: of a text, for each matrix and rate, the layers from the matrix's on and the head; in memory the
    ///   outputs of two texts.
    public func curves(
        on texts: [[Int]], grid: RateGrid, distortion: OutputDistortion, method: PruningMethod,
        earlier: (_ name: String) -> WeightMask? = { _ in nil }, progress: (_ done: Int) throws -> Void = { _ in }
    ) throws -> [DistortionCurve] {
        guard texts.contains(where: { !$0.isEmpty }) else {
            throw CoppiceError(.usage, field: "texts", "there are none to measure distortion on")
        }
        return try withoutRecording {
            let norms = method.criterion is WandaCriterion ? inputNorms(texts) : [:]
            let counts = weights.map { grid.keptCounts(of: earlier($0.name)?.keptCount ?? $0.count) }
            var errors = counts.map { $0.map { _ in [Double]() } }
            for (done, text) in texts.enumerated() {
                try measure(Tensor(text, shape: [1, text.count]), counts, method, norms, earlier, &errors)
                try progress(done + 1)
            }
            return weights.indices.map { index in
                DistortionCurve(
                    name: weights[index].name, count: weights[index].count,
                    points: zip(counts[index], errors[index]).map {
                        .init(kept: $0, distortion: distortion.value(of: $1))
                    })
            }
        }
    }

    /// The curves that a stage's allocation asks for: see ``curves(on:grid:distortion:method:earlier:progress:)``.
    func curves(
        on texts: [[Int]], for stage: PruneStage, seed: UInt64, earlier: (_ name: String) -> WeightMask?,
        _ progress: any ProgressReporter
    ) throws -> [DistortionCurve] {
        progress.begin("measure", total: texts.count, unit: "windows")
        defer { progress.end("") }
        return try curves(
            on: texts,
            grid: stage.rateDistortion.grid(standard: RateDistortionOptions.coarseSteps, sparsity: stage.sparsity),
            distortion: stage.rateDistortion.distortion, method: stage.pruningMethod(seed: seed), earlier: earlier
        ) { progress.advance(to: $0, note: "") }
    }

    /// The errors of one text, appended by matrix and rate.
    private func measure(
        _ text: Tensor, _ counts: [[Int]], _ method: PruningMethod, _ norms: [String: [Float]],
        _ earlier: (String) -> WeightMask?, _ errors: inout [[[Double]]]
    ) throws {
        let context = network.context(of: text)
        var hidden = network.embedded(text, context)
        let reference = network.outputs(ofHidden: hidden, before: 0, context)
        for layer in 0...network.layerCount {
            for index in weights.indices where layers[index] == layer {
                let (weight, parameter) = (weights[index], parameters[index])
                let original = parameter.wrappedValue
                defer { parameter.wrappedValue = original }
                for (rate, kept) in counts[index].enumerated() {
                    var values = original.detached().converted(to: .f32).copied()
                    let mask = try method.mask(
                        of: weight, removing: weight.count - kept, values: values, earlier: earlier(weight.name),
                        inputNorms: norms[weight.name])
                    mask.apply(to: &values)
                    parameter.wrappedValue = values
                    let found = OutputDistortion.squaredErrors(
                        network.outputs(ofHidden: hidden, before: layer, context), to: reference)
                    guard found.allSatisfy(\.isFinite) else {
                        throw CoppiceError(
                            .badData, field: weight.name,
                            "outputs are not finite when it keeps \(kept) weights, expected finite numbers")
                    }
                    errors[index][rate] += found
                }
            }
            if layer < network.layerCount { hidden = network.layer(layer, hidden, context) }
        }
    }

    /// ‖X_j‖₂ of the inputs of every linear layer.
    private func inputNorms(_ texts: [[Int]]) -> [String: [Float]] {
        var norms: [String: ColumnNorms] = [:]
        let linears = network.modules.compactMap { own in (own.module as? Linear).map { (own.name + ".weight", $0) } }
        for (name, linear) in linears { linear.inputObserver = { norms[name, default: ColumnNorms()].add($0) } }
        defer { for (_, linear) in linears { linear.inputObserver = nil } }
        for text in texts { _ = network.outputs(Tensor(text, shape: [1, text.count])) }
        return norms.mapValues(\.norms)
    }
}
