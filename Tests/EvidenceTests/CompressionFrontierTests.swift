import CoppiceEvidence
import CoppiceModels
import Testing

@Suite struct CompressionFrontierTests {
    private typealias Point = CompressionFrontier.Point

    private func frontier(_ measure: CompressionFrontier.Measure, _ qualities: [Double?]) -> CompressionFrontier {
        let bytes = [500, 300, 300, 100]
        let points = zip(bytes, qualities.dropFirst()).enumerated().map { index, pair in
            Point(
                asked: 0.5 + Double(index) / 10, sparsity: 0.4, removed: 0.5, multiplications: 0.75, bytes: pair.0,
                quality: pair.1, path: "m\(index)")
        }
        return CompressionFrontier(
            title: "a <b>", measure: measure, measuredOn: "10 images",
            dense: Point(asked: nil, sparsity: 0, bytes: 1000, quality: qualities[0], path: ""), points: points)
    }

    private func front(_ frontier: CompressionFrontier) -> [Bool] {
        ([frontier.dense] + frontier.points).map(frontier.isOnFront)
    }

    @Test func whatNothingBeatsIsOnTheFront() {
        // The second of 300 bytes is worse than the first; the dense model is as good as one of half its size.
        #expect(front(frontier(.accuracy, [0.9, 0.9, 0.8, 0.7, 0.1])) == [false, true, true, false, true])
        // Of perplexities less is better.
        #expect(front(frontier(.perplexity, [9, 10, 12, 11, 50])) == [true, true, false, true, true])
        // What was not measured, or is no number, is on no front and hides nothing.
        #expect(front(frontier(.accuracy, [0.9, nil, .nan, 0.7, 0.1])) == [true, false, false, true, true])
        // Equals do not beat each other.
        #expect(front(frontier(.accuracy, [0.9, 0.8, 0.7, 0.7, 0.1])) == [true, true, true, true, true])
    }

    @Test func tableAndFigureShowEveryPoint() throws {
        let frontier = frontier(.accuracy, [0.9, 0.9, 0.8, 0.7, 0.1])
        let lines = frontier.text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == 6)
        #expect(Set(lines.map(\.count)).count == 1, "columns are aligned")
        #expect(lines[0].split(separator: " ").map(String.init).last == "Pareto")
        #expect(lines[2].contains("0.9000") && lines[2].hasSuffix("*") && lines[2].contains("50.0 %"))
        #expect(frontier.json["points"]?.arrayValue?.count == 4)
        #expect(frontier.json["points"]?[0]?["pareto"] == .bool(true))
        let circles = frontier.figure.svgDocument.ranges(of: "<circle").count
        #expect(circles == 5)
        #expect(frontier.html.contains("a &lt;b&gt;") && !frontier.html.contains("a <b>"))
        // Over what is removed and what is left of the multiplications, the dense model at neither.
        #expect(lines[2].contains("75.0 %") && lines[1].contains(" - "))
        #expect(frontier.sparsityFigure.series[0].points.map(\.x) == [0, 50, 50, 50, 50])
        #expect(frontier.multiplicationsFigure.series[0].points.map(\.x) == [75, 75, 75, 75])
        #expect(frontier.html.ranges(of: "<svg").count == 3)
        // Nothing measured: no point, and no crash.
        let empty = self.frontier(.perplexity, [nil, nil, nil, nil, nil])
        #expect(empty.figure.svgDocument.ranges(of: "<circle").isEmpty && empty.text.contains(" - "))
    }
}
