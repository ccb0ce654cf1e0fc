import CoppiceCompression
import CoppiceTensors
import Foundation
import Testing

@Suite struct IsotonicRegressionTests {
    @Test func poolsViolatorsByHand() {
        #expect(IsotonicRegression.nonIncreasing([3, 1, 2, 0]) == [3, 1.5, 1.5, 0])
        #expect(IsotonicRegression.nonIncreasing([1, 2, 3]) == [2, 2, 2])
        #expect(IsotonicRegression.nonIncreasing([]) == [])
        #expect(IsotonicRegression.nonIncreasing([1, 4], weights: [2, 1]) == [2, 2])
    }

    @Test func isMonotoneAndClosestAmongMonotoneSequences() {
        var generator = SeededGenerator(seed: 20)
        for _ in 0..<50 {
            let values = (0..<12).map { _ in Double(generator.normal()) }
            let fit = IsotonicRegression.nonIncreasing(values)
            #expect(zip(fit, fit.dropFirst()).allSatisfy(>=))
            let error = zip(values, fit).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            for _ in 0..<50 {
                // The projection onto a cone: no monotone sequence near it is closer.
                let other = zip(fit, (0..<12).map { _ in Double(generator.normal()) * 0.05 }.sorted(by: >)).map(+)
                let otherError = zip(values, other).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
                #expect(error <= otherError + 1e-12)
            }
        }
    }
}

@Suite struct KneeTests {
    let grid = (0...9).map { Double($0) / 10 }

    private func curve(knee: Double, before: Double, after: Double) -> SparsityCurve {
        SparsityCurve(
            sparsities: grid,
            losses: grid.map { 2 + ($0 < knee ? before * ($0 - knee) : after * ($0 - knee)) + before * knee })
    }

    @Test(arguments: [0.2, 0.27, 0.3, 0.35, 0.4, 0.5, 0.55, 0.61, 0.7])
    func recoversAPlantedBreakpoint(knee: Double) throws {
        for (before, after) in [(0.0, 1.0), (0.1, 2.0), (0.5, 0.9), (0.01, 8.0)] {
            let fit = try #require(curve(knee: knee, before: before, after: after).kneeFit())
            #expect(abs(fit.breakpoint - knee) < 1e-6, "found \(fit.breakpoint)")
            #expect(abs(fit.slopeBefore - before) < 1e-6 && abs(fit.slopeAfter - after) < 1e-6)
            #expect(fit.squaredError < 1e-18)
            #expect(fit.isSharp == (after >= 5 * before))
        }
    }

    @Test func recoversABreakpointUnderNoiseWithinAGridStep() throws {
        var generator = SeededGenerator(seed: 21)
        for knee in [0.3, 0.45, 0.6] {
            var noisy = curve(knee: knee, before: 0.1, after: 4)
            for index in noisy.losses.indices { noisy.losses[index] += Double(generator.normal()) * 0.01 }
            let fit = try #require(noisy.kneeFit())
            #expect(abs(fit.breakpoint - knee) <= 0.1)
            #expect(fit.isSharp)
        }
    }

    @Test func noOtherBreakpointFitsBetter() throws {
        var generator = SeededGenerator(seed: 22)
        for _ in 0..<30 {
            let ys = grid.map { _ in Double(generator.normal()) }
            let best = try #require(TwoSegmentFit(grid, ys))
            // Brute force over a fine grid of breakpoints, each fitted by normal equations in three unknowns.
            for step in 2..<88 {
                let b = Double(step) / 100 + 0.005
                #expect(best.squaredError <= continuousFitError(grid, ys, b) + 1e-9)
            }
        }
    }

    @Test func flatAndShortCurves() throws {
        let flat = SparsityCurve(sparsities: grid, losses: grid.map { _ in 3 })
        let fit = try #require(flat.kneeFit())
        #expect(fit.slopeRatio == 1 && !fit.isSharp)
        #expect(SparsityCurve(sparsities: [0, 0.5, 0.9], losses: [1, 1, 2]).kneeFit() == nil)
    }

