import CoppiceTensors

/// Layers of long short-term memory.
public typealias LSTM = Recurrent<LSTMCell>
/// Layers of gated recurrent units.
public typealias GRU = Recurrent<GRUCell>
/// Layers of Elman's network.
public typealias ElmanNetwork = Recurrent<ElmanCell>

/// Recurrent layers on top of each other, in one or both directions.
///
/// Parameters have PyTorch's names: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, those of the backward
/// direction with `_reverse` at the end.
public final class Recurrent<Cell: RecurrentCell>: Module {
    public let inputSize: Int
    public let hiddenSize: Int
    public let layerCount: Int
    public let isBidirectional: Bool
    public let hasBias: Bool
    /// By layer, then by direction, then weight_ih, weight_hh and, where there are any, bias_ih and bias_hh.
    private let weights: [Parameter]

    /// Random weights, uniform within 1 / √hidden (PyTorch's default).
    public init(
        inputSize: Int, hiddenSize: Int, layerCount: Int = 1, isBidirectional: Bool = false, hasBias: Bool = true,
        using generator: inout RandomGenerator
    ) {
        precondition(inputSize > 0 && hiddenSize > 0 && layerCount > 0, "a recurrent network of size zero")
        self.inputSize = inputSize
        self.hiddenSize = hiddenSize
        self.layerCount = layerCount
        self.isBidirectional = isBidirectional
        self.hasBias = hasBias
        var weights: [Parameter] = []
        let (rows, directions) = (Cell.gateCount * hiddenSize, isBidirectional ? ["", "_reverse"] : [""])
        for layer in 0..<layerCount {
            for direction in directions {
                let inputs = layer == 0 ? inputSize : hiddenSize * directions.count
                var shapes = [("weight_ih", [rows, inputs]), ("weight_hh", [rows, hiddenSize])]
                if hasBias { shapes += [("bias_ih", [rows]), ("bias_hh", [rows])] }
                for (name, shape) in shapes {
                    weights.append(
                        Parameter(
                            "\(name)_l\(layer)\(direction)", .uniform(fanIn: hiddenSize, shape, &generator)))
                }
            }
        }
        self.weights = weights
    }

    /// Runs all layers over sequences.
    ///
    /// - Parameters:
    ///   - x: [time, sequences, inputs].
    ///   - state: for each of the cell's state tensors [layers · directions, sequences, hidden]; zeros where nil.
    /// - Returns: the last layer's outputs [time, sequences, directions · hidden], and the state after the last step.
    public func callAsFunction(_ x: Tensor, state: [Tensor]? = nil) -> (output: Tensor, state: [Tensor]) {
        precondition(
            x.rank == 3 && x.shape[2] == inputSize,
            "an input of shape \(x.shape), [time, sequences, \(inputSize)] expected")
        let directions = isBidirectional ? 2 : 1
        let shape = [layerCount * directions, x.shape[1], hiddenSize]
        let initial = state ?? (0..<Cell.stateCount).map { _ in Tensor.zeros(shape, dataType: x.dataType) }
        precondition(
            initial.count == Cell.stateCount && initial.allSatisfy { $0.shape == shape },
            "a state of shapes \(initial.map(\.shape)), \(Cell.stateCount) of \(shape) expected")
        var sequence = x
        var final: [[Tensor]] = []
        for layer in 0..<layerCount {
            var outputs: [Tensor] = []
            for direction in 0..<directions {
                let index = layer * directions + direction
                let (output, last) = run(sequence, index, initial.map { $0[index] }, backward: direction == 1)
                outputs.append(output)
                final.append(last)
            }
            sequence = Tensor.concatenated(outputs, axis: 2)
        }
        return (sequence, (0..<Cell.stateCount).map { part in Tensor.stacked(final.map { $0[part] }) })
    }

    /// One layer in one direction.
    private func run(
        _ x: Tensor, _ index: Int, _ initial: [Tensor], backward: Bool
    ) -> (output: Tensor, state: [Tensor]) {
        var own = weights[(index * (hasBias ? 4 : 2))...].prefix(hasBias ? 4 : 2).map(\.wrappedValue)
        if !hasBias { own += [own[0], own[1]].map { .zeros([$0.shape[0]], dataType: $0.dataType) } }
        let (time, inputs) = (x.shape[0], [x] + initial + own)
        let result: Tensor
        if let kernel = Cell.kernel {
            let layer = RecurrentLayer(kernel, isReversed: backward) { Self.steps($0, backward: backward) }
            result = .fused(layer, inputs)
        } else {
            result = Self.steps(inputs, backward: backward)
        }
        return (result.slice(axis: 0, 0..<time), initial.indices.map { result[time + $0] })
    }

    /// One layer in one direction, step by step: what ``RecurrentLayer`` computes.
    private static func steps(_ inputs: [Tensor], backward: Bool) -> Tensor {
        let (x, own) = (inputs[0], Array(inputs.suffix(4)))
        let (time, sequences) = (x.shape[0], x.shape[1])
        // The input's part of all steps is one product.
        let parts = (x.reshaped([time * sequences, x.shape[2]]).matmul(own[0].transposed()) + own[2])
            .reshaped([time, sequences, own[0].shape[0]])
        let recurrent = own[1].transposed()
        var state = Array(inputs[1..<(1 + Cell.stateCount)])
        var outputs: [Tensor] = []
        for step in 0..<time {
            let hidden = state[0].matmul(recurrent) + own[3]
            state = Cell.step(input: parts[backward ? time - 1 - step : step], hidden: hidden, state: state)
            outputs.append(state[0])
        }
        return .stacked((backward ? outputs.reversed() : outputs) + state)
    }
}
