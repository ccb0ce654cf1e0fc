import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

extension TrainingRecipe {
    /// The `prune` section: pruning while the model is trained (see ``ComputePhaseSchedule``).
    public struct Pruning: Sendable, Hashable {
        /// Whose weights are compared with each other.
        public enum Scope: String, Sendable, Hashable, CaseIterable {
            /// One threshold for all projections.
            case global
            /// Each projection loses the same part.
            case layer
        }

        /// The part of the projections' weights that is gone in the end, in `[0, 1)`.
        public var finalSparsity: Double
        public var window = ComputePhaseSchedule.Window.middle
        public var ramp = SparsityRamp.geometric
        /// Steps from one removal to the next; nil: a hundredth of the ramp.
        public var interval: Int?
        public var scope = Scope.global
        /// The least that each projection keeps; with ``Scope/global``.
        public var floor: LayerFloor?

        public init(finalSparsity: Double) { self.finalSparsity = finalSparsity }
    }

    /// The schedule of pruning in a run on a text of this many windows; nil where nothing is pruned.
    ///
    /// ``Loop/duration`` is the compute, in steps of the dense model.
    ///
    /// - Throws: `.badData` for a run that is too short for its window or interval.
    public func pruningSchedule(windowsPerEpoch: Int) throws -> ComputePhaseSchedule? {
        guard let prune else { return nil }
        do {
            return try ComputePhaseSchedule(
                denseSteps: denseSteps(windowsPerEpoch: windowsPerEpoch), finalSparsity: prune.finalSparsity,
                window: prune.window, ramp: prune.ramp, interval: prune.interval)
        } catch let error {
            let field = error.field.map { $0 == "steps" ? "training.steps" : "prune.\($0)" }
            throw CoppiceError(.badData, source: source, field: field, error.message)
        }
    }

    static func pruning(_ node: RecipeNode) throws -> Pruning {
        let fields = try node.fields(["final_sparsity", "window", "ramp", "every", "scope", "floor", "floor_of"])
        guard let sparsity = fields["final_sparsity"] else {
            throw node.error(
                "the key \"final_sparsity\" is missing, expected the part of the weights to remove, from 0 to below 1")
        }
        var pruning = Pruning(finalSparsity: try sparsity.number(in: 0..<1))
        if let field = fields["window"] {
            let ends = try field.elements("two numbers").map { try $0.number(in: 0..<1) }
            guard ends.count == 2, ends[0] < ends[1] else {
                throw field.error("expected two increasing fractions of compute, such as [0.25, 0.75]")
            }
            pruning.window = ComputePhaseSchedule.Window(start: ends[0], end: ends[1])
        }
        if let ramp = try fields["ramp"]?.word(SparsityRamp.self) { pruning.ramp = ramp }
        pruning.interval = try fields["every"]?.integer(in: 1...1_000_000_000)
        if let scope = try fields["scope"]?.word(Pruning.Scope.self) { pruning.scope = scope }
        pruning.floor = try LayerFloor.read(fields, isGlobal: pruning.scope == .global)
        return pruning
    }
}
