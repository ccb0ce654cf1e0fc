import CKernels

extension Tensor {
    /// max(0, self[first] + self[second]): rows of a table `[tokens, columns]`, chosen by two lists of indices `[n]`,
    /// added in pairs and rectified → `[n, columns]`. The derivative of the rectifier at zero is zero.
    ///
    /// - Precondition: integers in `0 ..< tokens`, two lists of the same length.
    /// - Complexity: O(n · columns), threaded.
    public func rectifiedPairSum(_ first: Tensor, _ second: Tensor) -> Tensor {
        precondition(rank == 2 && first.rank == 1 && first.shape == second.shape, "no pairs of rows")
        let indices = [first, second].map { $0.detached().converted(to: .i64).contiguous() }
        for list in indices {
            precondition(
                coppice_indices_in_range(list.pointer(), list.count, shape[0]) == 1,
                "an index is outside 0 ..< \(shape[0])")
        }
        return .fused(RectifiedPairSum(first: indices[0], second: indices[1]), [self])
    }

    /// max(0, x) with a derivative of zero at zero, where ``relu()`` gives one half.
    public func rectified() -> Tensor { self * detached().isGreater(than: 0).converted(to: dataType) }
}

struct RectifiedPairSum: FusedOperation {
    /// i64, contiguous.
    var first: Tensor
    var second: Tensor

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
        let table = inputs[0].contiguous()
        let result = Tensor(uninitialized: [first.count, table.shape[1]])
        withExtendedLifetime((table, self)) {
            coppice_rectified_pair_sum(
                first.count, table.shape[1], table.pointer(), first.pointer(), second.pointer(), result.pointer())
        }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        (inputs[0].take(first) + inputs[0].take(second)).rectified()
    }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        let gradient = Gradient(first: first, second: second, tokens: inputs[0].shape[0])
        return [.fused(gradient, [output.detached(), seed])]
    }

    /// Inputs: the result, the gradient by it.
    struct Gradient: FusedOperation {
        var first: Tensor
        var second: Tensor
        var tokens: Int

        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs.allSatisfy({ $0.dataType == .f32 }) else { return composition(inputs.map { $0.detached() }) }
            let (out, g) = (inputs[0].contiguous(), inputs[1].contiguous())
            let result = Tensor(uninitialized: [tokens, out.shape[1]])
            withExtendedLifetime((out, g, self)) {
                coppice_rectified_pair_sum_gradient(
                    first.count, out.shape[1], tokens, out.pointer(), g.pointer(), first.pointer(), second.pointer(),
                    result.pointer())
            }
            return result
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            let masked = inputs[1] * inputs[0].isGreater(than: 0).converted(to: inputs[1].dataType)
            return masked.scatteredAdd(first, extent: tokens) + masked.scatteredAdd(second, extent: tokens)
        }
    }
}
