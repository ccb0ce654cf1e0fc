/// Bars in groups: one group for each category, one bar for each series.
public struct BarChart: Figure {
    /// One colour of bars.
    public struct Series: Sendable {
        public var name: String
        /// A value for each category; missing ones at the end and those that are not finite have no bar.
        public var values: [Double]

        public init(name: String, values: [Double]) {
            self.name = name
            self.values = values
        }
    }

    /// How values are written at bars and ticks.
    public enum ValueLabel: Sendable {
        case number, bytes, percent

        func text(_ value: Double) -> String {
            switch self {
            case .number: MarkupText.number(value, digits: 3)
            case .bytes: MarkupText.bytes(value)
            case .percent: MarkupText.percent(value, places: 0)
            }
        }
    }

    public var title: String
    public var summary: String
    public var categories: [String]
    public var horizontalTitle: String
    public var verticalTitle: String
    public var series: [Series]
    public var label: ValueLabel

    public init(
        title: String, summary: String = "", categories: [String], horizontalTitle: String = "",
        verticalTitle: String, series: [Series], label: ValueLabel = .number
    ) {
        self.title = title
        self.summary = summary
        self.categories = categories
        self.horizontalTitle = horizontalTitle
        self.verticalTitle = verticalTitle
        self.series = series
        self.label = label
    }

    public var size: (width: Double, height: Double) { (PlotFrame.width, PlotFrame.height) }

    public var body: String {
        let y = AxisScale(covering: series.flatMap(\.values), includesZero: true)
        let frame = PlotFrame(y: y, legend: series.map(\.name))
        let groupWidth = (frame.right - frame.left) / Double(max(1, categories.count))
        let barWidth = min(90, groupWidth * 0.76 / Double(max(1, series.count)))
        // Values stand above the bars while there is room for them.
        let isLabelled = barWidth >= 26
        var bars = ""
        for (index, series) in series.enumerated() {
            for (category, value) in zip(categories.indices, series.values) {
                let middle = frame.left + groupWidth * (Double(category) + 0.5)
                let x = middle + barWidth * (Double(index) - Double(self.series.count) / 2)
                guard let up = frame.vertical(value) else { continue }
                bars += frame.bar(
                    x: x + 1, width: barWidth - 2, value: value, foot: 0, classes: "fill \(FigureStyle.series(index))",
                    tip: "\(series.name), \(categories[category]): \(label.text(value))")
                if isLabelled {
                    bars += frame.text(x + barWidth / 2, up - 5, label.text(value), anchor: "middle", classes: "value")
                }
            }
        }
        // With many groups only some names fit.
        let step = max(1, Int((46 / groupWidth).rounded(.up)))
        let labels = categories.indices.filter { $0 % step == 0 }.map { index in
            (place: frame.left + groupWidth * (Double(index) + 0.5), text: categories[index])
        }
        return frame.verticalAxis(title: verticalTitle) { label.text($0) } + bars
            + frame.horizontalAxis(title: horizontalTitle, labels: labels) + frame.legend(series.map(\.name))
    }
}
