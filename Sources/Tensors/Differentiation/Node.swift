import Synchronization

/// One recorded operation: what was applied to what.
///
/// Inputs keep their own nodes, so a node owns the part of the computation that leads to it. A leaf (a tracked
/// input) has no operation.
final class Node: @unchecked Sendable {
    /// Increases in the order of recording: an operation's number is above those of its inputs.
    let number: UInt64
    let primitive: Primitive?
    private(set) var inputs: [Tensor]
    /// The result, without a node (which would own itself).
    let output: Tensor

    private static let counter = Atomic<UInt64>(0)

    init(_ primitive: Primitive?, inputs: [Tensor], output: Tensor) {
        number = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
        self.primitive = primitive
        self.inputs = inputs
        self.output = output
    }

    /// Frees a long chain of operations in a loop: each node's release must not nest in that of its successor.
    deinit {
        var pending = inputs.compactMap(\.node)
        inputs = []
        while var node = pending.popLast() {
            guard isKnownUniquelyReferenced(&node) else { continue }
            pending += node.inputs.compactMap(\.node)
            node.inputs = []
        }
    }
}
