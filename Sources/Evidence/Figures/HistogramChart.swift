/// Distributions over common bins, drawn over each other.
public struct HistogramChart: Figure {
    /// One distribution.
    public struct Series: Sendable {
        public var name: String
        /// Counts or fractions, one a bin.
        public var counts: [Double]

        public init(name: String, counts: [Double]) {
            self.name = name
            self.counts = counts
        }
    }

    public var title: String
    public var summary: String
    public var horizontalTitle: String
    public var verticalTitle: String
    /// Increasing bounds of the bins: one more than there are bins.
    public var edges: [Double]
    public var series: [Series]
    public var verticalSpacing: AxisScale.Spacing

    public init(
        title: String, summary: String = "", horizontalTitle: String, verticalTitle: String = "weights",
        edges: [Double], series: [Series], verticalSpacing: AxisScale.Spacing = .linear
    ) {
        self.title = title
        self.summary = summary
        self.horizontalTitle = horizontalTitle
        self.verticalTitle = verticalTitle
        self.edges = edges
        self.series = series
        self.verticalSpacing = verticalSpacing
    }

    public var size: (width: Double, height: Double) { (PlotFrame.width, PlotFrame.height) }

    public var body: String {
        let x = AxisScale(covering: edges)
        let y = AxisScale(covering: series.flatMap(\.counts), spacing: verticalSpacing, includesZero: true)
        let frame = PlotFrame(y: y, legend: series.map(\.name))
        let bars = series.enumerated().map { index, series in
            zip(zip(edges, edges.dropFirst()), series.counts).map { bin, count in
                guard count != 0, let left = x.position(bin.0), let right = x.position(bin.1) else { return "" }
                let start = frame.horizontal(left)
                return frame.bar(
                    x: start, width: frame.horizontal(right) - start, value: count, foot: y.low,
                    classes: "veil \(FigureStyle.series(index))",
                    tip: "\(series.name), \(MarkupText.number(bin.0)) to \(MarkupText.number(bin.1)): "
                        + MarkupText.number(count))
            }.joined()
        }
        let ticks = x.ticks.compactMap { tick in
            x.position(tick).map { (place: frame.horizontal($0), text: MarkupText.tick(tick)) }
        }
        return frame.verticalAxis(title: verticalTitle) { MarkupText.tick($0) } + bars.joined()
            + frame.horizontalAxis(title: horizontalTitle, labels: ticks) + frame.legend(series.map(\.name))
    }
}
