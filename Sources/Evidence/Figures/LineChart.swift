/// Curves over a common horizontal axis.
///
/// ```swift
/// let chart = LineChart(
///     title: "Loss by sparsity", horizontalTitle: "sparsity", verticalTitle: "nats per token",
///     series: [.init(name: "magnitude", points: [(0, 3.1), (0.5, 3.4)])])
/// ```
public struct LineChart: Figure {
    /// One curve.
    public struct Series: Sendable {
        public var name: String
        /// Abscissa and ordinate in the order in which they are joined. The curve breaks where one is not finite.
        public var points: [(x: Double, y: Double)]
        /// Whether the points are joined.
        public var isJoined: Bool

        public init(name: String, points: [(x: Double, y: Double)], isJoined: Bool = true) {
            self.name = name
            self.points = points
            self.isJoined = isJoined
        }
    }

    /// A vertical dashed line with a label.
    public struct Mark: Sendable {
        public var x: Double
        public var label: String

        public init(x: Double, label: String) {
            self.x = x
            self.label = label
        }
    }

    public var title: String
    public var summary: String
    public var horizontalTitle: String
    public var verticalTitle: String
    public var series: [Series]
    public var marks: [Mark]
    public var horizontalSpacing: AxisScale.Spacing
    public var verticalSpacing: AxisScale.Spacing

    public init(
        title: String, summary: String = "", horizontalTitle: String, verticalTitle: String, series: [Series],
        marks: [Mark] = [], horizontalSpacing: AxisScale.Spacing = .linear,
        verticalSpacing: AxisScale.Spacing = .linear
    ) {
        self.title = title
        self.summary = summary
        self.horizontalTitle = horizontalTitle
        self.verticalTitle = verticalTitle
        self.series = series
        self.marks = marks
        self.horizontalSpacing = horizontalSpacing
        self.verticalSpacing = verticalSpacing
    }

    public var size: (width: Double, height: Double) { (PlotFrame.width, PlotFrame.height) }

    public var body: String {
        let x = AxisScale(
            covering: series.flatMap { $0.points.map(\.x) } + marks.map(\.x), spacing: horizontalSpacing)
        let y = AxisScale(covering: series.flatMap { $0.points.map(\.y) }, spacing: verticalSpacing)
        let frame = PlotFrame(y: y, legend: series.map(\.name))
        let ticks = x.ticks.compactMap { tick in
            x.position(tick).map { (place: frame.horizontal($0), text: MarkupText.tick(tick)) }
        }
        let lines = marks.compactMap { mark in
            x.position(mark.x).map(frame.horizontal).map {
                frame.line($0, frame.top, $0, frame.bottom, "mark")
                    + frame.text($0 + 5, frame.top + 12, mark.label, anchor: "start", classes: "value")
            }
        }
        return frame.verticalAxis(title: verticalTitle) { MarkupText.tick($0) }
            + frame.horizontalAxis(title: horizontalTitle, labels: ticks) + lines.joined()
            + series.enumerated().map { curve($0.element, $0.offset, frame, x) }.joined()
            + frame.legend(series.map(\.name))
    }

    private func curve(_ series: Series, _ index: Int, _ frame: PlotFrame, _ x: AxisScale) -> String {
        let colour = FigureStyle.series(index)
        var path = ""
        var dots = ""
        var isDrawing = false
        for point in series.points {
            guard let across = x.position(point.x).map(frame.horizontal), let up = frame.vertical(point.y) else {
                isDrawing = false
                continue
            }
            let (px, py) = (MarkupText.coordinate(across), MarkupText.coordinate(up))
            path += "\(isDrawing ? "L" : "M")\(px) \(py)"
            isDrawing = true
            let tip = "\(series.name): \(MarkupText.number(point.x)), \(MarkupText.number(point.y))"
            dots +=
                "<circle class=\"fill \(colour)\" cx=\"\(px)\" cy=\"\(py)\" r=\"3\"><title>\(MarkupText.escaped(tip))</title></circle>"
        }
        guard series.isJoined, !path.isEmpty else { return dots }
        return "<path class=\"curve stroke \(colour)\" d=\"\(path)\"/>" + dots
    }
}
