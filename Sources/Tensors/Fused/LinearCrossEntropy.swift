import CKernels

extension Tensor {
    /// The sum over rows of -log softmax(self · weightᵀ)[target]: a linear classifier and its loss in one, for large
    /// numbers of classes.
    ///
    /// The scores `[rows, classes]` never exist as a whole: groups of rows go through product, loss and, where
    /// derivatives will be asked for, gradients one after the other. (The idea of Hsu et al., "Liger Kernel: efficient
    /// Triton kernels for LLM training", 2024.)
    ///
    /// - Parameters:
    ///   - weight: [classes, size].
    ///   - targets: integers `[...]`; rows whose target is negative have no loss and no gradient.
    /// - Returns: a scalar.
    /// - Precondition: this tensor is `[..., size]`; targets are below the number of classes.
    /// - Complexity: memory for about two million scores (of 128 rows at least), and for the gradients.
    public func linearCrossEntropy(weight: Tensor, targets: Tensor) -> Tensor {
        precondition(
            weight.rank == 2 && rank >= 1 && shape[rank - 1] == weight.shape[1],
            "a classifier of shape \(weight.shape) for \(shape)")
        precondition(targets.shape == Array(shape.dropLast()), "targets of shape \(targets.shape) for \(shape)")
        let classes = weight.shape[0]
        let integers = targets.detached().converted(to: .i64).contiguous()
        integers.withElements(Int.self) { all in
            precondition(all.allSatisfy { $0 < classes }, "a target is not below \(classes)")
        }
        let type = DataType.promoted(dataType, weight.dataType)
        let operation = LinearCrossEntropy(targets: integers.reshaped([-1]), precision: .current)
        return .fused(
            operation, [reshaped([-1, weight.shape[1]]).converted(to: type), weight.converted(to: type)])
    }
}

/// Inputs: x [rows, size], weight [classes, size].
struct LinearCrossEntropy: FusedOperation {
    /// i64, contiguous: [rows].
    var targets: Tensor
    var precision: OperandPrecision
    /// The gradients by x and weight for a seed of one, which the forward pass leaves where they will be asked for.
    let found = Found()

    final class Found: @unchecked Sendable {
        /// Written by the forward pass, before anybody reads it.
        fileprivate var gradients: (x: Tensor, weight: Tensor)?
    }

    /// Scores that exist at the same time, where a row has not too many.
    private static let scoresAtOnce = 1 << 21
    private static let leastRows = 128

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
        let backend = CPUBackend.shared
        let (x, weight) = (inputs[0].contiguous().detached(), backend.rounded(inputs[1].detached(), to: precision))
        let (rows, size, classes) = (x.shape[0], x.shape[1], weight.shape[0])
        let losses = Tensor.zeros([rows])
        let wantsGradients = Recording.isEnabled && inputs.contains(where: \.isTracked) && rows > 0
        let dx = Tensor(uninitialized: wantsGradients ? [rows, size] : [0])
        let dweight = Tensor(uninitialized: wantsGradients ? [classes, size] : [0])
        // Groups follow from the sizes alone, so that sums over them do not depend on threads.
        let group = max(Self.leastRows, Self.scoresAtOnce / max(1, classes))
        for first in stride(from: 0, to: rows, by: group) {
            let range = first..<min(rows, first + group)
            let own = backend.rounded(x.slice(axis: 0, range), to: precision)
            let scores = backend.product(own, weight.transposed())
            let (target, loss) = (targets.pointer(Int64.self) + first, losses.pointer(Float.self) + first)
            guard wantsGradients else {
                withExtendedLifetime(scores) {
                    coppice_cross_entropy(range.count, classes, scores.pointer(), target, loss)
                }
                continue
            }
            coppice_cross_entropy_step(range.count, classes, scores.pointer(), target, loss, scores.pointer())
            let slope = backend.rounded(scores, to: precision)
            backend.product(slope, weight, into: dx.slice(axis: 0, range))
            backend.product(slope.transposed(), own, into: dweight, adds: first > 0)
        }
        withExtendedLifetime(targets) {}
        if wantsGradients { found.gradients = (dx, dweight) }
        return losses.sum()
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        inputs[0].multiplied(by: inputs[1].transposed(), inputs[0].dataType, precision: precision)
            .crossEntropy(targets: targets).sum()
    }

    /// Those of the forward pass, as long as they need not be differentiated again.
    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        guard !Recording.isEnabled, let gradients = found.gradients else { return nil }
        return [gradients.x * seed, gradients.weight * seed]
    }
}
