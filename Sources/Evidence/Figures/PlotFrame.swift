/// The room around a plot: axes, ticks, axis titles and legend, and where data coordinates lie.
struct PlotFrame {
    static let width = 720.0
    static let height = 340.0
    let left = 64.0
    let right = 700.0
    let top: Double
    let bottom = 290.0
    let y: AxisScale

    init(y: AxisScale, legend: [String]) {
        self.y = y
        top = 16 + Double(Self.legendRows(legend).count) * 20
    }

    /// The height of a value, limited to the plot; nil for one without a place.
    func vertical(_ value: Double) -> Double? {
        y.position(value).map { bottom - (bottom - top) * min(max($0, 0), 1) }
    }

    /// The place of a fraction of the width.
    func horizontal(_ fraction: Double) -> Double { left + (right - left) * fraction }

    /// Grid lines, tick labels and title of the vertical axis.
    func verticalAxis(title: String, label: (Double) -> String) -> String {
        y.ticks.compactMap { tick in
            vertical(tick).map {
                line(left, $0, right, $0, "grid") + text(left - 8, $0 + 4, label(tick), anchor: "end")
            }
        }.joined()
            + "<text x=\"16\" y=\"\(MarkupText.coordinate((top + bottom) / 2))\" text-anchor=\"middle\" transform=\"rotate(-90 16 "
            + "\(MarkupText.coordinate((top + bottom) / 2)))\">\(MarkupText.escaped(title))</text>"
    }

    /// The horizontal axis with a label at each place.
    func horizontalAxis(title: String, labels: [(place: Double, text: String)]) -> String {
        line(left, bottom, right, bottom, "axis")
            + labels.map { text($0.place, bottom + 18, $0.text, anchor: "middle") }.joined()
            + text((left + right) / 2, bottom + 42, title, anchor: "middle")
    }

    /// A coloured square and a name for each series, in as many rows as they need.
    func legend(_ names: [String]) -> String {
        Self.legendRows(names).enumerated().map { row, entries in
            entries.map { entry in
                let baseline = 14 + Double(row) * 20
                return
                    "<rect class=\"fill \(FigureStyle.series(entry.index))\" x=\"\(MarkupText.coordinate(left + entry.offset))\" "
                    + "y=\"\(MarkupText.coordinate(baseline - 10))\" width=\"12\" height=\"12\" rx=\"3\"/>"
                    + text(left + entry.offset + 18, baseline, names[entry.index], anchor: "start")
            }.joined()
        }.joined()
    }

    private static func legendRows(_ names: [String]) -> [[(index: Int, offset: Double)]] {
        guard names.count > 1 else { return [] }
        var rows: [[(index: Int, offset: Double)]] = [[]]
        var offset = 0.0
        for (index, name) in names.enumerated() {
            let width = 34 + Double(name.count) * 6.8
            if offset > 0, offset + width > 640 {
                rows.append([])
                offset = 0
            }
            rows[rows.count - 1].append((index, offset))
            offset += width
        }
        return rows
    }

    func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ classes: String) -> String {
        let c = MarkupText.coordinate
        return "<line class=\"\(classes)\" x1=\"\(c(x1))\" y1=\"\(c(y1))\" x2=\"\(c(x2))\" y2=\"\(c(y2))\"/>"
    }

    func text(_ x: Double, _ y: Double, _ content: String, anchor: String, classes: String? = nil) -> String {
        "<text \(classes.map { "class=\"\($0)\" " } ?? "")x=\"\(MarkupText.coordinate(x))\" y=\"\(MarkupText.coordinate(y))\" "
            + "text-anchor=\"\(anchor)\">\(MarkupText.escaped(content))</text>"
    }

    /// A bar from the foot of the axis (or zero) to a value, with a tooltip.
    func bar(x: Double, width: Double, value: Double, foot: Double, classes: String, tip: String) -> String {
        guard let end = vertical(value), let start = vertical(foot) else { return "" }
        let c = MarkupText.coordinate
        return "<rect class=\"\(classes)\" x=\"\(c(x))\" y=\"\(c(min(start, end)))\" width=\"\(c(max(0.5, width)))\" "
            + "height=\"\(c(abs(start - end)))\"><title>\(MarkupText.escaped(tip))</title></rect>"
    }
}
