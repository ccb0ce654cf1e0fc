/// Which positions along the axes of a computation's inputs belong together: the channels of a network, found from what
/// its forward pass did.
///
/// Every position along every axis of every input is an element. Each recorded operation says which of them meet: a
/// product joins the positions that it sums over, elementwise operations those that lie at the same place, and so on
/// through concatenations, slices, padding and reshapes. Elements that met are one class, which can only be removed as a
/// whole (the dependency graph of Fang et al., "DepGraph: towards any structural pruning", 2023, by propagating sets
/// through the operations instead of patterns of layers).
///
/// Sizes that the computation uses are taken to follow from its inputs' shapes, as where it is to run on smaller ones:
/// parts of a slice stay equal, zeros that are padded before and after stay equally many. Classes that meet data, the
/// output or a constant table stay.
public struct AxisCoupling: Sendable {
    /// One position along an axis of one of the inputs.
    public struct Place: Sendable, Hashable {
        public var input: Int
        public var axis: Int
        public var position: Int
        /// Whether a product of the data with this input sums over the position: whether it reads a channel, not makes
        /// one.
        public var isContracted: Bool
    }

    /// Positions that stay because of an operation whose coupling is not known.
    public struct Unsupported: Sendable, Hashable {
        public var place: Place
        public var reason: String
    }

    /// Positions that can be removed together, and only so, in the order of the inputs.
    public let classes: [[Place]]
    /// The first position of each class that stays for want of a rule.
    public let unsupported: [Unsupported]
    let products: [ProductSize]

    /// - Parameters:
    ///   - inputs: tracked tensors whose positions are asked for: parameters and state.
    ///   - data: tracked tensors whose positions stay; more than one example along the first axis.
    ///   - function: the computation, run once with recording.
    /// - Complexity: the computation, kept as a whole, and about O(1) for each position that an operation meets.
    public init(from inputs: [Tensor], data: [Tensor], of function: () -> Tensor) {
        let output = Recording.$isEnabled.withValue(true, operation: function)
        var tracer = StructureTracer()
        for (index, input) in inputs.enumerated() { tracer.addInput(input, index: index) }
        for tensor in data { tracer.addData(tensor) }
        tracer.walk(to: output)
        tracer.finish(output)
        (classes, unsupported, products) = tracer.results()
    }

    /// The multiplications of the data with each of the inputs itself, not with what was computed from it.
    public func products(ofInputs count: Int) -> [Int] {
        var counts = [Int](repeating: 0, count: count)
        for product in products {
            guard let input = product.input else { continue }
            counts[input] += product.axes.reduce(product.multiplier) { $0 * $1.count }
        }
        return counts
    }

    /// The multiplications of all products and convolutions of the data with something, where only some classes are
    /// kept.
    ///
    /// - Parameter isKept: whether a class of ``classes`` is kept.
    /// - Complexity: O(positions along the axes of all products).
    public func multiplyAccumulates(keeping isKept: (Int) -> Bool = { _ in true }) -> Int {
        products.reduce(0) { total, product in
            total
                + product.axes.reduce(product.multiplier) { size, axis in
                    size * axis.reduce(0) { $0 + ($1.map(isKept) ?? true ? 1 : 0) }
                }
        }
    }
}

/// The size of a product: a constant times the extents of axes.
struct ProductSize: Sendable {
    /// The input that data are multiplied with, as it is or with its elements in another order or shape.
    var input: Int?
    var multiplier: Int
    /// The class of each position; nil for one that stays.
    var axes: [[Int?]]
}
