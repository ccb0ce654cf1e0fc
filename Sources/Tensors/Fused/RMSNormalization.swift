import CKernels

extension Tensor {
    /// weight · x / √(mean(x²) + ε) along the last axis (Zhang and Sennrich, "Root mean square layer normalization",
    /// 2019).
    ///
    /// - Parameter weight: [size of the last axis].
    public func rmsNormalized(weight: Tensor, epsilon: Double) -> Tensor {
        .fused(RMSNormalization(epsilon: epsilon), [self, weight])
    }
}

struct RMSNormalization: FusedOperation {
    var epsilon: Double

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        guard inputs.allSatisfy({ $0.dataType == .f32 }) else { return composition(inputs.map { $0.detached() }) }
        let (x, weight) = (inputs[0].contiguous(), inputs[1].contiguous())
        let result = Tensor(uninitialized: x.shape)
        withExtendedLifetime((x, weight)) {
            coppice_rms_norm(
                x.count / max(1, weight.count), weight.count, Float(epsilon), x.pointer(), weight.pointer(),
                result.pointer())
        }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        let x = inputs[0]
        return x * (x.square().mean(axes: [-1], keepingDimensions: true) + epsilon).reciprocalSquareRoot() * inputs[1]
    }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        [
            inputs[0].isTracked ? .fused(InputGradient(epsilon: epsilon), [inputs[0], inputs[1], seed]) : nil,
            inputs[1].isTracked ? .fused(WeightGradient(epsilon: epsilon), [inputs[0], seed]) : nil,
        ]
    }

    /// Inputs: x, weight, gradient by the output.
    struct InputGradient: FusedOperation {
        var epsilon: Double

        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs.allSatisfy({ $0.dataType == .f32 }) else { return composition(inputs.map { $0.detached() }) }
            let (x, weight, g) = (inputs[0].contiguous(), inputs[1].contiguous(), inputs[2].contiguous())
            let result = Tensor(uninitialized: x.shape)
            withExtendedLifetime((x, weight, g)) {
                coppice_rms_norm_input_gradient(
                    x.count / max(1, weight.count), weight.count, Float(epsilon), x.pointer(), weight.pointer(),
                    g.pointer(), result.pointer())
            }
            return result
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            let (x, scaled) = (inputs[0], inputs[2] * inputs[1])
            let inverse = (x.square().mean(axes: [-1], keepingDimensions: true) + epsilon).reciprocalSquareRoot()
            return inverse * (scaled - x * inverse.square() * (scaled * x).mean(axes: [-1], keepingDimensions: true))
        }
    }

    /// Inputs: x, gradient by the output.
    struct WeightGradient: FusedOperation {
        var epsilon: Double

        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs.allSatisfy({ $0.dataType == .f32 }), inputs[0].count > 0 else {
                return composition(inputs.map { $0.detached() })
            }
            let (x, g) = (inputs[0].contiguous(), inputs[1].contiguous())
            let columns = x.shape[x.rank - 1]
            let rows = x.count / columns
            let block = Int(COPPICE_NORM_BLOCK)
            let partial = Tensor(uninitialized: [(rows + block - 1) / block, columns])
            withExtendedLifetime((x, g)) {
                coppice_rms_norm_weight_gradient(
                    rows, columns, Float(epsilon), x.pointer(), g.pointer(), partial.pointer())
            }
            return partial.sum(axes: [0])
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            let x = inputs[0]
            let inverse = (x.square().mean(axes: [-1], keepingDimensions: true) + epsilon).reciprocalSquareRoot()
            return (inputs[1] * x * inverse).sum(axes: Array(0..<(x.rank - 1)))
        }
    }
}
