import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// How much the units of a block matter.
extension TransformerUnits {
    /// Sums of a matrix's entries over each unit, in f64. O(entries).
    static func sums(of values: Tensor, over part: Part) -> [Double] {
        let perPosition = values.detached().converted(to: .f64).sum(axes: [1 - part.axis]).doubles()
        return stride(from: 0, to: perPosition.count, by: part.extent).map { start in
            perPosition[start..<(start + part.extent)].reduce(0, +)
        }
    }

    /// Sums of the scores of all weights that make and read a unit: of |w| for magnitude (the L1 norm of Li et al. 2017
    /// over all that is coupled, as in Fang et al. 2023).
    ///
    /// - Parameter values: a matrix of the block, f32 `[rows, columns]`.
    /// - Throws: `.badData` for values that are not finite, naming the matrix.
    func scores(
        by criterion: any Criterion, block: Int, values: (_ name: String) throws -> Tensor
    ) throws -> [Double] {
        var total = [Double](repeating: 0, count: count)
        for part in matrices {
            let name = name(part, block: block)
            let matrix = try values(name)
            try ExactSelection.checkFinite(matrix, name: name)
            let own = Self.sums(of: try criterion.scores(of: matrix, name: name, inputNorms: nil), over: part)
            for unit in total.indices { total[unit] += own[unit] }
        }
        return total
    }

    /// Σ |w| · ‖x‖₂ over the weights that read a unit, as `Wanda-sp` of An et al., "Fluctuation-based adaptive structured
    /// pruning for large language models" (2023), scores it.
    ///
    /// - Parameters:
    ///   - reader: the matrix that reads the block's units.
    ///   - inputNorms: ‖x‖₂ of each of its inputs on calibration windows.
    func wandaScores(block: Int, reader matrix: Tensor, inputNorms: [Float]?) throws -> [Double] {
        let name = name(reader, block: block)
        try ExactSelection.checkFinite(matrix, name: name)
        return Self.sums(
            of: try WandaCriterion().scores(of: matrix, name: name, inputNorms: inputNorms), over: reader)
    }

    /// Uniform scores, a function of the seed and the block alone.
    func randomScores(block: Int, seed: UInt64) -> [Double] {
        RandomCriterion(seed: seed).scores(
            of: .zeros([1, count]), name: "\(blockName(block)).\(kind.rawValue)", inputNorms: nil
        ).doubles()
    }

    /// (Σ w · ∂L/∂w)² over the weights that read a unit, the mean over windows: the squared change of the loss, to first
    /// order, as the unit's output goes to zero (Molchanov et al., "Importance estimation for neural network pruning",
    /// 2019, equation 8, with a gate on each unit). Of a head the sum is the gradient of its gate, whose absolute value
    /// Michel et al., "Are sixteen heads really better than one?" (2019), equation 3, take instead of its square.
    ///
    /// - Parameters:
    ///   - windows: of at least two tokens each; every one but the last predicts the next.
    ///   - progress: told the windows done.
    /// - Returns: by block, then by unit.
    /// - Throws: `.badData` naming the block whose scores are not numbers.
    /// - Complexity: one forward and backward pass of each window.
    func taylorScores(
        of network: DecoderNetwork, on windows: [[Int]], progress: (_ done: Int) -> Void = { _ in }
    ) throws -> [[Double]] {
        try taylorScores(of: network, windows: windows.count, progress: progress) { index in
            let (window, shape) = (windows[index], [1, windows[index].count - 1])
            return network.loss(
                Tensor(Array(window.dropLast()), shape: shape), targets: Tensor(Array(window.dropFirst()), shape: shape)
            )
        }
    }

    /// The same of any network with such blocks.
    ///
    /// - Parameters:
    ///   - count: windows.
    ///   - loss: of the window with the given index.
    func taylorScores(
        of network: Module, windows count: Int, progress: (_ done: Int) -> Void = { _ in },
        loss: (_ index: Int) -> Tensor
    ) throws -> [[Double]] {
        let names = (0..<blockCount).map { name(reader, block: $0) }
        return try network.withTrainable({ names.contains($0) }) {
            try taylorScores(of: network, reading: names, windows: count, progress, loss)
        }
    }

    private func taylorScores(
        of network: Module, reading names: [String], windows count: Int, _ progress: (_ done: Int) -> Void,
        _ loss: (_ index: Int) -> Tensor
    ) throws -> [[Double]] {
        let byName = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        let readers = names.compactMap { byName[$0]?.wrappedValue }
        precondition(readers.count == blockCount, "a network of another configuration")
        var totals = [[Double]](repeating: [Double](repeating: 0, count: self.count), count: blockCount)
        for done in 0..<count {
            let slopes = gradients(of: loss(done), withRespectTo: readers)
            withoutRecording {
                for block in totals.indices {
                    let changes = Self.sums(of: readers[block].detached() * slopes[block], over: reader)
                    for unit in changes.indices { totals[block][unit] += changes[unit] * changes[unit] }
                }
            }
            progress(done + 1)
        }
        for (block, own) in totals.enumerated() where own.contains(where: { !$0.isFinite }) {
            throw CoppiceError(
                .badData, field: names[block],
                "a gradient on the calibration text is not a finite number; the model or the text is broken")
        }
        return totals.map { $0.map { $0 / Double(max(1, count)) } }
    }
}
