import CoppiceTensors

/// One option for each layer, such that all together cost no more than a budget and their distortions add up to as little
/// as can be.
///
/// What an option is, is the caller's: a pruning rate, a width in bits, a rank, a number of channels; the cost is in
/// whole units of what is scarce (weights, bits, operations). The multiple-choice knapsack of rate-distortion
/// theory: Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers" (1988).
///
/// ```swift
/// let problem = try RateDistortionProblem(
///     layers: widths.map { layer in
///         .init(layer.name, [2, 4, 8].map { .init(cost: $0 * layer.count, distortion: layer.error(bits: $0)) })
///     }, budget: 4 * weightCount)
/// let solution = try problem.solved(by: .buckets(65_536))
/// ```
public struct RateDistortionProblem: Sendable, Hashable {
    /// A choice of a layer.
    public struct Option: Sendable, Hashable {
        /// What it takes of the budget, 0 or more.
        public var cost: Int
        /// What it costs in quality; any finite number, and not necessarily less where the cost is more.
        public var distortion: Double

        public init(cost: Int, distortion: Double) {
            self.cost = cost
            self.distortion = distortion
        }
    }

    /// A layer with its choices.
    public struct Layer: Sendable, Hashable {
        /// For messages.
        public var name: String
        /// In any order.
        public var options: [Option]

        public init(_ name: String, _ options: [Option]) {
            self.name = name
            self.options = options
        }
    }

    public let layers: [Layer]
    /// The most that the options may cost together.
    public let budget: Int

    /// - Throws: `.badData` without layers, or for a layer without options, with a negative cost or with a distortion that
    ///   is not a finite number, naming it; `.usage` for a budget below the cheapest options.
    public init(layers: [Layer], budget: Int) throws {
        guard !layers.isEmpty else { throw CoppiceError(.badData, field: "layers", "there are none to allocate to") }
        var least = 0
        for layer in layers {
            guard (1...Self.maximumOptionCount).contains(layer.options.count) else {
                throw CoppiceError(
                    .badData, field: layer.name,
                    "has \(layer.options.count) options, expected 1 to \(Self.maximumOptionCount)")
            }
            for option in layer.options {
                guard option.distortion.isFinite else {
                    throw CoppiceError(
                        .badData, field: layer.name,
                        "has a distortion of \(option.distortion), expected a finite number")
                }
                guard option.cost >= 0 else {
                    throw CoppiceError(.badData, field: layer.name, "has a cost of \(option.cost), expected 0 or more")
                }
            }
            least += layer.cheapest
        }
        guard least <= budget else {
            throw CoppiceError(
                .usage, field: "budget", "\(budget) is below the \(least) that the cheapest options cost together")
        }
        self.layers = layers
        self.budget = budget
    }

    /// Options that a layer may have: their numbers are kept in 16 bits.
    public static let maximumOptionCount = 1 << 16

    /// How an answer is found.
    public enum Solver: Sendable, Hashable {
        /// Dynamic programming over each unit of the budget: the best answer. O(L·K·budget) time for L layers of K options,
        /// 2·L·budget bytes.
        case exact
        /// The same over at most so many buckets of the budget, costs rounded up so that the budget holds, what rounding
        /// leaves spent on the steepest improvements: O(L·K·Q), whatever the budget. An answer that is best for a budget
        /// smaller by L buckets is never better.
        case buckets(Int)
        /// Minimizes distortion + λ·cost for the λ that meets the budget: the best answer wherever the budget is met by
        /// corners of the layers' convex hulls alone, near to it elsewhere. O(L·K log LK).
        case lagrangian
    }

    /// Solves the problem.
    ///
    /// - Throws: `.usage` where a table would need more than ``maximumTableSize``, or for no bucket.
    public func solved(by solver: Solver) throws -> RateDistortionSolution {
        switch solver {
        case .exact: return try solvedByProgramming(unit: 1)
        case .buckets(let count):
            guard count > 0 else { throw CoppiceError(.usage, field: "buckets", "\(count), expected at least one") }
            let free = budget - layers.reduce(0) { $0 + $1.cheapest }
            return try solvedByProgramming(unit: max(1, (free + count - 1) / count))
        case .lagrangian: return solvedOnHulls()
        }
    }

    /// The answer of some choices, with the options that ``spendingSlack(_:)`` finds.
    func solution(_ choices: [Int], lowerBound: Double) -> RateDistortionSolution {
        let chosen = zip(layers, choices).map { $0.options[$1] }
        return RateDistortionSolution(
            choices: choices, cost: chosen.reduce(0) { $0 + $1.cost },
            distortion: chosen.reduce(0) { $0 + $1.distortion },
            lowerBound: lowerBound)
    }

    /// Replaces options by better ones that still fit, the steepest improvement first: what saves most distortion for each
    /// unit of cost. O(L·K) for each replacement.
    func spendingSlack(_ choices: [Int]) -> [Int] {
        var choices = choices
        var slack = budget - zip(layers, choices).reduce(0) { $0 + $1.0.options[$1.1].cost }
        while true {
            var best: (layer: Int, option: Int, slope: Double)?
            for (index, layer) in layers.enumerated() {
                let current = layer.options[choices[index]]
                for (number, option) in layer.options.enumerated() {
                    let (gain, cost) = (current.distortion - option.distortion, option.cost - current.cost)
                    guard gain > 0, cost <= slack else { continue }
                    let slope = cost <= 0 ? .infinity : gain / Double(cost)
                    if slope > best?.slope ?? 0 { best = (index, number, slope) }
                }
            }
            guard let best else { return choices }
            let options = layers[best.layer].options
            slack -= options[best.option].cost - options[choices[best.layer]].cost
            choices[best.layer] = best.option
        }
    }
}

extension RateDistortionProblem.Layer {
    /// The least cost of an option.
    var cheapest: Int { options.reduce(.max) { Swift.min($0, $1.cost) } }
}

/// An answer to a ``RateDistortionProblem``.
public struct RateDistortionSolution: Sendable, Hashable {
    /// The option of each layer, by its place among the layer's options.
    public var choices: [Int]
    /// What the options cost together, at most the budget.
    public var cost: Int
    /// The sum of their distortions.
    public var distortion: Double
    /// No answer within the budget has a distortion below this, but for rounding: a certificate of how good it is.
    public var lowerBound: Double

    /// What a better answer could save at most.
    public var gap: Double { max(0, distortion - lowerBound) }
}
