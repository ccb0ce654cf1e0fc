import CKernels

/// Which keys each query of attention sees.
public struct AttentionVisibility: Sendable, Hashable {
    /// Position of the first query among the keys.
    public var firstQuery: Int
    /// Only the last so many keys, the query's own included; nil for all before it.
    public var window: Int?

    /// Each query sees keys up to its own position.
    public static func causal(firstQuery: Int = 0, window: Int? = nil) -> AttentionVisibility {
        AttentionVisibility(firstQuery: firstQuery, window: window)
    }

    /// [queries, keys] of bool.
    func mask(queries: Int, keys: Int) -> Tensor {
        let query = Tensor.range(queries).reshaped([queries, 1]) + Double(firstQuery)
        let key = Tensor.range(keys)
        let causal = key.isLessOrEqual(to: query)
        guard let window else { return causal }
        return (causal.converted(to: .i32) * (query - Double(window)).isLess(than: key).converted(to: .i32))
            .converted(to: .bool)
    }
}

extension Tensor {
    /// exp(scale x) over its sum along the last axis.
    ///
    /// - Parameter visibility: for attention scores [..., queries, keys]: keys that a query does not see count for
    ///   nothing and get probability 0.
    public func softmax(scale: Double = 1, visibility: AttentionVisibility? = nil) -> Tensor {
        .fused(Softmax(scale: scale, visibility: visibility), [self])
    }

    /// log softmax along the last axis.
    public func logSoftmax() -> Tensor { self - logSumExp(axis: -1, keepingDimensions: true) }
}

struct Softmax: FusedOperation {
    var scale: Double
    var visibility: AttentionVisibility?

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        let x = inputs[0]
        guard x.dataType == .f32 else { return composition([x.detached()]) }
        let source = x.contiguous()
        let result = Tensor(uninitialized: x.shape)
        let columns = x.shape[x.rank - 1]
        let seen = coppice_visibility(
            queries: visibility == nil ? 0 : x.shape[x.rank - 2], first: visibility?.firstQuery ?? 0,
            window: visibility?.window ?? 0)
        withExtendedLifetime(source) {
            coppice_softmax(
                columns == 0 ? 0 : x.count / columns, columns, Float(scale), seen, source.pointer(), result.pointer())
        }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        var x = inputs[0] * scale
        var seen: Tensor?
        if let visibility {
            let mask = visibility.mask(queries: x.shape[x.rank - 2], keys: x.shape[x.rank - 1])
            x = Tensor.select(mask, x, Tensor(-1e30, dataType: x.dataType))
            seen = mask.converted(to: x.dataType)
        }
        let top = x.maximum(axes: [-1], keepingDimensions: true).detached()
        var raised = (x - top).exp()
        if let seen { raised = raised * seen }
        let total = raised.sum(axes: [-1], keepingDimensions: true)
        // A query that sees nothing has a sum of zero, and probabilities of zero.
        return raised / Tensor.select(total.isGreater(than: 0), total, Tensor.ones([], dataType: total.dataType))
    }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        [.fused(SoftmaxGradient(scale: scale), [output, seed])]
    }
}

/// The gradient of ``Softmax`` from its output p and the gradient g by it.
struct SoftmaxGradient: FusedOperation {
    var scale: Double

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        guard inputs.allSatisfy({ $0.dataType == .f32 }) else { return composition(inputs.map { $0.detached() }) }
        let (p, g) = (inputs[0].contiguous(), inputs[1].contiguous())
        let result = Tensor(uninitialized: p.shape)
        let columns = p.shape[p.rank - 1]
        withExtendedLifetime((p, g)) {
            coppice_softmax_gradient(
                columns == 0 ? 0 : p.count / columns, columns, Float(scale), p.pointer(), g.pointer(),
                result.pointer())
        }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        let (p, g) = (inputs[0], inputs[1])
        return p * (g - (g * p).sum(axes: [-1], keepingDimensions: true)) * scale
    }
}
