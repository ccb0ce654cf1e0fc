import CoppiceTensors

/// One step of a recurrent layer, as a function of what the input and the hidden state contribute to its gates.
public protocol RecurrentCell: Sendable {
    /// Blocks of rows in the weights: one for each gate.
    static var gateCount: Int { get }
    /// Tensors [sequences, hidden] in the state; the first is the output.
    static var stateCount: Int { get }
    /// The kernel that runs whole layers of this cell, where there is one.
    static var kernel: RecurrentLayer.Cell? { get }

    /// The state after one step.
    ///
    /// - Parameters:
    ///   - input: W_ih x + b_ih, [sequences, gates · hidden].
    ///   - hidden: W_hh h + b_hh, [sequences, gates · hidden].
    static func step(input: Tensor, hidden: Tensor, state: [Tensor]) -> [Tensor]
}

extension RecurrentCell {
    public static var kernel: RecurrentLayer.Cell? { nil }
}

/// h' = tanh(input + hidden) (Elman, "Finding structure in time", 1990).
public enum ElmanCell: RecurrentCell {
    public static let gateCount = 1
    public static let stateCount = 1

    public static func step(input: Tensor, hidden: Tensor, state: [Tensor]) -> [Tensor] { [(input + hidden).tanh()] }
}

/// Long short-term memory with gates in PyTorch's order: input, forget, cell, output (Hochreiter and Schmidhuber 1997;
/// Gers, Schmidhuber and Cummins 2000). The state is h and c.
public enum LSTMCell: RecurrentCell {
    public static let gateCount = 4
    public static let stateCount = 2
    public static let kernel: RecurrentLayer.Cell? = .lstm

    public static func step(input: Tensor, hidden: Tensor, state: [Tensor]) -> [Tensor] {
        let gates = (input + hidden).split(into: 4)
        let cell = gates[1].sigmoid() * state[1] + gates[0].sigmoid() * gates[2].tanh()
        return [gates[3].sigmoid() * cell.tanh(), cell]
    }
}

/// The gated recurrent unit with gates in PyTorch's order: reset, update, new (Cho et al. 2014).
public enum GRUCell: RecurrentCell {
    public static let gateCount = 3
    public static let stateCount = 1
    public static let kernel: RecurrentLayer.Cell? = .gru

    public static func step(input: Tensor, hidden: Tensor, state: [Tensor]) -> [Tensor] {
        let (x, h) = (input.split(into: 3), hidden.split(into: 3))
        let reset = (x[0] + h[0]).sigmoid()
        let update = (x[1] + h[1]).sigmoid()
        let new = (x[2] + reset * h[2]).tanh()
        return [new + update * (state[0] - new)]
    }
}

extension Tensor {
    /// Equal parts of the last axis.
    fileprivate func split(into parts: Int) -> [Tensor] {
        let size = shape[rank - 1] / parts
        return (0..<parts).map { slice(axis: -1, $0 * size..<($0 + 1) * size) }
    }
}
