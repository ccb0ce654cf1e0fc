import CoppiceTensors

/// What the programme of the allocation by rate and distortion costs, on curves of layers that are made up: sizes that
/// differ up to a hundredfold, distortions that rise ever faster at random.
public struct AllocationBenchmark: Sendable {
    /// L.
    public var layerCount: Int
    /// N, about: weights of all layers.
    public var weightCount: Int
    /// K: rates of a layer.
    public var steps: Int
    /// The part of the weights that goes.
    public var sparsity: Double
    public let curves: [DistortionCurve]

    /// - Precondition: at least a thousand weights for each layer.
    public init(layerCount: Int, weightCount: Int, steps: Int = 100, sparsity: Double = 0.9, seed: UInt64 = 1) {
        precondition(
            layerCount > 0 && weightCount / layerCount >= 1000, "\(weightCount) weights of \(layerCount) layers")
        (self.layerCount, self.weightCount, self.steps, self.sparsity) = (layerCount, weightCount, steps, sparsity)
        var generator = RandomGenerator(seed: seed)
        let shares = (0..<layerCount).map { _ in Double.random(in: 0.01...1, using: &generator) }
        let all = shares.reduce(0, +)
        curves = shares.enumerated().map { index, share in
            let count = max(1, Int(share / all * Double(weightCount)))
            var (distortion, points) = (0.0, [DistortionCurve.Point]())
            for (place, kept) in RateGrid(steps: steps).keptCounts(of: count).enumerated() {
                if place > 0 {
                    let growth = Double(place * place) / Double(steps * steps)
                    distortion += growth * Double.random(in: 0.2...1, using: &generator)
                }
                points.append(.init(kept: kept, distortion: distortion))
            }
            return DistortionCurve(name: "layer\(index)", count: count, points: points)
        }
    }

    /// The weights that the curves are of.
    public var weights: [PrunableWeight] { curves.map { PrunableWeight(name: $0.name, rows: 1, columns: $0.count) } }

    /// Solves the programme once.
    ///
    /// - Returns: seconds, from the curves to the choices, and the answer.
    /// - Throws: what the solver throws.
    public func measure(
        _ solver: RateDistortionProblem.Solver
    ) throws -> (seconds: Double, solution: RateDistortionSolution) {
        let allocation = RateDistortionAllocation(curves, solver: solver)
        let weights = weights
        let clock = ContinuousClock()
        let start = clock.now
        let solution = try allocation.solution(weights, sparsity: sparsity)
        return ((clock.now - start) / .seconds(1), solution)
    }
}
