/// What the quality of a compressed model is drawn against.
enum CompressionAxis: String, CaseIterable {
    case bytes, sparsity, multiplications

    /// The title of an axis, with the unit.
    var title: String {
        switch self {
        case .bytes: "megabytes"
        case .sparsity: "weights removed, %"
        case .multiplications: "multiplications left, % of the dense model's"
        }
    }

    /// A point's place; nil where it is not known.
    func place(of point: CompressionFrontier.Point) -> Double? {
        switch self {
        case .bytes: Double(point.bytes) / 1e6
        case .sparsity: point.removed * 100
        case .multiplications: point.multiplications.map { $0 * 100 }
        }
    }

    /// The points along the axis with their quality; those where one of both is not known are left out.
    func coordinates(_ points: [CompressionFrontier.Point]) -> [(x: Double, y: Double)] {
        points.compactMap { point in
            guard let x = place(of: point), let quality = point.quality else { return nil }
            return (x, quality)
        }.sorted { $0.x < $1.x }
    }

    /// The chart of a measure along the axis.
    ///
    /// - Parameter dense: the model as it was, which is marked.
    func chart(
        title: String, summary: String, measure: CompressionFrontier.Measure, series: [LineChart.Series],
        dense: CompressionFrontier.Point
    ) -> LineChart {
        let qualities = (series.flatMap { $0.points.map(\.y) } + [dense.quality].compactMap { $0 }).filter { $0 > 0 }
        let isWide = (qualities.max() ?? 1) > 10 * (qualities.min() ?? 1)
        return LineChart(
            title: title, summary: summary, horizontalTitle: self.title, verticalTitle: measure.rawValue,
            series: series, marks: place(of: dense).map { [.init(x: $0, label: "dense")] } ?? [],
            verticalSpacing: measure == .perplexity && isWide ? .logarithmic : .linear)
    }
}
