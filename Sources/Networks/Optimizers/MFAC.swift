import CoppiceTensors

/// Steps along F⁻¹g, with F the dampened empirical Fisher matrix of the last m gradients.
///
/// Frantar, Kurtic and Alistarh, "M-FAC" (2021), section 4 and algorithm 2: the gradient, with weight decay added to it
/// (not decoupled), goes into the window first and is then multiplied with the inverse; momentum averages the products,
/// v ← μv + (1 − μ) F⁻¹g, and weights move by −rate · v. Unlike ``SGD`` and ``AdamW`` it looks at all parameters
/// together. Products are about 1 / (λ + ‖g‖²/m) times the gradient: rates are like 1e-3, not 0.1.
///
/// Memory: 4 m d bytes. Time of a step: two readings of the window, and O(m³).
public struct MFAC: Sendable {
    /// m.
    public var window: Int
    /// λ.
    public var dampening: Double
    public var momentum: Double
    public var weightDecay: Double
    /// Whether weights that are zero where optimization starts stay zero and out of the window.
    public var isSparse: Bool

    /// - Throws: `.usage` naming the setting that is out of range.
    public init(
        window: Int = 1024, dampening: Double = 1e-5, momentum: Double = 0, weightDecay: Double = 0,
        isSparse: Bool = false
    ) throws {
        try checkDampening(dampening)
        func check(_ isRight: Bool, _ field: String, _ value: String, _ expected: String) throws {
            if !isRight { throw CoppiceError(.usage, field: field, "\(value), expected \(expected)") }
        }
        try check(window > 0, "window", "\(window)", "at least 1 gradient")
        try check(momentum >= 0 && momentum < 1, "momentum", "\(momentum)", "a number from 0 to below 1")
        try check(weightDecay >= 0 && weightDecay.isFinite, "weight decay", "\(weightDecay)", "a number from 0")
        self.window = window
        self.dampening = dampening
        self.momentum = momentum
        self.weightDecay = weightDecay
        self.isSparse = isSparse
    }

    /// What is remembered between steps.
    public struct State: Sendable {
        /// The window of gradients. ``InverseFisher/gradients`` and ``InverseFisher/nextRow`` are all that a checkpoint
        /// needs of it: `InverseFisher(gradients:dampening:nextRow:)` makes it anew.
        public var inverse: InverseFisher
        /// The mean of products, f32 `[d]`.
        public var velocity: Tensor
        /// How parameters lie in a gradient.
        public let layout: FlatParameters

        public init(inverse: InverseFisher, velocity: Tensor, layout: FlatParameters) {
            precondition(
                inverse.count == layout.count && velocity.shape == [layout.count], "a state of other parameters")
            self.inverse = inverse
            self.velocity = velocity
            self.layout = layout
        }
    }

    /// The state where optimization starts: an empty window.
    ///
    /// - Throws: `.usage` where there is nothing to optimize, or where the window takes more than `limit` bytes.
    public func state(for parameters: [Tensor], limit: Int = FlatParameters.memoryLimit) throws -> State {
        let counts = parameters.map(\.count)
        let kept = isSparse ? FlatParameters(counts: counts).row(parameters).nonZeroPlaces : nil
        let layout = FlatParameters(counts: counts, kept: kept)
        guard window * layout.count * 4 <= limit else {
            throw CoppiceError(
                .usage, field: "window",
                "\(window) gradients of \(layout.count) weights take \(window * layout.count >> 18) MB, more than the "
                    + "limit of \(limit >> 20) MB: use a smaller window")
        }
        return State(
            inverse: try InverseFisher(window: window, count: layout.count, dampening: dampening),
            velocity: .zeros([layout.count]), layout: layout)
    }

    /// Takes the gradients at a step into the window and returns the direction to move against, in the parameters'
    /// shapes.
    ///
    /// - Throws: `.badData` for gradients that are not finite; the state is as before then.
    /// - Precondition: the parameters that the state was made for.
    public func direction(
        _ gradients: [Tensor], at parameters: [Tensor], state: inout State
    ) throws -> [Tensor] {
        try withoutRecording {
            var slope = state.layout.row(gradients)
            if weightDecay > 0 { slope += state.layout.row(parameters) * weightDecay }
            let row = state.inverse.nextRow
            try state.inverse.push(slope)
            var direction = try state.inverse.product(ofGradient: row)
            if momentum > 0 {
                direction = state.velocity * momentum + direction * (1 - momentum)
                state.velocity = direction
            }
            return zip(state.layout.parts(of: direction), parameters).map { $0.contiguous().reshaped($1.shape) }
        }
    }

    /// Moves all parameters by one step.
    ///
    /// - Throws: as ``direction(_:at:state:)``.
    public func update(
        _ parameters: [Parameter], gradients: [Tensor], state: inout State, learningRate: Double
    ) throws {
        let moves = try direction(gradients, at: parameters.map { $0.wrappedValue.detached() }, state: &state)
        let rate = Float(learningRate)
        for (parameter, move) in zip(parameters, moves) {
            move.withElements(Float.self) { move in
                parameter.update { weights in for k in weights.indices { weights[k] -= rate * move[k] } }
            }
        }
    }
}

extension Tensor {
    /// The places of a vector's elements that are not zero.
    fileprivate var nonZeroPlaces: [Int] {
        withElements(Float.self) { elements in elements.indices.filter { elements[$0] != 0 } }
    }
}
