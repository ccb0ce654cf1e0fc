import CKernels

extension CPUBackend {
    func unary(_ operation: UnaryOperation, _ x: Tensor) -> Tensor {
        let (element, type) = x.dataType.computed
        let source = convert(x, to: type)
        let (result, walk) = elementwise([source], x.shape, type)
        var space = walk
        withExtendedLifetime(source) {
            coppice_apply_unary(operation.kernel, element, &space, source.basePointer, result.basePointer)
        }
        return convert(result, to: x.dataType)
    }

    func binary(_ operation: BinaryOperation, _ a: Tensor, _ b: Tensor) -> Tensor {
        let (element, type) = a.dataType.computed
        let (x, y) = (convert(a, to: type), convert(b, to: type))
        let shape = Tensor.broadcastShape(a.shape, b.shape)
        let (result, walk) = elementwise([x, y], shape, type)
        var space = walk
        withExtendedLifetime((x, y)) {
            coppice_apply_binary(
                operation.kernel, element, &space, x.basePointer, y.basePointer, result.basePointer)
        }
        return convert(result, to: a.dataType)
    }

    func compare(_ comparison: Comparison, _ a: Tensor, _ b: Tensor) -> Tensor {
        let (element, type) = a.dataType.computed
        let (x, y) = (convert(a, to: type), convert(b, to: type))
        let shape = Tensor.broadcastShape(a.shape, b.shape)
        let (result, walk) = elementwise([x, y], shape, .bool)
        var space = walk
        withExtendedLifetime((x, y)) {
            coppice_apply_comparison(
                comparison.kernel, element, &space, x.basePointer, y.basePointer, result.pointer())
        }
        return result
    }

    func select(_ condition: Tensor, _ a: Tensor, _ b: Tensor) -> Tensor {
        let (element, type) = a.dataType.computed
        let (x, y) = (convert(a, to: type), convert(b, to: type))
        let shape = Tensor.broadcastShape(condition.shape, Tensor.broadcastShape(a.shape, b.shape))
        let (result, walk) = elementwise([condition, x, y], shape, type)
        var space = walk
        withExtendedLifetime((condition, x, y)) {
            coppice_apply_select(
                element, &space, condition.pointer(), x.basePointer, y.basePointer, result.basePointer)
        }
        return convert(result, to: a.dataType)
    }

    /// The result of an elementwise operation and the space to walk: a flat one where all operands are images with
    /// channels last, as the result then is. So it is where some hold one number for each channel of each image.
    private func elementwise(
        _ operands: [Tensor], _ shape: [Int], _ type: DataType
    ) -> (result: Tensor, space: coppice_space) {
        if let layout = Tensor.commonLayout(operands, shape: shape) {
            let space = iterationSpace([shape.reduce(1, *)], operands.map { [$0.count == 1 ? 0 : 1] })
            return (Tensor(uninitialized: shape, dataType: type, strides: layout), space)
        }
        let strides = operands.map { $0.strides(broadcastTo: shape) }
        if let layout = Tensor.commonLayoutOfImages(operands, shape: shape) {
            let order = [0, 2, 3, 1]
            let space = iterationSpace(order.map { shape[$0] }, strides.map { own in order.map { own[$0] } })
            return (Tensor(uninitialized: shape, dataType: type, strides: layout), space)
        }
        let space = iterationSpace(shape, strides)
        return (Tensor(uninitialized: shape, dataType: type), space)
    }

    func convert(_ x: Tensor, to type: DataType) -> Tensor {
        if x.dataType == type { return x }
        let source = x.isChannelsLast ? x : contiguous(x)
        let result = Tensor(uninitialized: x.shape, dataType: type, strides: source.strides)
        withExtendedLifetime(source) {
            coppice_convert(
                x.dataType.kernelType, type.kernelType, x.count, source.basePointer, result.basePointer)
        }
        return result
    }
}

extension UnaryOperation {
    fileprivate var kernel: coppice_unary {
        switch self {
        case .negate: COPPICE_NEGATE
        case .absolute: COPPICE_ABSOLUTE
        case .sign: COPPICE_SIGN
        case .square: COPPICE_SQUARE
        case .exp: COPPICE_EXP
        case .log: COPPICE_LOG
        case .squareRoot: COPPICE_SQRT
        case .reciprocalSquareRoot: COPPICE_RSQRT
        case .reciprocal: COPPICE_RECIPROCAL
        case .tanh: COPPICE_TANH
        case .sigmoid: COPPICE_SIGMOID
        case .sin: COPPICE_SIN
        case .cos: COPPICE_COS
        case .errorFunction: COPPICE_ERF
        case .floor: COPPICE_FLOOR
        case .ceiling: COPPICE_CEIL
        case .round: COPPICE_ROUND
        }
    }
}

extension BinaryOperation {
    fileprivate var kernel: coppice_binary {
        switch self {
        case .add: COPPICE_ADD
        case .subtract: COPPICE_SUBTRACT
        case .multiply: COPPICE_MULTIPLY
        case .divide: COPPICE_DIVIDE
        case .maximum: COPPICE_MAXIMUM
        case .minimum: COPPICE_MINIMUM
        case .power: COPPICE_POWER
        }
    }
}

extension Comparison {
    fileprivate var kernel: coppice_comparison {
        switch self {
        case .equal: COPPICE_EQUAL
        case .less: COPPICE_LESS
        case .lessOrEqual: COPPICE_LESS_OR_EQUAL
        }
    }
}
