import CoppiceCompression
import CoppiceTensors
import Testing

private typealias Problem = RateDistortionProblem

/// A problem of random tables. Distortions are whole numbers, so that sums compare exactly.
private func problem(_ generator: inout SeededGenerator, layers: ClosedRange<Int>, options: ClosedRange<Int>) throws
    -> RateDistortionProblem
{
    let tables = (0..<Int.random(in: layers, using: &generator)).map { index in
        let own = (0..<Int.random(in: options, using: &generator)).map { _ in
            Problem.Option(
                cost: Int.random(in: 0...30, using: &generator),
                distortion: Double(Int.random(in: -3...1000, using: &generator)))
        }
        return Problem.Layer("layer\(index)", own)
    }
    let least = tables.reduce(0) { $0 + ($1.options.map(\.cost).min() ?? 0) }
    return try Problem(layers: tables, budget: least + Int.random(in: 0...60, using: &generator))
}

/// The least distortion of all choices within the budget.
private func exhaustive(_ problem: RateDistortionProblem) -> Double {
    func best(_ index: Int, _ left: Int) -> Double {
        guard index < problem.layers.count else { return 0 }
        return problem.layers[index].options.filter { $0.cost <= left }
            .map { $0.distortion + best(index + 1, left - $0.cost) }.min() ?? .infinity
    }
    return best(0, problem.budget)
}

private func refusal(_ layers: [RateDistortionProblem.Layer], _ budget: Int) -> String {
    do {
        _ = try Problem(layers: layers, budget: budget)
        return "no error"
    } catch { return "\(error)" }
}

@Suite struct RateDistortionProblemTests {
    @Test func programmingFindsWhatExhaustiveSearchFinds() throws {
        var generator = SeededGenerator(seed: 21)
        for _ in 0..<400 {
            let problem = try problem(&generator, layers: 1...5, options: 1...6)
            let least = exhaustive(problem)
            let exact = try problem.solved(by: .exact)
            #expect(exact.distortion == least && exact.cost <= problem.budget && exact.gap == 0)
            let chosen = zip(problem.layers, exact.choices).map { $0.options[$1] }
            #expect(chosen.reduce(0) { $0 + $1.cost } == exact.cost)
            #expect(chosen.reduce(0) { $0 + $1.distortion } == exact.distortion)
            // As many buckets as units is the same.
            #expect(try problem.solved(by: .buckets(problem.budget + 1)).distortion == least)
        }
    }

    @Test func otherSolversStayBetweenTheBoundAndTheBudget() throws {
        var generator = SeededGenerator(seed: 22)
        for trial in 0..<300 {
            let problem = try problem(&generator, layers: 2...6, options: 2...6)
            let least = exhaustive(problem)
            for solver in [Problem.Solver.lagrangian, .buckets(1 + trial % 20)] {
                let solution = try problem.solved(by: solver)
                #expect(solution.cost <= problem.budget && solution.distortion >= least)
                #expect(solution.lowerBound <= least + 1e-9)
            }
        }
    }

    /// Where the price λ meets the budget with corners of the hulls alone, its answer is the best.
    @Test func theLagrangianIsExactAtCornersOfConvexCurves() throws {
        var generator = SeededGenerator(seed: 23)
        for _ in 0..<50 {
            // Falling steps that get smaller: convex curves, options of one unit more each.
            let layers = (0..<4).map { index -> Problem.Layer in
                let steps = (0..<8).map { _ in Double.random(in: 0...10, using: &generator) }.sorted(by: >)
                var (distortion, options) = (100.0, [Problem.Option(cost: 0, distortion: 100)])
                for (cost, step) in steps.enumerated() {
                    distortion -= step
                    options.append(.init(cost: cost + 1, distortion: distortion))
                }
                return .init("layer\(index)", options)
            }
            for budget in [0, 5, 17, 32, 40] {
                let problem = try Problem(layers: layers, budget: budget)
                let (priced, exact) = (try problem.solved(by: .lagrangian), try problem.solved(by: .exact))
                #expect(priced.choices == exact.choices && priced.gap < 1e-9)
            }
        }
    }

