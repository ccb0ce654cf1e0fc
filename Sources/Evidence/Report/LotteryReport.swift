import CoppiceCompression
import CoppiceModels
import OrderedCollections

/// Accuracies of lottery tickets and their controls against density, as a table, a figure and a page.
public struct LotteryReport: Sendable {
    public let results: LotteryResults
    /// What the page is called.
    public let title: String

    public init(_ results: LotteryResults, title: String) {
        self.results = results
        self.title = title
    }

    private var branches: [LotterySettings.Branch] { results.settings.branches }
    private var levels: [Int] { results.replicates.first?.levels.map(\.number) ?? [] }

    // MARK: As text

    private var head: [String] { ["level", "density", "ticket"] + branches.map(\.rawValue) }

    private var rows: [[String]] {
        let dense = results.replicates.compactMap(\.dense?.accuracy)
        let first = ["0", "100.00 %", Self.statistics(dense)] + branches.map { _ in "" }
        return [first]
            + levels.map { level in
                ["\(level)", results.density(at: level).map { MarkupText.percent($0, places: 2) } ?? ""]
                    + ([nil] + branches.map(Optional.some)).map { cell(level, $0) }
            }
    }

    /// The mean, with a star where it matches the dense network's.
    private func cell(_ level: Int, _ branch: LotterySettings.Branch?) -> String {
        let accuracies = results.accuracies(at: level, of: branch)
        guard !accuracies.isEmpty, results.verdict != nil else { return "-" }
        return Self.statistics(accuracies) + (isMatch(SeedStatistics(accuracies).mean, branch) ? " *" : "  ")
    }

    /// Whether a network of an accuracy matches the dense one, after no more steps.
    private func isMatch(_ accuracy: Double, _ branch: LotterySettings.Branch?) -> Bool {
        branch?.takesMoreSteps != true && results.verdict?.isMatched(by: accuracy) == true
    }

    private static func statistics(_ values: [Double]) -> String {
        guard !values.isEmpty else { return "-" }
        let own = SeedStatistics(values)
        let mean = MarkupText.percent(own.mean, places: 2)
        return values.count == 1
            ? mean : mean.dropLast(2) + " ± " + MarkupText.percent(own.standardDeviation, places: 2)
    }

    /// What a star means; nil as long as there is no dense network to match.
    private var legend: String? {
        guard let verdict = results.verdict else { return nil }
        let count = results.replicates.compactMap(\.dense).count
        return "* matches the dense network: at least \(MarkupText.percent(verdict.threshold, places: 2)), "
            + (count > 1
                ? "the mean of \(count) dense trainings less one standard deviation"
                : "the accuracy of the one dense training")
    }

    private var facts: String {
        "\(results.architecture), \(results.trainedOn), accuracy on \(results.measuredOn); "
            + "\(results.totalSteps) steps, rewound to step \(results.rewindStep)"
    }

    /// A table of accuracies, one level a line, with verdicts.
    public var text: String {
        let table = TextTable(head: head.map { ($0, .right) }, rows: rows)
        return ([facts] + table.lines + (legend.map { [$0] } ?? [])).joined(separator: "\n")
    }

