import CSystemDNNL

/// The forward and the backward primitive of one recurrent layer in one direction, made for one thread. Holds no memory:
/// it may run on many threads at once.
final class RecurrentPlan: @unchecked Sendable {
    struct Key: Hashable {
        var cell: RecurrentLayer.Cell
        var isReversed: Bool
        var time: Int
        var sequences: Int
        var inputs: Int
        var hidden: Int
    }

    /// Bytes of what the forward pass leaves for the backward pass.
    let workspaceByteCount: Int
    private let forward: Primitive
    private let backward: Primitive
    private let layouts: Layouts
    private let workspace: dnnl_memory_desc_t
    private let hasCell: Bool

    private struct Primitive {
        var pointer: OpaquePointer
        var scratchpad: dnnl_memory_desc_t
    }

    /// How the tensors of both primitives lie. Weights are transposed in the forward pass and in gradients.
    private struct Layouts {
        var x, y, state, bias: dnnl_memory_desc_t
        var inputWeight, hiddenWeight: dnnl_memory_desc_t
        var plainInputWeight, plainHiddenWeight: dnnl_memory_desc_t

        init(_ key: Key) {
            let (gates, n, h) = (key.cell.gateCount, key.sequences, key.hidden)
            x = OneDNN.described([key.time, n, key.inputs], [n * key.inputs, key.inputs, 1])
            y = OneDNN.described([key.time, n, h], [n * h, h, 1])
            state = OneDNN.described([1, 1, n, h], [n * h, n * h, h, 1])
            // Linear before reset, the new gate has a bias for each of its two products.
            bias = OneDNN.described([1, 1, 4, h], [4 * h, 4 * h, h, 1])
            // Dimensions: layers, directions, inputs, gates, outputs.
            func transposed(_ inputs: Int) -> dnnl_memory_desc_t {
                let all = inputs * gates * h
                return OneDNN.described([1, 1, inputs, gates, h], [all, all, gates * h, h, 1])
            }
            func plain(_ inputs: Int) -> dnnl_memory_desc_t {
                let all = inputs * gates * h
                return OneDNN.described([1, 1, inputs, gates, h], [all, all, 1, h * inputs, inputs])
            }
            (inputWeight, hiddenWeight) = (transposed(key.inputs), transposed(h))
            (plainInputWeight, plainHiddenWeight) = (plain(key.inputs), plain(h))
        }
    }

    private static let cache = PlanCache<Key, RecurrentPlan> { RecurrentPlan($0) }

    /// Nil where oneDNN has no implementation.
    static func cached(_ key: Key) -> RecurrentPlan? { cache.cached(key) }

    private init?(_ key: Key) {
        guard let engine = OneDNN.engine else { return nil }
        OpenMP.useOneThread()
        layouts = Layouts(key)
        hasCell = key.cell == .lstm
        var l = layouts
        let direction = key.isReversed ? dnnl_unidirectional_right2left : dnnl_unidirectional_left2right
        var description = dnnl_rnn_desc_t()
        let forwardStatus =
            hasCell
            ? dnnl_lstm_forward_desc_init(
                &description, dnnl_forward_training, direction, &l.x, &l.state, &l.state, &l.inputWeight,
                &l.hiddenWeight, &l.bias, &l.y, &l.state, &l.state, 0)
            : dnnl_lbr_gru_forward_desc_init(
                &description, dnnl_forward_training, direction, &l.x, &l.state, &l.inputWeight, &l.hiddenWeight,
                &l.bias, &l.y, &l.state, 0)
        guard forwardStatus == dnnl_success,
            let forward = Self.make(&description, engine, hint: nil)
        else { return nil }
        defer { dnnl_primitive_desc_destroy(forward.description) }
        var gradient = dnnl_rnn_desc_t()
        let backwardStatus =
            hasCell
            ? dnnl_lstm_backward_desc_init(
                &gradient, dnnl_backward, direction, &l.x, &l.state, &l.state, &l.plainInputWeight,
                &l.plainHiddenWeight, &l.bias, &l.y, &l.state, &l.state, &l.x, &l.state, &l.state, &l.inputWeight,
                &l.hiddenWeight, &l.bias, &l.y, &l.state, &l.state, 0)
            : dnnl_lbr_gru_backward_desc_init(
                &gradient, dnnl_backward, direction, &l.x, &l.state, &l.plainInputWeight, &l.plainHiddenWeight,
                &l.bias, &l.y, &l.state, &l.x, &l.state, &l.inputWeight, &l.hiddenWeight, &l.bias, &l.y, &l.state, 0)
        guard backwardStatus == dnnl_success,
            let backward = Self.make(&gradient, engine, hint: forward.description)
        else {
            dnnl_primitive_destroy(forward.primitive.pointer)
            return nil
        }
        defer { dnnl_primitive_desc_destroy(backward.description) }
        guard let workspace = forward.description.layout(dnnl_query_workspace_md) else {
            dnnl_primitive_destroy(forward.primitive.pointer)
            dnnl_primitive_destroy(backward.primitive.pointer)
            return nil
        }
        (self.forward, self.backward) = (forward.primitive, backward.primitive)
        self.workspace = workspace
        workspaceByteCount = withUnsafePointer(to: workspace) { Int(dnnl_memory_desc_get_size($0)) }
    }

