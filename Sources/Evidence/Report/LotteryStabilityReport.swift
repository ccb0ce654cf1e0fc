import CoppiceCompression
import CoppiceModels
import OrderedCollections

/// How stable the training of tickets and of shuffled masks is by the step rewound to: distances, angles and error
/// barriers as a table, figures and a page.
public struct LotteryStabilityReport: Sendable {
    public let results: LotteryStability.Results
    public let title: String

    public init(_ results: LotteryStability.Results, title: String) {
        self.results = results
        self.title = title
    }

    /// The ticket's mask or the shuffled one.
    private enum Mask: String, CaseIterable {
        case ticket, shuffled

        func stability(_ entry: LotteryStability.Entry) -> TicketStability {
            self == .ticket ? entry.ticket : entry.shuffled
        }

        func accuracy(_ entry: LotteryStability.Entry) -> Double {
            self == .ticket ? entry.accuracy.ticket : entry.accuracy.shuffled
        }
    }

    private typealias Quantity = (key: String, title: String, value: @Sendable (TicketStability) -> Double)

    private static let quantities: [Quantity] = [
        ("l2_pruning", "L2 to dense", { $0.toPruning.euclidean }),
        ("angle_pruning", "angle to dense", { $0.toPruning.angle }),
        ("l2_data_order", "L2 of orders", { $0.toDataOrder.euclidean }),
        ("angle_data_order", "angle of orders", { $0.toDataOrder.angle }),
        ("barrier", "error barrier", { $0.path.barrier }),
    ]

    private func entries(_ step: Int) -> [LotteryStability.Entry] { results.entries.filter { $0.step == step } }
    private var measured: [Int] { results.steps.filter { !entries($0).isEmpty } }

    private func mean(_ step: Int, _ value: (LotteryStability.Entry) -> Double) -> Double {
        SeedStatistics(entries(step).map(value)).mean
    }

    // MARK: As text

    private static let head =
        ["k", "of training", "mask", "accuracy"] + quantities.map(\.title) + ["stable"]

    private var rows: [[String]] {
        measured.flatMap { step in
            Mask.allCases.map { mask in
                let numbers = Self.quantities.map { quantity in
                    let own = mean(step) { quantity.value(mask.stability($0)) }
                    return quantity.key == "barrier"
                        ? MarkupText.percent(own, places: 2) : MarkupText.number(own)
                }
                let barrier = mean(step) { mask.stability($0).path.barrier }
                return [
                    "\(step)", MarkupText.percent(Double(step) / Double(results.totalSteps), places: 2), mask.rawValue,
                    MarkupText.percent(mean(step, mask.accuracy), places: 2),
                ] + numbers + [barrier < 0.02 ? "yes" : "no"]
            }
        }
    }

    private var facts: String {
        let density = results.entries.first.map { MarkupText.percent($0.density, places: 2) } ?? "-"
        return "\(results.architecture), \(results.trainedOn), accuracy on \(results.measuredOn); "
            + "\(results.totalSteps) steps; masks of density \(density) after \(results.settings.levels) levels"
    }

    private static let legend =
        "Distances are over the kept weights: between the dense and the sparse training, and between trainings in two "
        + "orders of the data. Angles are in radians. Stable: the error on the line between both orders rises less than "
        + "2 % above that of its ends."

    /// A table, two lines for each k; means over the replicates.
    public var text: String {
        let table = TextTable(
            head: Self.head.enumerated().map { ($0.element, $0.offset == 2 ? .left : .right) }, rows: rows)
        return ([facts] + table.lines).joined(separator: "\n")
    }

