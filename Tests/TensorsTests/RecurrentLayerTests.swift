import CKernels
import CoppiceNetworks
import CoppiceTensors
import Testing

/// Whole recurrent layers by kernels in f32, against the steps in f64.
extension SerializedByVariant {
    @Suite struct RecurrentLayerTests {
        struct Case: CustomTestStringConvertible, Sendable {
            var time: Int
            var sequences: Int
            var inputs: Int
            var hidden: Int
            var layers = 1
            var isBidirectional = false
            var hasBias = true
            var testDescription: String {
                "\(time) × \(sequences) × \(inputs) → \(hidden), \(layers) layers\(isBidirectional ? ", both ways" : "")"
                    + (hasBias ? "" : ", no bias")
            }
        }

        static let cases = [
            Case(time: 1, sequences: 1, inputs: 1, hidden: 1),
            Case(time: 5, sequences: 3, inputs: 4, hidden: 7, layers: 2, isBidirectional: true),
            Case(time: 9, sequences: 37, inputs: 20, hidden: 16, isBidirectional: true),
            Case(time: 4, sequences: 9, inputs: 3, hidden: 33, hasBias: false),
        ]

        private func check<Cell: RecurrentCell>(_ item: Case, _ cell: Cell.Type) {
            var generator = RandomGenerator(seed: 3)
            let network = Recurrent<Cell>(
                inputSize: item.inputs, hiddenSize: item.hidden, layerCount: item.layers,
                isBidirectional: item.isBidirectional, hasBias: item.hasBias, using: &generator)
            let weights = network.parameters.map { $0.parameter.wrappedValue.detached().converted(to: .f64) * 2 }
            let x = GradientCheck.numbers([item.time, item.sequences, item.inputs], seed: 1)
            let shape = [item.layers * (item.isBidirectional ? 2 : 1), item.sequences, item.hidden]
            let state = (0..<Cell.stateCount).map { GradientCheck.numbers(shape, seed: 5 + UInt64($0)) }
            /// The outputs and final states, each weighted with its own numbers.
            func loss(_ inputs: [Tensor]) -> Tensor {
                for (own, value) in zip(network.parameters, inputs.dropFirst(1 + state.count)) {
                    own.parameter.substitute(value)
                }
                let (output, final) = network(inputs[0], state: Array(inputs[1...state.count]))
                return ([output] + final).enumerated().map { index, part in
                    (part * GradientCheck.numbers(part.shape, seed: 20 + UInt64(index)).converted(to: part.dataType))
                        .square().sum()
                }.reduce(Tensor(0, dataType: inputs[0].dataType), +)
            }
            let exact = ([x] + state + weights).map { $0.tracked() }
            let value = loss(exact)
            let slopes = gradients(of: value, withRespectTo: exact)
            var bits: Set<[Float]> = []
            let count = coppice_thread_count()
            defer { coppice_set_thread_count(count) }
            for threads in [1, 2, 5] as [Int32] {
                coppice_set_thread_count(threads)
                let inputs = exact.map { $0.detached().converted(to: .f32).tracked() }
                let own = loss(inputs)
                #expect(abs(own.doubles()[0] / value.doubles()[0] - 1) < 1e-5)
                let found = gradients(of: own, withRespectTo: inputs)
                for (index, (a, b)) in zip(found, slopes).enumerated() {
                    #expect(relativeError(a, b.doubles()) < 2e-5, "gradient \(index)")
                }
                bits.insert(([own] + found).flatMap { $0.floats() })
            }
            #expect(bits.count == 1)
            // Second derivatives, through the steps.
            guard item.sequences < 10 else { return }
            let directions = exact.map { GradientCheck.numbers($0.shape, seed: 50) }
            let products = hessianVectorProduct(of: loss, at: exact.map { $0.detached() }, direction: directions)
            let own = hessianVectorProduct(
                of: loss, at: exact.map { $0.detached().converted(to: .f32) },
                direction: directions.map { $0.converted(to: .f32) })
            for (a, b) in zip(own, products) { #expect(relativeError(a, b.doubles()) < 5e-5) }
        }

        @Test(arguments: cases) func lstm(item: Case) { check(item, LSTMCell.self) }
        @Test(arguments: cases) func gru(item: Case) { check(item, GRUCell.self) }

        /// Only the outputs or only the final state, and twice from one graph.
        @Test func partsOfTheResult() {
            var generator = RandomGenerator(seed: 3)
            let gru = GRU(inputSize: 3, hiddenSize: 4, using: &generator)
            let x = GradientCheck.numbers([3, 2, 3]).converted(to: .f32).tracked()
            let (output, state) = gru(x)
            #expect(state[0].reshaped([2, 4]).floats() == output[2].floats())
            let first = gradients(of: output.sum(), withRespectTo: [x])[0].floats()
            #expect(gradients(of: output.sum(), withRespectTo: [x])[0].floats() == first)
            let last = gradients(of: state[0].sum(), withRespectTo: [x])[0].floats()
            #expect(last == gradients(of: output[2].sum(), withRespectTo: [x])[0].floats() && last != first)
        }
    }
}
