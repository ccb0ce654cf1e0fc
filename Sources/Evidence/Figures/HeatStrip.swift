/// A grid of cells shaded by value: rows by columns, such as kinds of matrices by layers.
public struct HeatStrip: Figure {
    public var title: String
    public var summary: String
    public var rows: [String]
    public var columns: [String]
    /// A value for each row and column; missing and non-finite ones leave their cell empty.
    public var values: [[Double]]
    /// The values of the lightest and of the darkest shade.
    public var range: ClosedRange<Double>
    public var label: BarChart.ValueLabel

    public init(
        title: String, summary: String = "", rows: [String], columns: [String], values: [[Double]],
        range: ClosedRange<Double> = 0...1, label: BarChart.ValueLabel = .percent
    ) {
        self.title = title
        self.summary = summary
        self.rows = rows
        self.columns = columns
        self.values = values
        self.range = range
        self.label = label
    }

    private static let left = 104.0
    private static let rowHeight = 26.0

    public var size: (width: Double, height: Double) {
        (PlotFrame.width, 34 + Self.rowHeight * Double(max(1, rows.count)))
    }

    public var body: String {
        let c = MarkupText.coordinate
        let cellWidth = (PlotFrame.width - Self.left - 20) / Double(max(1, columns.count))
        let step = max(1, Int((34 / cellWidth).rounded(.up)))
        let heads = columns.indices.filter { $0 % step == 0 }.map { column in
            "<text x=\"\(c(Self.left + cellWidth * (Double(column) + 0.5)))\" y=\"16\" text-anchor=\"middle\">"
                + "\(MarkupText.escaped(columns[column]))</text>"
        }
        let span = range.upperBound - range.lowerBound
        let lines = rows.indices.map { row -> String in
            let y = 24 + Self.rowHeight * Double(row)
            let name =
                "<text x=\"\(c(Self.left - 8))\" y=\"\(c(y + 17))\" text-anchor=\"end\">\(MarkupText.escaped(rows[row]))</text>"
            let cells = columns.indices.map { column -> String in
                guard row < values.count, column < values[row].count, values[row][column].isFinite else { return "" }
                let value = values[row][column]
                let shade = span > 0 ? min(1, max(0, (value - range.lowerBound) / span)) : 0
                let x = Self.left + cellWidth * Double(column)
                let tip = MarkupText.escaped("\(rows[row]), \(columns[column]): \(label.text(value))")
                let number =
                    cellWidth < 40
                    ? ""
                    : "<text class=\"value\" x=\"\(c(x + cellWidth / 2))\" y=\"\(c(y + 17))\" "
                        + "text-anchor=\"middle\">\(MarkupText.escaped(label.text(value)))</text>"
                return
                    "<rect class=\"fill s0\" fill-opacity=\"\(c(0.06 + 0.64 * shade))\" x=\"\(c(x + 1))\" y=\"\(c(y))\" "
                    + "width=\"\(c(max(0.5, cellWidth - 2)))\" height=\"\(c(Self.rowHeight - 3))\" rx=\"3\"><title>\(tip)</title></rect>"
                    + number
            }
            return name + cells.joined()
        }
        return heads.joined() + lines.joined()
    }
}
