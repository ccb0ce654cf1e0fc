import CoppiceTensors

/// A network that is trained on labelled batches, whatever its kind: what training loops and pruning criteria need.
public protocol SupervisedNetwork: Module {
    /// Scores (logits) of classes: inputs of a ``LabeledBatch`` → `[examples, ..., classes]`.
    func outputs(_ inputs: Tensor) -> Tensor

    /// The mean loss of a batch: a scalar, in nats where it is a cross-entropy. By default the mean cross-entropy of
    /// the outputs over targets that count.
    func loss(_ batch: LabeledBatch) -> Tensor
}

extension SupervisedNetwork {
    public func loss(_ batch: LabeledBatch) -> Tensor { outputs(batch.inputs).meanCrossEntropy(targets: batch.targets) }

    /// Computes with the network in use (running statistics, no recording) and puts it back into the mode it was in.
    public func inUse<Result>(_ body: () throws -> Result) rethrows -> Result {
        try withoutRecording { try withTraining(false, body) }
    }

    /// Computes with the network in use as ``inUse(_:)`` does, skipping the zeros of its weights where that is faster.
    /// `body` must not change the weights. Looking for zeros takes O(weights): for more than a batch or two.
    public func inUseSkippingZeros<Result>(_ body: () throws -> Result) rethrows -> Result {
        try inUse { try withSparseProducts(SparseProducts(skippingZerosOf: self), body) }
    }
}

extension Tensor {
    /// The mean of ``crossEntropy(targets:)`` over targets that are not negative, with the labels smoothed: a part
    /// `smoothing` of each target's weight goes to all classes alike (Szegedy et al., "Rethinking the inception
    /// architecture", 2016, section 7).
    ///
    /// - Returns: a scalar, in nats; zero where no target counts.
    public func meanCrossEntropy(targets: Tensor, smoothing: Double = 0) -> Tensor {
        let classes = shape[rank - 1]
        let (rows, flat) = (reshaped([-1, classes]), targets.reshaped([-1]))
        let counted = flat.integers().reduce(0) { $0 + ($1 >= 0 ? 1 : 0) }
        let terms = Double(Swift.max(1, counted))
        let hard = rows.crossEntropy(targets: flat)
        guard smoothing > 0 else { return hard.sum() / terms }
        // −Σ log p / classes of each row, 0 for rows that do not count.
        let spread = rows.logSumExp(axis: -1) - rows.mean(axes: [-1])
        let counts = 1 - flat.isLess(than: 0).converted(to: dataType)
        return (hard * (1 - smoothing) + spread * counts * smoothing).sum() / terms
    }
}