    @Test func tolerancePointIsTheLastOneWithinTolerance() {
        let curve = SparsityCurve(sparsities: [0, 0.2, 0.4, 0.6, 0.8], losses: [2, 2.01, 2.05, 2.01, 6])
        // One hundredth of 8 - 2 = 6 nats is 0.06.
        #expect(curve.tolerancePoint(chanceLoss: 8) == 0.6)
        #expect(curve.tolerancePoint(tolerance: 0.005, chanceLoss: 8) == 0.2)  // 0.4 is over, so 0.6 does not count
        #expect(curve.tolerancePoint(tolerance: 0, chanceLoss: 8) == 0)
        #expect(curve.tolerancePoint(tolerance: 1, chanceLoss: 8) == 0.8)
    }
}

/// The squared error of the best continuous two-segment fit with a given breakpoint, by Gaussian elimination.
private func continuousFitError(_ xs: [Double], _ ys: [Double], _ breakpoint: Double) -> Double {
    let basis = xs.map { [1, min($0 - breakpoint, 0), max($0 - breakpoint, 0)] }
    var system = (0..<3).map { row in
        (0..<3).map { column in basis.reduce(0) { $0 + $1[row] * $1[column] } }
            + [zip(basis, ys).reduce(0) { $0 + $1.0[row] * $1.1 }]
    }
    for pivot in 0..<3 {
        for row in 0..<3 where row != pivot {
            let factor = system[row][pivot] / system[pivot][pivot]
            for column in 0..<4 { system[row][column] -= factor * system[pivot][column] }
        }
    }
    let unknowns = (0..<3).map { system[$0][3] / system[$0][$0] }
    return zip(basis, ys).reduce(0) { sum, point in
        let residual = point.1 - zip(point.0, unknowns).reduce(0) { $0 + $1.0 * $1.1 }
        return sum + residual * residual
    }
}

@Suite struct NearZeroTests {
    @Test func countsAgainstTheRootMeanSquare() {
        let weight = Tensor([Float(0), 0.004, -0.04, 2, -2, 0.3, 1, -1], shape: [2, 4])
        let counts = NearZeroCounts(weight, relativeThresholds: [1e-3, 1e-2, 0.1, 10])
        let rms = ((0.004 * 0.004 + 0.04 * 0.04 + 4 + 4 + 0.09 + 1 + 1) / 8.0).squareRoot()
        #expect(abs(counts.rootMeanSquare - rms) < 1e-6)
        #expect(counts.below == [1, 2, 3, 8])
        #expect(counts.fractions == [0.125, 0.25, 0.375, 1])
        // Of another unit: below 0.0025, 0.025, 0.25 and 25.
        let fixed = NearZeroCounts(weight, relativeThresholds: [1e-3, 1e-2, 0.1, 10], unit: 2.5)
        #expect(fixed.below == [1, 2, 3, 8] && fixed.rootMeanSquare == counts.rootMeanSquare)
        #expect(NearZeroCounts(weight, relativeThresholds: [1e-3, 1e-2, 0.1, 10], unit: 11).below == [2, 3, 6, 8])
        #expect(NearZeroCounts(Tensor(uninitialized: [0, 4])).fractions == [0, 0, 0])
    }

    @Test func findsThePlantedChange() throws {
        let values = [0.1, 0.11, 0.1, 0.09, 0.3, 0.31, 0.3, 0.32]
        let change = try #require(ChangePoint(values))
        #expect(change.largestJumpIndex == 4 && change.cumulativeSumIndex == 4)
        #expect(abs(change.largestJump - 0.21) < 1e-12)
        #expect(abs(change.levelShift - (0.3075 - 0.1)) < 1e-12)
        // One outlier draws the largest jump but not the cumulative sum.
        let outlier = try #require(ChangePoint([0, 0, 0.9, 0, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]))
        #expect(outlier.largestJumpIndex != 5 && outlier.cumulativeSumIndex == 5)
        #expect(ChangePoint([1]) == nil && ChangePoint([2, 2, 2]) == nil)
    }
}

