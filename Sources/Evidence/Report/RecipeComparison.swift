import CoppiceModels
import CoppiceTensors
import OrderedCollections

/// Several recipes on one model: what each makes of it at each sparsity, over several seeds.
public struct RecipeComparison: Sendable {
    /// What a recipe made of the model with one seed.
    public struct Trial: Sendable, Hashable {
        public var seed: UInt64
        /// Its place among the others; what was asked for is the entry's.
        public var point: CompressionFrontier.Point
        /// The share of all parameters before that is zero, or not there any more.
        public var removedOfAll: Double
        /// Wall time.
        public var seconds: Double

        public init(seed: UInt64, point: CompressionFrontier.Point, removedOfAll: Double, seconds: Double) {
            self.seed = seed
            self.point = point
            self.removedOfAll = removedOfAll
            self.seconds = seconds
        }
    }

    /// A recipe at a sparsity.
    public struct Entry: Sendable {
        /// The recipe's name, which no other recipe has.
        public var recipe: String
        public var file: String
        /// Nil: what the recipe says.
        public var asked: Double?
        /// Epochs that it trains for.
        public var epochs: Double
        public var trials: [Trial] = []
        /// Why there are no more trials.
        public var failure: CoppiceError?

        public init(recipe: String, file: String, asked: Double?, epochs: Double) {
            self.recipe = recipe
            self.file = file
            self.asked = asked
            self.epochs = epochs
        }
    }

    public let title: String
    public let measure: CompressionFrontier.Measure
    /// What was measured on.
    public let measuredOn: String
    /// The model as it was; nil where every recipe failed.
    public let dense: CompressionFrontier.Point?
    public let entries: [Entry]

    public init(
        title: String, measure: CompressionFrontier.Measure, measuredOn: String, dense: CompressionFrontier.Point?,
        entries: [Entry]
    ) {
        self.title = title
        self.measure = measure
        self.measuredOn = measuredOn
        self.dense = dense
        self.entries = entries
    }

    // MARK: As text

    /// What a reader should know before comparing: recipes that failed, layers that lost everything, unequal training.
    public var notes: [String] {
        var notes = entries.compactMap { entry in
            entry.failure.map { "\(entry.label) failed: \($0)" }
        }
        for entry in entries {
            let names = OrderedSet(entry.trials.flatMap(\.point.collapsed))
            if !names.isEmpty { notes.append("\(entry.label) leaves no weight of \(names.joined(separator: ", "))") }
        }
        let epochs = OrderedDictionary(entries.map { ($0.recipe, $0.epochs) }) { first, _ in first }
        if Set(epochs.values).count > 1 {
            let list = epochs.map { name, count in
                "\(name) " + (count == 0 ? "not at all" : MarkupText.number(count) + " epochs")
            }
            notes.append("they do not train alike: " + list.joined(separator: ", "))
        }
        return notes
    }

    private var head: [String] {
        [
            "recipe", "asked", measure.rawValue, "sparsity", "of all", "multiplications", "bytes", "collapsed",
            "epochs",
            "seconds",
        ]
    }

    private var rows: [[String]] {
        let first = dense.map { dense in
            [
                "dense", "", dense.quality.map { measure.text($0) } ?? "-", MarkupText.percent(dense.removed),
                MarkupText.percent(dense.sparsity), dense.multiplications.map { MarkupText.percent($0) } ?? "-",
                "\(dense.bytes)", "", "", "",
            ]
        }
        return (first.map { [$0] } ?? []) + entries.map(row)
    }

    private func row(_ entry: Entry) -> [String] {
        let head = [entry.recipe, entry.asked.map { MarkupText.number($0) } ?? ""]
        let tail = [MarkupText.number(entry.epochs)]
        guard let mean = entry.mean else { return head + ["failed", "", "", "", "", ""] + tail + [""] }
        let collapsed = entry.trials.map(\.point.collapsed.count)
        let (fewest, most) = (collapsed.min() ?? 0, collapsed.max() ?? 0)
        return head + [
            entry.quality.map { measure.text($0) } ?? "-", MarkupText.percent(mean.removed),
            MarkupText.percent(entry.removedOfAll), mean.multiplications.map { MarkupText.percent($0) } ?? "-",
            "\(mean.bytes)", fewest == most ? "\(most)" : "\(fewest)–\(most)",
        ] + tail + [MarkupText.number(SeedStatistics(entry.trials.map(\.seconds)).mean, digits: 3)]
    }

    /// A table, a recipe at a sparsity a line, and what should be known about it.
    public var text: String {
        let head = head.enumerated().map { (title: $1, alignment: $0 == 0 ? TextTable.Alignment.left : .right) }
        return (TextTable(head: head, rows: rows).lines + notes.map { "note: " + $0 }).joined(separator: "\n")
    }