    /// `k,share,replicate,seed,mask,density,accuracy,dense_accuracy` and the quantities: a line for each training.
    public var csv: String {
        var lines = [
            "k,share,replicate,seed,mask,density,accuracy,dense_accuracy,"
                + Self.quantities.map(\.key).joined(separator: ",")
        ]
        for entry in results.entries {
            for mask in Mask.allCases {
                let own = mask.stability(entry)
                let cells = [
                    "\(entry.step)", "\(Double(entry.step) / Double(results.totalSteps))", "\(entry.replicate)",
                    "\(entry.seed)", mask.rawValue, "\(entry.density)", "\(mask.accuracy(entry))",
                    "\(entry.dense.accuracy)",
                ]
                lines.append((cells + Self.quantities.map { "\($0.value(own))" }).joined(separator: ","))
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Stable keys: `ks`, each with `dense_accuracy` and, for `ticket` and `shuffled`, means and all `replicates`.
    public var json: OrderedDictionary<String, JSON> {
        func object(_ step: Int, _ mask: Mask) -> JSON {
            var members: OrderedDictionary<String, JSON> = ["accuracy": .number(mean(step, mask.accuracy))]
            for quantity in Self.quantities {
                members[quantity.key] = .number(mean(step) { quantity.value(mask.stability($0)) })
            }
            members["stable"] = .bool(mean(step) { mask.stability($0).path.barrier } < 0.02)
            members["replicates"] = .array(
                entries(step).map { entry in
                    let own = mask.stability(entry)
                    var replicate: OrderedDictionary<String, JSON> = [
                        "seed": .integer(Int(clamping: entry.seed)), "accuracy": .number(mask.accuracy(entry)),
                    ]
                    for quantity in Self.quantities { replicate[quantity.key] = .number(quantity.value(own)) }
                    replicate["path_errors"] = .array(own.path.errors.map { .number($0) })
                    return .object(replicate)
                })
            return .object(members)
        }
        let ks = measured.map { step -> JSON in
            .object([
                "k": .integer(step), "share": .number(Double(step) / Double(results.totalSteps)),
                "density": entries(step).first.map { .number($0.density) } ?? .null,
                "dense_accuracy": .number(mean(step) { $0.dense.accuracy }), "ticket": object(step, .ticket),
                "shuffled": object(step, .shuffled),
            ])
        }
        return [
            "complete": .bool(results.isComplete), "architecture": .string(results.architecture),
            "trained_on": .string(results.trainedOn), "measured_on": .string(results.measuredOn),
            "steps": .integer(results.totalSteps), "levels": .integer(results.settings.levels),
            "prune_fraction": .number(results.settings.pruneFraction), "ks": .array(ks),
        ]
    }

    // MARK: As figures

    private func chart(_ title: String, _ vertical: String, _ keys: [String]) -> LineChart {
        let chosen = Self.quantities.filter { keys.contains($0.key) }
        let series = Mask.allCases.flatMap { mask in
            chosen.map { quantity in
                LineChart.Series(
                    name: keys.count == 1 ? mask.rawValue : "\(mask.rawValue), \(quantity.title.lowercasedFirst)",
                    points: measured.map { step in
                        (x: Double(step), y: mean(step) { quantity.value(mask.stability($0)) })
                    })
            }
        }
        return LineChart(
            title: title, summary: text, horizontalTitle: "k, steps", verticalTitle: vertical, series: series)
    }

    /// L2 distances by k.
    public var distances: LineChart { chart(title, "L2 distance", ["l2_pruning", "l2_data_order"]) }

    /// Figures and table as one page.
    public var html: String {
        var page = HTMLPage(title: title, subtitle: facts)
        if !results.isComplete { page.paragraph("The run is not complete.") }
        page.figure(distances, caption: "Means over \(results.settings.replicates) replicate(s).")
        page.figure(chart("Angles by the step rewound to", "radians", ["angle_pruning", "angle_data_order"]))
        page.figure(chart("Error barrier between two orders of the data", "error", ["barrier"]))
        page.table(
            HTMLTable(
                head: Self.head, rows: rows, numericColumns: Set(Self.head.indices).subtracting([2])))
        page.note(Self.legend)
        return page.html
    }

    /// What is written beside the networks, by the names of the files.
    public var files: [(name: String, text: String)] {
        [
            ("report.html", html), ("distances.svg", distances.svgDocument),
            ("results.json", JSON.object(json).serialized(pretty: true) + "\n"), ("results.csv", csv),
        ]
    }
}

extension String {
    /// "Angle to dense" as "angle to dense"; abbreviations such as L2 stay.
    fileprivate var lowercasedFirst: String {
        guard let first, dropFirst().first?.isLowercase == true else { return self }
        return first.lowercased() + dropFirst()
    }
}
