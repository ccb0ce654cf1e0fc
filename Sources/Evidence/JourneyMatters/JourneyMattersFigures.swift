import CoppiceModels
import CoppiceTraining
import OrderedCollections

extension JourneyMattersMeasurement {
    var illustrations: [ExperimentReport.Illustration] {
        [densities, lossesBySize, layers].compactMap { $0 }
            + drawnRuns.map(\.losses).illustration(
                title: "Loss while training",
                caption: "Seed \(seeds.first ?? 0): \(MarkupText.percent(drawnSparsity, places: 0)) final sparsity, "
                    + "the dense models of its average and final size, and the dense one of equal compute.")
            + baselineRuns.map(\.losses).illustration(
                id: "baselines", title: "Loss while training, other ways",
                caption: "Seed \(seeds.first ?? 0), all with the same compute, to the first sparsity.")
    }

    /// The runs of the paper's window and of the baselines at the first sparsity that has some.
    private var baselineRuns: [JourneyRun] {
        guard let seed = seeds.first, let sparsity = size.baselineSparsities.first else { return [] }
        return [sparse(sparsity, .middle, seed: seed)].compactMap { $0 }
            + JourneyBaseline.allCases.compactMap { baseline(sparsity, $0, seed: seed) }
    }

    /// The paper's window and other ways with the same compute, a row each; nil without any.
    private var baselineTable: ExperimentReport.Table? {
        typealias Way = (name: String, run: (_ sparsity: Double, _ seed: UInt64) -> JourneyRun?)
        let own: Way = ("geometric ramp, 25–75 %", { sparse($0, .middle, seed: $1) })
        let others = JourneyBaseline.allCases.map { way -> Way in (way.rawValue, { baseline($0, way, seed: $1) }) }
        let rows = size.sparsities.flatMap { sparsity -> [[String]] in
            let onTheWay = ([own] + others).compactMap { way -> [String]? in
                let runs = seeds.map { way.run(sparsity, $0) }
                guard let first = runs.compactMap({ $0 }).first else { return nil }
                return [
                    percent(sparsity), way.name, "\(first.steps)",
                    MarkupText.number(first.averageCount / Double(size.shape.prunableCount)),
                ] + runs.map { MarkupText.number($0?.loss ?? .nan) }
            }
            let afterwards = TrainedPruning.allCases.map { way -> [String] in
                let losses = seeds.map { seed -> Double in
                    let found = matchingCompute(seed: seed)?.pruned.first { $0.way == way && $0.sparsity == sparsity }
                    return found?.loss ?? .nan
                }
                return [percent(sparsity), "dense, then \(way.rawValue)", "\(size.denseSteps)", "1"]
                    + losses.map { MarkupText.number($0) }
            }
            return onTheWay + afterwards
        }
        guard !rows.isEmpty else { return nil }
        return .init(
            title: "Other ways with the same compute, nats a character",
            HTMLTable(
                head: ["sparsity", "pruned", "steps", "N̄ / N₀"] + seeds.map { "seed \($0)" }, rows: rows,
                numericColumns: Set([0] + (2..<(4 + seeds.count)))))
    }

    /// The sparsity whose runs are drawn: the largest.
    private var drawnSparsity: Double { size.sparsities.last ?? 0 }

    private var drawnRuns: [JourneyRun] {
        guard let seed = seeds.first else { return [] }
        return JourneyArm.Window.allCases.compactMap { sparse(drawnSparsity, $0, seed: seed) }
            + [
                matchingAverage(drawnSparsity, seed: seed), matchingFinal(drawnSparsity, seed: seed),
                matchingCompute(seed: seed),
            ].compactMap { $0 }
    }

    private var layers: ExperimentReport.Illustration? {
        let pruned = drawnRuns.filter { !$0.layers.isEmpty }
        guard let first = pruned.first else { return nil }
        return .layers(
            id: "layers",
            title: "What is left of each projection at \(MarkupText.percent(drawnSparsity, places: 0))",
            layers: first.layers.map(\.name), shares: pruned.map { ($0.arm.name, $0.layers.map(\.share)) },
            caption: "Seed \(seeds.first ?? 0), all projections under one threshold, in the order of computation.")
    }

