import CoppiceModels
import CoppiceTensors
import OrderedCollections

/// What sparsity costs: one model, compressed by one recipe to several sparsities, each with its bytes and how good it
/// still is.
///
/// A compressed model is on the Pareto front when no other one, the dense model included, is at most as large and at
/// least as good, and better in one of both.
public struct CompressionFrontier: Sendable {
    /// What tells how good a model is.
    public enum Measure: String, Sendable {
        /// The share of images that are classified correctly; more is better.
        case accuracy
        /// Of a text; less is better.
        case perplexity
    }

    /// One model.
    public struct Point: Sendable, Hashable {
        /// What the recipe was asked for; nil for the dense model.
        public var asked: Double?
        /// The share of all parameters that is zero.
        public var sparsity: Double
        /// The share of the prunable weights before that is zero, or not there any more.
        public var removed: Double
        /// What is left of the multiplications with weights; nil where they are not known.
        public var multiplications: Double?
        public var bytes: Int
        /// Accuracy or perplexity; nil where it was not measured.
        public var quality: Double?
        /// The model's folder.
        public var path: String
        /// Layers none of whose weights is left.
        public var collapsed: [String] = []

        /// - Parameter removed: nil: the same as `sparsity`.
        public init(
            asked: Double?, sparsity: Double, removed: Double? = nil, multiplications: Double? = nil, bytes: Int,
            quality: Double?, path: String
        ) {
            self.asked = asked
            self.sparsity = sparsity
            self.removed = removed ?? sparsity
            self.multiplications = multiplications
            self.bytes = bytes
            self.quality = quality
            self.path = path
        }
    }

    public let title: String
    public let measure: Measure
    /// What was measured on, for the figure.
    public let measuredOn: String
    /// The model as it was.
    public let dense: Point
    /// By what was asked for.
    public let points: [Point]

    public init(title: String, measure: Measure, measuredOn: String, dense: Point, points: [Point]) {
        self.title = title
        self.measure = measure
        self.measuredOn = measuredOn
        self.dense = dense
        self.points = points.sorted { ($0.asked ?? 0) < ($1.asked ?? 0) }
    }

    private var all: [Point] { [dense] + points }

    /// Whether a point is on the Pareto front. One whose quality was not measured is not. O(points).
    public func isOnFront(_ point: Point) -> Bool {
        guard let own = merit(point) else { return false }
        return !all.contains { other in
            guard let merit = merit(other) else { return false }
            return other.bytes <= point.bytes && merit >= own && (other.bytes < point.bytes || merit > own)
        }
    }

    /// Quality as a number of which more is better.
    private func merit(_ point: Point) -> Double? {
        guard let quality = point.quality, quality.isFinite else { return nil }
        return measure == .accuracy ? quality : -quality
    }

    // MARK: As text

    private var head: [String] {
        ["asked", "zeros", "bytes", "of dense", "multiplications", measure.rawValue, "Pareto"]
    }

    private var rows: [[String]] {
        all.map { point in
            [
                point.asked.map { MarkupText.number($0) } ?? "dense", Self.percent(point.sparsity), "\(point.bytes)",
                Self.percent(Double(point.bytes) / Double(max(1, dense.bytes))),
                point.multiplications.map { Self.percent($0) } ?? "-",
                point.quality.map { Self.fixed($0, measure == .accuracy ? 4 : 3) } ?? "-", isOnFront(point) ? "*" : "",
            ]
        }
    }

    private static func percent(_ share: Double) -> String { fixed(share * 100, 1) + " %" }

    static func fixed(_ value: Double, _ places: Int) -> String {
        guard value.isFinite, abs(value) < 1e12 else { return "\(value)" }
        let scale = (0..<places).reduce(1) { scale, _ in scale * 10 }
        let (whole, rest) = Int((abs(value) * Double(scale)).rounded()).quotientAndRemainder(dividingBy: scale)
        let digits = String(rest)
        return (value < 0 ? "-" : "") + "\(whole).\(String(repeating: "0", count: places - digits.count))\(digits)"
    }

    /// A table, one model a line; those on the Pareto front have a star.
    public var text: String {
        let cells = [head] + rows
        let widths = head.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
        return cells.map { row in
            row.enumerated().map { column, cell in
                String(repeating: " ", count: widths[column] - cell.count) + cell
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    /// `measure`, `dense` and `points`, each with `sparsity`, `removed` (of prunable weights), `multiplications`
    /// (what is left), `bytes`, the measure, layers without a weight, and whether it is on the front.
    public var json: OrderedDictionary<String, JSON> {
        func object(_ point: Point) -> JSON {
            [
                "asked": point.asked.map { .number($0) } ?? .null, "sparsity": .number(point.sparsity),
                "removed": .number(point.removed),
                "multiplications": point.multiplications.map { .number($0) } ?? .null,
                "collapsed_layers": .array(point.collapsed.map { .string($0) }), "bytes": .integer(point.bytes),
                measure.rawValue: point.quality.map { .number($0) } ?? .null,
                "pareto": .bool(isOnFront(point)), "model": .string(point.path),
            ]
        }
        return [
            "measure": .string(measure.rawValue), "measured_on": .string(measuredOn), "dense": object(dense),
            "points": .array(points.map(object)),
        ]
    }

    // MARK: As a figure

    /// Quality against bytes, the Pareto front joined.
    public var figure: LineChart {
        let coordinates = CompressionAxis.bytes.coordinates
        let front = all.filter(isOnFront)
        let others = all.filter { !isOnFront($0) && $0.quality != nil }
        var series = [LineChart.Series(name: "Pareto front", points: coordinates(front))]
        if !others.isEmpty { series.append(.init(name: "dominated", points: coordinates(others), isJoined: false)) }
        return CompressionAxis.bytes.chart(
            title: title, summary: text, measure: measure, series: series, dense: dense)
    }

    /// Quality against the share of the prunable weights that is removed.
    public var sparsityFigure: LineChart { curve(.sparsity) }

    /// Quality against what is left of the multiplications.
    public var multiplicationsFigure: LineChart { curve(.multiplications) }

    private func curve(_ axis: CompressionAxis) -> LineChart {
        axis.chart(
            title: title, summary: text, measure: measure,
            series: [.init(name: measure.rawValue, points: axis.coordinates(all))], dense: dense)
    }

    /// Figures and table as one page.
    public var html: String {
        var page = HTMLPage(title: title, subtitle: "\(measure.rawValue) on \(measuredOn)")
        page.figure(
            figure,
            caption: measure == .accuracy
                ? "Up and to the left is better." : "Down and to the left is better.")
        page.figure(sparsityFigure)
        if all.contains(where: { $0.multiplications != nil }) { page.figure(multiplicationsFigure) }
        page.table(HTMLTable(head: head, rows: rows, numericColumns: Set(head.indices)))
        return page.html
    }
}
