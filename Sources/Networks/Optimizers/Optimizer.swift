import CoppiceTensors

/// A rule that moves parameters along their gradients, one parameter at a time.
///
/// What it remembers of a parameter are ``slotCount`` tensors of the parameter's shape, zeros where optimization
/// starts, which the caller keeps: so that masks can reach them and checkpoints can hold them.
public protocol Optimizer: Sendable {
    /// Tensors remembered of each parameter.
    var slotCount: Int { get }

    /// Moves a parameter by one step; f32.
    ///
    /// - Parameters:
    ///   - slots: what is remembered of the parameter.
    ///   - step: steps taken before this one, for bias corrections.
    ///   - gradientScale: what the gradient is multiplied with first (clipping).
    ///   - decays: whether weight decay applies to this parameter.
    func update(
        _ parameter: Parameter, gradient: Tensor, slots: inout [Tensor], learningRate: Double, step: Int,
        gradientScale: Double, decays: Bool)
}

extension SGD: Optimizer {
    /// The velocity.
    public var slotCount: Int { 1 }

    public func update(
        _ parameter: Parameter, gradient: Tensor, slots: inout [Tensor], learningRate: Double, step: Int,
        gradientScale: Double, decays: Bool
    ) {
        update(
            parameter, gradient: gradient, velocity: &slots[0], learningRate: learningRate,
            gradientScale: gradientScale, decays: decays)
    }
}

extension AdamW: Optimizer {
    /// The running means of the gradient and of its square.
    public var slotCount: Int { 2 }

    public func update(
        _ parameter: Parameter, gradient: Tensor, slots: inout [Tensor], learningRate: Double, step: Int,
        gradientScale: Double, decays: Bool
    ) {
        var moments = Moments(first: slots[0], second: slots[1])
        slots.removeAll(keepingCapacity: true)  // the only references: updated in place, not in copies
        update(
            parameter, gradient: gradient, moments: &moments, learningRate: learningRate, step: step,
            gradientScale: gradientScale, decays: decays)
        slots = [moments.first, moments.second]
    }
}
