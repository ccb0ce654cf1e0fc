/// Whether operations on tracked tensors are recorded, for the current task.
enum Recording {
    @TaskLocal static var isEnabled = true
}

/// Runs `body` without recording operations for differentiation: no memory is kept for a backward pass.
public func withoutRecording<Result>(_ body: () throws -> Result) rethrows -> Result {
    try Recording.$isEnabled.withValue(false, operation: body)
}

extension Tensor {
    /// The same values as a new input that gradients can be taken with respect to.
    ///
    /// - Precondition: a floating-point type.
    public func tracked() -> Tensor {
        precondition(dataType.isFloatingPoint, "\(dataType) tensors have no derivatives")
        var result = detached()
        result.node = Node(nil, inputs: [], output: result)
        return result
    }

    /// The same values, through which no gradient flows (stop-gradient).
    public func detached() -> Tensor {
        var result = self
        result.node = nil
        return result
    }

    /// Whether operations on this tensor are recorded.
    public var isTracked: Bool { node != nil }

    /// Applies a primitive and records it where an input is tracked.
    static func apply(_ primitive: Primitive, _ inputs: [Tensor]) -> Tensor {
        var result = CPUBackend.shared.evaluate(primitive, inputs)
        guard Recording.isEnabled, result.dataType.isFloatingPoint, inputs.contains(where: { $0.node != nil }) else {
            result.node = nil
            return result
        }
        result.node = nil
        result.node = Node(primitive, inputs: inputs, output: result)
        return result
    }
}
