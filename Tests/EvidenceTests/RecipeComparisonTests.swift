import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Testing

@Suite struct RecipeComparisonTests {
    private func entry(
        _ name: String, _ qualities: [Double?], asked: Double? = nil, epochs: Double = 0, collapsed: [[String]] = []
    ) -> RecipeComparison.Entry {
        var entry = RecipeComparison.Entry(recipe: name, file: name + ".yaml", asked: asked, epochs: epochs)
        entry.trials = qualities.enumerated().map { index, quality in
            var point = CompressionFrontier.Point(
                asked: asked, sparsity: 0.4, removed: asked ?? 0.5, multiplications: 0.25, bytes: 100 + 2 * index,
                quality: quality, path: "")
            if index < collapsed.count { point.collapsed = collapsed[index] }
            return .init(seed: UInt64(index), point: point, removedOfAll: 0.4, seconds: Double(1 + index))
        }
        return entry
    }

    private func comparison(_ entries: [RecipeComparison.Entry]) -> RecipeComparison {
        RecipeComparison(
            title: "net <b>", measure: .accuracy, measuredOn: "10 images",
            dense: .init(asked: nil, sparsity: 0, multiplications: 1, bytes: 1000, quality: 0.9, path: ""),
            entries: entries)
    }

    @Test func meansAndDeviationsAreOverSeeds() {
        let comparison = comparison([
            entry("a", [0.8, 0.9], asked: 0.5, collapsed: [[], ["fc1"]]), entry("b", [0.7], asked: 0.5),
        ])
        let lines = comparison.text.split(separator: "\n").map(String.init)
        #expect(lines[0].contains("accuracy") && lines[0].contains("multiplications") && lines[1].hasPrefix("dense"))
        // The standard deviation with n − 1; none of one value.
        #expect(lines[2].contains("0.8500 ± 0.0707") && lines[2].contains(" 101 ") && lines[2].contains("0–1"))
        #expect(lines[3].contains(" 0.7000 ") && lines[3].contains("25.0 %"))
        #expect(lines[4] == "note: a at 0.5 leaves no weight of fc1" && lines.count == 5)
        let json = comparison.json["recipes"]?[0]
        #expect(abs((json?["deviation"]?.doubleValue ?? 0) - 0.0707106781) < 1e-9)
        #expect(json?["seconds"]?.doubleValue == 1.5 && json?["trials"]?.arrayValue?.count == 2)
        #expect(json?["collapsed_layers"] == ["fc1"])
    }

    @Test func figuresHaveALineForEachRecipe() throws {
        let comparison = comparison([
            entry("a", [0.8, 0.6], asked: 0.5), entry("b", [0.7], asked: 0.5), entry("a", [0.5], asked: 0.9),
            entry("b", [nil], asked: 0.9),
        ])
        let figures = comparison.figures
        #expect(figures.map(\.name) == ["sparsity", "multiplications", "bytes"])
        let series = figures[0].figure.series
        #expect(series.map(\.name) == ["a", "b", "dense"])
        #expect(series[0].points.map(\.x) == [50, 90] && series[1].points.map(\.x) == [50])
        #expect(series[0].points.map(\.y) == [0.7, 0.5] && series[2].points.map(\.y) == [0.9])
        #expect(comparison.html.contains("net &lt;b&gt;") && comparison.html.ranges(of: "<svg").count == 3)
    }

    @Test func whatFailedAndUnequalTrainingAreSaid() {
        var failed = entry("b", [], epochs: 3)
        failed.failure = CoppiceError(.badData, source: "b.yaml", field: "x", "is wrong")
        let comparison = comparison([entry("a", [0.8]), failed])
        #expect(
            comparison.notes == [
                "b failed: b.yaml: x: is wrong", "they do not train alike: a not at all, b 3 epochs",
            ])
        #expect(comparison.text.split(separator: "\n")[3].contains("failed"))
        #expect(comparison.json["recipes"]?[1]?["error"]?.stringValue == "b.yaml: x: is wrong")
        #expect(comparison.json["recipes"]?[1]?["accuracy"] == .null)
    }
}
