/// Which positions of an operation's operands and result belong together, for every primitive.
enum CouplingRules {
    typealias Value = StructureTracer.Value

    /// The result's marks, after joining what the operation joins.
    static func value(of primitive: Primitive, _ node: Node, in tracer: inout StructureTracer) -> Value {
        let (inputs, shape) = (node.inputs, node.output.shape)
        switch primitive {
        case .unary, .convert: return tracer.operand(inputs[0])
        case .binary, .comparison, .select: return tracer.elementwise(inputs, shape: shape)
        case .reduce(let reduction, let axes):
            return tracer.replacing(axes, of: inputs[0], by: shape, "a \(reduction) over these channels")
        case .cumulativeSum(let axis, _):
            return tracer.replacing([axis], of: inputs[0], by: shape, "a cumulative sum over these channels")
        case .matmul: return tracer.product(inputs[0], inputs[1], shape: shape)
        case .permute(let order):
            let own = tracer.operand(inputs[0])
            return Value(axes: order.map { own.axes[$0] }, isData: own.isData)
        case .reshape: return tracer.reshape(inputs[0], to: shape)
        case .broadcast: return tracer.broadcast(inputs[0], to: shape)
        case .slice(let slices): return tracer.slice(inputs[0], slices)
        case .place(let slices, _): return tracer.place(inputs[0], slices, in: shape)
        case .concatenate(let axis): return tracer.concatenate(inputs, axis: axis, shape: shape)
        case .take(let axis):
            // The entries of a table stay: indices choose them.
            var own = tracer.replacing([axis], of: inputs[0], by: shape, nil)
            own.isData = true
            return own
        case .addAt(let axis, _):
            return tracer.replacing([axis], of: inputs[0], by: shape, "sums to places among these channels")
        case .takeAlong(let axis), .addAlong(let axis, _):
            return tracer.replacing([axis], of: inputs[0], by: shape, "a choice along these channels")
        case .convolution(let problem, let operation):
            return tracer.convolution(problem, operation, inputs, shape: shape)
        case .sumPool:
            let rank = shape.count
            return tracer.replacing([rank - 2, rank - 1], of: inputs[0], by: shape, "pooling over these channels")
        case .fused(let operation) where operation is LayerNormalization:
            return tracer.normalizedAlongLast(inputs, shape: shape)
        case .fused(let operation): return tracer.value(of: operation.composition, inputs)
        }
    }
}

// MARK: - Elements that meet

extension StructureTracer {
    /// What is known of an operand; of a constant, which axes it only repeats.
    func operand(_ tensor: Tensor) -> Value {
        value(tensor) ?? Value(axes: Self.constantAxes(tensor), isData: false)
    }

    /// Axes along which a constant's values are all the same are free, others are a table's.
    private static func constantAxes(_ tensor: Tensor) -> [AxisMarks] {
        tensor.shape.enumerated().map { axis, extent in
            guard extent > 1, tensor.strides[axis] != 0 else { return .uniform(.free, extent) }
            let equal = withoutRecording { tensor.equals(tensor.slice(axis: axis, 0..<1)).sum().integers()[0] }
            return .uniform(equal == tensor.count ? .free : .fixed, extent)
        }
    }

    /// Joins marks at the same position.
    private mutating func meet(_ a: AxisMark, _ b: AxisMark) -> AxisMark {
        switch (a, b) {
        case (.element(let x), .element(let y)): classes.join(x, y)
        case (.element(let x), .fixed), (.fixed, .element(let x)): classes.fix(x, .given)
        default: break
        }
        if a.element != nil { return a }
        if b.element != nil { return b }
        return a == .fixed || b == .fixed ? .fixed : .free
    }

