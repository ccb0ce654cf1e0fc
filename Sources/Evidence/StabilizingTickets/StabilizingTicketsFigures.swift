import CoppiceCompression
import CoppiceModels
import OrderedCollections

extension StabilizingTicketsMeasurement {
    var illustrations: [ExperimentReport.Illustration] { [accuracies, distances] + losses + allocations }

    /// Losses of the first seed: A's last level, and B's levels from the last k on.
    private var losses: [ExperimentReport.Illustration] {
        guard let search = searches.first, let last = search.levels.last else { return [] }
        let density = MarkupText.percent(last.density)
        let found = search.losses.illustration(
            title: "LeNet: loss while training at a density of \(density)",
            caption: "Seed \(search.seed): the dense network, the ticket and its controls.")
        guard let rewinding = rewindings.filter({ $0.seed == search.seed }).max(by: { $0.step < $1.step }) else {
            return found
        }
        return found
            + rewinding.losses.illustration(
                id: "residual-loss", title: "Residual network: loss while training, by level",
                caption: "Seed \(rewinding.seed), from step k = \(rewinding.step) on; level 0 is dense.")
    }

    private var allocations: [ExperimentReport.Illustration] {
        guard let search = searches.first else { return [] }
        let own = ExperimentReport.Illustration.layers(
            id: "layers", title: "LeNet: what is left of each layer", layers: perceptron.layers, shares: search.layers,
            caption: "Seed \(search.seed): tickets by density, and controls of the last one that choose by themselves.")
        let rewound = rewindings.filter { $0.seed == search.seed }
        guard let density = rewound.first?.levels.last?.density else { return [own] }
        return [
            own,
            .layers(
                id: "residual-layers",
                title: "Residual network: what is left of each layer at a density of \(MarkupText.percent(density))",
                layers: residual.layers, shares: rewound.map { ("k = \($0.step)", $0.layers) },
                caption: "Seed \(search.seed), by the step rewound to."),
        ]
    }

    private var accuracies: ExperimentReport.Illustration {
        .init(
            id: "tickets",
            LineChart(
                title: "LeNet: accuracy of tickets by sparsity", summary: "Test accuracy of each level's ticket.",
                horizontalTitle: "share of weights removed", verticalTitle: "test accuracy",
                series: searches.map { search in
                    .init(
                        name: "seed \(search.seed)",
                        points: [(x: 0, y: search.dense)] + search.levels.map { (x: 1 - $0.density, y: $0.ticket) })
                }), caption: "Rewound to step 0; the point at 0 is the dense network.")
    }

    private var distances: ExperimentReport.Illustration {
        func line(_ name: String, _ value: @escaping (Rewinding) -> Double) -> LineChart.Series {
            .init(name: name, points: steps.map { (x: Double($0), y: statistics(at: $0, value).mean) })
        }
        return .init(
            id: "stability",
            LineChart(
                title: "Residual network: distances by the step rewound to",
                summary: "L2 distance over kept weights, mean over seeds.", horizontalTitle: "k, steps",
                verticalTitle: "L2 distance",
                series: [
                    line("ticket, data order") { $0.ticket.toDataOrder.euclidean },
                    line("ticket, pruning") { $0.ticket.toPruning.euclidean },
                    line("shuffled, data order") { $0.shuffled.toDataOrder.euclidean },
                    line("shuffled, pruning") { $0.shuffled.toPruning.euclidean },
                ]), caption: "The last level's mask, and one of equal size in each layer at random places.")
    }

    var tables: [ExperimentReport.Table] { [levelTable, controlTable, rewindingTable] }

    private var levelTable: ExperimentReport.Table {
        let count = searches.map(\.levels.count).min() ?? 0
        let rows = (0..<count).map { place in
            let own = searches.map { $0.levels[place] }
            return [
                "\(place + 1)", MarkupText.percent(own[0].density), SeedStatistics(own.map(\.ticket)).percent,
            ]
        }
        let dense = SeedStatistics(searches.map(\.dense)).percent
        return .init(
            title: "A: tickets of LeNet-300-100, test accuracy in %",
            HTMLTable(
                head: ["level", "density", "ticket"], rows: [["0", "100.0 %", dense]] + rows,
                numericColumns: [0, 1, 2]))
    }

