import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// What pruning each matrix of a language model alone does to its logits: the curves of ``RateDistortionAllocation``.
///
/// A matrix of block b changes nothing before it, so the hidden states that reach b are computed once for each window,
/// and only what comes after is run again for each rate.
public struct DecoderDistortion {
    public let network: DecoderNetwork
    public let weights: [PrunableWeight]
    private let parameters: [Parameter]
    /// The block of each matrix; the number of blocks for what comes after them.
    private let blocks: [Int]

    /// - Parameter weights: the matrices to measure: those of blocks, or the output head.
    /// - Throws: `.badData` naming a matrix that the logits do not depend on in this way, as embeddings.
    public init(_ network: DecoderNetwork, weights: [PrunableWeight]) throws {
        self.network = network
        self.weights = weights
        let byName = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        var (parameters, blocks): ([Parameter], [Int]) = ([], [])
        for weight in weights {
            let block = CompressionReport.layerIndex(weight.name)
            guard let parameter = byName[weight.name], block != nil || weight.name == "lm_head.weight" else {
                throw CoppiceError(
                    .badData, field: weight.name,
                    "rate-distortion measures matrices of blocks and the output head; add it to ignore")
            }
            parameters.append(parameter)
            blocks.append(block ?? network.configuration.layerCount)
        }
        (self.parameters, self.blocks) = (parameters, blocks)
    }

    /// Measures the curves. Leaves the network as it was.
    ///
    /// - Parameters:
    ///   - windows: of tokens; each is an example, whose error is the mean over its positions and the vocabulary.
    ///   - method: criterion and granularity within a matrix. Input norms are those of the windows in the network as it is.
    ///   - earlier: the mask of a matrix from earlier stages, already applied to the network.
    ///   - progress: told the windows done.
    /// - Throws: `.usage` without windows; `.badData` for weights or logits that are not finite, naming the matrix.
    /// - Complexity: of a window, for each matrix and rate, the blocks from the matrix's on and the head; in memory the
    ///   logits of two windows.
    public func curves(
        on windows: [[Int]], grid: RateGrid, distortion: OutputDistortion, method: PruningMethod,
        earlier: (_ name: String) -> WeightMask? = { _ in nil }, progress: (_ done: Int) throws -> Void = { _ in }
    ) throws -> [DistortionCurve] {
        guard windows.contains(where: { !$0.isEmpty }) else {
            throw CoppiceError(.usage, field: "windows", "there are none to measure distortion on")
        }
        return try withoutRecording {
            let norms = method.criterion is WandaCriterion ? inputNorms(windows) : [:]
            let counts = weights.map {
                grid.keptCounts(of: $0.count, left: earlier($0.name)?.keptCount ?? $0.count)
            }
            var errors = counts.map { $0.map { _ in [Double]() } }
            for (done, window) in windows.enumerated() {
                try measure(window, counts, method, norms, earlier, &errors)
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
    ///
    /// - Parameter windows: of which as many are taken as the stage says.
    func curves(
        on windows: CalibrationWindows, for stage: PruneStage, seed: UInt64,
        earlier: (_ name: String) -> WeightMask?, _ progress: any ProgressReporter
    ) throws -> [DistortionCurve] {
        let own = Array(windows.windows.prefix(stage.rateDistortion.samples ?? RateDistortionOptions.windows))
        progress.begin("measure", total: own.count, unit: "windows")
        defer { progress.end("") }
        return try curves(
            on: own,
            grid: stage.rateDistortion.grid(standard: RateDistortionOptions.coarseSteps, sparsity: stage.sparsity),
            distortion: stage.rateDistortion.distortion, method: stage.pruningMethod(seed: seed), earlier: earlier
        ) { progress.advance(to: $0, note: "") }
    }

    /// The errors of one window, appended by matrix and rate.
    private func measure(
        _ window: [Int], _ counts: [[Int]], _ method: PruningMethod, _ norms: [String: [Float]],
        _ earlier: (String) -> WeightMask?, _ errors: inout [[[Double]]]
    ) throws {
        let angles = network.rotaryAngles(positions: window.count)
        let layers = network.model.layers
        func logits(_ hidden: Tensor, from block: Int) -> Tensor {
            network.logits(ofHidden: layers[block...].reduce(hidden) { $1($0, angles: angles) })
        }
        var hidden = network.embed(Tensor(window, shape: [1, window.count]))
        let reference = logits(hidden, from: 0)
        for block in 0...layers.count {
            for index in weights.indices where blocks[index] == block {
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
                    let found = OutputDistortion.squaredErrors(logits(hidden, from: block), to: reference)
                    guard found.allSatisfy(\.isFinite) else {
                        throw CoppiceError(
                            .badData, field: weight.name,
                            "logits are not finite when it keeps \(kept) weights, expected finite numbers")
                    }
                    errors[index][rate] += found
                }
            }
            if block < layers.count { hidden = layers[block](hidden, angles: angles) }
        }
    }

    /// ‖X_j‖₂ of the inputs of every linear layer.
    private func inputNorms(_ windows: [[Int]]) -> [String: [Float]] {
        var norms: [String: ColumnNorms] = [:]
        let linears = network.modules.compactMap { own in (own.module as? Linear).map { (own.name + ".weight", $0) } }
        for (name, linear) in linears { linear.inputObserver = { norms[name, default: ColumnNorms()].add($0) } }
        defer { for (_, linear) in linears { linear.inputObserver = nil } }
        for window in windows { _ = network.outputs(Tensor(window, shape: [1, window.count])) }
        return norms.mapValues(\.norms)
    }
}
