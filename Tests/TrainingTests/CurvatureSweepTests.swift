import CoppiceTraining
import Foundation
import Testing

@Suite struct CurvatureSweepTests {
    @Test func slopesAreThePowersOfTheTimes() {
        for power in [0.5, 1, 2] {
            let points = [3.0, 10, 80, 1_000].map { (x: $0, y: 7 * pow($0, power)) }
            #expect(abs(CurvatureSweep.slope(points) - power) < 1e-12)
        }
        // Least squares: the middle of three points at equal distances changes no slope.
        #expect(abs(CurvatureSweep.slope([(1, 1), (10, 7), (100, 100)]) - 1) < 1e-12)
    }

    @Test func eachSizeIsMeasured() throws {
        var sizes: [[Int]] = []
        let sweep = try CurvatureSweep.measure(weights: 100, gradients: 3, rounds: 1) { sizes.append([$0, $1]) }
        let wanted = [10, 32, 100, 316, 1_000].map { [$0, 3] } + [3, 6, 12, 24].map { [100, $0] }
        #expect(sizes == wanted)
        #expect((sweep.byWeights + sweep.byGradients).map { [$0.weights, $0.gradients] } == sizes)
        let line = "slope by m".padding(toLength: 16, withPad: " ", startingAt: 0)
        #expect(sweep.text.split(separator: "\n").count == 12 && sweep.text.contains("\n" + line))
        let slope = sweep.slopeByGradients(.precompute)
        #expect(sweep.json["slopes_by_gradients"]?["precompute"]?.doubleValue == slope && slope.isFinite)
    }
}