    private var controlTable: ExperimentReport.Table {
        let places = (searches.first?.levels ?? []).indices.filter { !(searches[0].levels[$0].controls.isEmpty) }
        let names = places.first.map { searches[0].levels[$0].controls.keys.sorted() } ?? []
        func cells(_ value: (Level) -> Double) -> [String] {
            places.map { place in SeedStatistics(searches.map { value($0.levels[place]) }).percent }
        }
        return .init(
            title: "A: controls at equal density, test accuracy in %",
            HTMLTable(
                head: ["network"] + places.map { "density " + MarkupText.percent(searches[0].levels[$0].density) },
                rows: [["ticket (rewound)"] + cells(\.ticket)]
                    + names.map { name in [name] + cells { $0.controls[name] ?? .nan } },
                numericColumns: Set(1...max(1, places.count))))
    }

    private var rewindingTable: ExperimentReport.Table {
        func text(_ own: SeedStatistics) -> String {
            let deviation = MarkupText.number(own.standardDeviation, digits: 2)
            return MarkupText.number(own.mean, digits: 3) + " ± " + deviation
        }
        func row(_ name: String, _ value: @escaping (Rewinding) -> Double, percent: Bool = false) -> [String] {
            [name]
                + steps.map { step in
                    let own = statistics(at: step, value)
                    return percent ? own.percent : text(own)
                }
        }
        let density = MarkupText.percent(rewindings.first?.levels.last?.density ?? .nan)
        let rows = [
            row("dense, accuracy %", { $0.dense }, percent: true),
            row("ticket, accuracy %", { $0.levels.last?.ticket ?? .nan }, percent: true),
            row("shuffled, accuracy %", { $0.levels.last?.controls["shuffled"] ?? .nan }, percent: true),
            row("reinitialized, accuracy %", { $0.levels.last?.controls["reinitialized"] ?? .nan }, percent: true),
            row("ticket, L2 to data order", { $0.ticket.toDataOrder.euclidean }),
            row("ticket, L2 to pruning", { $0.ticket.toPruning.euclidean }),
            row("ticket, angle to data order", { $0.ticket.toDataOrder.angle }),
            row("ticket, angle to pruning", { $0.ticket.toPruning.angle }),
            row("ticket, error barrier %", { $0.ticket.path.barrier }, percent: true),
            row("shuffled, L2 to data order", { $0.shuffled.toDataOrder.euclidean }),
            row("shuffled, L2 to pruning", { $0.shuffled.toPruning.euclidean }),
            row("shuffled, angle to data order", { $0.shuffled.toDataOrder.angle }),
            row("shuffled, angle to pruning", { $0.shuffled.toPruning.angle }),
            row("shuffled, error barrier %", { $0.shuffled.path.barrier }, percent: true),
        ]
        return .init(
            title: "B: the last ticket (density \(density)) by k",
            HTMLTable(
                head: ["measured"] + steps.map { "k = \($0)" }, rows: rows,
                numericColumns: Set(1...max(1, steps.count))))
    }

    var notes: [String] {
        [
            "Angles are in radians. The error barrier is the largest error on the straight line between the two "
                + "trainings less the mean error of its ends, running statistics interpolated too.",
            "Fine-tuning goes on at the last rate for as many steps; learning-rate rewinding repeats the schedule "
                + "from the trained weights.",
        ]
    }

    var json: JSON {
        func data(_ level: Level) -> JSON {
            .object([
                "level": .integer(level.number), "density": .number(level.density),
                "ticket": .number(level.ticket),
                "controls": .object(
                    OrderedDictionary(
                        level.controls.sorted { $0.key < $1.key }.map { ($0.key, JSON.number($0.value)) }
                    ) { $1 }),
            ])
        }
        func data(_ distance: SubnetworkDistance) -> JSON {
            .object(["l2": .number(distance.euclidean), "angle": .number(distance.angle)])
        }
        func data(_ own: TicketStability) -> JSON {
            .object([
                "to_pruning": data(own.toPruning), "to_data_order": data(own.toDataOrder),
                "path_errors": .array(own.path.errors.map { .number($0) }),
            ])
        }
        return .object([
            "perceptron": .array(
                searches.map { search in
                    .object([
                        "seed": .integer(Int(clamping: search.seed)), "dense": .number(search.dense),
                        "levels": .array(search.levels.map(data)), "losses": search.losses.json,
                        "layers": .array(
                            search.layers.map { own in
                                .object([
                                    "name": .string(own.name), "kept": .array(own.values.map { .number($0) }),
                                ])
                            }),
                    ])
                }),
            "residual": .array(
                rewindings.map { own in
                    .object([
                        "seed": .integer(Int(clamping: own.seed)), "k": .integer(own.step),
                        "dense": .number(own.dense), "levels": .array(own.levels.map(data)),
                        "ticket": data(own.ticket), "shuffled": data(own.shuffled), "losses": own.losses.json,
                        "layers": .array(own.layers.map { .number($0) }),
                    ])
                }),
        ])
    }
}
