import CoppiceCompression

extension VisionSparsityMeasurement {
    package var tables: [ExperimentReport.Table] {
        [
            .init(title: "Vision transformers: test accuracy after fine-tuning, %", accuracyTable),
            .init(title: "Vision transformers: what pre-training leaves", pretrainingTable),
            .init(title: "Vision transformers: weights near zero along pre-training", courseTable),
        ]
    }

    private var accuracyTable: HTMLTable {
        let methods = [Label.global, Label.random]
        let rows = ([0] + EssentialSparsity.tenths).map { tenth -> [String] in
            let sparsity = Double(tenth) / 10
            let coarse = tenth == 0 ? 0 : EssentialSparsity.coarseSparsities.firstIndex(of: sparsity).map { $0 + 1 }
            return [MarkupText.number(sparsity)]
                + Kind.allCases.flatMap { kind in methods.map { tuned(kind, $0).accuracy(at: tenth) } }
                + methods.map { label in coarse.map { fresh(label).accuracy(at: $0) } ?? MarkupText.missing }
        }
        return HTMLTable(
            head: [
                "sparsity", "supervised, magnitude", "supervised, random", "self-supervised, magnitude",
                "self-supervised, random", "initial weights, magnitude", "initial weights, random",
            ], rows: rows, numericColumns: Set(0...6))
    }

    private var pretrainingTable: HTMLTable {
        let rows = Kind.allCases.map { kind -> [String] in
            let results = SeedStatistics(pretrainings(kind).map(\.result))
            let fit = knee(kind)
            return [
                kind.rawValue,
                kind == .supervised ? "\(results.percent) % right" : "error \(Self.shown(results.mean))",
                MarkupText.percent(nearZeroShare(kind, threshold: 1), places: 3),
                MarkupText.percent(nearZeroShare(kind), places: 2), Self.shown(tuned(kind).tolerancePoint),
                Self.shown(fit?.breakpoint ?? .nan),
                fit.map { $0.slopeRatio.isInfinite ? "∞" : Self.shown($0.slopeRatio) } ?? MarkupText.missing,
            ]
        }
        return HTMLTable(
            head: [
                "pre-training", "on test images of its classes", "|w| < 0.01 × RMS", "|w| < 0.1 × RMS", "s_τ", "knee",
                "slope after / before",
            ], rows: rows, numericColumns: Set(2...6))
    }

    private var courseTable: HTMLTable {
        let steps = pretrainings(.supervised).first?.checkpoints.map(\.step) ?? []
        let columns = Kind.allCases.flatMap { kind in
            [1, 2].map { (nearZeroCourse(kind, threshold: $0), places: 4 - $0) }
        }
        let rows = steps.indices.map { index in
            ["\(steps[index])"] + columns.map { MarkupText.percent($0.0[index], places: $0.places) }
        }
        return HTMLTable(
            head: ["step"]
                + Kind.allCases.flatMap { kind in ["0.01", "0.1"].map { "\(kind.rawValue), |w| < \($0) × RMS" } },
            rows: rows, numericColumns: Set(0...4))
    }
}
