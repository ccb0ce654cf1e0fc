/// Walks what was recorded, from the inputs to the output, and applies ``CouplingRules`` to each operation.
struct StructureTracer {
    /// What is known of one tensor.
    struct Value {
        var axes: [AxisMarks]
        /// Whether it depends on data, not on inputs alone.
        var isData: Bool
    }

    /// A product whose axes are not resolved to classes yet.
    struct Product {
        var input: Int?
        var multiplier: Int
        var axes: [AxisMarks]
    }

    /// Which tensor is sliced along which axis.
    struct SliceKey: Hashable {
        var node: ObjectIdentifier
        var axis: Int
    }

    /// All partial slices of one axis.
    struct Slices {
        var marks: [AxisMark]
        var parts: Set<AxisSlice>
    }

    var classes = AxisClasses()
    /// Of the elements that are positions of inputs, which are the first ones.
    private var places: [AxisCoupling.Place] = []
    /// Elements of inputs that a product with data sums over.
    var contracted: Set<Int> = []
    var products: [Product] = []
    var slices: [SliceKey: Slices] = [:]
    private var values: [ObjectIdentifier: Value] = [:]
    /// Keeps nodes alive whose identity is a key.
    private var kept: [Node] = []
    private var used: Set<ObjectIdentifier> = []
    private var inputNodes: [(node: ObjectIdentifier, elements: [Int])] = []
    /// The number of the input that a node is, or stands for.
    private var inputNumbers: [ObjectIdentifier: Int] = [:]

    mutating func addInput(_ tensor: Tensor, index: Int) {
        precondition(tensor.node?.primitive == nil && tensor.isTracked, "an input that is not tracked")
        var elements: [Int] = []
        let axes = tensor.shape.enumerated().map { axis, extent in
            guard extent > 1 else { return AxisMarks([]) }
            let own = classes.make(extent)
            precondition(own.lowerBound == places.count, "inputs come first")
            places += (0..<extent).map { .init(input: index, axis: axis, position: $0, isContracted: false) }
            elements += own
            return AxisMarks([own.map { .element($0) }])
        }
        set(tensor, Value(axes: axes, isData: false))
        guard let node = tensor.node else { return }
        inputNodes.append((ObjectIdentifier(node), elements))
        inputNumbers[ObjectIdentifier(node)] = index
    }

    mutating func addData(_ tensor: Tensor) {
        set(tensor, Value(axes: tensor.shape.map { .uniform(.fixed, $0) }, isData: true))
    }

    private mutating func set(_ tensor: Tensor, _ value: Value) {
        guard let node = tensor.node else { return }
        kept.append(node)
        values[ObjectIdentifier(node)] = value
    }

    /// Applies the rules to everything between what is known and a tensor.
    mutating func walk(to output: Tensor) {
        guard let root = output.node else { return }
        var reached: Set<ObjectIdentifier> = []
        var nodes: [Node] = []
        var pending = [root]
        while let node = pending.popLast() {
            let identity = ObjectIdentifier(node)
            guard reached.insert(identity).inserted else { continue }
            used.insert(identity)
            guard values[identity] == nil else { continue }
            nodes.append(node)
            pending += node.inputs.compactMap(\.node)
        }
        for node in nodes.sorted(by: { $0.number < $1.number }) {
            kept.append(node)
            // A tracked tensor that nobody named is a table.
            values[ObjectIdentifier(node)] =
                node.primitive.map { CouplingRules.value(of: $0, node, in: &self) }
                ?? Value(axes: node.output.shape.map { .uniform(.fixed, $0) }, isData: false)
        }
    }

    /// What is known of an operand.
    func value(_ tensor: Tensor) -> Value? { tensor.node.flatMap { values[ObjectIdentifier($0)] } }

    /// The input whose elements a tensor holds, in whatever order and shape.
    func number(ofInputBehind tensor: Tensor) -> Int? {
        var next = tensor.node
        while let node = next {
            if let index = inputNumbers[ObjectIdentifier(node)] { return index }
            switch node.primitive {
            case .permute, .reshape, .broadcast, .convert: next = node.inputs[0].node
            default: return nil
            }
        }
        return nil
    }

    /// The value of a function of known values, by running it on them.
    mutating func value(of function: ([Tensor]) -> Tensor, _ operands: [Tensor]) -> Value {
        let aliases = operands.map { input in
            guard let own = value(input) else { return input }
            let alias = input.tracked()
            set(alias, own)
            if let node = alias.node { inputNumbers[ObjectIdentifier(node)] = number(ofInputBehind: input) }
            return alias
        }
        let output = Recording.$isEnabled.withValue(true) { function(aliases) }
        walk(to: output)
        return value(output) ?? Value(axes: output.shape.map { .uniform(.fixed, $0) }, isData: false)
    }

    // MARK: The end

    /// Keeps the output's positions, couples the parts of slices, and keeps inputs that nothing reads.
    mutating func finish(_ output: Tensor) {
        for axis in value(output)?.axes ?? [] {
            for element in axis.elements { classes.fix(element, .given) }
        }
        for slice in slices.values { coupleParts(of: slice) }
        for (node, elements) in inputNodes where !used.contains(node) {
            for element in elements { classes.fix(element, .given) }
        }
    }

    /// Equal parts that make up an axis stay equal: what is removed from one is removed from all. Others stay.
    private mutating func coupleParts(of slices: Slices) {
        let parts = slices.parts.sorted { $0.start < $1.start }
        let size = parts.first?.count ?? 0
        let areEqual = parts.enumerated().allSatisfy { $1.step == 1 && $1.count == size && $1.start == $0 * size }
        guard areEqual, parts.count * size == slices.marks.count else {
            for case .element(let element) in slices.marks {
                classes.fix(element, .unsupported("a slice takes a part of these channels"))
            }
            return
        }
        for position in 0..<size {
            let column = parts.compactMap { slices.marks[$0.start + position].element }
            for other in column.dropFirst() { classes.join(column[0], other) }
            // A part that stays holds the others.
            if column.count < parts.count, let first = column.first { classes.fix(first, .given) }
        }
    }

    /// - Returns: classes and what is unsupported in the order of their first places; products by class.
    mutating func results() -> (
        classes: [[AxisCoupling.Place]], unsupported: [AxisCoupling.Unsupported], products: [ProductSize]
    ) {
        var order: [Int: Int] = [:]
        var found: [[AxisCoupling.Place]] = []
        var refused: [Int: AxisCoupling.Unsupported] = [:]
        for (element, var place) in places.enumerated() {
            place.isContracted = contracted.contains(element)
            let root = classes.root(element)
            switch classes.reason(root) {
            case nil:
                if let index = order[root] {
                    found[index].append(place)
                } else {
                    order[root] = found.count
                    found.append([place])
                }
            case .unsupported(let reason):
                if refused[root] == nil { refused[root] = .init(place: place, reason: reason) }
            case .given: continue
            }
        }
        var sizes: [ProductSize] = []
        for product in products {
            var size = ProductSize(input: product.input, multiplier: product.multiplier, axes: [])
            for axis in product.axes {
                guard axis.hasElements, let marks = axis.positions else {
                    size.multiplier *= axis.extent
                    continue
                }
                size.axes.append(marks.map { mark in mark.element.flatMap { order[classes.root($0)] } })
            }
            sizes.append(size)
        }
        let unsupported = refused.values.sorted {
            ($0.place.input, $0.place.axis, $0.place.position) < ($1.place.input, $1.place.axis, $1.place.position)
        }
        return (found, unsupported, sizes)
    }
}