    @Test func scaleAndOrderOfLayersChangeNothing() throws {
        var generator = SeededGenerator(seed: 24)
        for _ in 0..<50 {
            let problem = try problem(&generator, layers: 5...5, options: 6...6)
            let layers = problem.layers.map { layer in
                // No two sums are equal.
                Problem.Layer(
                    layer.name,
                    layer.options.map {
                        .init(cost: $0.cost, distortion: $0.distortion + Double.random(in: 0..<1, using: &generator))
                    })
            }
            let scaled = layers.map { layer in
                Problem.Layer(layer.name, layer.options.map { .init(cost: $0.cost, distortion: $0.distortion * 4) })
            }
            for solver in [Problem.Solver.exact, .buckets(16), .lagrangian] {
                let choices = try Problem(layers: layers, budget: problem.budget).solved(by: solver).choices
                #expect(try Problem(layers: scaled, budget: problem.budget).solved(by: solver).choices == choices)
                let turned = try Problem(layers: layers.reversed(), budget: problem.budget).solved(by: solver)
                #expect(turned.choices.reversed() == choices)
            }
        }
    }

    /// Rounding up keeps the budget, and with its slack spent the answer is no worse than for a budget of L buckets less.
    @Test func bucketsLoseAtMostABucketForEachLayer() throws {
        var generator = SeededGenerator(seed: 25)
        for _ in 0..<40 {
            let layers = (0..<6).map { index -> Problem.Layer in
                var (kept, distortion) = (Int.random(in: 500...5_000, using: &generator), 0.0)
                var options: [Problem.Option] = []
                while kept > 0 {
                    options.append(.init(cost: kept, distortion: distortion))
                    distortion += Double.random(in: 0...3, using: &generator)
                    kept -= Int.random(in: 30...300, using: &generator)
                }
                return .init("layer\(index)", options)
            }
            let budget = 4_000
            let problem = try Problem(layers: layers, budget: budget)
            let least = layers.reduce(0) { $0 + ($1.options.map(\.cost).min() ?? 0) }
            let buckets = 256
            let unit = (budget - least + buckets - 1) / buckets
            let solution = try problem.solved(by: .buckets(buckets))
            let poorer = try Problem(layers: layers, budget: max(least, budget - 7 * unit)).solved(by: .exact)
            #expect(solution.cost <= budget && solution.distortion <= poorer.distortion + 1e-9)
            #expect(solution.distortion >= (try problem.solved(by: .exact).distortion) - 1e-9)
        }
    }

    /// What buckets leave of a budget is less than they round up to, and no step that still fits is left undone.
    @Test func slackStaysBelowTheBucketsAndAStep() throws {
        var generator = SeededGenerator(seed: 26)
        for trial in 0..<60 {
            let layers = (0..<6).map { index -> Problem.Layer in
                var (kept, distortion) = (Int.random(in: 2_000...9_000, using: &generator), 0.0)
                var options: [Problem.Option] = []
                while kept > 0 {
                    options.append(.init(cost: kept, distortion: distortion))
                    distortion += Double.random(in: 0.1...3, using: &generator)
                    kept -= Int.random(in: 30...300, using: &generator)
                }
                return .init("layer\(index)", options)
            }
            let least = layers.reduce(0) { $0 + ($1.options.map(\.cost).min() ?? 0) }
            let budget = least + 6_000
            let problem = try Problem(layers: layers, budget: budget)
            let buckets = [16, 256, 65_536][trial % 3]
            let unit = max(1, (budget - least + buckets - 1) / buckets)
            let solution = try problem.solved(by: .buckets(buckets))
            let slack = budget - solution.cost
            #expect(slack >= 0 && slack <= layers.count * unit + 300)
            for (layer, choice) in zip(layers, solution.choices) where choice > 0 {
                #expect(layer.options[choice - 1].cost - layer.options[choice].cost > slack)
            }
        }
    }

