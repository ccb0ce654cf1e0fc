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

    /// `[images, channels, ...]` → the same shape: normalized, then, where asked for, times a gate's factors
    /// `[images, channels]`, plus a residual, then max(·, 0); without a residual factors come last.
    ///
    /// - Precondition: at least two elements of each channel in training.
    public func callAsFunction(
        _ x: Tensor, times factors: Tensor? = nil, adding residual: Tensor? = nil, rectifies: Bool = false
    ) -> Tensor {
        let channels = runningMean.count
        precondition(
            x.rank >= 2 && x.shape[1] == channels, "batch normalization of shape \(x.shape) for \(channels) channels")
        let weight = weight?.wrappedValue ?? .ones([channels], dataType: x.dataType)
        let bias = bias?.wrappedValue ?? .zeros([channels], dataType: x.dataType)
        guard isTraining else {
            return x.batchNormalized(
                weight: weight, bias: bias, mean: runningMean, variance: runningVariance, epsilon: epsilon,
                times: factors, adding: residual, rectifies: rectifies)
        }
        let terms = x.count / Swift.max(1, channels)
        precondition(
            terms > 1, "training batch normalization of shape \(x.shape): more than one value a channel expected")
        let normalized = x.batchNormalized(
            weight: weight, bias: bias, epsilon: epsilon, times: factors, adding: residual, rectifies: rectifies)
        keep(normalized, terms: terms)
        return normalized.output
    }

    /// What the layer does in use, scale · x + shift: [channels] each.
    var affine: (scales: Tensor, shifts: Tensor) {
        let inverse = 1 / (runningVariance + epsilon).squareRoot()
        let scales = weight.map { $0.wrappedValue * inverse } ?? inverse
        let shifts = -(runningMean * scales)
        return (scales, bias.map { $0.wrappedValue + shifts } ?? shifts)
    }

    private func keep(_ batch: BatchNormalized, terms: Int) {
        batchCount = batchCount + Tensor(1, dataType: .i64)
        let part = momentum ?? 1 / batchCount.doubles()[0]
        func updated(_ running: Tensor, _ new: Tensor) -> Tensor {
            (running * (1 - part) + new.converted(to: running.dataType) * part).detached()
        }
        runningMean = updated(runningMean, batch.mean)
        runningVariance = updated(runningVariance, batch.variance * (Double(terms) / Double(terms - 1)))
    }
}