    private var densities: ExperimentReport.Illustration? {
        let sparsity = drawnSparsity
        let series = JourneyArm.Window.allCases.compactMap { window -> LineChart.Series? in
            guard
                let schedule = try? ComputePhaseSchedule(
                    denseSteps: size.denseSteps, finalSparsity: sparsity, window: window.fractions)
            else { return nil }
            let steps = stride(from: 0, to: schedule.totalSteps, by: max(1, schedule.totalSteps / 100))
            return .init(
                name: "\(window.rawValue) %", points: steps.map { (x: Double($0), y: schedule.density(at: $0)) })
        }
        return .init(
            id: "density",
            LineChart(
                title: "Density while training",
                summary: "The part of the prunable weights in use by step, for three windows of equal compute.",
                horizontalTitle: "step", verticalTitle: "density", series: series),
            caption: "\(MarkupText.percent(sparsity, places: 0)) final sparsity. The areas under the curves are equal.")
    }

    private var lossesBySize: ExperimentReport.Illustration? {
        guard let sparsity = size.sparsities.first, let seed = seeds.first,
            let middle = sparse(sparsity, .middle, seed: seed)
        else { return nil }
        let tokens = middle.tokens
        func points(_ runs: [JourneyRun], _ x: (JourneyRun) -> Double) -> [(x: Double, y: Double)] {
            runs.filter { $0.tokens == tokens }.map { (x: x($0), y: $0.loss) }.sorted { $0.x < $1.x }
        }
        let dense = runs.filter { if case .dense = $0.arm.kind { true } else { false } }
        var series = [
            LineChart.Series(name: "dense", points: points(dense, \.averageCount), isJoined: false),
            LineChart.Series(
                name: "sparse, by average size", points: points(sparseRuns(.middle), \.averageCount), isJoined: false),
            LineChart.Series(
                name: "sparse, by final size", points: points(sparseRuns(.middle)) { Double($0.finalCount) },
                isJoined: false),
        ]
        if let law = fit?.law, let low = dense.map(\.averageCount).min(), let high = dense.map(\.averageCount).max() {
            let sizes = (0...20).map { low + (high - low) * Double($0) / 20 }
            series.append(
                .init(name: "law", points: sizes.map { (x: $0, y: law.loss(parameters: $0, tokens: Double(tokens))) }))
        }
        return .init(
            id: "loss-by-size",
            LineChart(
                title: "Loss by number of weights",
                summary: "Held-out loss of dense and sparse runs of equal tokens by their prunable weights.",
                horizontalTitle: "prunable weights", verticalTitle: "nats a character", series: series),
            caption: "All runs on \(tokens) tokens, every seed; the law is fitted to dense runs of all lengths.")
    }

    var tables: [ExperimentReport.Table] {
        let rows = size.sparsities.flatMap { sparsity in
            seeds.map { seed -> [String] in
                let middle = sparse(sparsity, .middle, seed: seed)
                let others = [
                    matchingAverage(sparsity, seed: seed), matchingFinal(sparsity, seed: seed),
                    matchingCompute(seed: seed), sparse(sparsity, .early, seed: seed),
                    sparse(sparsity, .late, seed: seed),
                ]
                return [
                    MarkupText.percent(sparsity, places: 0), "\(seed)", "\(middle?.steps ?? 0)",
                    MarkupText.number((middle?.averageCount ?? .nan) / Double(size.shape.prunableCount)),
                ] + ([middle] + others).map { MarkupText.number($0?.loss ?? .nan) }
            }
        }
        var tables = [
            ExperimentReport.Table(
                title: "Losses, nats a character",
                HTMLTable(
                    head: [
                        "sparsity", "seed", "steps", "N̄ / N₀", "sparse, 25–75", "dense, average size",
                        "dense, final size", "dense, equal compute", "sparse, 2–25", "sparse, 70–97",
                    ], rows: rows, numericColumns: Set(0...9)))
        ]
        if let baselineTable { tables.append(baselineTable) }
        if let law = fit?.law {
            tables += [lawTable(law, fit?.intervals), lawErrors]
        }
        return tables
    }

