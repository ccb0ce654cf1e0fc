import CoppiceCompression

extension VisionSparsityMeasurement {
    package var tables: [ExperimentReport.Table] {
        [
            .init(title: "Vision transformers: test accuracy after fine-tuning, %", accuracyTable),
            .init(title: "Vision transformers: other masks, test accuracy after fine-tuning, %", otherMaskTable),
            .init(
                title: "Vision transformers: N:M patterns, test accuracy after fine-tuning, %",
                PatternCurves.table(Kind.allCases.map { (name: $0.rawValue, patterns: patternCurves($0)) })),
            .init(title: "Vision transformers: one-shot masks beside iterative ones", agreementTable),
            .init(title: "Vision transformers: what pre-training leaves", pretrainingTable),
            .init(title: "Vision transformers: weights near zero along pre-training", courses.nearZeroTable),
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

    private var otherMaskTable: HTMLTable {
        let rows = ([0] + EssentialSparsity.coarseSparsities).enumerated().map { place, sparsity in
            [MarkupText.number(sparsity)]
                + Kind.allCases.flatMap { kind in
                    [Label.layer, Label.randomErdosRenyi].map { tuned(kind, $0).accuracy(at: place) }
                        + [lotteryComparison(kind).accuracy(at: sparsity)]
                }
        }
        return HTMLTable(
            head: ["sparsity"]
                + Kind.allCases.flatMap { kind in
                    ["layer by layer", "random ERK", "iterative"].map { "\(kind.rawValue), \($0)" }
                }, rows: rows, numericColumns: Set(0...6))
    }

    private var agreementTable: HTMLTable {
        HTMLTable(
            head: ["pre-training"] + LotteryComparison.tableHead,
            rows: Kind.allCases.flatMap { kind in lotteryComparison(kind).tableRows.map { [kind.rawValue] + $0 } },
            numericColumns: Set(1...5))
    }

    private var pretrainingTable: HTMLTable {
        let rows = Kind.allCases.map { kind -> [String] in
            let results = SeedStatistics(pretrainings(kind).map(\.result))
            let fit = knee(kind)
            let result = kind == .supervised ? "\(results.percent) % right" : "error \(Self.shown(results.mean))"
            let ratio = fit.map { $0.slopeRatio.isInfinite ? "∞" : Self.shown($0.slopeRatio) } ?? MarkupText.missing
            return [kind.rawValue, result] + course(kind).lastShares
                + [Self.shown(tuned(kind).tolerancePoint), Self.shown(fit?.breakpoint ?? .nan), ratio]
        }
        return HTMLTable(
            head: ["pre-training", "on test images of its classes"] + PretrainingCourse.lastSharesHead
                + ["s_τ", "knee", "slope after / before"], rows: rows, numericColumns: Set(2...8))
    }
}
