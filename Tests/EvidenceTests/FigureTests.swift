import CoppiceEvidence
import CoppiceTensors
import Foundation
import Testing

/// Whether every tag of a markup closes where it must.
private func tagsBalance(_ markup: String) -> Bool {
    var open: [Substring] = []
    var rest = markup[...]
    while let start = rest.firstIndex(of: "<") {
        guard let end = rest[start...].firstIndex(of: ">") else { return false }
        let tag = rest[rest.index(after: start)..<end]
        rest = rest[rest.index(after: end)...]
        if tag.hasPrefix("?") || tag.hasPrefix("!") || tag.hasSuffix("/") { continue }
        if tag.hasPrefix("/") {
            guard open.popLast() == tag.dropFirst() else { return false }
        } else {
            open.append(tag.prefix { !$0.isWhitespace })
        }
    }
    return open.isEmpty
}

@Suite struct FigureTests {
    private static let hostile = "<script>alert(\"1\")</script>&'\u{0}"

    private func figures(_ text: String, _ values: [Double]) -> [any Figure] {
        [
            LineChart(
                title: text, summary: text, horizontalTitle: text, verticalTitle: text,
                series: [
                    .init(name: text, points: values.enumerated().map { (Double($0.offset), $0.element) }),
                    .init(name: text, points: values.map { ($0, $0) }),
                ], marks: values.map { .init(x: $0, label: text) }),
            LineChart(
                title: text, horizontalTitle: text, verticalTitle: text,
                series: [.init(name: text, points: values.map { (1, $0) })], verticalSpacing: .logarithmic),
            BarChart(
                title: text, categories: values.map { _ in text }, verticalTitle: text,
                series: [.init(name: text, values: values), .init(name: text, values: values)], label: .bytes),
            HistogramChart(
                title: text, horizontalTitle: text, edges: values + [9], series: [.init(name: text, counts: values)]),
            HeatStrip(title: text, rows: [text, text], columns: values.map { _ in text }, values: [values]),
        ]
    }

    @Test func escapesEveryText() {
        for figure in figures(Self.hostile, [1, 2, 3]) {
            #expect(
                !figure.svg.contains("<script") && !figure.svg.contains("alert(\"") && !figure.svg.contains("\u{0}"))
            #expect(figure.svg.contains("&lt;script&gt;"))
            #expect(tagsBalance(figure.svg) && tagsBalance(figure.svgDocument))
        }
        #expect(MarkupText.escaped("<a href='x'>&\u{1}") == "&lt;a href=&#39;x&#39;&gt;&amp;\u{FFFD}")
    }

    @Test(arguments: [
        [], [.nan], [.infinity, 1], [-.infinity, .nan], [0, 0, 0], [-5, 5], [1e308, -1e308], [5e-324], [3],
        [1e-9, 1e9],
    ])
    func anyNumbersAreDrawnSafely(values: [Double]) {
        for figure in figures("t", values) {
            let svg = figure.svg.lowercased()
            #expect(!svg.contains("nan\"") && !svg.contains("inf\"") && !svg.contains("nan ") && tagsBalance(svg))
        }
    }

    @Test func curvesBreakAtMissingValues() {
        let chart = LineChart(
            title: "t", horizontalTitle: "x", verticalTitle: "y",
            series: [.init(name: "a", points: [(0, 1), (1, 2), (2, .nan), (3, 1), (4, 2)])])
        #expect(chart.svg.components(separatedBy: "M").count - 1 == 2)
        #expect(chart.svg.components(separatedBy: "<circle").count - 1 == 4)
    }

    @Test func logarithmicAbscissasAreEquallySpacedByFactors() throws {
        let chart = LineChart(
            title: "t", horizontalTitle: "x", verticalTitle: "y",
            series: [.init(name: "a", points: [(0, 1), (1, 1), (10, 2), (100, 1)])], horizontalSpacing: .logarithmic)
        let places = chart.svg.components(separatedBy: "cx=\"").dropFirst().compactMap { part in
            part.split(separator: "\"").first.flatMap { Double($0) }
        }
        // Zero has no place.
        try #require(places.count == 3)
        #expect(places[0] < places[1] && abs(places[0] + places[2] - 2 * places[1]) < 0.1)
    }

    @Test func barsHaveTheHeightOfTheirValues() throws {
        let chart = BarChart(
            title: "t", categories: ["a", "b"], verticalTitle: "y", series: [.init(name: "s", values: [50, 100])])
        let heights = chart.svg.components(separatedBy: "height=\"").dropFirst().compactMap { part in
            part.split(separator: "\"").first.flatMap { Double($0) }
        }
        #expect(heights.count == 2)
        let (first, last) = (try #require(heights.first), try #require(heights.last))
        #expect(abs(first * 2 - last) < 0.1)
    }

    @Test func axesAreRoundAndCover() {
        var generator = RandomGenerator(seed: 1)
        for _ in 0..<200 {
            let values = (0..<5).map { _ in Double.random(in: -1...1, using: &generator) * pow(10, .random(in: -6...6))
            }
            let axis = AxisScale(covering: values)
            for value in values {
                let place = axis.position(value) ?? -1
                #expect(place >= -1e-6 && place <= 1 + 1e-6)
            }
            #expect(
                axis.ticks.count >= 2 && axis.ticks.count <= 21 && zip(axis.ticks, axis.ticks.dropFirst()).allSatisfy(<)
            )
            let logarithmic = AxisScale(covering: values.map(abs), spacing: .logarithmic)
            for value in values {
                let place = logarithmic.position(abs(value)) ?? -1
                #expect(place >= -1e-6 && place <= 1 + 1e-6)
            }
        }
        #expect(AxisScale(covering: [0, 1]).ticks.count == 6)
        #expect(AxisScale(covering: [3, 80], spacing: .logarithmic).ticks == [2, 5, 10, 20, 50, 100])
        #expect(AxisScale(covering: [-1.0], spacing: .logarithmic).position(-1) == nil)
    }
}

