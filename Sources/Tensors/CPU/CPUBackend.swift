import CKernels

/// Evaluates primitives on the processor: C kernels for what moves and maps elements, oneDNN and OpenBLAS for matrix
/// products. Threaded; results do not depend on the number of threads.
struct CPUBackend: Backend {
    static let shared = CPUBackend()

    func evaluate(_ primitive: Primitive, _ inputs: [Tensor]) -> Tensor {
        switch primitive {
        case .unary(let operation): unary(operation, inputs[0])
        case .binary(let operation): binary(operation, inputs[0], inputs[1])
        case .comparison(let comparison): compare(comparison, inputs[0], inputs[1])
        case .select: select(inputs[0], inputs[1], inputs[2])
        case .convert(let type): convert(inputs[0], to: type)
        case .reduce(let reduction, let axes): reduce(reduction, inputs[0], axes: axes)
        case .cumulativeSum(let axis, let reverse): cumulativeSum(inputs[0], axis: axis, reverse: reverse)
        case .matmul(let precision): matmul(inputs[0], inputs[1], precision: precision)
        case .permute(let order): permute(inputs[0], order)
        case .reshape(let shape): reshape(inputs[0], shape)
        case .broadcast(let shape): broadcast(inputs[0], to: shape)
        case .slice(let slices): slice(inputs[0], slices)
        case .place(let slices, let shape): place(inputs[0], slices, in: shape)
        case .concatenate(let axis): concatenate(inputs, axis: axis)
        case .take(let axis): take(inputs[0], inputs[1], axis: axis)
        case .addAt(let axis, let extent): addAt(inputs[0], inputs[1], axis: axis, extent: extent)
        case .takeAlong(let axis): takeAlong(inputs[0], inputs[1], axis: axis)
        case .addAlong(let axis, let extent): addAlong(inputs[0], inputs[1], axis: axis, extent: extent)
        case .convolution(let problem, let operation): problem.compute(operation, inputs[0], inputs[1])
        case .sumPool(let pooling, let adjoint): pooling.evaluate(inputs[0], adjoint: adjoint)
        case .fused(let operation): operation.evaluate(inputs)
        }
    }
}

extension DataType {
    /// The kernels' name of the type that elements are computed in.
    var computed: (element: coppice_element, type: DataType) {
        switch self {
        case .f32, .bf16, .f16: (COPPICE_F32, .f32)
        case .f64: (COPPICE_F64, .f64)
        case .i8, .u8, .i32, .bool: (COPPICE_I32, .i32)
        case .i64: (COPPICE_I64, .i64)
        }
    }
}

/// The iteration space of up to three operands, with neighbouring dimensions joined where all operands allow it.
func iterationSpace(_ shape: [Int], _ strides: [[Int]]) -> coppice_space {
    var extents: [Int] = []
    var steps: [[Int]] = []  // by dimension, then by operand
    for axis in shape.indices where shape[axis] != 1 {
        let own = strides.map { $0[axis] }
        if let extent = extents.last, let outer = steps.last,
            zip(outer, own).allSatisfy({ $0 == $1 * shape[axis] })
        {
            extents[extents.count - 1] = extent * shape[axis]
            steps[steps.count - 1] = own
        } else {
            extents.append(shape[axis])
            steps.append(own)
        }
    }
    if extents.isEmpty {
        extents = [shape.contains(0) ? 0 : 1]
        steps = [strides.map { _ in 1 }]
    }
    precondition(extents.count <= Int(COPPICE_MAXIMUM_RANK), "more than \(COPPICE_MAXIMUM_RANK) dimensions")
    var space = coppice_space()
    space.rank = Int32(extents.count)
    withUnsafeMutableBytes(of: &space.shape) { bytes in
        let target = bytes.bindMemory(to: Int.self)
        for (axis, extent) in extents.enumerated() { target[axis] = extent }
    }
    withUnsafeMutableBytes(of: &space.strides) { bytes in
        let target = bytes.bindMemory(to: Int.self)
        for (axis, own) in steps.enumerated() {
            for (operand, step) in own.enumerated() { target[operand * Int(COPPICE_MAXIMUM_RANK) + axis] = step }
        }
    }
    return space
}

extension Tensor {
    /// Strides as seen in a broadcast to `shape`: 0 along repeated dimensions.
    func strides(broadcastTo shape: [Int]) -> [Int] {
        let missing = shape.count - rank
        return shape.indices.map { axis in
            axis < missing || self.shape[axis - missing] == 1 && shape[axis] != 1 ? 0 : strides[axis - missing]
        }
    }

    /// The first element, for reading or (of a new tensor) writing.
    func pointer<Element>(_ type: Element.Type = Element.self) -> UnsafeMutablePointer<Element> {
        basePointer.assumingMemoryBound(to: Element.self)
    }

    /// Extents before, along and after an axis.
    func extents(around axis: Int) -> (outer: Int, middle: Int, inner: Int) {
        (shape[..<axis].reduce(1, *), shape[axis], shape[(axis + 1)...].reduce(1, *))
    }
}
