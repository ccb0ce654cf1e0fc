/// One recurrent layer in one direction over whole sequences, by oneDNN's recurrent primitives.
///
/// Inputs: x [time, sequences, inputs], the state's tensors [sequences, hidden] (h, for LSTM also c), the weights by input
/// [gates · hidden, inputs] and by hidden [gates · hidden, hidden] with gates in PyTorch's order, and two biases [gates ·
/// hidden]. The result is [time + states, sequences, hidden]: the outputs, then the state after the last step. Products
/// are f32 in every ``OperandPrecision``.
public struct RecurrentLayer: FusedOperation {
    /// Which recurrence.
    public enum Cell: Sendable, Hashable {
        /// Long short-term memory; gates input, forget, cell, output.
        case lstm
        /// The gated recurrent unit; gates reset, update, new, the reset after the hidden product.
        case gru

        var gateCount: Int { self == .lstm ? 4 : 3 }
        var stateCount: Int { self == .lstm ? 2 : 1 }
    }

    private let cell: Cell
    private let isReversed: Bool
    private let steps: @Sendable ([Tensor]) -> Tensor
    private let found = Found()

    /// What the forward pass leaves for the backward pass.
    private final class Found: @unchecked Sendable {
        /// Written by the forward pass, before anybody reads it.
        var parts: [Part]?
    }

    /// - Parameters:
    ///   - isReversed: whether the sequences are run through from their end.
    ///   - composition: the same in primitives.
    public init(_ cell: Cell, isReversed: Bool, composition: @escaping @Sendable ([Tensor]) -> Tensor) {
        self.cell = cell
        self.isReversed = isReversed
        steps = composition
    }

    public func composition(_ inputs: [Tensor]) -> Tensor { steps(inputs) }

    public func evaluate(_ inputs: [Tensor]) -> Tensor {
        let plain = inputs.map { $0.detached() }
        let sizes = Sizes(plain, cell)
        guard plain.allSatisfy({ $0.dataType == .f32 }), sizes.isNotEmpty,
            let parts = withoutRecording({ forward(plain, sizes) })
        else { return withoutRecording { composition(plain) } }
        if Recording.isEnabled, inputs.contains(where: \.isTracked) { found.parts = parts }
        return withoutRecording {
            Tensor.concatenated(
                parts.map { Tensor.concatenated([$0.y] + $0.finalState.map { $0.expanded(at: 0) }) }, axis: 1)
        }
    }

