import CoppiceTensors

/// A matrix W `[outputs, inputs]` that a layer computes with in the form that it is stored in, such as a compressed one,
/// instead of a parameter of f32. Gradients do not pass through it.
public protocol StoredMatrix: Sendable {
    /// x Wᵀ: f32 `[n, inputs]` → `[n, outputs]`.
    func multiply(_ x: Tensor) -> Tensor

    /// Writes row `row` of W to as many floats as it has inputs. O(inputs).
    func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>)
}

extension StoredMatrix {
    /// The product of a layer with its inputs, all rows at once: `[..., inputs]` → `[rows, outputs]`.
    ///
    /// - Precondition: nothing is recorded, see ``withoutRecording(_:)``.
    func product(_ x: Tensor) -> Tensor {
        precondition(!x.isTracked, "gradients do not pass through a stored matrix")
        return multiply(x.reshaped([-1, x.shape[x.rank - 1]]).converted(to: .f32).contiguous())
    }
}
