/// The densities of layers that let most through on average: maximise Σ log p_l under budgets of costs, 0 < p_l ≤
/// limit.
///
/// The expected flow of signal through a network whose weights are kept at random is proportional to Π p_l, whatever
/// the granularity, so the product of densities is a proxy of accuracy that needs no data ("Structured pruning is all
/// you need for pruning CNNs at initialization", SynExp). The conditions of Karush, Kuhn and Tucker give
/// p_l = min(limit, 1 / Σ_b λ_b c_bl): water-filling. Under one budget every layer below the limit costs the same.
public struct WaterFilling: Sendable, Hashable {
    /// What layers cost when dense, and how much all may cost together.
    public struct Budget: Sendable, Hashable {
        /// Of each layer: parameters, multiplications…
        public var costs: [Double]
        public var limit: Double

        public init(costs: [Double], limit: Double) {
            self.costs = costs
            self.limit = limit
        }
    }

    /// The optimum and its proof.
    public struct Solution: Sendable, Hashable {
        /// Of each layer.
        public var densities: [Double]
        /// λ of each budget, 0 for one that is not reached.
        public var multipliers: [Double]
    }

    /// One or two.
    public var budgets: [Budget]
    /// The largest density: 1 where layers only shrink.
    public var limit: Double

    /// - Precondition: one or two budgets of positive limits, as many costs in each, none negative; a positive limit.
    public init(_ budgets: [Budget], limit: Double = 1) {
        precondition((1...2).contains(budgets.count), "\(budgets.count) budgets, one or two expected")
        precondition(
            budgets.allSatisfy { budget in
                budget.limit > 0 && budget.costs.count == budgets[0].costs.count
                    && budget.costs.allSatisfy { $0 >= 0 && $0.isFinite }
            }, "budgets of positive limits with a cost for each layer expected")
        precondition(limit > 0 && limit.isFinite, "a density of at most \(limit)")
        self.budgets = budgets
        self.limit = limit
    }

    /// The optimum, by safeguarded Newton iterations on the multipliers, one nested in the other for two budgets.
    ///
    /// - Complexity: O(L) for each iteration: some tens of them for one budget, some hundreds for two.
    public func solve() -> Solution {
        let layers = Double(budgets[0].costs.count)
        let highest = budgets.map { layers / $0.limit }
        guard budgets.count == 2 else {
            let multiplier = Self.decreasingRoot(upTo: highest[0]) { multiplier in
                let (value, slopes) = excess(0, [multiplier])
                return (value, slopes[0])
            }
            return Solution(densities: densities([multiplier]), multipliers: [multiplier])
        }
        /// The first multiplier that suits a second one.
        func first(_ second: Double) -> Double {
            Self.decreasingRoot(upTo: highest[0]) { multiplier in
                let (value, slopes) = excess(0, [multiplier, second])
                return (value, slopes[0])
            }
        }
        let second = Self.decreasingRoot(upTo: highest[1]) { second in
            let own = first(second)
            let (value, slopes) = excess(1, [own, second])
            // Along the curve on which the first budget stays as it is.
            let (_, others) = excess(0, [own, second])
            let turn = own > 0 && others[0] < 0 ? slopes[0] * others[1] / others[0] : 0
            return (value, slopes[1] - turn)
        }
        let multipliers = [first(second), second]
        return Solution(densities: densities(multipliers), multipliers: multipliers)
    }

    /// p_l of some multipliers.
    private func densities(_ multipliers: [Double]) -> [Double] {
        budgets[0].costs.indices.map { min(limit, 1 / price($0, multipliers)) }
    }

    /// Σ_b λ_b c_bl.
    private func price(_ layer: Int, _ multipliers: [Double]) -> Double {
        zip(budgets, multipliers).reduce(0) { $0 + $1.0.costs[layer] * $1.1 }
    }

    /// By how much a budget is exceeded, as a part of it, and how that changes with each multiplier.
    private func excess(_ budget: Int, _ multipliers: [Double]) -> (value: Double, slopes: [Double]) {
        var used = 0.0
        var slopes = [Double](repeating: 0, count: multipliers.count)
        for layer in budgets[budget].costs.indices {
            let cost = budgets[budget].costs[layer]
            let price = price(layer, multipliers)
            guard price * limit > 1 else {
                used += cost * limit
                continue
            }
            used += cost / price
            for other in multipliers.indices { slopes[other] -= cost * budgets[other].costs[layer] / (price * price) }
        }
        let limit = budgets[budget].limit
        return (used / limit - 1, slopes.map { $0 / limit })
    }

    /// How far a solution is from optimal: the largest of the relative errors of stationarity, of the budgets that are
    /// exceeded, and of complementary slackness. Zero at the optimum.
    public func residual(of solution: Solution) -> Double {
        var worst = 0.0
        for (layer, density) in solution.densities.enumerated() {
            let slope = density * price(layer, solution.multipliers)
            // At the limit more would still pay; below it nothing is to be gained.
            worst = max(worst, density >= limit ? slope - 1 : abs(slope - 1))
        }
        for (budget, multiplier) in zip(budgets, solution.multipliers) {
            let used = zip(budget.costs, solution.densities).reduce(0) { $0 + $1.0 * $1.1 }
            worst = max(worst, used / budget.limit - 1, -multiplier)
            worst = max(worst, multiplier * abs(budget.limit - used) / Double(solution.densities.count))
        }
        return worst
    }

    /// The x from 0 where a decreasing function is zero; 0 where it is not positive there.
    static func decreasingRoot(upTo highest: Double, _ function: (Double) -> (value: Double, slope: Double)) -> Double {
        guard function(0).value > 0 else { return 0 }
        var (low, high) = (0.0, highest)
        var x = highest / 2
        for _ in 0..<200 {
            let (value, slope) = function(x)
            if value == 0 { return x }
            if value > 0 { low = x } else { high = x }
            let newton = slope < 0 ? x - value / slope : .nan
            // Newton's point where it is inside what is left, else the middle: geometric once there are two ends.
            let middle = low > 0 ? (low * high).squareRoot() : high / 2
            let next = newton > low && newton < high ? newton : middle
            if abs(next - x) <= 1e-16 * x || high - low <= 1e-16 * high { return next }
            x = next
        }
        return x
    }
}