    /// Joins two axes position by position.
    mutating func meet(_ a: AxisMarks, _ b: AxisMarks) -> AxisMarks {
        if a.factors.map(\.count) == b.factors.map(\.count) {
            return AxisMarks(zip(a.factors, b.factors).map { pair in zip(pair.0, pair.1).map { meet($0, $1) } })
        }
        guard let x = a.positions, let y = b.positions else {
            refuse(a, "two kinds of channels on one axis")
            refuse(b, "two kinds of channels on one axis")
            return .uniform(.fixed, a.extent)
        }
        let joined = zip(x, y).map { meet($0, $1) }
        // The finer structure, as long as it says as much.
        for finer in [a, b].sorted(by: { $0.factors.count > $1.factors.count }) where !finer.isFree {
            if finer.positions?.contains(.free) == false { return finer }
        }
        return AxisMarks([joined])
    }

    /// Keeps the channels of an axis, since an operation reads them in a way that has no rule.
    mutating func refuse(_ axis: AxisMarks, _ reason: String) {
        for element in axis.elements { classes.fix(element, .unsupported(reason)) }
    }

    /// The operand with other extents along some axes, whose positions stay.
    ///
    /// - Parameter reason: why channels there are not supported; nil where they are known to stay.
    mutating func replacing(_ axes: [Int], of tensor: Tensor, by shape: [Int], _ reason: String?) -> Value {
        var own = operand(tensor)
        for axis in axes {
            for element in own.axes[axis].elements {
                classes.fix(element, reason.map { .unsupported($0) } ?? .given)
            }
            own.axes[axis] = .uniform(.fixed, shape[axis])
        }
        return own
    }
}

// MARK: - Rules

extension StructureTracer {
    mutating func elementwise(_ inputs: [Tensor], shape: [Int]) -> Value {
        let isBatch = { (tensor: Tensor) in tensor.shape == shape && shape.count > 1 && shape[0] > 1 }
        let hasData = inputs.contains { self.value($0)?.isData == true && isBatch($0) }
        var result = Value(axes: shape.map { .uniform(.free, $0) }, isData: false)
        for input in inputs {
            var own = operand(input)
            let hasExamples =
                input.shape.count == shape.count && shape[0] > 1 && input.shape[0] == shape[0]
                && zip(input.shape, shape).allSatisfy { $0 == 1 || $0 == $1 }
            if hasData, value(input) == nil, hasExamples, !own.axes[0].isFree {
                // It differs from example to example, so it was computed from data, of whatever extents they are: noise, or
                // the largest scores that a softmax subtracts.
                own.axes = input.shape.map { .uniform(.free, $0) }
            }
            result.isData = result.isData || own.isData
            let missing = shape.count - own.axes.count
            for (axis, marks) in own.axes.enumerated() where marks.extent == shape[axis + missing] {
                result.axes[axis + missing] = meet(marks, result.axes[axis + missing])
            }
        }
        return result
    }

    mutating func product(_ first: Tensor, _ second: Tensor, shape: [Int]) -> Value {
        let (a, b) = (operand(first), operand(second))
        let sums = contract(a, a.axes[a.axes.count - 1], b, b.axes[b.axes.count - 2])
        let outer = [
            Value(axes: Array(a.axes.dropLast(2)), isData: a.isData),
            Value(axes: Array(b.axes.dropLast(2)), isData: b.isData),
        ]
        var axes = shape.dropLast(2).map { AxisMarks.uniform(.free, $0) }
        for own in outer {
            let missing = axes.count - own.axes.count
            for (axis, marks) in own.axes.enumerated() where marks.extent == axes[axis + missing].extent {
                axes[axis + missing] = meet(marks, axes[axis + missing])
            }
        }
        axes += [a.axes[a.axes.count - 2], b.axes[b.axes.count - 1]]
        if a.isData || b.isData {
            let input = number(ofInputBehind: a.isData ? second : first)
            products.append(Product(input: input, multiplier: 1, axes: axes + [sums]))
        }
        return Value(axes: axes, isData: a.isData || b.isData)
    }

    /// What normalizes along an axis computes something else with fewer positions, even where those were zero: they stay.
    mutating func normalizedAlongLast(_ inputs: [Tensor], shape: [Int]) -> Value {
        let last = shape.count - 1
        for vector in inputs.dropFirst() {
            for element in operand(vector).axes[0].elements { classes.fix(element, .given) }
        }
        return replacing([last], of: inputs[0], by: shape, nil)
    }

