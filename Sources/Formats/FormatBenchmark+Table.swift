extension FormatBenchmark {
    /// Measures all formats on a random matrix of one shape, with as many passes for a small one as give it the same
    /// time as a large one.
    ///
    /// - Throws: as ``examples(rows:columns:)``.
    public static func measure(rows: Int, columns: Int) throws -> [Result] {
        let weights = try examples(rows: rows, columns: columns)
        let passes = min(200, max(9, (1 << 27) / max(1, rows * columns)))
        return FormatBenchmark(passes: passes).run(weights)
    }

    /// Results as a table in Markdown: bytes and times as shares of the first weight's.
    public static func table(_ results: [Result], title: String) -> String {
        guard let reference = results.first else { return "" }
        let rows = reference.timings.map { "\($0.inputRows) \($0.inputRows == 1 ? "row" : "rows")" }
        var lines = ["| \(title) | bytes | \(rows.joined(separator: " | ")) |"]
        lines.append("|---|" + String(repeating: "---|", count: rows.count + 1))
        for result in results {
            let zeros = Int((result.sparsity * 100).rounded())
            let name = result.label + (result.label.contains("sparse") ? ", \(zeros) % zero" : "")
            let shares = [fixed(result.bytesRatio, digits: 3)] + result.timings.map { fixed($0.timeRatio, digits: 2) }
            lines.append("| \(name) | \(shares.joined(separator: " | ")) |")
        }
        return lines.joined(separator: "\n")
    }

    /// A number that is not negative with so many digits behind its point.
    private static func fixed(_ value: Double, digits: Int) -> String {
        let scale = (0..<digits).reduce(1) { scale, _ in scale * 10 }
        let whole = Int((value * Double(scale)).rounded())
        let rest = String(whole % scale)
        return "\(whole / scale)." + String(repeating: "0", count: digits - rest.count) + rest
    }
}
