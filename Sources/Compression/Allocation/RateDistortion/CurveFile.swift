import CoppiceModels
import CoppiceTensors

/// Curves of a model's layers, measured once for any number of allocations, and the SHA-256 of the weights that they were
/// measured on.
///
/// A JSON file: `format: "distortion-curves"`, `version`, `model` (the digest), how they were measured (`method`, `scope`,
/// `distortion`, `calibration`, `samples`, `seed`) and `layers`, each with `name`, `count`, `multiplications` (of one
/// entry; only of vision networks), and `kept` and `distortion` as two lists of one length.
///
/// ```swift
/// let file = try CurveFile.read("curves.json")
/// try file.check(against: StoredWeights.open("resnet20.safetensors"), source: "curves.json")
/// let plan = try file.allocation().plan(sparsity: 0.9)
/// ```
public struct CurveFile: Sendable, Hashable {
    /// One weight of the model.
    public struct Layer: Sendable, Hashable {
        public var curve: DistortionCurve
        /// Multiplications with one entry for one input; nil where they were not counted.
        public var multiplications: Int?

        public init(_ curve: DistortionCurve, multiplications: Int? = nil) {
            self.curve = curve
            self.multiplications = multiplications
        }
    }

    /// In checkpoint order.
    public var layers: [Layer]
    /// SHA-256 of all the numbers that the model computes with (``StoredWeights/modelDigest()``).
    public var modelDigest: String
    /// What mattered inside a layer.
    public var method = PruneStage.Method.magnitude
    /// Whose weights were compared with each other.
    public var scope = PruneStage.Scope.layer
    public var distortion = OutputDistortion.mean
    public var calibration = RateDistortionOptions.Calibration.data
    /// Images, or windows of a text.
    public var samples = 0
    public var seed: UInt64 = 42

    public init(_ layers: [Layer], modelDigest: String) {
        self.layers = layers
        self.modelDigest = modelDigest
    }

    public var curves: [DistortionCurve] { layers.map(\.curve) }

    /// The allocation by these curves, with points between those measured as recipes have them.
    ///
    /// - Parameters:
    ///   - measure: what a sparsity is a fraction of.
    ///   - source: the file, for messages.
    /// - Throws: `.badData` where multiplications are asked for and were not counted, naming the layer.
    public func allocation(
        solver: RateDistortionProblem.Solver = .buckets(65_536), of measure: BudgetMeasure = .parameters,
        source: String? = nil
    ) throws -> RateDistortionAllocation {
        var costs: [String: Int] = [:]
        if measure == .multiplications {
            for (index, layer) in layers.enumerated() {
                guard let count = layer.multiplications else {
                    throw CoppiceError(
                        .badData, source: source, field: "layers[\(index)].multiplications",
                        "is missing: those of \(layer.curve.name) were not counted, as of language models; expected a "
                            + "budget of parameters")
                }
                costs[layer.curve.name] = count
            }
        }
        return RateDistortionAllocation(curves.map { $0.interpolated() }, solver: solver, costs: costs)
    }

    /// What a budget counts.
    public enum BudgetMeasure: String, Sendable, Hashable, CaseIterable {
        case parameters, multiplications
    }

    // MARK: Models

    /// Refuses a model that the curves were not measured on.
    ///
    /// - Throws: `.badData` naming a weight that the model lacks or has in another size, or saying that its numbers are
    ///   others: weights, biases or running statistics, on all of which outputs depend.
    /// - Complexity: O(parameters): the digest is of all of them.
    public func check(against weights: StoredWeights, source: String? = nil) throws {
        let counts = Dictionary(uniqueKeysWithValues: weights.matrices.map { ($0.name, $0.count) })
        for (index, layer) in layers.enumerated() {
            guard let count = counts[layer.curve.name] else {
                throw CoppiceError(
                    .badData, source: source, field: "layers[\(index)].name",
                    "\(layer.curve.name) is no weight of \(weights.path): the curves are of another model"
                        + Spelling.hint(layer.curve.name, weights.matrices.map(\.name)))
            }
            guard count == layer.curve.count else {
                throw CoppiceError(
                    .badData, source: source, field: "layers[\(index)].count",
                    "\(layer.curve.count) weights of \(layer.curve.name), \(weights.path) has \(count): the curves are of "
                        + "another model")
            }
        }
        let own = try weights.modelDigest()
        guard own == modelDigest else {
            throw CoppiceError(
                .badData, source: source, field: "model",
                "the curves are of other weights, biases or statistics than those of \(weights.path): its SHA-256 is "
                    + "\(modelDigest.prefix(12))…, theirs \(own.prefix(12))…; measure them again (analyze curves)")
        }
    }

    /// Refuses a stage whose weights go by other scores than those of the curves.
    ///
    /// - Throws: `.badData`.
    func check(_ stage: PruneStage, source: String) throws {
        guard stage.method == method else {
            throw CoppiceError(
                .badData, source: source, field: "method",
                "the curves are of method \(method.rawValue), expected \(stage.method.rawValue) as the stage has it")
        }
        // Networks in memory compare the weights of a layer whatever the scope says.
        guard stage.scope == scope || !stage.method.prunesMatrices else {
            throw CoppiceError(
                .badData, source: source, field: "scope",
                "the curves are of scope \(scope.rawValue), expected \(stage.scope.rawValue) as the stage has it")
        }
    }
}
