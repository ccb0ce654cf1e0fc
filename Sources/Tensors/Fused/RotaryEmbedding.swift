import CKernels

extension Tensor {
    /// Rotary position embedding (Su et al., "RoFormer", 2021) of [..., positions, heads, size]: pairs
    /// (i, i + size / 2) turned by the angles whose cosines and sines are given as [positions, size / 2].
    ///
    /// - Parameter inverse: turns back.
    public func rotated(cosine: Tensor, sine: Tensor, inverse: Bool = false) -> Tensor {
        precondition(
            rank >= 3 && cosine.shape == [shape[rank - 3], shape[rank - 1] / 2] && sine.shape == cosine.shape,
            "angles of shape \(cosine.shape) for \(shape)")
        return .fused(RotaryEmbedding(cosine: cosine, sine: sine, inverse: inverse), [self])
    }
}

struct RotaryEmbedding: FusedOperation {
    var cosine: Tensor
    var sine: Tensor
    var inverse: Bool

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        let x = inputs[0]
        guard x.dataType == .f32 else { return composition([x.detached()]) }
        let (source, cosine, sine) = (
            x.contiguous(), cosine.converted(to: .f32).contiguous(), sine.converted(to: .f32).contiguous()
        )
        let result = Tensor(uninitialized: x.shape)
        let (positions, heads, size) = (x.shape[x.rank - 3], x.shape[x.rank - 2], x.shape[x.rank - 1])
        withExtendedLifetime((source, cosine, sine)) {
            coppice_rotate(
                x.shape.dropLast(3).reduce(1, *), positions, heads, size, cosine.pointer(), sine.pointer(),
                inverse ? -1 : 1, source.pointer(), result.pointer())
        }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        let x = inputs[0]
        let half = x.shape[x.rank - 1] / 2
        let (a, b) = (x.slice(axis: -1, 0..<half), x.slice(axis: -1, half..<(2 * half)))
        let c = cosine.expanded(at: 1).converted(to: x.dataType)
        let s = sine.expanded(at: 1).converted(to: x.dataType) * (inverse ? -1 : 1)
        return .concatenated([a * c - b * s, b * c + a * s], axis: -1)
    }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        [.fused(RotaryEmbedding(cosine: cosine, sine: sine, inverse: !inverse), [seed])]
    }
}