    /// The relaxation as its dual says: the most of Σ min(δ + λ·cost) − λ·budget over prices λ ≥ 0, which lies where some
    /// layer's best option changes.
    private func relaxation(_ problem: RateDistortionProblem) -> Double {
        var prices = [0.0]
        for layer in problem.layers {
            for a in layer.options {
                for b in layer.options where b.cost > a.cost && b.distortion < a.distortion {
                    prices.append((a.distortion - b.distortion) / Double(b.cost - a.cost))
                }
            }
        }
        var most = -Double.infinity
        for price in prices {
            var dual = -price * Double(problem.budget)
            for layer in problem.layers {
                dual += layer.options.map { $0.distortion + price * Double($0.cost) }.min() ?? 0
            }
            most = max(most, dual)
        }
        return most
    }

    /// At its price, the Lagrangian answer is the cheapest of all; the relaxed bound is below every answer and above none
    /// of a smaller budget.
    @Test func theBoundIsThatOfTheRelaxation() throws {
        var generator = SeededGenerator(seed: 27)
        for _ in 0..<100 {
            let problem = try problem(&generator, layers: 2...5, options: 2...6)
            let priced = try problem.solved(by: .lagrangian)
            let bounds = try [0, 5, 20].map { more in
                try Problem(layers: problem.layers, budget: problem.budget + more).solved(by: .lagrangian).lowerBound
            }
            // More budget never costs more, and the bound is convex in it: it falls ever less.
            #expect(abs(priced.lowerBound - relaxation(problem)) < 1e-8)
            #expect(bounds[0] >= bounds[1] - 1e-9 && bounds[1] >= bounds[2] - 1e-9)
            #expect((bounds[0] - bounds[1]) / 5 >= (bounds[1] - bounds[2]) / 15 - 1e-9)
            #expect(bounds[0] <= exhaustive(problem) + 1e-9)
        }
    }

    @Test func identicalConvexLayersGetEqualOptions() throws {
        let options = (0...10).map { Problem.Option(cost: 10 * $0, distortion: Double((10 - $0) * (10 - $0))) }
        let layers = (0..<4).map { Problem.Layer("layer\($0)", options) }
        for solver in [Problem.Solver.exact, .buckets(200), .lagrangian] {
            let solution = try Problem(layers: layers, budget: 160).solved(by: solver)
            #expect(solution.choices == [4, 4, 4, 4])
        }
    }

    @Test func oneOptionOrNoneAtAll() throws {
        // Keep or remove whole layers: a knapsack.
        let layers = [(6, 30.0), (5, 14), (4, 16), (2, 9)].enumerated().map { index, own in
            Problem.Layer("layer\(index)", [.init(cost: own.0, distortion: 0), .init(cost: 0, distortion: own.1)])
        }
        let solution = try Problem(layers: layers, budget: 10).solved(by: .exact)
        #expect(solution.choices == [0, 1, 0, 1] && solution.distortion == 23)
        let single = try Problem(layers: [.init("a", [.init(cost: 3, distortion: 7)])], budget: 3)
        for solver in [Problem.Solver.exact, .buckets(1), .lagrangian] {
            #expect(try single.solved(by: solver).choices == [0])
        }
    }

    @Test func badProblemsAreRefused() throws {
        let fine = Problem.Layer("fine", [.init(cost: 4, distortion: 1)])
        #expect(refusal([], 3) == "layers: there are none to allocate to")
        #expect(refusal([.init("a", [])], 3) == "a: has 0 options, expected 1 to 65536")
        #expect(
            refusal([fine, .init("b", [.init(cost: 1, distortion: .nan)])], 9)
                == "b: has a distortion of nan, expected a finite number")
        #expect(refusal([.init("b", [.init(cost: -1, distortion: 0)])], 9) == "b: has a cost of -1, expected 0 or more")
        #expect(
            refusal([fine, fine], 7) == "budget: 7 is below the 8 that the cheapest options cost together")
        let wide = [Problem.Option(cost: 0, distortion: 1), .init(cost: 1 << 40, distortion: 0)]
        let huge = try Problem(layers: [.init("a", wide)], budget: 1 << 40)
        #expect(throws: CoppiceError.self) { try huge.solved(by: .exact) }
        #expect(throws: CoppiceError.self) { try huge.solved(by: .buckets(0)) }
        #expect(try huge.solved(by: .buckets(1000)).choices == [1])
    }
}