    /// By the workspace of the forward pass, as long as they need not be differentiated again.
    public func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        guard !Recording.isEnabled, let parts = found.parts else { return nil }
        return backward(parts, inputs.map { $0.detached() }, Sizes(inputs, cell), seed)
    }

    // MARK: By oneDNN

    private struct Sizes {
        var time, sequences, inputs, hidden: Int
        var states: Range<Int>

        init(_ inputs: [Tensor], _ cell: Cell) {
            (time, sequences, self.inputs) = (inputs[0].shape[0], inputs[0].shape[1], inputs[0].shape[2])
            hidden = inputs[1].shape[1]
            states = 1..<(1 + cell.stateCount)
        }

        var isNotEmpty: Bool { time > 0 && sequences > 0 && inputs > 0 && hidden > 0 }
    }

    /// Some of the sequences: one thread's work. How they are cut depends on their number alone.
    private struct Part {
        var plan: RecurrentPlan
        var range: Range<Int>
        var x, y: Tensor
        var state, finalState: [Tensor]
        var workspace: TensorStorage
    }

    private func parts(_ inputs: [Tensor], _ sizes: Sizes) -> [Part]? {
        // Each part reads all weights at each step: that pays for many sequences.
        let count = sizes.sequences >= 32 ? min(8, sizes.sequences / 16) : sizes.sequences >= 8 ? 2 : 1
        let length = (sizes.sequences + count - 1) / count
        var parts: [Part] = []
        for start in stride(from: 0, to: sizes.sequences, by: length) {
            let range = start..<min(sizes.sequences, start + length)
            let key = RecurrentPlan.Key(
                cell: cell, isReversed: isReversed, time: sizes.time, sequences: range.count, inputs: sizes.inputs,
                hidden: sizes.hidden)
            guard let plan = RecurrentPlan.cached(key) else { return nil }
            let shape = [range.count, sizes.hidden]
            parts.append(
                Part(
                    plan: plan, range: range, x: inputs[0].slice(axis: 1, range).contiguous(),
                    y: Tensor(uninitialized: [sizes.time] + shape),
                    state: inputs[sizes.states].map { $0.slice(axis: 0, range).contiguous() },
                    finalState: sizes.states.map { _ in Tensor(uninitialized: shape) },
                    workspace: TensorStorage(byteCount: plan.workspaceByteCount)))
        }
        return parts
    }

    private func forward(_ inputs: [Tensor], _ sizes: Sizes) -> [Part]? {
        guard let parts = parts(inputs, sizes) else { return nil }
        let first = sizes.states.upperBound
        let weights = inputs[first..<(first + 2)].map { inOrder($0).transposed().contiguous() }
        let bias = joined(inputs[first + 2], inputs[first + 3], sizes.hidden)
        inParallel(parts.count) { index in
            let part = parts[index]
            part.plan.runForward(tensors(part, weights, bias), workspace: part.workspace.pointer)
        }
        withExtendedLifetime((weights, bias)) {}
        return parts
    }

    private func tensors(_ part: Part, _ weights: [Tensor], _ bias: Tensor) -> RecurrentPlan.Tensors {
        RecurrentPlan.Tensors(
            x: part.x.basePointer, state: part.state.map(\.basePointer), inputWeight: weights[0].basePointer,
            hiddenWeight: weights[1].basePointer, bias: bias.basePointer, y: part.y.basePointer,
            finalState: part.finalState.map(\.basePointer))
    }

    private func backward(_ parts: [Part], _ inputs: [Tensor], _ sizes: Sizes, _ seed: Tensor) -> [Tensor] {
        let first = sizes.states.upperBound
        let weights = inputs[first..<(first + 2)].map { inOrder($0).contiguous() }
        let bias = joined(inputs[first + 2], inputs[first + 3], sizes.hidden)
        let (gates, hidden) = (cell.gateCount, sizes.hidden)
        // The gradients of each part, in the order of the inputs; those of weights are transposed.
        let slopes = parts.map { part in
            (
                x: Tensor(uninitialized: part.x.shape), state: part.state.map { Tensor(uninitialized: $0.shape) },
                weights: [Tensor.zeros([sizes.inputs, gates * hidden]), Tensor.zeros([hidden, gates * hidden])],
                bias: Tensor.zeros([4, hidden]),
                y: seed.slice(axis: 0, 0..<sizes.time).slice(axis: 1, part.range).contiguous(),
                finalState: part.finalState.indices.map { index in
                    seed.slice(axis: 0, (sizes.time + index)..<(sizes.time + index + 1)).slice(axis: 1, part.range)
                        .contiguous()
                }
            )
        }
        inParallel(parts.count) { index in
            let (part, own) = (parts[index], slopes[index])
            part.plan.runBackward(
                tensors(part, weights, bias), workspace: part.workspace.pointer,
                slopes: RecurrentPlan.Tensors(
                    x: own.x.basePointer, state: own.state.map(\.basePointer), inputWeight: own.weights[0].basePointer,
                    hiddenWeight: own.weights[1].basePointer, bias: own.bias.basePointer, y: own.y.basePointer,
                    finalState: own.finalState.map(\.basePointer)))
        }
        withExtendedLifetime((weights, bias)) {}
        // Sums over the parts, in order.
        func total(_ part: (Int) -> Tensor) -> Tensor { slopes.indices.dropFirst().reduce(part(0)) { $0 + part($1) } }
        let weightSums = (0..<2).map { which in inOrder(total { slopes[$0].weights[which] }.transposed()) }
        let biases = split(total { slopes[$0].bias }, hidden)
        return [Tensor.concatenated(slopes.map(\.x), axis: 1)]
            + slopes[0].state.indices.map { which in Tensor.concatenated(slopes.map { $0.state[which] }) }
            + weightSums + [biases.input, biases.hidden]
    }

    // MARK: The order of gates

    /// Rows of weights with gates in oneDNN's order, or back: of GRU the first two change places.
    private func inOrder(_ weight: Tensor) -> Tensor {
        guard cell == .gru else { return weight }
        let hidden = weight.shape[0] / 3
        let parts = (0..<3).map { weight.slice(axis: 0, ($0 * hidden)..<(($0 + 1) * hidden)) }
        return .concatenated([parts[1], parts[0], parts[2]])
    }

    /// oneDNN's bias [4, hidden]: of LSTM the sum; of GRU the sums for update and reset, and both for the new gate.
    private func joined(_ input: Tensor, _ hiddenBias: Tensor, _ hidden: Int) -> Tensor {
        let (a, b) = (inOrder(input), inOrder(hiddenBias))
        guard cell == .gru else { return (a + b).contiguous() }
        let cut = 2 * hidden
        return .concatenated([
            a.slice(axis: 0, 0..<cut) + b.slice(axis: 0, 0..<cut), a.slice(axis: 0, cut..<(3 * hidden)),
            b.slice(axis: 0, cut..<(3 * hidden)),
        ])
    }

    /// The gradients of the two biases, from that of oneDNN's.
    private func split(_ slope: Tensor, _ hidden: Int) -> (input: Tensor, hidden: Tensor) {
        let flat = slope.reshaped([4 * hidden])
        guard cell == .gru else { return (flat, flat) }
        let both = flat.slice(axis: 0, 0..<(2 * hidden))
        func with(_ gate: Int) -> Tensor {
            inOrder(.concatenated([both, flat.slice(axis: 0, (gate * hidden)..<((gate + 1) * hidden))]))
        }
        return (with(2), with(3))
    }
}
