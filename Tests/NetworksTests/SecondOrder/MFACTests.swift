import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct MFACTests {
    let base = InverseFisherTests()

    private func step(
        _ optimizer: MFAC, _ parameters: [Parameter], _ gradients: [Tensor], _ state: inout OptimizerState,
        rate: Double = 0.1, scale: Double = 1, decays: [Bool]? = nil
    ) throws {
        try optimizer.update(
            parameters, gradients: gradients, decays: decays ?? parameters.map { _ in true }, state: &state,
            learningRate: rate, gradientScale: scale)
        state.step += 1
    }

    /// The optimizer as the paper writes it, on one vector; clipped gradients, and no decay of the second parameter.
    @Test(arguments: [0, 0.9], [0, 0.1]) func stepsEqualTheReference(_ momentum: Double, _ decay: Double) throws {
        let (m, rate, scale) = (4, 0.01, 0.5)
        let optimizer = MFAC(window: m, dampening: 1e-2, momentum: momentum, weightDecay: decay)
        let parameters = [
            Parameter("a", base.vector(6, seed: 1, .f32).reshaped([2, 3])),
            Parameter("b", base.vector(2, seed: 2, .f32)),
        ]
        var state = OptimizerState(optimizer, for: parameters)
        var weights = parameters.flatMap { $0.wrappedValue.doubles() }
        var window = [[Double]](repeating: [Double](repeating: 0, count: 8), count: m)
        var velocity = [Double](repeating: 0, count: 8)
        for index in 0..<11 {
            let slope = base.vector(8, seed: UInt64(index) + 20, .f32)
            let parts = [slope.slice(axis: 0, 0..<6).reshaped([2, 3]), slope.slice(axis: 0, 6..<8)]
            try step(optimizer, parameters, parts, &state, rate: rate, scale: scale, decays: [true, false])

            let g = slope.doubles().enumerated().map { scale * $1 + ($0 < 6 ? decay * weights[$0] : 0) }
            window[index % m] = g
            let product = Oracle.staticProduct(window, 1e-2, g)
            velocity = zip(velocity, product).map { momentum * $0 + (1 - momentum) * $1 }
            weights = zip(weights, velocity).map { $0 - rate * $1 }
            #expect(distance(parameters.flatMap { $0.wrappedValue.doubles() }, weights) < 2e-5)
            #expect(distance(state.slots.flatMap { $0[0].doubles() }, velocity) < 2e-5)
        }
    }

    /// The same with a window in bf16: steps along F⁻¹ of rounded gradients, with the F of rounded gradients.
    /// A small λ with gradients that come twice takes sums in f64: what cancels in them is 10⁹ times what is left.
    @Test(arguments: [1e-1, 1e-4, 1e-9]) func stepsInBF16EqualTheReferenceOnRoundedGradients(
        _ dampening: Double
    ) throws {
        let (m, rate) = (4, 0.01)
        let optimizer = MFAC(window: m, dampening: dampening, storage: .bf16)
        let parameter = Parameter("a", base.vector(40, seed: 1, .f32).reshaped([5, 8]))
        var state = OptimizerState(optimizer, for: [parameter])
        var weights = parameter.wrappedValue.doubles()
        var window = [[Double]](repeating: [Double](repeating: 0, count: 40), count: m)
        for index in 0..<11 {
            let slope = base.vector(40, seed: UInt64(index / 2) + 20, .f32)
            try step(optimizer, [parameter], [slope.reshaped([5, 8])], &state, rate: rate)
            let g = slope.converted(to: .bf16).doubles()
            window[index % m] = g
            weights = zip(weights, Oracle.staticProduct(window, dampening, g)).map { $0 - rate * $1 }
            #expect(distance(parameter.wrappedValue.doubles(), weights) < 1e-5)
        }
        #expect(state.window?.inverse.gradients.dataType == .bf16)
    }

    @Test(arguments: [false, true], GradientStorage.allCases)
    func stateGoesOnBitForBitFromWhatACheckpointHolds(_ isSparse: Bool, _ storage: GradientStorage) throws {
        let optimizer = MFAC(window: 3, dampening: 1e-2, momentum: 0.5, isSparse: isSparse, storage: storage)
        func run(_ parameter: Parameter, _ state: inout OptimizerState, _ steps: Range<Int>) throws {
            for index in steps {
                try step(optimizer, [parameter], [base.vector(6, seed: UInt64(index), .f32).reshaped([2, 3])], &state)
            }
        }
        let parameter = Parameter("a", Tensor([1, 0, 2, 0, 3, 4] as [Float], shape: [2, 3]))
        var state = OptimizerState(optimizer, for: [parameter])
        try run(parameter, &state, 0..<5)
        let other = Parameter("a", parameter.wrappedValue.detached().copied())
        var tensors: [String: Tensor] = [:]
        for (name, tensor) in try #require(state.window).tensors { tensors[name] = tensor.copied() }
        var restored = OptimizerState(optimizer, for: [other])
        restored.slots = state.slots.map { $0.map { $0.copied() } }
        restored.window = try optimizer.window(from: tensors, for: [other], source: "file")
        try run(parameter, &state, 5..<9)
        try run(other, &restored, 5..<9)
        #expect(other.wrappedValue.floats() == parameter.wrappedValue.floats())

        // Nothing there is a state before the first step; a part of it is damage.
        #expect(try optimizer.window(from: [:], for: [other], source: "file") == nil)
        #expect(tensors.count == (isSparse ? 4 : 3))
        for name in tensors.keys {
            let part = tensors.filter { $0.key != name }
            #expect { _ = try optimizer.window(from: part, for: [other], source: "file") } throws: {
                "\($0)".contains("file: \(name): is missing")
            }
        }
        // Of a window in another precision.
        var otherStorage = optimizer
        otherStorage.storage = storage == .f32 ? .bf16 : .f32
        #expect { _ = try otherStorage.window(from: tensors, for: [other], source: "file") } throws: {
            "\($0)".contains("file: optimizer.window: is \(storage) ")
        }
        // Of a smaller network: places beyond its end, or other columns.
        let foreign = Parameter("a", .ones([1, 3]))
        #expect(throws: CoppiceError.self) { try optimizer.window(from: tensors, for: [foreign], source: "file") }
        var damaged = tensors
        damaged["optimizer.window.gram"] = Tensor([Double](repeating: .nan, count: 9), shape: [3, 3])
        #expect(throws: CoppiceError.self) { try optimizer.window(from: damaged, for: [other], source: "file") }
    }

    @Test func sparseWeightsStayZeroAndOutOfTheWindow() throws {
        let optimizer = MFAC(window: 3, dampening: 1e-2, momentum: 0.5, weightDecay: 0.1, isSparse: true)
        let matrix = Parameter("a", Tensor([1, 0, 2, 0] as [Float], shape: [2, 2]))
        let vector = Parameter("b", Tensor([0, 3] as [Float]))
        var state = OptimizerState(optimizer, for: [matrix, vector])
        let dense = Parameter("a", Tensor([1, 2, 0, 3] as [Float]))
        let reference = MFAC(window: 3, dampening: 1e-2, momentum: 0.5, weightDecay: 0.1)
        var own = OptimizerState(reference, for: [dense])
        for index in 0..<5 {
            let slope = base.vector(6, seed: UInt64(index), .f32)
            let parts = [slope.slice(axis: 0, 0..<4).reshaped([2, 2]), slope.slice(axis: 0, 4..<6)]
            try step(optimizer, [matrix, vector], parts, &state)
            try step(reference, [dense], [slope.take(Tensor([0, 2, 4, 5]))], &own)
        }
        #expect(state.window?.inverse.count == 4)
        let (a, b) = (matrix.wrappedValue.floats(), vector.wrappedValue.floats())
        #expect(a[1] == 0 && a[3] == 0)
        // A bias that starts at zero moves.
        #expect(b[0] != 0)
        #expect([a[0], a[2], b[0], b[1]] == dense.wrappedValue.floats())
    }

    /// Weights that go while optimization runs leave the window: F is then that of the others.
    @Test(arguments: [false, true]) func masksReachEarlierGradients(_ isSparse: Bool) throws {
        let optimizer = MFAC(window: 3, dampening: 1e-2, weightDecay: 0.1, isSparse: isSparse)
        let (a, b) = (Parameter("a", .ones([2])), Parameter("b", Tensor([1, 2, 0, 4] as [Float], shape: [2, 2])))
        a.isTrainable = false
        var state = OptimizerState(optimizer, for: [a, b])
        func slope(_ index: Int, _ kept: [Float]) -> Tensor {
            base.vector(4, seed: UInt64(index), .f32).reshaped([2, 2]) * Tensor(kept, shape: [2, 2])
        }
        for index in 0..<4 { try step(optimizer, [a, b], [.ones([2]), slope(index, [1, 1, 1, 1])], &state) }
        // The second weight goes, with its momentum.
        try state.window?.hold([(place: 1, words: [0b1101])])
        b.update { $0[1] = 0 }
        let before = try #require(state.window)
        #expect(before.inverse.count == (isSparse ? 3 : 4))
        let column = 1
        #expect(before.inverse.gradients.slice(axis: 1, column..<(column + 1)).floats() == [0, 0, 0])
        let fresh = try InverseFisher(gradients: before.inverse.gradients, dampening: 1e-2)
        let x = base.vector(before.inverse.count, .f32)
        #expect(distance(try before.inverse.product(x).doubles(), try fresh.product(x).doubles()) < 1e-6)
        #expect(distance(before.inverse.diagonal().doubles(), fresh.diagonal().doubles()) < 1e-9)
        #expect(abs(before.inverse.diagonal().doubles()[column] - 100) < 1e-9)
        // The next step moves it by exactly nothing, and holding the same again changes no bit.
        try step(optimizer, [a, b], [.ones([2]), slope(9, [1, 0, 1, 1])], &state)
        #expect(b.wrappedValue.floats()[1] == 0)
        let gram = try #require(state.window).inverse.gram.doubles()
        try state.window?.hold([(place: 1, words: [0b1101])])
        #expect(state.window?.inverse.gram.doubles() == gram)
        // It returns, and leaves again.
        try state.window?.hold([(place: 1, words: [0b1111])])
        #expect(state.window?.inverse.gram.doubles() == gram)
        try step(optimizer, [a, b], [.ones([2]), slope(10, [1, 1, 1, 1])], &state)
        #expect(b.wrappedValue.floats()[1] != 0)
        try state.window?.hold([(place: 1, words: [0b1101])])
        #expect(
            state.window?.inverse.gradients.slice(axis: 1, column..<(column + 1)).floats() == [0, 0, 0])
        #expect(throws: CoppiceError.self) {
            var window = try #require(state.window).inverse
            try window.clear([true])
        }
    }

    @Test func whatIsNotTrainableStays() throws {
        let (a, b) = (Parameter("a", .ones([2])), Parameter("b", .ones([2])))
        a.isTrainable = false
        let optimizer = MFAC(window: 2, dampening: 1e-2)
        var state = OptimizerState(optimizer, for: [a, b])
        try step(optimizer, [a, b], [.ones([2]), .ones([2])], &state)
        #expect(state.window?.inverse.count == 2)
        #expect(a.wrappedValue.floats() == [1, 1] && b.wrappedValue.floats()[0] < 1)
    }

    @Test func badSettingsAndGradientsAreNamed() throws {
        let parameter = Parameter("a", Tensor([1, 2] as [Float]))
        for (optimizer, field) in [
            (MFAC(window: 0), "gradients"), (MFAC(dampening: 0), "dampening"), (MFAC(momentum: 1), "momentum"),
            (MFAC(weightDecay: .nan), "weight decay"),
        ] {
            #expect { _ = try optimizer.makeWindow(for: [parameter]) } throws: { "\($0)".contains(field) }
            #expect(throws: CoppiceError.self) { try optimizer.windowSummary(of: [parameter]) }
        }
        var optimizer = MFAC(window: 4)
        optimizer.memoryLimit = 16_000
        #expect(
            try optimizer.windowSummary(of: [Parameter("a", .zeros([1_000]))])
                == "M-FAC keeps 4 gradients of 1000 parameters: 1 MB")
        #expect { _ = try optimizer.makeWindow(for: [Parameter("a", .zeros([1_001]))]) } throws: {
            "\($0)".contains("expected at most 3 gradients, or 7 with storage: bf16")
        }
        optimizer.storage = .bf16
        #expect(
            try optimizer.windowSummary(of: [Parameter("a", .zeros([2_000]))])
                == "M-FAC keeps 4 gradients of 2000 parameters in bf16: 1 MB")
        #expect { _ = try optimizer.makeWindow(for: [Parameter("a", .zeros([2_001]))]) } throws: {
            "\($0)".hasSuffix("expected at most 3 gradients")
        }
        optimizer.storage = .f32
        var state = OptimizerState(optimizer, for: [parameter])
        try step(optimizer, [parameter], [Tensor([0, 0] as [Float])], &state)
        #expect(throws: CoppiceError.self) { try step(optimizer, [parameter], [Tensor([Float.nan, 1])], &state) }
        #expect(parameter.wrappedValue.floats() == [1, 2])
        #expect(state.window?.inverse.nextRow == 1)
    }

    @Test func rowsOfGradientsKeepWhatIsAskedFor() throws {
        let flat = FlatParameters(counts: [2, 3], kept: [0, 3, 4])
        let rows = try flat.rows(2) { loss in
            [Tensor([1, 2].map { Float($0 + 10 * loss) }), Tensor([3, 4, 5].map { Float($0 + 10 * loss) })]
        }
        #expect(rows.shape == [2, 3])
        #expect(rows.floats() == [1, 4, 5, 11, 14, 15])
        let narrow = try flat.rows(1, storage: .bf16, limit: 6) { _ in [Tensor([1.01, 2]), Tensor([3, 4, 5])] }
        #expect(narrow.dataType == .bf16 && narrow.floats() == [1.0078125, 4, 5])
        #expect(flat.parts(of: rows[0]).map { $0.floats() } == [[1, 0], [0, 4, 5]])
        #expect(throws: CoppiceError.self) { try flat.rows(0) { _ in [] } }
        #expect(throws: CoppiceError.self) { try flat.rows(2, limit: 23) { _ in [] } }
    }
}
