/// The derivative of every primitive, written in primitives: so derivatives can be differentiated again.
enum DerivativeRules {
    /// The gradient by each input, given the gradient `seed` by the output; nil where none flows or none is asked.
    static func gradients(of primitive: Primitive, inputs: [Tensor], node: Node, seed g: Tensor) -> [Tensor?] {
        switch primitive {
        case .unary(let operation):
            return [unary(operation, inputs[0], y: output(of: node), g)]
        case .binary(let operation):
            return binary(operation, inputs[0], inputs[1], y: output(of: node), g)
        case .comparison:
            return inputs.map { _ in nil }
        case .select:
            let zero = Tensor.zeros([], dataType: g.dataType)
            return [
                nil,
                wanted(inputs[1]) { $0.summed(Tensor.select(inputs[0], g, zero)) },
                wanted(inputs[2]) { $0.summed(Tensor.select(inputs[0], zero, g)) },
            ]
        case .convert:
            return [g.converted(to: inputs[0].dataType)]
        case .reduce(.sum, _):
            return [g.broadcast(to: inputs[0].shape)]
        case .reduce(_, let axes):
            // Equal shares to all elements that attain the extreme value.
            let hits = inputs[0].equals(output(of: node)).converted(to: g.dataType)
            return [g * hits / hits.sum(axes: axes, keepingDimensions: true)]
        case .cumulativeSum(let axis, let reverse):
            return [Tensor.apply(.cumulativeSum(axis: axis, reverse: !reverse), [g])]
        case .matmul(let precision):
            let type = g.dataType
            return [
                wanted(inputs[0]) {
                    $0.summed(g.multiplied(by: inputs[1].transposed(), type, precision: precision))
                },
                wanted(inputs[1]) {
                    // Of a transposed weight the gradient is a transposed matrix, too: as it lies, it is the weight's.
                    $0.isTransposedMatrix && g.rank == 2
                        ? $0.summed(g.transposed().multiplied(by: inputs[0], type, precision: precision).transposed())
                        : $0.summed(inputs[0].transposed().multiplied(by: g, type, precision: precision))
                },
            ]
        case .permute(let order):
            var inverse = order
            for (to, from) in order.enumerated() { inverse[from] = to }
            return [g.permuted(inverse)]
        case .reshape:
            return [g.reshaped(inputs[0].shape)]
        case .broadcast:
            return [inputs[0].summed(g)]
        case .slice(let slices):
            return [Tensor.apply(.place(slices, shape: inputs[0].shape), [g])]
        case .place(let slices, _):
            return [Tensor.apply(.slice(slices), [g])]
        case .concatenate(let axis):
            var start = 0
            return inputs.map { input in
                defer { start += input.shape[axis] }
                return wanted(input) { g.slice(axis: axis, start..<(start + $0.shape[axis])) }
            }
        case .take(let axis):
            return [Tensor.apply(.addAt(axis: axis, extent: inputs[0].shape[axis]), [g, inputs[1]]), nil]
        case .addAt(let axis, _):
            return [Tensor.apply(.take(axis: axis), [g, inputs[1]]), nil]
        case .takeAlong(let axis):
            return [Tensor.apply(.addAlong(axis: axis, extent: inputs[0].shape[axis]), [g, inputs[1]]), nil]
        case .addAlong(let axis, _):
            return [Tensor.apply(.takeAlong(axis: axis), [g, inputs[1]]), nil]
        case .convolution(let problem, let operation):
            return problem.gradients(of: operation, inputs[0], inputs[1], seed: g)
        case .sumPool(let pooling, let adjoint):
            return [Tensor.apply(.sumPool(pooling, adjoint: !adjoint), [g])]
        case .fused(let operation):
            return operation.fastGradients(inputs: inputs, output: output(of: node), seed: g)
                ?? operation.composedGradients(inputs: inputs, seed: g)
        }
    }

    private static func unary(_ operation: UnaryOperation, _ x: Tensor, y: Tensor, _ g: Tensor) -> Tensor? {
        switch operation {
        case .negate: -g
        case .absolute: g * x.sign()
        case .sign, .floor, .ceiling, .round: nil
        case .square: g * x * 2
        case .exp: g * y
        case .log: g / x
        case .squareRoot: g / y * 0.5
        case .reciprocalSquareRoot: g * y * y.square() * -0.5
        case .reciprocal: -(g * y.square())
        case .tanh: g * (1 - y.square())
        case .sigmoid: g * y * (1 - y)
        case .sin: g * x.cos()
        case .cos: -(g * x.sin())
        case .errorFunction: g * (-x.square()).exp() * (2 / Double.pi.squareRoot())
        }
    }

    private static func binary(
        _ operation: BinaryOperation, _ a: Tensor, _ b: Tensor, y: Tensor, _ g: Tensor
    ) -> [Tensor?] {
        let (da, db): (() -> Tensor, () -> Tensor)
        switch operation {
        case .add: (da, db) = ({ g }, { g })
        case .subtract: (da, db) = ({ g }, { -g })
        case .multiply: (da, db) = ({ g * b }, { g * a })
        case .divide: (da, db) = ({ g / b }, { -(g * y / b) })
        case .power:
            // b a^(b - 1), and 0 for b = 0 even where a = 0; a^b ln a where a > 0: a power of zero does not change
            // with a positive exponent.
            da = {
                let isConstant = b.equals(Tensor.zeros([], dataType: b.dataType))
                return g * b * a.power(Tensor.select(isConstant, Tensor.ones([], dataType: b.dataType), b) - 1)
            }
            db = { g * y * Tensor.select(a.isGreater(than: 0), a, Tensor.ones([], dataType: a.dataType)).log() }
        case .maximum, .minimum:
            // Ties share equally.
            let half = Tensor(0.5, dataType: g.dataType)
            let share = { (first: Tensor, second: Tensor) -> Tensor in
                let ahead = operation == .maximum ? second.isLess(than: first) : first.isLess(than: second)
                return g * Tensor.select(first.equals(second), half, ahead.converted(to: g.dataType))
            }
            (da, db) = ({ share(a, b) }, { share(b, a) })
        }
        return [wanted(a) { $0.summed(da()) }, wanted(b) { $0.summed(db()) }]
    }

    /// What `gradient` gives, where the input is part of a recorded computation.
    private static func wanted(_ input: Tensor, _ gradient: (Tensor) -> Tensor) -> Tensor? {
        input.isTracked ? gradient(input) : nil
    }

    /// The result of a node as a tensor that can be differentiated again.
    private static func output(of node: Node) -> Tensor {
        var output = node.output
        output.node = node
        return output
    }
}

extension Tensor {
    /// Whether it is a matrix whose columns lie in memory one after the other.
    fileprivate var isTransposedMatrix: Bool { rank == 2 && !isContiguous && strides[0] == 1 }

    /// A gradient by a broadcast of this tensor, summed to its own shape and converted to its type.
    fileprivate func summed(_ gradient: Tensor) -> Tensor {
        gradient.sum(toShape: shape).converted(to: dataType)
    }
}