    /// `replicate,seed,level,density,kept,branch,accuracy,loss,validation_accuracy,matches`: one network a line.
    public var csv: String {
        var lines = ["replicate,seed,level,density,kept,branch,accuracy,loss,validation_accuracy,matches"]
        func add(
            _ own: LotteryResults.Replicate, _ level: Int, _ kept: Int, _ name: String, _ measure: LotteryMeasure?,
            _ branch: LotterySettings.Branch? = nil
        ) {
            guard let measure, results.verdict != nil else { return }
            let density = Double(kept) / Double(results.count)
            lines.append(
                "\(own.number),\(own.seed),\(level),\(density),\(kept),\(name),\(measure.accuracy),\(measure.loss),"
                    + "\(measure.validationAccuracy.map { "\($0)" } ?? ""),\(isMatch(measure.accuracy, branch))")
        }
        for replicate in results.replicates {
            add(replicate, 0, results.count, "dense", replicate.dense)
            for level in replicate.levels {
                add(replicate, level.number, level.kept, "ticket", level.ticket)
                for branch in branches {
                    add(replicate, level.number, level.kept, branch.rawValue, level.branches[branch], branch)
                }
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Stable keys: `dense`, `levels` (each with `ticket` and `branches`), `replicates`.
    public var json: OrderedDictionary<String, JSON> {
        func object(_ accuracies: [Double], _ branch: LotterySettings.Branch? = nil) -> JSON {
            let own = SeedStatistics(accuracies)
            return .object([
                "mean": accuracies.isEmpty ? .null : .number(own.mean),
                "deviation": accuracies.isEmpty ? .null : .number(own.standardDeviation),
                "accuracies": .array(accuracies.map { .number($0) }),
                "matches": accuracies.isEmpty || results.verdict == nil ? .null : .bool(isMatch(own.mean, branch)),
            ])
        }
        let levels = levels.map { level -> JSON in
            let own = results.replicates.first?.levels.first { $0.number == level }
            let branches = branches.map { ($0.rawValue, object(results.accuracies(at: level, of: $0), $0)) }
            return .object([
                "level": .integer(level), "density": results.density(at: level).map { .number($0) } ?? .null,
                "kept": own.map { .integer($0.kept) } ?? .null, "ticket": object(results.accuracies(at: level)),
                "branches": .object(OrderedDictionary(uniqueKeysWithValues: branches)),
                "layer_densities": .object(
                    OrderedDictionary(
                        uniqueKeysWithValues: zip(results.layers, own?.layerDensities ?? []).map {
                            ($0, .number($1))
                        })),
            ])
        }
        return [
            "complete": .bool(results.isComplete), "architecture": .string(results.architecture),
            "trained_on": .string(results.trainedOn), "measured_on": .string(results.measuredOn),
            "steps": .integer(results.totalSteps), "rewind_step": .integer(results.rewindStep),
            "prune_fraction": .number(results.settings.pruneFraction),
            "pruning_strategy": .string(results.settings.scope.rawValue),
            "prunable_weights": .integer(results.count),
            "seeds": .array(results.replicates.map { .integer(Int(clamping: $0.seed)) }),
            "dense": object(results.replicates.compactMap(\.dense?.accuracy)),
            "matching_threshold": results.verdict.map { .number($0.threshold) } ?? .null, "levels": .array(levels),
        ]
    }

    // MARK: As a figure

    /// Mean accuracies against the share of weights removed, with what matches.
    public var figure: LineChart {
        let dense = results.replicates.compactMap(\.dense?.accuracy)
        func points(_ branch: LotterySettings.Branch?) -> [(x: Double, y: Double)] {
            let first = dense.isEmpty || branch != nil ? [] : [(x: 0.0, y: SeedStatistics(dense).mean)]
            return first
                + levels.compactMap { level in
                    let own = results.accuracies(at: level, of: branch)
                    guard !own.isEmpty, let density = results.density(at: level) else { return nil }
                    return (x: 1 - density, y: SeedStatistics(own).mean)
                }
        }
        var series = [LineChart.Series(name: "ticket", points: points(nil))]
        series += branches.map { .init(name: $0.rawValue, points: points($0)) }
        if let verdict = results.verdict, let last = levels.last.flatMap({ results.density(at: $0) }) {
            series.append(
                .init(name: "matching", points: [(x: 0, y: verdict.threshold), (x: 1 - last, y: verdict.threshold)]))
        }
        return LineChart(
            title: title, summary: text, horizontalTitle: "share of weights removed", verticalTitle: "accuracy",
            series: series)
    }

    /// Figure and tables as one page.
    public var html: String {
        var page = HTMLPage(title: title, subtitle: facts)
        if !results.isComplete { page.paragraph("The run is not complete.") }
        page.figure(
            figure, caption: "Means over \(results.replicates.count) replicate(s)" + (legend.map { "; " + $0 } ?? "."))
        page.table(HTMLTable(head: head, rows: rows, numericColumns: Set(head.indices)))
        if let legend { page.note(legend) }
        if let first = results.replicates.first {
            page.foldedTable(
                "Densities of the layers, first replicate",
                HTMLTable(
                    head: ["weight"] + first.levels.map { "level \($0.number)" },
                    rows: results.layers.enumerated().map { place, name in
                        [name] + first.levels.map { MarkupText.percent($0.layerDensities[place], places: 2) }
                    }, numericColumns: Set(1...max(1, first.levels.count))))
        }
        return page.html
    }

    /// What is written beside the networks, by the names of the files.
    public var files: [(name: String, text: String)] {
        [
            ("report.html", html), ("accuracy.svg", figure.svgDocument),
            ("results.json", JSON.object(json).serialized(pretty: true) + "\n"), ("results.csv", csv),
        ]
    }
}