@Suite struct SparsitySweepTests {
    let weights = [
        PrunableWeight(name: "a", rows: 16, columns: 32), PrunableWeight(name: "b", rows: 8, columns: 64),
    ]

    private func values() -> [Tensor] {
        var generator = SeededGenerator(seed: 23)
        return [generator.matrix(16, 32), generator.matrix(8, 64, scale: 0.2)]
    }

    private func sweep() -> SparsitySweep {
        let grid = (1...9).map { Double($0) / 10 }
        return SparsitySweep(variants: SparsityVariant.standard(sparsities: grid, seed: 1), chanceLoss: 10)
    }

    /// A model whose loss is the energy of what was removed, with two shards of different difficulty.
    private func run(_ sweep: SparsitySweep) throws -> (SparsityReport, [SparsitySweep.Progress]) {
        let values = values()
        let energy = values.map { $0.floats().map { Double($0 * $0) } }
        let total = energy.joined().reduce(0, +)
        var steps: [SparsitySweep.Progress] = []
        let report = try sweep.run(
            weights, values: { values[$0] },
            evaluate: { masks in
                guard let masks else { return [1, 1.5] }
                let lost = zip(masks, energy).reduce(0.0) { sum, pair in
                    sum
                        + pair.1.indices.reduce(0) {
                            $0 + (pair.0[$1 / pair.0.columns, $1 % pair.0.columns] ? 0 : pair.1[$1])
                        }
                }
                return [1 + 9 * lost / total, 1.5 + 8.5 * lost / total]
            }, progress: { steps.append($0) })
        return (report, steps)
    }

    @Test func comparesTheVariantsOnOneGrid() throws {
        let (report, steps) = try run(sweep())
        #expect(
            report.series.map(\.label) == [
                "magnitude-global", "magnitude-layer", "random-global", "random-erk", "magnitude-n:4",
            ])
        #expect(steps.last.map { $0.completed == $0.total } == true)
        #expect(report.series[0].points.count > 10)  // refined around the knee
        #expect(report.series[4].points.map(\.sparsity) == [0, 0.25, 0.5, 0.75])
        for series in report.series {
            #expect(zip(series.points, series.points.dropFirst()).allSatisfy { $0.sparsity < $1.sparsity })
            #expect(series.points[0].shardLosses == [1, 1.5])
        }
        // The energy removed is least for global magnitude: it bounds every curve from below.
        for step in 1...9 {
            let sparsity = Double(step) / 10
            let losses = try report.series[..<4].map { series in
                try #require(series.points.first { abs($0.sparsity - sparsity) < 3e-3 }).loss
            }
            #expect(losses[1...].allSatisfy { $0 >= losses[0] - 1e-12 })
            #expect(losses[2] > losses[0] + 0.1)
        }
        #expect(report.series[0].tolerancePoint > report.series[2].tolerancePoint)
    }

    @Test func isReproducible() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let first = try encoder.encode(run(sweep()).0)
        #expect(try first == encoder.encode(run(sweep()).0))
        let decoded = try JSONDecoder().decode(SparsityReport.self, from: first)
        #expect(try encoder.encode(decoded) == first)
    }

    @Test func intervalsHoldTheEstimate() throws {
        let (report, _) = try run(sweep())
        for series in report.series {
            let interval = try #require(series.tolerancePointInterval)
            #expect(interval.low <= series.tolerancePoint && series.tolerancePoint <= interval.high)
        }
    }

    @Test func starvedMatricesAreReported() throws {
        let (report, _) = try run(sweep())
        let starved = report.starvedWeights(in: report.series[0])
        #expect(starved.map(\.weight) == ["b"])  // its weights are five times smaller
        #expect(report.starvedWeights(in: report.series[1]).isEmpty)
        #expect(report.csv.hasPrefix("method,sparsity,loss\nmagnitude-global,0.0,1.25\n"))
    }
}
