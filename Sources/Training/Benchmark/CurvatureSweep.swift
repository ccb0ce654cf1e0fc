import CoppiceModels
import Foundation

/// How the times of ``InverseFisher`` grow with the number of weights and of gradients: measurements of several sizes, and
/// the slopes of straight lines through the logarithms of both.
///
/// By Frantar, Kurtic and Alistarh, "M-FAC" (2021), section 3.1, all grow as d; a product as m, making the inverse and its
/// diagonal as m².
public struct CurvatureSweep: Sendable, Hashable {
    /// With m as it is, from a tenth of the weights to ten times as many.
    public var byWeights: [CurvatureBenchmark.Measurement]
    /// With d as it is, from m to eight times as many gradients.
    public var byGradients: [CurvatureBenchmark.Measurement]

    /// What is timed.
    public enum Work: String, Sendable, Hashable, CaseIterable {
        case precompute, diagonal, product

        func seconds(_ measurement: CurvatureBenchmark.Measurement) -> Double {
            switch self {
            case .precompute: measurement.precomputeSeconds
            case .diagonal: measurement.diagonalSeconds
            case .product: measurement.productSeconds
            }
        }
    }

    public init(byWeights: [CurvatureBenchmark.Measurement], byGradients: [CurvatureBenchmark.Measurement]) {
        self.byWeights = byWeights
        self.byGradients = byGradients
    }

    /// Measures all sizes. The largest takes 8 bytes for each of 10 m d numbers, or of 8 m d.
    ///
    /// - Parameters:
    ///   - weights: d in the middle.
    ///   - gradients: m, the fewest.
    ///   - rounds: measurements of each size, of which the fastest counts.
    ///   - progress: told each size before its turn.
    /// - Throws: what the inverse throws.
    public static func measure(
        weights: Int, gradients: Int, rounds: Int = 5,
        progress: (_ weights: Int, _ gradients: Int) -> Void = { _, _ in }
    ) throws -> CurvatureSweep {
        func measure(_ d: Int, _ m: Int) throws -> CurvatureBenchmark.Measurement {
            progress(d, m)
            return try CurvatureBenchmark.measure(weights: d, gradients: m, rounds: rounds)
        }
        let counts = [0.1, 0.316, 1, 3.16, 10].map { max(1, Int((Double(weights) * $0).rounded())) }
        return CurvatureSweep(
            byWeights: try counts.map { try measure($0, gradients) },
            byGradients: try [1, 2, 4, 8].map { try measure(weights, $0 * gradients) })
    }

    /// The slope of log seconds over log d.
    public func slopeByWeights(_ work: Work) -> Double {
        Self.slope(byWeights.map { (Double($0.weights), work.seconds($0)) })
    }

    /// The slope of log seconds over log m.
    public func slopeByGradients(_ work: Work) -> Double {
        Self.slope(byGradients.map { (Double($0.gradients), work.seconds($0)) })
    }

    /// The slope of the line of least squares through the logarithms of points: b of y = a xᵇ.
    ///
    /// - Precondition: positive numbers, two of them different in x.
    package static func slope(_ points: [(x: Double, y: Double)]) -> Double {
        let logs = points.map { (x: log($0.x), y: log($0.y)) }
        let count = Double(logs.count)
        let mean = (x: logs.reduce(0) { $0 + $1.x } / count, y: logs.reduce(0) { $0 + $1.y } / count)
        let covariance = logs.reduce(0) { $0 + ($1.x - mean.x) * ($1.y - mean.y) }
        return covariance / logs.reduce(0) { $0 + ($1.x - mean.x) * ($1.x - mean.x) }
    }

    /// The measurements and slopes with stable keys.
    public var json: JSON {
        func slopes(_ slope: (Work) -> Double) -> JSON {
            .object(.init(uniqueKeysWithValues: Work.allCases.map { ($0.rawValue, .number(slope($0))) }))
        }
        return .object([
            "by_weights": .array(byWeights.map(\.json)), "by_gradients": .array(byGradients.map(\.json)),
            "slopes_by_weights": slopes(slopeByWeights), "slopes_by_gradients": slopes(slopeByGradients),
        ])
    }

    /// A table of times, with the slopes below each sweep.
    public var text: String {
        func row(_ head: String, _ cells: [String]) -> String {
            ([head] + cells).map { $0.padding(toLength: 16, withPad: " ", startingAt: 0) }.joined()
                .replacingOccurrences(of: " +$", with: "", options: .regularExpression)
        }
        func part(
            _ measurements: [CurvatureBenchmark.Measurement], _ name: String, _ slope: (Work) -> Double
        ) -> [String] {
            measurements.map { own in
                row(
                    "\(own.gradients) × \(own.weights)",
                    Work.allCases.map { String(format: "%.2f ms", $0.seconds(own) * 1e3) })
            } + [row("slope by \(name)", Work.allCases.map { String(format: "%.2f", slope($0)) })]
        }
        return
            ([row("m × d", Work.allCases.map(\.rawValue))] + part(byWeights, "d", slopeByWeights)
            + part(byGradients, "m", slopeByGradients)).joined(separator: "\n")
    }
}
