import CoppiceTensors

/// Steps along F⁻¹g, with F the dampened empirical Fisher matrix of the last m gradients.
///
/// Frantar, Kurtic and Alistarh, "M-FAC" (2021), section 4 and algorithm 2: the gradient, with weight decay added to it
/// (not decoupled), goes into the window first and is then multiplied with the inverse; momentum averages the products,
/// v ← μv + (1 − μ) F⁻¹g, and weights move by −rate · v. Unlike ``SGD`` and ``AdamW`` it looks at all parameters
/// together. Products are about 1 / (λ + ‖g‖²/m) times the gradient: rates are like 1e-3, not 0.1.
///
/// Memory: 4 m d bytes beside the velocity, or half of that. Time of a step: two readings of the window, and O(m³).
public struct MFAC: Sendable, Hashable {
    /// m.
    public var window: Int
    /// λ.
    public var dampening: Double
    public var momentum: Double
    public var weightDecay: Double
    /// Whether entries of matrices (and of weights of more dimensions) that are zero where optimization starts stay zero
    /// and out of the window. Vectors, biases that start at zero among them, are in it whole.
    public var isSparse: Bool
    /// What the window's gradients are rounded to. The step is F⁻¹ of the gradient as it is stored, with the F of
    /// gradients as they are stored: see ``InverseFisher/product(ofGradient:)``.
    public var storage = GradientStorage.f32
    /// Bytes that the window may take.
    public var memoryLimit = FlatParameters.memoryLimit

    public init(
        window: Int = 1024, dampening: Double = 1e-5, momentum: Double = 0, weightDecay: Double = 0,
        isSparse: Bool = false, storage: GradientStorage = .f32
    ) {
        self.window = window
        self.dampening = dampening
        self.momentum = momentum
        self.weightDecay = weightDecay
        self.isSparse = isSparse
        self.storage = storage
    }

    /// - Throws: `.usage` naming the setting that is out of range.
    private func check() throws {
        func check(_ isRight: Bool, _ field: String, _ value: String, _ expected: String) throws {
            if !isRight { throw CoppiceError(.usage, field: field, "\(value), expected \(expected)") }
        }
        try checkDampening(dampening)
        try check(window > 0, "gradients", "\(window)", "at least 1 gradient")
        try check(momentum >= 0 && momentum < 1, "momentum", "\(momentum)", "a number from 0 to below 1")
        try check(weightDecay >= 0 && weightDecay.isFinite, "weight decay", "\(weightDecay)", "a number from 0")
    }

    /// How trainable parameters lie in a row of the window.
    func layout(of parameters: [Parameter]) -> FlatParameters {
        let values = parameters.filter(\.isTrainable).map { $0.wrappedValue.detached() }
        var kept: [Int]?
        if isSparse {
            var places: [Int] = []
            var start = 0
            for value in values {
                let isVector = value.rank < 2
                value.converted(to: .f32).contiguous().withElements(Float.self) { entries in
                    places += entries.indices.filter { isVector || entries[$0] != 0 }.map { start + $0 }
                }
                start += value.count
            }
            kept = places
        }
        return FlatParameters(counts: values.map(\.count), kept: kept)
    }

    /// An empty window for parameters.
    ///
    /// - Throws: `.usage` for settings out of range, where there is nothing to optimize, and for more memory than
    ///   allowed.
    public func makeWindow(for parameters: [Parameter]) throws -> GradientWindow {
        let layout = layout(of: parameters)
        _ = try checkMemory(layout)
        return GradientWindow(
            inverse: try InverseFisher(
                window: window, count: layout.count, dampening: dampening, dataType: storage.dataType),
            layout: layout, of: parameters)
    }

    /// - Returns: the bytes of a window.
    private func checkMemory(_ layout: FlatParameters) throws -> Int {
        try check()
        guard layout.count > 0 else {
            throw CoppiceError(.usage, "M-FAC has no parameter to move: none is trainable and not zero")
        }
        let bytes = window * layout.count * storage.byteCount
        guard bytes <= memoryLimit else {
            let narrow = memoryLimit / (layout.count * GradientStorage.bf16.byteCount)
            throw CoppiceError(
                .usage, field: "gradients",
                "\(window) of \(layout.count) parameters take \(bytes >> 20) MB, more than the limit of "
                    + "\(memoryLimit >> 20) MB: expected at most \(memoryLimit / (layout.count * storage.byteCount)) "
                    + "gradients" + (storage == .f32 ? ", or \(narrow) with storage: bf16" : ""))
        }
        return bytes
    }
}

extension MFAC: Optimizer {
    /// The velocity.
    public var slotCount: Int { 1 }

    /// - Throws: `.usage` as ``makeWindow(for:)`` where there is no window yet; `.badData` for gradients that are not
    ///   finite. Nothing has changed then.
    public func update(
        _ parameters: [Parameter], gradients: [Tensor], decays: [Bool], state: inout OptimizerState,
        learningRate: Double, gradientScale: Double
    ) throws {
        var window = try state.window ?? makeWindow(for: parameters)
        state.window = nil  // the only reference: changed in place, not in a copy
        defer { state.window = window }
        let own = parameters.indices.filter { parameters[$0].isTrainable }
        let gradient = window.layout.row(
            of: own.map { gradients[$0] }, scale: gradientScale,
            values: own.map { decays[$0] && weightDecay > 0 ? parameters[$0].wrappedValue.detached() : nil },
            decay: weightDecay)
        let moves = try window.direction(taking: gradient)
        // v ← μv + (1 − μ)u, then −rate · v: momentum's own step on a part of u.
        let descent = SGD(momentum: momentum)
        for (place, move) in zip(own, moves) {
            descent.update(
                parameters[place], gradient: move, velocity: &state.slots[place][0], learningRate: learningRate,
                gradientScale: 1 - momentum)
        }
    }

    public func windowSummary(of parameters: [Parameter]) throws -> String? {
        let layout = layout(of: parameters)
        let bytes = try checkMemory(layout)
        return "M-FAC keeps \(window) gradients of \(layout.count) parameters"
            + (storage == .f32 ? "" : " in \(storage.rawValue)") + ": \((bytes + (1 << 20) - 1) >> 20) MB"
    }

    public func window(
        from tensors: [String: Tensor], for parameters: [Parameter], source: String
    ) throws -> GradientWindow? {
        guard tensors.keys.contains(where: GradientWindow.names.contains) else { return nil }
        return try GradientWindow(restoring: tensors, of: self, for: parameters, source: source)
    }
}
