import CoppiceModels
import CoppiceTensors

/// The split of a sparsity over layers that costs the network's outputs least, by curves measured beforehand.
///
/// Distortions of layers that are pruned together nearly add up, since their errors are uncorrelated: so the best split is
/// that of a ``RateDistortionProblem``, whose options are the points of the curves and whose cost is what they keep. Xu et
/// al., "Efficient joint optimization of layer-adaptive weight pruning in deep neural networks" (2023).
///
/// ```swift
/// let curves = try prunable.distortionCurves(on: inputs)
/// try prunable.prune(by: .magnitude, allocation: RateDistortionAllocation(curves), to: 0.9)
/// ```
public struct RateDistortionAllocation: Allocation {
    public var curves: [DistortionCurve]
    public var solver: RateDistortionProblem.Solver
    /// What an entry of each weight costs, such as its multiplications; 1 where nothing is said.
    public var costs: [String: Int]

    /// - Precondition: positive costs.
    public init(
        _ curves: [DistortionCurve], solver: RateDistortionProblem.Solver = .buckets(65_536), costs: [String: Int] = [:]
    ) {
        precondition(costs.values.allSatisfy { $0 > 0 }, "an entry costs nothing")
        self.curves = curves
        self.solver = solver
        self.costs = costs
    }

    /// By the curves that a stage asked for, finer between their points; nil of none.
    init?(interpolating curves: [DistortionCurve], for stage: PruneStage) {
        guard !curves.isEmpty else { return nil }
        self.init(curves.map { $0.interpolated() }, solver: stage.rateDistortion.solver)
    }

    /// - Throws: `.usage` for a weight without a curve (with the nearest name), a curve of another size, or a sparsity
    ///   beyond the curves' ends.
    public func check(_ weights: [PrunableWeight], sparsity: Double) throws {
        _ = try problem(own(weights), sparsity: sparsity)
    }

    /// The counts removed add up to exactly ⌊s·N⌋, unless more is removed already: what the points of the curves leave of
    /// the budget goes to the layers whose curves fall steepest there. With ``costs``, N is the cost of all entries, and
    /// what is removed costs ⌊s·N⌋ or up to one entry more.
    ///
    /// - Complexity: that of the solver.
    public func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (Int) throws -> Tensor
    ) throws -> [Int] {
        let curves = try own(weights)
        let problem = try problem(curves, sparsity: sparsity)
        let solution = try problem.solved(by: solver)
        let kept = keptCounts(curves, solution, budget: problem.budget)
        return zip(weights, kept).map { $0.count - $1 }
    }

    /// The solution of the weights' problem: which points of the curves are chosen.
    public func solution(_ weights: [PrunableWeight], sparsity: Double) throws -> RateDistortionSolution {
        try problem(own(weights), sparsity: sparsity).solved(by: solver)
    }

    /// The weights' curves, in their order.
    func own(_ weights: [PrunableWeight]) throws -> [DistortionCurve] {
        let byName = Dictionary(curves.map { ($0.name, $0) }) { first, _ in first }
        return try weights.map { weight in
            guard let curve = byName[weight.name] else {
                throw CoppiceError(
                    .usage, field: "curves",
                    "there is none of \(weight.name)" + Spelling.hint(weight.name, curves.map(\.name)))
            }
            guard curve.count == weight.count, !curve.points.isEmpty else {
                throw CoppiceError(
                    .usage, field: "curves",
                    "that of \(weight.name) is of \(curve.count) weights, expected \(weight.count): another network's")
            }
            return curve
        }
    }

    func cost(_ curve: DistortionCurve) -> Int { costs[curve.name] ?? 1 }

    func problem(_ curves: [DistortionCurve], sparsity: Double) throws -> RateDistortionProblem {
        let total = curves.reduce(0) { $0 + $1.count * cost($1) }
        let layers = curves.map { curve in
            RateDistortionProblem.Layer(
                curve.name, curve.points.map { .init(cost: $0.kept * cost(curve), distortion: $0.distortion) })
        }
        return try RateDistortionProblem(
            layers: layers, budget: total - ExactSelection.removedCount(total, sparsity: sparsity))
    }

    /// What each layer keeps when all of a budget is used: steps between the points chosen and the next, the steepest first.
    func keptCounts(
        _ curves: [DistortionCurve], _ solution: RateDistortionSolution, budget: Int
    ) -> [Int] {
        var places = solution.choices
        var kept = zip(curves, places).map { $0.points[$1].kept }
        var slack = budget - zip(curves, kept).reduce(0) { $0 + $1.1 * cost($1.0) }
        while slack > 0 {
            /// Distortion saved for each unit of cost more, up to the next point.
            func slope(_ index: Int) -> Double {
                let (here, next) = (curves[index].points[places[index]], curves[index].points[places[index] - 1])
                return (here.distortion - next.distortion) / Double((next.kept - here.kept) * cost(curves[index]))
            }
            let open = curves.indices.filter { places[$0] > 0 && cost(curves[$0]) <= slack }
            guard let steepest = open.max(by: { (slope($0), $1) < (slope($1), $0) }) else { break }
            let own = cost(curves[steepest])
            let step = min(slack / own, curves[steepest].points[places[steepest] - 1].kept - kept[steepest])
            kept[steepest] += step
            slack -= step * own
            places[steepest] -= 1
        }
        return kept
    }
}
