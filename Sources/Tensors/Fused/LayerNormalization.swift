import CKernels

extension Tensor {
    /// weight · (x - mean) / √(variance + ε) + bias along the last axis (Ba, Kiros and Hinton, "Layer normalization",
    /// 2016).
    ///
    /// - Parameters:
    ///   - weight: [size of the last axis].
    ///   - bias: [size of the last axis].
    public func layerNormalized(weight: Tensor, bias: Tensor, epsilon: Double) -> Tensor {
        precondition(
            rank >= 1 && weight.shape == [shape[rank - 1]] && bias.shape == weight.shape,
            "a weight of shape \(weight.shape) and a bias of shape \(bias.shape) for \(shape)")
        let type = DataType.promoted(dataType, DataType.promoted(weight.dataType, bias.dataType))
        return .fused(LayerNormalization(epsilon: epsilon), [self, weight, bias].map { $0.converted(to: type) })
    }
}

/// Inputs: x, weight, bias, of one type.
struct LayerNormalization: FusedOperation {
    var epsilon: Double

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
        let (x, weight, bias) = (inputs[0].contiguous(), inputs[1].contiguous(), inputs[2].contiguous())
        let result = Tensor(uninitialized: x.shape)
        withExtendedLifetime((x, weight, bias)) {
            coppice_layer_norm(
                x.count / max(1, weight.count), weight.count, Float(epsilon), x.pointer(), weight.pointer(),
                bias.pointer(), result.pointer())
        }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        let (centered, inverse) = Self.standardized(inputs[0], epsilon)
        return centered * inverse * inputs[1] + inputs[2]
    }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        let slope: Tensor? =
            inputs[0].isTracked ? .fused(InputGradient(epsilon: epsilon), [inputs[0], inputs[1], seed]) : nil
        guard inputs[1].isTracked || inputs[2].isTracked else { return [slope, nil, nil] }
        let sums = Tensor.fused(GradientSums(epsilon: epsilon), [inputs[0], seed])
        return [slope, sums[1], sums[0]]
    }

    private static func standardized(_ x: Tensor, _ epsilon: Double) -> (centered: Tensor, inverse: Tensor) {
        let centered = x - x.mean(axes: [-1], keepingDimensions: true)
        let variance = centered.square().mean(axes: [-1], keepingDimensions: true)
        return (centered, (variance + epsilon).reciprocalSquareRoot())
    }

    /// Inputs: x, weight, gradient by the output.
    struct InputGradient: FusedOperation {
        var epsilon: Double

        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
            let (x, weight, g) = (inputs[0].contiguous(), inputs[1].contiguous(), inputs[2].contiguous())
            let result = Tensor(uninitialized: x.shape)
            withExtendedLifetime((x, weight, g)) {
                coppice_layer_norm_input_gradient(
                    x.count / max(1, weight.count), weight.count, Float(epsilon), x.pointer(), weight.pointer(),
                    g.pointer(), result.pointer())
            }
            return result
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            let (centered, inverse) = LayerNormalization.standardized(inputs[0], epsilon)
            let scaled = inputs[2] * inputs[1]
            func mean(_ x: Tensor) -> Tensor { x.mean(axes: [-1], keepingDimensions: true) }
            return inverse * (scaled - mean(scaled) - centered * inverse.square() * mean(scaled * centered))
        }
    }

    /// [2, size]: the gradients by bias and by weight. Inputs: x, gradient by the output.
    struct GradientSums: FusedOperation {
        var epsilon: Double

        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs[0].dataType == .f32, inputs[0].count > 0 else {
                return composition(inputs.map { $0.detached() })
            }
            let (x, g) = (inputs[0].contiguous(), inputs[1].contiguous())
            let columns = x.shape[x.rank - 1]
            let (rows, block) = (x.count / columns, Int(COPPICE_NORM_BLOCK))
            let partial = Tensor(uninitialized: [(rows + block - 1) / block, 2, columns])
            withExtendedLifetime((x, g)) {
                coppice_layer_norm_sums(rows, columns, Float(epsilon), x.pointer(), g.pointer(), partial.pointer())
            }
            return partial.sum(axes: [0])
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            let (centered, inverse) = LayerNormalization.standardized(inputs[0], epsilon)
            let axes = Array(0..<(inputs[0].rank - 1))
            return .concatenated(
                [inputs[1], inputs[1] * centered * inverse].map { $0.sum(axes: axes).expanded(at: 0) })
        }
    }
}
