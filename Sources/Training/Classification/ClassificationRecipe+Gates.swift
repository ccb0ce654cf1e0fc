import CoppiceModels
import CoppiceTensors

extension ClassificationRecipe {
    /// Gates that close blocks or channels while a network is trained: the key `gates`.
    public struct Gates: Sendable, Hashable {
        public var settings: GateSettings
        /// The part of the gates that stays open, or of what they save where ``isCostWeighted``.
        public var keep = 0.5
        /// λ_p, what the disagreement of the images about each gate weighs.
        public var polarization = 1.0
        /// λ_a, what the distance from ``keep`` weighs.
        public var activation = 2.0
        /// The part of the run over which λ_p rises.
        public var warmup = 1.0 / 3
        /// The part of the run over which the open part that is aimed at falls from 1 to ``keep``.
        public var ramp = 0.15
        public var isCostWeighted = false
        /// The largest disagreement ḡ(1 − ḡ) that is cut through at the end.
        public var maximumDisagreement = 0.05

        public init(mode: GateMode) { settings = GateSettings(mode: mode) }
    }

    /// Makes the training of a network with gates, for a number of steps.
    public typealias Gating = (any VisionNetwork, Gates, _ steps: Int, _ seed: UInt64) throws -> any GatedTraining

    /// - Throws: always: training alone closes no gates.
    public static func noGates(
        _ network: any VisionNetwork, _ gates: Gates, _ steps: Int, _ seed: UInt64
    ) throws -> any GatedTraining {
        throw CoppiceError(.usage, field: "gates", "this run was made without a method that closes gates")
    }

    static func gates(_ node: RecipeNode) throws -> Gates {
        let fields = try node.fields([
            "mode", "keep", "lambda_polar", "lambda_act", "estimator", "warmup", "ramp", "hidden", "flop_weighted",
            "lazy", "max_disagreement", "bias",
        ])
        guard let mode = fields["mode"] else {
            throw node.error("the key \"mode\" is missing, expected layer or channel")
        }
        var gates = Gates(mode: try mode.word(GateMode.self))
        if let field = fields["keep"] {
            gates.keep = try field.number(in: 0...1)
            guard gates.keep > 0 else { throw field.error("expected a number above 0, at most 1, found 0") }
        }
        if let weight = try fields["lambda_polar"]?.number(in: 0...1e6) { gates.polarization = weight }
        if let weight = try fields["lambda_act"]?.number(in: 0...1e6) { gates.activation = weight }
        if let estimator = try fields["estimator"]?.word(GateEstimator.self) { gates.settings.estimator = estimator }
        if let part = try fields["warmup"]?.number(in: 0...1) { gates.warmup = part }
        if let part = try fields["ramp"]?.number(in: 0...1) { gates.ramp = part }
        gates.settings.hidden = try fields["hidden"]?.integer(in: 1...65_536)
        if let bias = try fields["bias"]?.number(in: 0.01...100) { gates.settings.bias = bias }
        if let isWeighted = try fields["flop_weighted"]?.boolean() { gates.isCostWeighted = isWeighted }
        if let field = fields["lazy"] {
            gates.settings.isLazy = try field.boolean()
            if gates.settings.isLazy, gates.settings.mode == .channel {
                throw field.error("skips whole blocks, expected the mode layer beside it")
            }
        }
        if let limit = try fields["max_disagreement"]?.number(in: 0...0.25) { gates.maximumDisagreement = limit }
        return gates
    }
}