    /// What was fitted, and the intervals of fits to runs drawn with replacement.
    private func lawTable(_ law: ScalingLaw, _ intervals: ScalingLawFit.Intervals?) -> ExperimentReport.Table {
        let numbers = [
            law.irreducibleLoss, law.parameterScale, law.tokenScale, law.parameterExponent, law.tokenExponent,
        ]
        let ranges = intervals.map {
            [$0.irreducibleLoss, $0.parameterScale, $0.tokenScale, $0.parameterExponent, $0.tokenExponent]
        }
        var rows = [["fitted"] + numbers.map { MarkupText.number($0) }]
        if let ranges {
            let texts = ranges.map { "\(MarkupText.number($0.lowerBound)) – \(MarkupText.number($0.upperBound))" }
            rows.append(["95 % of the fits to runs drawn again"] + texts)
        }
        return .init(
            title: "The law of the dense runs",
            HTMLTable(head: ["", "E", "A", "B", "α", "β"], rows: rows, numericColumns: Set(1...5)))
    }

    /// How well the law says the loss of what is pruned on the way, by window and way.
    private var lawErrors: ExperimentReport.Table {
        var parts: [(name: String, runs: [JourneyRun])] = JourneyArm.Window.allCases.map {
            (name: "\($0.rawValue) %", runs: sparseRuns($0))
        }
        for way in [JourneyBaseline.cubic, .once] { parts.append((name: way.rawValue, runs: otherRuns(way))) }
        parts.append((name: "all of these", runs: shrinkingRuns))
        return .init(
            title: "Mean error of the law on sparse runs",
            HTMLTable(
                head: ["pruned", "runs", "by average size", "by final size"],
                rows: parts.map { part in
                    [
                        part.name, "\(part.runs.count)", MarkupText.percent(lawError(on: part.runs), places: 2),
                        MarkupText.percent(lawError(on: part.runs, byFinalSize: true), places: 2),
                    ]
                }, numericColumns: [1, 2, 3]))
    }

    var notes: [String] {
        let distinct = Set(
            runs.compactMap { run -> ModelShape? in
                if case .dense(let shape, _) = run.arm.kind { shape } else { nil }
            }
        ).sorted { $0.prunableCount > $1.prunableCount }
        let shapes = distinct.map {
            "\($0.width) wide, \($0.intermediate) in the feed-forward part: \($0.prunableCount)"
        }
        return [
            "Prunable weights of the \(distinct.count) dense models: \(shapes.joined(separator: "; ")). The average size "
                + "of the sparse ones is matched to within half a percent of N₀.",
            "Operations are counted where zeros cost nothing. Training here multiplies dense matrices: a sparse step "
                + "takes as long as a dense one.",
        ]
    }

    var json: JSON {
        .object([
            "runs": .array(
                runs.map { run in
                    .object([
                        "name": .string(run.arm.name), "seed": .integer(Int(run.arm.seed)),
                        "steps": .integer(run.steps),
                        "tokens": .integer(run.tokens), "average_parameters": .number(run.averageCount),
                        "final_parameters": .integer(run.finalCount), "loss": .number(run.loss),
                        "pruned_afterwards": .array(
                            run.pruned.map { outcome in
                                .object([
                                    "way": .string(outcome.way.rawValue), "sparsity": .number(outcome.sparsity),
                                    "kept": .integer(outcome.keptCount), "loss": .number(outcome.loss),
                                ])
                            }),
                        "kept": .object(
                            OrderedDictionary(run.layers.map { ($0.name, JSON.number($0.share)) }) { $1 }),
                    ])
                }),
            "losses": (drawnRuns + baselineRuns).map(\.losses).json,
        ])
    }
}
