import CoppiceCompression
import CoppiceTensors
import Foundation
import Testing

/// Accuracy and loss as what curves hold.
@Suite struct SparsityMeasureTests {
    @Test func chanceIsThatOfClassFrequencies() {
        let (even, skewed) = ([0, 1, 2, 3, 3, 2, 1, 0], [0, 0, 5, 0])
        #expect(SparsityMeasure.accuracy.chance(even) == 0.75)
        #expect(abs(SparsityMeasure.loss.chance(even) - log(4)) < 1e-12)
        #expect(SparsityMeasure.accuracy.chance(skewed) == 0.25)
        #expect(abs(SparsityMeasure.loss.chance(skewed) - (0.75 * log(4.0 / 3) + 0.25 * log(4))) < 1e-12)
        #expect(SparsityMeasure.accuracy.chance([7, 7]) == 0 && SparsityMeasure.loss.chance([7, 7]) == 0)
    }

    @Test func numbersAreShownAsWhatTheyAre() {
        #expect(SparsityMeasure.accuracy.value(0.25) == 0.75 && SparsityMeasure.accuracy.slope(2) == -2)
        #expect(SparsityMeasure.loss.value(0.25) == 0.25 && SparsityMeasure.loss.slope(2) == 2)
    }

    /// P(s') ≥ P(0) − τ (P(0) − P_chance) for all s' ≤ s, written out.
    @Test(arguments: [0.1, 0.5, 0.9]) func theToleranceIsOfWhatIsAboveChance(_ chance: Double) {
        let accuracies = [0.9, 0.895, 0.892, 0.886, 0.9, 0.6]
        let curve = SparsityCurve(sparsities: [0, 0.1, 0.2, 0.3, 0.4, 0.5], losses: accuracies.map { 1 - $0 })
        for tolerance in [0, 0.005, 0.01, 0.02, 0.5] {
            let limit = 0.9 - tolerance * (0.9 - chance)
            let within = zip(curve.sparsities, accuracies).prefix { $0.1 >= limit - 1e-9 }
            #expect(curve.tolerancePoint(tolerance: tolerance, chanceLoss: 1 - chance) == within.last?.0)
        }
        // With ten classes a hundredth is 0.8 points: 89.2 % is at the limit, and within. With two it is 0.4.
        let points = [0.1: 0.2, 0.5: 0, 0.9: 0]
        #expect(curve.tolerancePoint(chanceLoss: 1 - chance) == points[chance])
    }

    /// A model no better than chance has nothing to lose, and nothing is free that makes it worse.
    @Test func belowChanceNothingIsTolerated() {
        let curve = SparsityCurve(sparsities: [0, 0.2, 0.4], losses: [0.95, 0.95, 0.96])
        #expect(curve.tolerancePoint(chanceLoss: 0.9) == 0.2)
    }

    /// Two segments of the whole curve bend where chance is reached; what counts is where accuracy begins to fall.
    @Test func kneesAreBeforeChance() throws {
        let curve = SparsityCurve(
            sparsities: (0...9).map { Double($0) / 10 },
            losses: [0.1, 0.1, 0.12, 0.5] + [Double](repeating: 0.9, count: 6))
        let whole = try #require(curve.kneeFit())
        #expect(whole.breakpoint > 0.35 && !whole.isSharp)
        #expect(curve.untilChance(0.9).losses == [0.1, 0.1, 0.12, 0.5, 0.9])
        let knee = try #require(curve.untilChance(0.9).kneeFit())
        #expect(abs(knee.breakpoint - 0.2) < 0.01 && knee.isSharp)
        // Nothing was learned, or a cliff at once: four points all the same.
        #expect(curve.untilChance(0.05).losses.count == 4 && curve.untilChance(0.1).losses.count == 4)
        #expect(SparsityCurve(sparsities: [0, 0.5, 0.9], losses: [0.1, 0.9, 0.9]).untilChance(0.9).losses.count == 3)
        // Chance is not reached.
        #expect(curve.untilChance(2) == curve)
    }

    /// Shards of three examples and of one.
    @Test func meansCountShardsByTheirSize() throws {
        let weights = [PrunableWeight(name: "a", rows: 4, columns: 8)]
        var generator = SeededGenerator(seed: 3)
        let values = generator.matrix(4, 8)
        let magnitude = SparsityVariant(
            label: "m", criterion: MagnitudeCriterion(), allocation: GlobalAllocation(), sparsities: [0.25, 0.5, 0.75])
        var sweep = SparsitySweep(variants: [magnitude], chanceLoss: 0.75)
        (sweep.measure, sweep.shardSizes, sweep.refinesKnee) = (.accuracy, [3, 1], false)
        var shown: [Double] = []
        let report = try sweep.run(weights, values: { _ in values }) { masks in
            let sparsity = masks?[0].sparsity ?? 0
            return sparsity < 0.5 ? [0, 1] : [1.0 / 3, 1]
        } progress: {
            shown.append($0.measure.value($0.loss))
        }
        let expected = [0.75, 0.75, 0.5, 0.5]
        #expect(zip(shown, expected).allSatisfy { abs($0 - $1) < 1e-12 } && shown.count == 4)
        #expect(zip(report.series[0].points, expected).allSatisfy { abs(1 - $0.loss - $1) < 1e-12 })
        #expect(report.measure == .accuracy && report.series[0].tolerancePoint == 0.25)
        #expect(report.csv.hasPrefix("method,sparsity,accuracy\nm,0.0,0.75\nm,0.25,0.75\n"))
        // A quarter of the samples are the smaller shard alone, whose curve is flat.
        let interval = try #require(report.series[0].tolerancePointInterval)
        #expect(interval.low == 0.25 && interval.high == 0.75)
        let decoded = try JSONDecoder().decode(SparsityReport.self, from: JSONEncoder().encode(report))
        #expect(decoded.series[0].points[1].loss == report.series[0].points[1].loss)
    }
}