    /// Joins the positions that are summed over; those of parameters read channels.
    private mutating func contract(_ a: Value, _ x: AxisMarks, _ b: Value, _ y: AxisMarks) -> AxisMarks {
        if a.isData != b.isData { contracted.formUnion((a.isData ? y : x).elements) }
        return meet(x, y)
    }

    mutating func convolution(
        _ problem: ConvolutionProblem, _ operation: ConvolutionProblem.Operation, _ inputs: [Tensor], shape: [Int]
    ) -> Value {
        let (first, second) = (operand(inputs[0]), operand(inputs[1]))
        let isData = first.isData || second.isData
        guard operation != .weightGradient else {
            for axis in first.axes + second.axes { refuse(axis, "the gradient of a convolution's weight") }
            return Value(axes: shape.map { .uniform(.fixed, $0) }, isData: isData)
        }
        let (images, weight) = operation == .forward ? (first, second) : (second, first)
        for axis in weight.axes[2...] { for element in axis.elements { classes.fix(element, .given) } }
        for axis in images.axes[2...] { refuse(axis, "a convolution over these channels") }
        let plane = problem.outputPlane * problem.kernelPlane
        products.append(
            Product(
                input: number(ofInputBehind: inputs[operation == .forward ? 1 : 0]), multiplier: problem.images * plane,
                axes: [weight.axes[0], weight.axes[1]]))
        let channels: AxisMarks
        switch (operation, problem.groups) {
        case (.forward, 1):
            _ = contract(images, images.axes[1], weight, weight.axes[1])
            channels = weight.axes[0]
        case (_, 1):
            _ = contract(images, images.axes[1], weight, weight.axes[0])
            channels = weight.axes[1]
        case (.forward, _):
            channels = grouped(problem, images, weight)
        default:
            for axis in [images.axes[1], weight.axes[0], weight.axes[1]] {
                refuse(axis, "a transposed convolution in groups")
            }
            channels = .uniform(.fixed, shape[1])
        }
        return Value(
            axes: [images.axes[0], channels] + shape.dropFirst(2).map { .uniform(.fixed, $0) }, isData: isData)
    }

    /// Convolutions in groups: of one channel each, the group goes with its channel; of more, all groups lose the same.
    private mutating func grouped(_ problem: ConvolutionProblem, _ images: Value, _ weight: Value) -> AxisMarks {
        guard let seen = images.axes[1].positions, let made = weight.axes[0].positions,
            let read = weight.axes[1].positions
        else {
            for axis in [images.axes[1], weight.axes[0]] { refuse(axis, "a convolution in groups") }
            return .uniform(.fixed, problem.groups * problem.outputs)
        }
        if problem.inputs == 1 {
            for (position, mark) in made.enumerated() { _ = meet(mark, seen[position / problem.outputs]) }
        } else {
            contracted.formUnion(weight.axes[1].elements)
            for group in 0..<problem.groups {
                for (position, mark) in read.enumerated() { _ = meet(mark, seen[group * problem.inputs + position]) }
                for position in 0..<problem.outputs {
                    _ = meet(made[position], made[group * problem.outputs + position])
                }
            }
        }
        return weight.axes[0]
    }

    mutating func broadcast(_ tensor: Tensor, to shape: [Int]) -> Value {
        let own = operand(tensor)
        let missing = shape.count - own.axes.count
        let axes = shape.enumerated().map { axis, extent in
            axis >= missing && own.axes[axis - missing].extent == extent
                ? own.axes[axis - missing] : AxisMarks.uniform(.free, extent)
        }
        return Value(axes: axes, isData: own.isData)
    }