@Suite struct PageTests {
    @Test func pagesAreSelfContainedAndEscaped() {
        var page = HTMLPage(title: "<b>", subtitle: "<i>")
        page.heading("<u>")
        page.paragraph("<script>")
        page.preformatted("</pre><script>")
        page.list(["<li>"])
        page.table(HTMLTable(head: ["<x>"], rows: [["<y>"]], numericColumns: [0]))
        page.columns([("<q>", "<r>")])
        page.headlines([("<v>", "<w>")])
        let html = page.html
        #expect(html.hasPrefix("<!DOCTYPE html>") && html.contains("<title>&lt;b&gt;</title>"))
        for tag in ["<script", "<b>", "<i>", "<u>", "<x>", "<y>", "<q>", "<r>", "<v>", "<w>"] {
            #expect(!html.contains(tag), "\(tag)")
        }
        #expect(html.contains("&lt;/pre&gt;&lt;script&gt;"))
        #expect(!html.contains("http") && !html.contains("url(") && !html.contains("@import"))
    }

    @Test func numbersReadWell() {
        #expect(MarkupText.bytes(6_300_000) == "6.3 MB" && MarkupText.bytes(512) == "512 B")
        #expect(MarkupText.percent(0.4984) == "49.8 %" && MarkupText.percent(.nan) == MarkupText.missing)
        #expect(MarkupText.number(.infinity) == MarkupText.missing && MarkupText.number(0.25) == "0.25")
        #expect(MarkupText.number(123_456) == "123456")
        #expect(
            MarkupText.tick(4096) == "4096" && MarkupText.tick(100_000) == "100 k" && MarkupText.tick(2.5e6) == "2.5 M")
        #expect(MarkupText.tick(-1e13) == "-1e+13" && MarkupText.tick(.nan) == MarkupText.missing)
    }
}

@Suite struct LossCurveTests {
    @Test func stretchesAreMeans() {
        var curve = LossCurve("a", steps: 10, points: 4)
        for step in 0..<10 { curve.add(step == 3 ? .nan : Double(step), at: step) }
        // Stretches of two, the step without a loss passed over: 0 1, 2 4, 5 6, 7 8, and 9 alone.
        #expect(curve.points.map(\.x) == [2, 5, 7, 9, 10])
        #expect(curve.points.map(\.y) == [0.5, 3, 5.5, 7.5, 9])
        #expect(LossCurve("b", steps: 0).points.isEmpty)
    }
}
