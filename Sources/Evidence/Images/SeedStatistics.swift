/// What one quantity was over the seeds of an experiment.
package struct SeedStatistics: Sendable, Hashable {
    package var values: [Double]

    package init(_ values: some Sequence<Double>) { self.values = Array(values) }

    /// NaN of nothing.
    var mean: Double { values.reduce(0, +) / Double(values.count) }

    /// The standard deviation with n − 1; 0 of fewer than two values.
    var standardDeviation: Double {
        guard values.count > 1 else { return 0 }
        let center = mean
        return (values.reduce(0) { $0 + ($1 - center) * ($1 - center) } / Double(values.count - 1)).squareRoot()
    }

    var least: Double { values.min() ?? .nan }
    var largest: Double { values.max() ?? .nan }

    /// A fraction in percent, `97.21 ± 0.14`; `–` of nothing.
    package var percent: String {
        guard !values.isEmpty else { return "–" }
        return Self.fixed(mean * 100) + " ± " + Self.fixed(standardDeviation * 100)
    }

    private static func fixed(_ value: Double) -> String {
        guard value.isFinite else { return "–" }
        let hundredths = Int((value * 100).rounded())
        let digits = String(abs(hundredths) % 100)
        return (hundredths < 0 ? "-" : "") + "\(abs(hundredths) / 100)." + (digits.count < 2 ? "0" : "") + digits
    }
}
