import CoppiceModels

extension PrecroppingMeasurement {
    private typealias Arm = PrecroppedNetwork.Arm

    private static func share(_ budget: Double) -> String { MarkupText.percent(budget, places: 0) }

    var tables: [ExperimentReport.Table] { networks.flatMap { [Self.accuracies(of: $0), Self.widths(of: $0)] } }

    private static func accuracies(of network: PrecroppedNetwork) -> ExperimentReport.Table {
        let rows = budgets.flatMap { budget in
            Arm.allCases.compactMap { arm -> [String]? in
                let own = network.runs(of: arm, budget)
                guard !own.isEmpty else { return nil }
                return [
                    arm.rawValue, share(budget), network.accuracies(of: arm, budget).percent,
                    MarkupText.percent(SeedStatistics(own.map(\.parameterPart)).mean),
                    MarkupText.percent(SeedStatistics(own.map(\.multiplicationPart)).mean),
                    arm.isMask ? MarkupText.percent(SeedStatistics(own.map(\.filtersInUse)).mean) : "–",
                ]
            }
        }
        let dense = ["dense", "100 %", SeedStatistics(network.denseAccuracies).percent, "100 %", "100 %", "–"]
        return .init(
            title: "\(network.name), accuracy over \(network.seeds.count) seeds",
            HTMLTable(
                head: [
                    "network", "budget", "test accuracy, %", "parameters kept", "multiplications of dense kernels",
                    "filters with weights left",
                ], rows: [dense] + rows, numericColumns: [1, 2, 3, 4, 5]))
    }

    private static func widths(of network: PrecroppedNetwork) -> ExperimentReport.Table {
        .init(
            title: "\(network.name), widths by the programme",
            HTMLTable(
                head: ["layer", "dense"] + budgets.map(share),
                rows: network.widths.map { [$0.name, "\($0.full)"] + $0.cropped.map(String.init) },
                numericColumns: Set(1...budgets.count + 1)))
    }

    var illustrations: [ExperimentReport.Illustration] {
        let places = networks.flatMap { network in Self.budgets.map { (network: network, budget: $0) } }
        let series = Arm.judged.map { arm in
            BarChart.Series(
                name: arm.rawValue, values: places.map { $0.network.accuracies(of: arm, $0.budget).mean })
        }
        let accuracies = ExperimentReport.Illustration(
            id: "accuracy",
            BarChart(
                title: "Test accuracy by way of pruning at initialization",
                summary: "Mean test accuracy of each way that claims compare, of both networks at both budgets.",
                categories: places.map { "\($0.network.name), \(Self.share($0.budget))" },
                horizontalTitle: "network and parameters", verticalTitle: "test accuracy", series: series),
            caption: "Means over seeds. The first three keep the network's full width and its dense kernels.")
        return [accuracies] + networks.flatMap(Self.losses)
    }

    /// Of the first seed: the ways that claims compare, at the smallest budget.
    private static func losses(of network: PrecroppedNetwork) -> [ExperimentReport.Illustration] {
        let smallest = budgets.min() ?? 1
        let curves = Arm.judged.compactMap { arm in
            network.runs(of: arm, smallest).first { $0.seed == network.seeds.first }?.losses
        }
        return ([network.denseLosses].compactMap { $0 } + curves).illustration(
            id: "loss-\(network.name)",
            title: "Loss of \(network.name) while training, \(share(smallest)) of the parameters",
            caption: "Seed \(network.seeds.first ?? 0), at the smaller budget.")
    }

    var notes: [String] {
        [
            "A mask that is shuffled within layers is a random mask with equal densities: the two controls are one arm.",
            "l1-trained is no pruning at initialization: it has the trained network's weights and twice the training, and "
                + "no claim is held against it.",
        ]
    }

    var json: JSON { .object(["networks": .array(networks.map(\.json))]) }
}
