import CoppiceTensors

/// How many channels the groups of a network keep, such that its cost fits a budget and the distortions of their curves
/// add up to as little as can be.
///
/// What a channel costs depends on the widths beside it: a convolution multiplies as often as the product of two widths
/// says. So the programme, whose costs are sums, is given prices: what one channel of each group costs where the search
/// stands. Of its answers to budgets the best is taken whose real cost fits; the prices there give the next, as long as the
/// distortion falls. Then what is left of the budget is spent, and channels of one group make room for one of another, all
/// by the real cost. Where a cost is a sum, as of channels, the first answer is that of the ``RateDistortionProblem``.
///
/// ```swift
/// let budget = try ChannelBudget(curves, budget: whole / 2) { counts in multiplications(counts) }
/// let counts = try budget.solved()
/// ```
public struct ChannelBudget {
    /// One for each group, with every number of channels that may be kept.
    private let curves: [DistortionCurve]
    private let budget: Int
    private let solver: RateDistortionProblem.Solver
    /// What the network costs when the groups keep so many channels each.
    private let cost: ([Int]) -> Int

    /// Prices that are tried, and budgets for each.
    private static let (rounds, trials) = (8, 12)

    /// - Parameters:
    ///   - curves: in the order of the groups, as they were measured: of at least one point, between which distortion is
    ///     on a line.
    ///   - budget: the most that the network may cost.
    ///   - cost: never less for more channels.
    /// - Throws: `.usage` for a budget below what the curves' ends cost.
    public init(
        _ curves: [DistortionCurve], budget: Int, solver: RateDistortionProblem.Solver = .buckets(65_536),
        cost: @escaping (_ counts: [Int]) -> Int
    ) throws {
        self.curves = curves.map { $0.interpolated(parts: max(1, $0.count)) }
        self.budget = budget
        self.solver = solver
        self.cost = cost
        let least = cost(self.curves.map { $0.points[$0.points.count - 1].kept })
        guard least <= budget else {
            throw CoppiceError(
                .usage, field: "budget", "\(budget) is below the \(least) that the fewest channels cost together")
        }
    }

    /// The number of channels that each group keeps. No group can keep one more that lowers the sum of distortions.
    ///
    /// - Throws: what the solver throws.
    /// - Complexity: some tens of answers of the solver, and O(groups²) costs for each channel that is exchanged.
    public func solved() throws -> [Int] {
        var here = curves.map { _ in 0 }
        guard cost(kept(here)) > budget else { return kept(here) }
        var best = curves.map { $0.points.count - 1 }
        for _ in 0..<Self.rounds {
            guard let next = try answer(pricedAt: here), distortion(next) < distortion(best) else { break }
            (here, best) = (next, next)
        }
        best = filled(best)
        while let better = exchanged(best) { best = filled(better) }
        return kept(best)
    }

    /// Channels that are kept by the points of the curves.
    private func kept(_ places: [Int]) -> [Int] { zip(curves, places).map { $0.points[$1].kept } }

    private func distortion(_ places: [Int]) -> Double {
        zip(curves, places).reduce(0) { $0 + $1.0.points[$1.1].distortion }
    }

    // MARK: Prices

    /// The best answer within the budget to prices at a place.
    private func answer(pricedAt here: [Int]) throws -> [Int]? {
        let (counts, whole) = (kept(here), cost(kept(here)))
        let prices = curves.indices.map { group in
            let points = curves[group].points
            // A group that keeps all has nothing to pay.
            guard points.count > 1 else { return 0 }
            var beside = counts
            beside[group] = points[here[group] + 1 < points.count ? here[group] + 1 : here[group] - 1].kept
            return abs(whole - cost(beside))
        }
        let layers = zip(curves, prices).map { curve, price in
            RateDistortionProblem.Layer(
                curve.name, curve.points.map { .init(cost: $0.kept * price, distortion: $0.distortion) })
        }
        func price(_ counts: [Int]) -> Int { zip(counts, prices).reduce(0) { $0 + $1.0 * $1.1 } }
        var low = price(curves.map { $0.points[$0.points.count - 1].kept })
        var high = price(curves.map { $0.points[0].kept })
        // Where costs are sums, this budget is the budget.
        var trial = min(max(price(counts) + budget - whole, low), high)
        var best: [Int]?
        for _ in 0..<Self.trials {
            let places = try RateDistortionProblem(layers: layers, budget: trial).solved(by: solver).choices
            let real = cost(kept(places))
            if real <= budget {
                if best.map({ distortion(places) < distortion($0) }) ?? true { best = places }
                low = trial
            } else {
                high = trial
            }
            guard real != budget, high - low > 1 else { break }
            trial = low + (high - low) / 2
        }
        return best
    }

    // MARK: Real costs

    /// What a step of a group's curve towards more channels saves of the distortion.
    private func gain(_ group: Int, at place: Int) -> Double {
        curves[group].points[place].distortion - curves[group].points[place - 1].distortion
    }

    /// Spends what is left of the budget on the steps that save most for what they cost.
    private func filled(_ places: [Int]) -> [Int] {
        var places = places
        while true {
            let spent = cost(kept(places))
            var best: (group: Int, slope: Double)?
            for group in curves.indices where places[group] > 0 && gain(group, at: places[group]) > 0 {
                var more = places
                more[group] -= 1
                let own = cost(kept(more))
                guard own <= budget else { continue }
                let slope = gain(group, at: places[group]) / Double(max(1, own - spent))
                if slope > best?.slope ?? 0 { best = (group, slope) }
            }
            guard let best else { return places }
            places[best.group] -= 1
        }
    }

    /// One step of a curve for as few of another as make room for it, where that lowers the distortion: the exchange that
    /// lowers it most.
    private func exchanged(_ places: [Int]) -> [Int]? {
        // More than rounding, so that exchanges end.
        var best: (places: [Int], saved: Double) = (places, 1e-12 * distortion(places))
        for more in curves.indices where places[more] > 0 {
            let gain = gain(more, at: places[more])
            for fewer in curves.indices where fewer != more {
                var trial = places
                trial[more] -= 1
                while trial[fewer] + 1 < curves[fewer].points.count {
                    trial[fewer] += 1
                    let points = curves[fewer].points
                    let saved = gain - (points[trial[fewer]].distortion - points[places[fewer]].distortion)
                    guard saved > best.saved else { break }
                    if cost(kept(trial)) <= budget {
                        best = (trial, saved)
                        break
                    }
                }
            }
        }
        return best.places == places ? nil : best.places
    }
}