    /// Factors pass to the axes that they become. Where one is cut, its outer part carries the channels in whole blocks.
    mutating func reshape(_ tensor: Tensor, to shape: [Int]) -> Value {
        let own = operand(tensor)
        var rest = Array(own.axes.flatMap(\.factors).reversed())
        var axes: [AxisMarks] = []
        for extent in shape {
            var factors: [[AxisMark]] = []
            var missing = extent
            while missing > 1, let factor = rest.popLast() {
                if missing % factor.count == 0 {
                    factors.append(factor)
                    missing /= factor.count
                } else if factor.count % missing == 0 {
                    let (outer, inner) = cut(factor, missing)
                    factors.append(outer)
                    rest.append(inner)
                    missing = 1
                } else {
                    for axis in own.axes { refuse(axis, "a reshape of \(tensor.shape) to \(shape)") }
                    return Value(axes: shape.map { .uniform(.fixed, $0) }, isData: own.isData)
                }
            }
            axes.append(missing == 1 ? AxisMarks(factors) : .uniform(.fixed, extent))
        }
        return Value(axes: axes, isData: own.isData)
    }

    /// - Returns: marks of `blocks` parts, and those within a part.
    private mutating func cut(_ marks: [AxisMark], _ blocks: Int) -> (outer: [AxisMark], inner: [AxisMark]) {
        let size = marks.count / blocks
        let outer = (0..<blocks).map { block in
            marks[(block * size + 1)..<((block + 1) * size)].reduce(marks[block * size]) { meet($0, $1) }
        }
        let isFree = marks.allSatisfy { $0 == .free }
        return (outer, [AxisMark](repeating: isFree ? .free : .fixed, count: size))
    }

    mutating func slice(_ tensor: Tensor, _ parts: [AxisSlice]) -> Value {
        var own = operand(tensor)
        for (axis, part) in parts.enumerated() where part != AxisSlice(0..<tensor.shape[axis]) {
            let marks = own.axes[axis]
            guard marks.hasElements else {
                own.axes[axis] = .uniform(marks.isFree ? .free : .fixed, part.count)
                continue
            }
            guard let positions = marks.positions, let node = tensor.node else {
                refuse(marks, "a slice of these channels")
                own.axes[axis] = .uniform(.fixed, part.count)
                continue
            }
            let key = SliceKey(node: ObjectIdentifier(node), axis: axis)
            slices[key, default: Slices(marks: positions, parts: [])].parts.insert(part)
            own.axes[axis] = AxisMarks([(0..<part.count).map { positions[part.start + $0 * part.step] }])
        }
        return own
    }

    /// Zeros around channels are channels too, of which as many go before as after.
    mutating func place(_ tensor: Tensor, _ parts: [AxisSlice], in shape: [Int]) -> Value {
        var own = operand(tensor)
        for (axis, part) in parts.enumerated() where part != AxisSlice(0..<shape[axis]) {
            let (marks, extent) = (own.axes[axis], shape[axis])
            guard marks.hasElements, let positions = marks.positions, part.step == 1 else {
                refuse(marks, "a spread of these channels")
                own.axes[axis] = .uniform(.fixed, extent)
                continue
            }
            let after = extent - part.start - part.count
            let zeros = Array(classes.make(max(part.start, after)))
            let before = zeros.prefix(part.start), behind = zeros.prefix(after)
            if part.start > 0, after > 0 {
                for element in zeros[min(part.start, after)...] { classes.fix(element, .given) }
            }
            let all = before.map { AxisMark.element($0) } + positions + behind.map { AxisMark.element($0) }
            own.axes[axis] = AxisMarks([all])
        }
        return own
    }

    mutating func concatenate(_ inputs: [Tensor], axis: Int, shape: [Int]) -> Value {
        let values = inputs.map { operand($0) }
        var result = Value(axes: shape.map { .uniform(.free, $0) }, isData: values.contains { $0.isData })
        for own in values {
            for other in shape.indices where other != axis {
                result.axes[other] = meet(own.axes[other], result.axes[other])
            }
        }
        var marks: [AxisMark] = []
        for (own, input) in zip(values, inputs) {
            if let positions = own.axes[axis].positions, input.shape[axis] > 1 {
                marks += positions
            } else {
                refuse(own.axes[axis], "a concatenation along two kinds of channels")
                marks += [AxisMark](repeating: .fixed, count: input.shape[axis])
            }
        }
        result.axes[axis] = AxisMarks([marks])
        return result
    }
}
