import CKernels

extension Tensor {
    /// silu(gate) · up, the SwiGLU product (Shazeer, "GLU variants improve transformer", 2020).
    public static func gatedSiLU(gate: Tensor, up: Tensor) -> Tensor { .fused(GatedSiLU(), [gate, up]) }
}

/// silu(gate) · up. Inputs: gate, up, of one shape.
struct GatedSiLU: FusedOperation {
    func evaluate(_ inputs: [Tensor]) -> Tensor {
        guard inputs.allSatisfy({ $0.dataType == .f32 }) else { return composition(inputs.map { $0.detached() }) }
        let (gate, up) = (inputs[0].contiguous(), inputs[1].contiguous())
        precondition(gate.shape == up.shape, "a gate of shape \(gate.shape) for \(up.shape)")
        let result = Tensor(uninitialized: gate.shape)
        withExtendedLifetime((gate, up)) {
            coppice_gated_silu(gate.count, gate.pointer(), up.pointer(), result.pointer())
        }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor { inputs[0].silu() * inputs[1] }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        [
            inputs[0].isTracked ? .fused(GateGradient(), [inputs[0], inputs[1], seed]) : nil,
            inputs[1].isTracked ? .gatedSiLU(gate: inputs[0], up: seed) : nil,
        ]
    }

    /// Inputs: gate, up, gradient by the output.
    struct GateGradient: FusedOperation {
        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs.allSatisfy({ $0.dataType == .f32 }) else { return composition(inputs.map { $0.detached() }) }
            let (gate, up, g) = (inputs[0].contiguous(), inputs[1].contiguous(), inputs[2].contiguous())
            let result = Tensor(uninitialized: gate.shape)
            withExtendedLifetime((gate, up, g)) {
                coppice_gated_silu_gate_gradient(
                    gate.count, gate.pointer(), up.pointer(), g.pointer(), result.pointer())
            }
            return result
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            let s = inputs[0].sigmoid()
            return inputs[2] * inputs[1] * s * (1 + inputs[0] * (1 - s))
        }
    }
}