    /// `measure`, `measured_on`, `dense`, `recipes` (means and deviations over seeds, and each trial) and `notes`.
    public var json: OrderedDictionary<String, JSON> {
        [
            "measure": .string(measure.rawValue), "measured_on": .string(measuredOn),
            "dense": dense.map { dense in
                .object([
                    measure.rawValue: dense.quality.map { .number($0) } ?? .null, "sparsity": .number(dense.removed),
                    "multiplications": dense.multiplications.map { .number($0) } ?? .null,
                    "bytes": .integer(dense.bytes),
                ])
            } ?? .null,
            "recipes": .array(entries.map(json)), "notes": .array(notes.map { .string($0) }),
        ]
    }

    private func json(_ entry: Entry) -> JSON {
        let mean = entry.mean
        func number(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
        return [
            "recipe": .string(entry.recipe), "file": .string(entry.file), "asked": number(entry.asked),
            measure.rawValue: number(entry.quality?.mean), "deviation": number(entry.quality?.standardDeviation),
            "sparsity": number(mean?.removed), "sparsity_of_all": number(mean.map { _ in entry.removedOfAll }),
            "multiplications": number(mean?.multiplications), "bytes": mean.map { .integer($0.bytes) } ?? .null,
            "collapsed_layers": .array(
                OrderedSet(entry.trials.flatMap(\.point.collapsed)).map { .string($0) }),
            "epochs": .number(entry.epochs),
            "seconds": number(mean.map { _ in SeedStatistics(entry.trials.map(\.seconds)).mean }),
            "error": entry.failure.map { .string("\($0)") } ?? .null,
            "trials": .array(
                entry.trials.map { trial in
                    .object([
                        "seed": .integer(Int(clamping: trial.seed)),
                        measure.rawValue: number(trial.point.quality), "sparsity": .number(trial.point.removed),
                        "sparsity_of_all": .number(trial.removedOfAll),
                        "multiplications": number(trial.point.multiplications), "bytes": .integer(trial.point.bytes),
                        "collapsed_layers": .array(trial.point.collapsed.map { .string($0) }),
                        "seconds": .number(trial.seconds),
                    ])
                }),
        ]
    }

    // MARK: As figures

    /// The mean quality of each recipe over removed weights, over multiplications and over bytes, by file name.
    public var figures: [(name: String, figure: LineChart)] {
        guard let dense else { return [] }
        let names = OrderedSet(entries.map(\.recipe))
        return [CompressionAxis.sparsity, .multiplications, .bytes].compactMap { axis in
            var series = names.map { name in
                LineChart.Series(
                    name: name, points: axis.coordinates(entries.filter { $0.recipe == name }.compactMap(\.mean)))
            }
            series.append(.init(name: "dense", points: axis.coordinates([dense]), isJoined: false))
            guard series.contains(where: { !$0.points.isEmpty }) else { return nil }
            let chart = axis.chart(title: title, summary: text, measure: measure, series: series, dense: dense)
            return (axis.rawValue, chart)
        }
    }

    /// Figures, table and notes as one page.
    public var html: String {
        var page = HTMLPage(title: title, subtitle: "\(measure.rawValue) on \(measuredOn), means over seeds")
        for (_, figure) in figures { page.figure(figure) }
        page.table(HTMLTable(head: head, rows: rows, numericColumns: Set(1..<head.count)))
        if !notes.isEmpty { page.list(notes) }
        return page.html
    }
}

extension RecipeComparison.Entry {
    /// The recipe with the sparsity that was asked for.
    fileprivate var label: String { recipe + (asked.map { " at \(MarkupText.number($0))" } ?? "") }

    /// Over seeds; nil where there is none, or something was not measured.
    var quality: SeedStatistics? {
        let values = trials.compactMap(\.point.quality)
        return values.isEmpty ? nil : SeedStatistics(values)
    }

    /// The mean over seeds of ``RecipeComparison/Trial/removedOfAll``.
    var removedOfAll: Double { SeedStatistics(trials.map(\.removedOfAll)).mean }

    /// The means over seeds; nil without a trial.
    var mean: CompressionFrontier.Point? {
        guard !trials.isEmpty else { return nil }
        func mean(_ value: (CompressionFrontier.Point) -> Double) -> Double {
            SeedStatistics(trials.map { value($0.point) }).mean
        }
        let multiplications = trials.compactMap(\.point.multiplications)
        return CompressionFrontier.Point(
            asked: asked, sparsity: mean(\.sparsity), removed: mean(\.removed),
            multiplications: multiplications.isEmpty ? nil : SeedStatistics(multiplications).mean,
            bytes: Int(mean { Double($0.bytes) }.rounded()), quality: quality?.mean, path: "")
    }
}

extension CompressionFrontier.Measure {
    /// Decimal places that are shown.
    private var places: Int { self == .accuracy ? 4 : 3 }

    /// A value as tables show it.
    func text(_ value: Double) -> String { CompressionFrontier.fixed(value, places) }

    /// The mean, with its deviation where there are several values.
    func text(_ values: SeedStatistics) -> String {
        text(values.mean) + (values.values.count > 1 ? " ± " + text(values.standardDeviation) : "")
    }
}
