import CKernels

extension Tensor {
    /// The mean of −log softmax(self)[target] over rows whose target is not negative, evaluated in f64 whatever the
    /// scores' type: a scalar of f64, in nats; zero where no target counts.
    ///
    /// Log-softmax in f32 moves in steps of 1.2e-7, so a loss far below that is noise: training to convergence stalls
    /// or is thrown back. Here a loss of 1e-12 is as accurate as one of 1, and so are its gradients, which have the
    /// scores' type.
    ///
    /// - Parameter targets: integers, in the shape of the scores without their last axis, below its extent.
    /// - Complexity: O(scores), threaded.
    public func preciseCrossEntropy(targets: Tensor) -> Tensor {
        precondition(targets.shape == Array(shape.dropLast()), "targets of shape \(targets.shape) for \(shape)")
        let classes = shape[rank - 1]
        let integers = targets.detached().converted(to: .i64).contiguous()
        let counted = integers.withElements(Int.self) { all in
            all.reduce(into: 0) { count, target in
                precondition(target < classes, "a target is not below \(classes)")
                if target >= 0 { count += 1 }
            }
        }
        let loss = PreciseCrossEntropy(targets: integers, counted: max(1, counted))
        guard isTracked, Recording.isEnabled, dataType == .f32 else { return .fused(loss, [self]) }
        return .fused(PreparedCrossEntropy(loss, at: self), [self])
    }
}

struct PreciseCrossEntropy: FusedOperation {
    /// i64, contiguous.
    var targets: Tensor
    /// What the sum is divided by.
    var counted: Int

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        let x = inputs[0]
        guard x.dataType == .f32 else { return composition([x.detached()]) }
        let source = x.contiguous()
        let losses = Tensor(uninitialized: targets.shape, dataType: .f64)
        withExtendedLifetime((source, targets)) {
            coppice_precise_cross_entropy(
                targets.count, x.shape[x.rank - 1], source.pointer(), targets.pointer(), losses.pointer())
        }
        return losses.sum() / Double(counted)
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        CrossEntropy(targets: targets).composition([inputs[0].converted(to: .f64)]).sum() / Double(counted)
    }

    /// The loss at scores of f32, and the gradient by them.
    func step(at scores: Tensor) -> (loss: Tensor, slope: Tensor) {
        let x = scores.detached().contiguous()
        let losses = Tensor(uninitialized: targets.shape, dataType: .f64)
        let slope = Tensor(uninitialized: x.shape)
        withExtendedLifetime((x, targets)) {
            coppice_precise_cross_entropy_step(
                targets.count, x.shape[x.rank - 1], 1 / Double(counted), x.pointer(), targets.pointer(),
                losses.pointer(), slope.pointer())
        }
        return (losses.sum() / Double(counted), slope)
    }
}

/// Cross-entropy at scores whose gradient will be asked for: both come from one pass of exponentials, which is most of
/// the work.
struct PreparedCrossEntropy: FusedOperation {
    private let loss: PreciseCrossEntropy
    private let value: Tensor
    private let slope: Tensor

    init(_ loss: PreciseCrossEntropy, at scores: Tensor) {
        self.loss = loss
        (value, slope) = loss.step(at: scores)
    }

    /// The inputs are the scores that it was prepared at.
    func evaluate(_ inputs: [Tensor]) -> Tensor { value }

    func composition(_ inputs: [Tensor]) -> Tensor { loss.composition(inputs) }

    /// What was prepared, for first derivatives; those that are to be differentiated again come from the composition.
    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        guard !Recording.isEnabled else { return nil }
        let scale = seed.doubles()[0]
        return [scale == 1 ? slope : slope * scale]
    }
}
