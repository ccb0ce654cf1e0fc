import CoppiceTensors

/// A rule that moves parameters along their gradients.
///
/// What it remembers of a parameter are ``slotCount`` tensors of the parameter's shape, zeros where optimization
/// starts, which the caller keeps: so that masks can reach them and checkpoints can hold them. A rule that looks at the
/// gradients of several steps has a ``GradientWindow`` beside them.
public protocol Optimizer: Sendable {
    /// Tensors remembered of each parameter.
    var slotCount: Int { get }

    /// Moves all trainable parameters by one step; f32. The caller counts the steps of the state.
    ///
    /// - Parameters:
    ///   - gradients: of each parameter.
    ///   - decays: whether weight decay applies to each parameter.
    ///   - state: what is remembered of these parameters.
    ///   - gradientScale: what gradients are multiplied with first (clipping).
    /// - Throws: what the rule cannot do: see there.
    func update(
        _ parameters: [Parameter], gradients: [Tensor], decays: [Bool], state: inout OptimizerState,
        learningRate: Double, gradientScale: Double) throws

    /// A line about the memory of the window of gradients; nil for a rule without one.
    ///
    /// - Throws: `.usage` where the window takes more than is allowed, and for settings out of range.
    func windowSummary(of parameters: [Parameter]) throws -> String?

    /// The window that ``GradientWindow/tensors`` gave; nil for a rule without one, and where there is none.
    ///
    /// - Parameters:
    ///   - tensors: by name, others among them.
    ///   - source: the file that they were read from, for error messages.
    /// - Throws: `.badData` naming the tensor that does not fit.
    func window(
        from tensors: [String: Tensor], for parameters: [Parameter], source: String
    ) throws -> GradientWindow?
}

extension Optimizer {
    public func windowSummary(of parameters: [Parameter]) throws -> String? { nil }

    public func window(
        from tensors: [String: Tensor], for parameters: [Parameter], source: String
    ) throws -> GradientWindow? { nil }
}

/// A rule that looks at one parameter at a time.
public protocol ParameterwiseOptimizer: Optimizer {
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

extension ParameterwiseOptimizer {
    public func update(
        _ parameters: [Parameter], gradients: [Tensor], decays: [Bool], state: inout OptimizerState,
        learningRate: Double, gradientScale: Double
    ) {
        for (index, parameter) in parameters.enumerated() where parameter.isTrainable {
            update(
                parameter, gradient: gradients[index], slots: &state.slots[index], learningRate: learningRate,
                step: state.step, gradientScale: gradientScale, decays: decays[index])
        }
    }
}

extension SGD: ParameterwiseOptimizer {
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

extension AdamW: ParameterwiseOptimizer {
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
