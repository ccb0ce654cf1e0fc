import CoppiceTensors

/// Batch normalization of each channel of `[images, channels, ...]` (Ioffe and Szegedy, "Batch normalization", 2015).
///
/// In training, mean and variance are those of the batch, and running means of both are kept; in use, the running
/// ones normalize.
public final class BatchNorm: Module, TrainingModeDependent {
    /// [channels]; nil where the layer does not scale.
    public let weight: Parameter?
    /// [channels]; nil where the layer does not shift.
    public let bias: Parameter?
    /// [channels].
    @StateTensor public var runningMean: Tensor
    /// [channels], with the correction for the sample's size.
    @StateTensor public var runningVariance: Tensor
    /// Number of training batches seen: [], i64.
    @StateTensor public var batchCount: Tensor
    public let epsilon: Double
    /// The part of a new batch in the running statistics; nil for the mean of all batches so far.
    public let momentum: Double?
    public var isTraining = true

    /// - Parameter scalesAndShifts: whether weight and bias are there (ones and zeros at first).
    public init(
        channels: Int, epsilon: Double = 1e-5, momentum: Double? = 0.1, scalesAndShifts: Bool = true,
        dataType: DataType = .f32
    ) {
        weight = scalesAndShifts ? Parameter("weight", .ones([channels], dataType: dataType)) : nil
        bias = scalesAndShifts ? Parameter("bias", .zeros([channels], dataType: dataType)) : nil
        _runningMean = StateTensor("running_mean", .zeros([channels], dataType: dataType))
        _runningVariance = StateTensor("running_var", .ones([channels], dataType: dataType))
        _batchCount = StateTensor("num_batches_tracked", .zeros([], dataType: .i64))
        self.epsilon = epsilon
        self.momentum = momentum
    }

    /// `[images, channels, ...]` → the same shape.
    ///
    /// - Precondition: at least two elements of each channel in training.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        precondition(
            x.rank >= 2 && x.shape[1] == runningMean.count,
            "batch normalization of shape \(x.shape) for \(runningMean.count) channels")
        let shape = x.shape.indices.map { $0 == 1 ? x.shape[1] : 1 }
        let (mean, variance) =
            isTraining ? batchStatistics(x) : (runningMean.reshaped(shape), runningVariance.reshaped(shape))
        var scale = (variance + epsilon).reciprocalSquareRoot()
        if let weight { scale = scale * weight.wrappedValue.reshaped(shape) }
        let y = (x - mean) * scale
        guard let bias else { return y }
        return y + bias.wrappedValue.reshaped(shape)
    }

    private func batchStatistics(_ x: Tensor) -> (mean: Tensor, variance: Tensor) {
        let axes = x.shape.indices.filter { $0 != 1 }
        let terms = x.count / Swift.max(1, x.shape[1])
        precondition(
            terms > 1, "training batch normalization of shape \(x.shape): more than one value a channel expected")
        let mean = x.mean(axes: axes, keepingDimensions: true)
        let variance = (x - mean).square().mean(axes: axes, keepingDimensions: true)
        batchCount = batchCount + Tensor(1, dataType: .i64)
        let part = momentum ?? 1 / batchCount.doubles()[0]
        func updated(_ running: Tensor, _ new: Tensor) -> Tensor {
            (running * (1 - part) + new.detached().reshaped([-1]).converted(to: running.dataType) * part).detached()
        }
        runningMean = updated(runningMean, mean)
        runningVariance = updated(runningVariance, variance * (Double(terms) / Double(terms - 1)))
        return (mean, variance)
    }
}
