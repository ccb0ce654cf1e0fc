import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// |W_ij| · ‖X_j‖₂ of all weights of a network: the score of ``WandaCriterion`` for networks of any kind.
///
/// Sun et al., "A Simple and Effective Pruning Approach for Large Language Models" (2023), equation 1. X_j are the
/// values that column j is multiplied with, over all examples: of a linear layer its input j at every position; of a
/// convolution the channel of its group at the kernel's place, in every window, with zeros for padding; of FastGRNN's
/// matrices what they see in every step. Labels are not looked at.
///
/// The paper compares within each output: with ``RowGranularity``. It takes the inputs of a block behind the pruned
/// blocks before it, which asks for a sparsity known at once; these are the inputs of the network as it is, with the
/// masks that it has, and are taken anew by schedules that remove weights in several steps.
public struct InputNormCriterion: NetworkCriterion {
    public static let name = WandaCriterion.name

    public init() {}

    public var needsData: Bool { true }

    /// - Throws: `.badData` naming a weight that is not a linear layer's, a convolution's or FastGRNN's, or that no
    ///   example reaches; naming one whose inputs are not finite.
    /// - Complexity: one forward pass of each batch, in use (running statistics) and without recording; for each
    ///   convolution and batch, channels · output places · kernel elements more. In memory are eight bytes for each
    ///   column of a weight, and while a convolution is looked at, for each element of one example's input and output
    ///   places of all its channels.
    public func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> [Tensor] {
        let squares = inputSquares(of: network, on: batches)
        return try network.weights.enumerated().map { index, weight in
            guard !squares[index].isEmpty else {
                throw CoppiceError(
                    .badData, field: weight.name,
                    "\(Self.name) needs what a weight is multiplied with, and saw no input of this one: it is not the "
                        + "matrix of a linear layer, a convolution or a cell that the examples run through; add it to "
                        + "ignore")
            }
            return try scores(of: network.values(index), weight, squares[index])
        }
    }

    /// - Parameter squares: Σ x² of each column, one group of a convolution after the other, whose rows see no others.
    private func scores(of values: Tensor, _ weight: PrunableWeight, _ squares: [Double]) throws -> Tensor {
        let norms = squares.map { Float($0.squareRoot()) }
        let rows = weight.rows * weight.columns / norms.count
        let parts = try stride(from: 0, to: norms.count, by: weight.columns).enumerated().map { group, start in
            try WandaCriterion().scores(
                of: values.slice(axis: 0, group * rows..<(group + 1) * rows).contiguous(), name: weight.name,
                inputNorms: Array(norms[start..<start + weight.columns]))
        }
        return withoutRecording { Tensor.concatenated(parts) }
    }

    /// Σ x² of what each column of a weight is multiplied with, one group of a convolution after the other; empty for
    /// weights whose inputs nobody tells.
    private func inputSquares(of network: PrunableNetwork, on batches: [LabeledBatch]) -> [[Double]] {
        var sums = [[Double]](repeating: [], count: network.weights.count)
        func add(_ squares: [Double], to index: Int) {
            sums[index] = sums[index].isEmpty ? squares : zip(sums[index], squares).map { $0 + $1 }
        }
        let indices = Dictionary(
            network.parameters.enumerated().map { (ObjectIdentifier($1), $0) }, uniquingKeysWith: { first, _ in first })
        let modules = network.network.modules.map(\.module)
        for module in modules {
            switch module {
            case let linear as Linear:
                guard let index = indices[ObjectIdentifier(linear.$weight)] else { continue }
                linear.inputObserver = { add(Self.squares(of: $0), to: index) }
            case let convolution as Conv2d:
                guard let index = indices[ObjectIdentifier(convolution.$weight)] else { continue }
                let windows = convolution.windows
                convolution.inputObserver = { add(Self.squares(of: $0, through: windows), to: index) }
            case let cell as FastGRNNCell:
                cell.inputObserver = { matrix, input in
                    guard let index = indices[ObjectIdentifier(matrix)] else { return }
                    add(Self.squares(of: input), to: index)
                }
            default: continue
            }
        }
        defer {
            for module in modules {
                (module as? Linear)?.inputObserver = nil
                (module as? Conv2d)?.inputObserver = nil
                (module as? FastGRNNCell)?.inputObserver = nil
            }
        }
        network.network.inUse { for batch in batches { _ = network.network.outputs(batch.inputs) } }
        return sums
    }

    /// Σ x² of each element of the last axis.
    private static func squares(of x: Tensor) -> [Double] {
        var sums = ColumnNorms()
        sums.add(x.detached().converted(to: .f32).contiguous())
        return sums.squares
    }

    /// Σ x² of what each entry [channel, row, column] of a convolution's kernels meets.
    ///
    /// - Parameter x: [images, channels, rows, columns].
    private static func squares(of x: Tensor, through windows: Windows) -> [Double] {
        // Windows lie alike in all images, which are added first.
        let map = Tensor(squares(of: x.reshaped([x.shape[0], -1])), shape: [1] + x.shape[1...])
        let size = windows.outputSize(for: [x.shape[2], x.shape[3]])
        // Where the sum of a convolution of each channel by itself is derived by its weight, each entry has the sum of
        // what it was multiplied with.
        return Tensor.ones([1, x.shape[1], size.rows, size.columns], dataType: .f64)
            .convolutionWeightGradient(input: map, windows: windows, groups: x.shape[1]).doubles()
    }
}
