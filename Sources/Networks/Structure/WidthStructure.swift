/// How the shapes of a network's parameters, and what it costs to compute with them, follow from widths that can be
/// chosen.
///
/// A width stands for all layers that are tied to it: what a shortcut adds, what filters channels one by one, what
/// normalizes or reads them. ``TracedStructure`` finds the widths of any network from its forward pass; an architecture
/// knows its own.
public protocol WidthStructure: Sendable, CustomStringConvertible {
    /// A network with other widths, or what makes one.
    associatedtype Resized: Sendable

    /// Names of the widths, in the order of the network.
    var names: [String] { get }
    /// The network's own widths.
    var widths: [Int] { get }
    /// Parameters, then state, in the network's order.
    var entries: [StructuredEntry] { get }
    /// Pairs of widths of which the second must be at least the first.
    var ascents: [(lower: Int, upper: Int)] { get }

    /// - Precondition: as many widths as there are.
    /// - Throws: `.badData` for widths that are impossible.
    func resized(_ widths: [Int]) throws -> Resized
}

/// A parameter or a state tensor whose shape follows from widths.
public struct StructuredEntry: Sendable, Hashable {
    public var name: String
    public var axes: [ChannelExtent]
    /// Whether it is trained.
    public var isTrainable: Bool
    /// How often each element is multiplied for one input: output pixels of a convolution, 1 in a linear layer, 0 in
    /// what is neither.
    public var uses: Int

    public init(name: String, axes: [ChannelExtent], isTrainable: Bool, uses: Int) {
        self.name = name
        self.axes = axes
        self.isTrainable = isTrainable
        self.uses = uses
    }

    /// Whether it is the weight of a convolution or a linear layer.
    public var isWeight: Bool { uses > 0 }

    /// Elements in a network of some widths.
    public func count(_ widths: [Int]) -> Int { axes.reduce(1) { $0 * $1(widths) } }
}

extension WidthStructure {
    /// Numbers that are trained, in a network of some widths. O(parameters).
    public func parameterCount(_ widths: [Int]) -> Int {
        entries.reduce(0) { $0 + ($1.isTrainable ? $1.count(widths) : 0) }
    }

    /// Multiplications with weights of convolutions and linear layers for one input (MACs), in a network of some
    /// widths.
    public func multiplications(_ widths: [Int]) -> Int {
        entries.reduce(0) { $0 + $1.uses * $1.count(widths) }
    }

    /// What a network of some widths takes to store and to run.
    public func cost(_ widths: [Int]) -> NetworkCost {
        NetworkCost(parameters: parameterCount(widths), multiplyAccumulates: multiplications(widths))
    }
}
