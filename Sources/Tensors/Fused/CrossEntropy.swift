import CKernels

extension Tensor {
    /// -log softmax(self)[target], for each row of logits [..., classes] and target [...] (integers). Rows whose
    /// target is negative have loss 0 and no gradient.
    ///
    /// - Precondition: targets are below the number of classes.
    public func crossEntropy(targets: Tensor) -> Tensor {
        precondition(targets.shape == Array(shape.dropLast()), "targets of shape \(targets.shape) for \(shape)")
        let classes = shape[rank - 1]
        let integers = targets.detached().converted(to: .i64).contiguous()
        integers.withElements(Int.self) { all in
            precondition(all.allSatisfy { $0 < classes }, "a target is not below \(classes)")
        }
        return .fused(CrossEntropy(targets: integers), [self])
    }
}

struct CrossEntropy: FusedOperation {
    /// i64, contiguous.
    var targets: Tensor

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        let x = inputs[0]
        guard x.dataType == .f32 else { return composition([x.detached()]) }
        let source = x.contiguous()
        let result = Tensor(uninitialized: targets.shape)
        withExtendedLifetime((source, targets)) {
            coppice_cross_entropy(
                targets.count, x.shape[x.rank - 1], source.pointer(), targets.pointer(), result.pointer())
        }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        let x = inputs[0]
        let (counted, index) = Self.split(targets, type: x.dataType)
        let chosen = x.takeAlong(index.expanded(at: -1), axis: -1).squeezed(-1)
        return (x.logSumExp(axis: -1) - chosen) * counted
    }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        [.fused(Gradient(targets: targets), [inputs[0], seed])]
    }

    /// 1 where a target counts, else 0; and targets with 0 where they do not count.
    private static func split(_ targets: Tensor, type: DataType) -> (counted: Tensor, index: Tensor) {
        let ignored = targets.isLess(than: 0)
        return (1 - ignored.converted(to: type), Tensor.maximum(targets, Tensor(0, dataType: .i64)))
    }

    /// Inputs: logits, gradient by the loss of each row.
    struct Gradient: FusedOperation {
        var targets: Tensor

        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs.allSatisfy({ $0.dataType == .f32 }) else { return composition(inputs.map { $0.detached() }) }
            let (x, g) = (inputs[0].contiguous(), inputs[1].contiguous())
            let result = Tensor(uninitialized: x.shape)
            withExtendedLifetime((x, g, targets)) {
                coppice_cross_entropy_gradient(
                    targets.count, x.shape[x.rank - 1], x.pointer(), targets.pointer(), g.pointer(), result.pointer())
            }
            return result
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            let x = inputs[0]
            let (counted, index) = CrossEntropy.split(targets, type: x.dataType)
            let hot = Tensor.oneHot(index, depth: x.shape[x.rank - 1], dataType: x.dataType)
            return (x.softmax() - hot) * (inputs[1] * counted).expanded(at: -1)
        }
    }
}