    deinit {
        dnnl_primitive_destroy(forward.pointer)
        dnnl_primitive_destroy(backward.pointer)
    }

    private static func make(
        _ operation: inout dnnl_rnn_desc_t, _ engine: OpaquePointer, hint: OpaquePointer?
    ) -> (primitive: Primitive, description: OpaquePointer)? {
        let attributes = OneDNN.attributes()
        defer { dnnl_primitive_attr_destroy(attributes) }
        var description: OpaquePointer?
        guard dnnl_primitive_desc_create(&description, &operation, attributes, engine, hint) == dnnl_success,
            let description
        else { return nil }
        var primitive: OpaquePointer?
        guard let scratchpad = description.layout(dnnl_query_scratchpad_md),
            dnnl_primitive_create(&primitive, description) == dnnl_success, let primitive
        else {
            dnnl_primitive_desc_destroy(description)
            return nil
        }
        return (Primitive(pointer: primitive, scratchpad: scratchpad), description)
    }

    // MARK: Running

    /// The first byte of each tensor. States have a cell part for LSTM only.
    struct Tensors {
        var x: UnsafeMutableRawPointer
        var state: [UnsafeMutableRawPointer]
        var inputWeight: UnsafeMutableRawPointer
        var hiddenWeight: UnsafeMutableRawPointer
        var bias: UnsafeMutableRawPointer
        var y: UnsafeMutableRawPointer
        var finalState: [UnsafeMutableRawPointer]
    }

    private enum Argument {
        static let states: [Int32] = [2, 3]
        static let finalStates: [Int32] = [18, 19]
        static let hiddenWeight: Int32 = 34
        static let bias: Int32 = 41
        static let workspace: Int32 = 64
        static let stateGradients: [Int32] = [130, 131]
        static let finalStateGradients: [Int32] = [146, 147]
        static let hiddenWeightGradient: Int32 = 162
        static let biasGradient: Int32 = 169
    }

    private func values(_ t: Tensors, plainWeights: Bool) -> [(Int32, dnnl_memory_desc_t, UnsafeMutableRawPointer)] {
        [
            (OneDNN.Argument.source, layouts.x, t.x),
            (OneDNN.Argument.weights, plainWeights ? layouts.plainInputWeight : layouts.inputWeight, t.inputWeight),
            (Argument.hiddenWeight, plainWeights ? layouts.plainHiddenWeight : layouts.hiddenWeight, t.hiddenWeight),
            (Argument.bias, layouts.bias, t.bias), (OneDNN.Argument.destination, layouts.y, t.y),
        ] + zip(Argument.states, t.state).map { ($0, layouts.state, $1) }
            + zip(Argument.finalStates, t.finalState).map { ($0, layouts.state, $1) }
    }

    /// Computes outputs, final states and workspace, on the calling thread. Weights are transposed.
    func runForward(_ tensors: Tensors, workspace memory: UnsafeMutableRawPointer) {
        execute(forward, values(tensors, plainWeights: false) + [(Argument.workspace, workspace, memory)])
    }

    /// Computes the gradients `slopes` by x, states, weights (transposed) and bias from those by outputs and final states,
    /// on the calling thread. Weights of `tensors` are as they are; gradients of weights and bias must be zero before.
    func runBackward(_ tensors: Tensors, workspace memory: UnsafeMutableRawPointer, slopes: Tensors) {
        execute(
            backward,
            values(tensors, plainWeights: true) + [
                (Argument.workspace, workspace, memory), (OneDNN.Argument.destinationGradient, layouts.y, slopes.y),
                (OneDNN.Argument.sourceGradient, layouts.x, slopes.x),
                (OneDNN.Argument.weightGradient, layouts.inputWeight, slopes.inputWeight),
                (Argument.hiddenWeightGradient, layouts.hiddenWeight, slopes.hiddenWeight),
                (Argument.biasGradient, layouts.bias, slopes.bias),
            ] + zip(Argument.stateGradients, slopes.state).map { ($0, layouts.state, $1) }
                + zip(Argument.finalStateGradients, slopes.finalState).map { ($0, layouts.state, $1) })
    }

    private func execute(
        _ primitive: Primitive, _ arguments: [(Int32, dnnl_memory_desc_t, UnsafeMutableRawPointer)]
    ) {
        let size = withUnsafePointer(to: primitive.scratchpad) { Int(dnnl_memory_desc_get_size($0)) }
        let scratch = TensorStorage(byteCount: size)
        OneDNN.execute(
            primitive.pointer, arguments + [(OneDNN.Argument.scratchpad, primitive.scratchpad, scratch.pointer)])
        withExtendedLifetime(scratch) {}
    }
}
