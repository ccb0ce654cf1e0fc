import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct MFACTests {
    let base = InverseFisherTests()

    /// The optimizer as the paper writes it, on one vector.
    @Test(arguments: [0, 0.9], [0, 0.1]) func stepsEqualTheReference(_ momentum: Double, _ decay: Double) throws {
        let (m, rate) = (4, 0.01)
        let optimizer = try MFAC(window: m, dampening: 1e-2, momentum: momentum, weightDecay: decay)
        let parameters = [
            Parameter("a", base.vector(6, seed: 1, .f32).reshaped([2, 3])),
            Parameter("b", base.vector(2, seed: 2, .f32)),
        ]
        var state = try optimizer.state(for: parameters.map(\.wrappedValue))
        var weights = parameters.flatMap { $0.wrappedValue.doubles() }
        var window = [[Double]](repeating: [Double](repeating: 0, count: 8), count: m)
        var velocity = [Double](repeating: 0, count: 8)
        for step in 0..<11 {
            let slope = base.vector(8, seed: UInt64(step) + 20, .f32)
            let parts = [slope.slice(axis: 0, 0..<6).reshaped([2, 3]), slope.slice(axis: 0, 6..<8)]
            try optimizer.update(parameters, gradients: parts, state: &state, learningRate: rate)

            let g = zip(slope.doubles(), weights).map { $0 + decay * $1 }
            window[step % m] = g
            let product = Oracle.staticProduct(window, 1e-2, g)
            velocity = zip(velocity, product).map { momentum * $0 + (1 - momentum) * $1 }
            weights = zip(weights, velocity).map { $0 - rate * $1 }
            #expect(distance(parameters.flatMap { $0.wrappedValue.doubles() }, weights) < 2e-5)
        }
    }

    @Test func stateGoesOnFromWhatACheckpointHolds() throws {
        let optimizer = try MFAC(window: 3, dampening: 1e-2, momentum: 0.5)
        func run(_ parameter: Parameter, _ state: inout MFAC.State, _ steps: Range<Int>) throws {
            for step in steps {
                try optimizer.update(
                    [parameter], gradients: [base.vector(5, seed: UInt64(step), .f32)], state: &state,
                    learningRate: 0.1)
            }
        }
        let parameter = Parameter("a", base.vector(5, .f32))
        var state = try optimizer.state(for: [parameter.wrappedValue])
        try run(parameter, &state, 0..<5)
        let other = Parameter("a", parameter.wrappedValue.detached().copied())
        var restored = MFAC.State(
            inverse: try InverseFisher(
                gradients: state.inverse.gradients, dampening: optimizer.dampening, nextRow: state.inverse.nextRow),
            velocity: state.velocity, layout: state.layout)
        try run(parameter, &state, 5..<9)
        try run(other, &restored, 5..<9)
        #expect(distance(other.wrappedValue.doubles(), parameter.wrappedValue.doubles()) < 1e-6)
    }

    @Test func sparseWeightsStayZeroAndOutOfTheWindow() throws {
        let optimizer = try MFAC(window: 3, dampening: 1e-2, momentum: 0.5, weightDecay: 0.1, isSparse: true)
        let parameter = Parameter("a", Tensor([1, 0, 2, 0, 3] as [Float]))
        var state = try optimizer.state(for: [parameter.wrappedValue])
        #expect(state.inverse.count == 3)
        let dense = Parameter("a", Tensor([1, 2, 3] as [Float]))
        let reference = try MFAC(window: 3, dampening: 1e-2, momentum: 0.5, weightDecay: 0.1)
        var own = try reference.state(for: [dense.wrappedValue])
        for step in 0..<5 {
            let slope = base.vector(5, seed: UInt64(step), .f32)
            try optimizer.update([parameter], gradients: [slope], state: &state, learningRate: 0.1)
            let few = slope.take(Tensor([0, 2, 4]))
            try reference.update([dense], gradients: [few], state: &own, learningRate: 0.1)
        }
        let values = parameter.wrappedValue.floats()
        #expect(values[1] == 0 && values[3] == 0)
        #expect([values[0], values[2], values[4]] == dense.wrappedValue.floats())
    }

    @Test func badSettingsAndGradientsAreNamed() throws {
        #expect(throws: CoppiceError.self) { try MFAC(window: 0) }
        #expect(throws: CoppiceError.self) { try MFAC(dampening: 0) }
        #expect(throws: CoppiceError.self) { try MFAC(momentum: 1) }
        #expect(throws: CoppiceError.self) { try MFAC(weightDecay: .nan) }
        let optimizer = try MFAC(window: 4)
        #expect(throws: CoppiceError.self) { try optimizer.state(for: [.zeros([1_000])], limit: 15_999) }
        let parameter = Parameter("a", Tensor([1, 2] as [Float]))
        var state = try optimizer.state(for: [parameter.wrappedValue], limit: 16_000)
        #expect(throws: CoppiceError.self) {
            try optimizer.update([parameter], gradients: [Tensor([Float.nan, 1])], state: &state, learningRate: 1)
        }
        #expect(parameter.wrappedValue.floats() == [1, 2])
        #expect(state.inverse.nextRow == 0)
    }

    @Test func rowsOfGradientsKeepWhatIsAskedFor() throws {
        let flat = FlatParameters(counts: [2, 3], kept: [0, 3, 4])
        let rows = try flat.rows(2) { loss in
            [Tensor([1, 2].map { Float($0 + 10 * loss) }), Tensor([3, 4, 5].map { Float($0 + 10 * loss) })]
        }
        #expect(rows.shape == [2, 3])
        #expect(rows.floats() == [1, 4, 5, 11, 14, 15])
        #expect(flat.parts(of: rows[0]).map { $0.floats() } == [[1, 0], [0, 4, 5]])
        #expect(throws: CoppiceError.self) { try flat.rows(0) { _ in [] } }
        #expect(throws: CoppiceError.self) { try flat.rows(2, limit: 23) { _ in [] } }
    }
}
